"""The heads of replies: read as strictly as a client's, and made into what the client gets. Values in, values out.

A busy upstream says the same head many times within a second, so what was made of one is kept for a while.
"""

import re
from collections.abc import Iterable
from copy import copy

from services.proxy.field_lines import make_drop_rule, without
from services.proxy.rewriting import TUNNEL_PROTOCOL
from shared.httpcore.errors import ProtocolError
from shared.httpcore.headers import HOP_BY_HOP, Headers
from shared.httpcore.limits import DEFAULT_LIMITS, Limits
from shared.httpcore.parsing import HEAD_END, find_head_end, parse_response_head
from shared.httpcore.serializing import BODILESS, serialize_fields

_NAMING = re.compile(rb"\n(location|refresh|set-cookie):")
REQUEST_ID_START = b"X-Request-Id: "
MAX_KEPT_HEADS = 256
MAX_KEPT_BYTES = 1024  # of one head: what is longer does not repeat

# X-Request-Id is written by our own server.
_PASSED_FIELDS = make_drop_rule(HOP_BY_HOP | {"x-request-id"})
# RFC 9110 §8.6: no Content-Length in a 204; one in a 304 would be that of another reply.
_BODILESS_FIELDS = make_drop_rule(HOP_BY_HOP | {"x-request-id", "content-length"})


class ReplyHead:
    """One head: what it decides, and what of it passes."""

    __slots__ = (
        "content_length", "field_lines", "has_date", "is_chunked", "is_sized", "keep_alive", "naming_fields", "size",
        "start", "status", "whole",
    )  # fmt: skip

    def __init__(self, buffer: bytes, end: int, limits: Limits) -> None:
        """The head in `buffer[:end]`. ProtocolError (502) when it breaks a rule."""
        head = parse_response_head(buffer, end, limits)
        self.size = end  # bytes, the empty line included
        self.status = head.status
        self.keep_alive = head.keep_alive
        self.is_chunked = head.is_chunked
        self.content_length = head.content_length  # None: no such field
        is_bodiless = head.status in BODILESS or head.status < 200
        self.field_lines = without(head.field_lines, _BODILESS_FIELDS if is_bodiless else _PASSED_FIELDS)
        lowered = (b"\n" + self.field_lines).lower()
        self.has_date = b"\ndate:" in lowered
        # In these of its fields, in a redirect or for a cookie, it may name the upstream.
        self.naming_fields = frozenset([name.decode("ascii") for name in _NAMING.findall(lowered)])
        if head.status == 101:
            upgrade = ", ".join(head.headers.get_all("upgrade"))
            self.field_lines += f"Upgrade: {upgrade}\r\n".encode("latin-1")
        self.start = f"HTTP/1.1 {head.status} {head.reason}\r\n".encode("latin-1")
        self.is_sized = head.content_length is not None and not is_bodiless  # a body of this length follows a GET
        # All of it but the id, when nothing is to be added for this client; else it is put together for each reply.
        self.whole = self.start + self.field_lines + REQUEST_ID_START if self.has_date else None

    def with_pairs(self, pairs: Iterable[tuple[str, str]], *, has_length: bool) -> "ReplyHead":
        """The same head with other fields. Not `has_length`: its body is now of unknown length."""
        changed = copy(self)
        changed.field_lines = serialize_fields(pairs).encode("latin-1")
        changed.naming_fields, changed.whole = frozenset(), None
        if not has_length:
            changed.content_length = None
        return changed

    @property
    def switches_to_tunnel(self) -> bool:
        """RFC 9110 §15.2.2: whether a 101 names the one protocol that is asked for."""
        return Headers.parse(self.field_lines).tokens("upgrade") == [TUNNEL_PROTOCOL]


class ReplyHeads:
    """Reads heads, and remembers those that may come again."""

    def __init__(self, limits: Limits = DEFAULT_LIMITS) -> None:
        self._limits = limits
        self._kept: dict[bytes, ReplyHead] = {}

    def read(self, buffer: bytes, scanned: int = 0) -> ReplyHead | None:
        """The head at the start of `buffer`, None while it is incomplete. ProtocolError when it breaks a rule.

        `scanned` bytes were looked at before.
        """
        if not scanned:
            end = buffer.find(HEAD_END) + 4
            if end > 3 and (kept := self._kept.get(buffer[:end])) is not None:
                return kept
        try:
            end = find_head_end(buffer, scanned, self._limits)
        except ProtocolError as error:
            raise ProtocolError(502, "bad_reply", f"the reply's head: {error.message}") from None
        if not end:
            return None
        head = ReplyHead(buffer, end, self._limits)
        if end <= MAX_KEPT_BYTES:
            if len(self._kept) >= MAX_KEPT_HEADS:
                self._kept.clear()
            self._kept[buffer[:end]] = head
        return head
