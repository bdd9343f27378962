"""The heads of replies: read as strictly as a client's, and made into what the client gets. Values in, values out.

A busy upstream says the same head many times within a second, so what was made of one is kept for a while.
"""

from collections.abc import Iterable
from copy import copy

from services.proxy.field_lines import without_names
from services.proxy.rewriting import TUNNEL_PROTOCOL
from shared.httpcore.errors import ProtocolError
from shared.httpcore.grammar import make_field_finder
from shared.httpcore.limits import DEFAULT_LIMITS, Limits
from shared.httpcore.parsing import HEAD_END, find_head_end
from shared.httpcore.reply_parsing import ResponseHead
from shared.httpcore.serializing import serialize_fields

REQUEST_ID_START = b"X-Request-Id: "
PASSED_HEAD = b"%bX-Request-Id: %b\r\n\r\n"  # of what passed and the request's id
MAX_KEPT_HEADS = 256
MAX_KEPT_BYTES = 1024  # of one head: what is longer does not repeat

_DATE = make_field_finder(["date"])


class ReplyHead(ResponseHead):
    """One head: what it decides, and what of it passes."""

    __slots__ = ("has_date", "redirects", "sets_cookie", "size")

    def __init__(self, wire: bytes, limits: Limits) -> None:
        """Of a whole head. ProtocolError (502) when it breaks a rule."""
        super().__init__(wire, limits)
        self.size = len(wire)
        if self.named or self.status == 101 or wire[7] != 0x31 or wire[12] != 0x20:
            self._change_passed()
        self.has_date = b"\nDate:" in self.passed or _DATE.search(self.passed) is not None
        lowered = self.passed.lower()  # in either it may name the upstream:
        self.redirects = b"\nlocation:" in lowered or b"\nrefresh:" in lowered
        self.sets_cookie = b"\nset-cookie:" in lowered

    def _change_passed(self) -> None:
        """What is seldom to be changed: a status line of HTTP/1.0 or without its last space, and odd lines."""
        line, _, lines = self.passed.partition(b"\n")
        line = b"HTTP/1.1 %d %b" % (self.status, line[12:].removeprefix(b" "))
        if self.named:  # RFC 9110 §7.6.1
            lines = without_names(lines, self.named)
        if self.status == 101:
            lines += f"Upgrade: {', '.join(self.headers.get_all('upgrade'))}\r\n".encode("latin-1")
        self.passed = line + b"\n" + lines

    @property
    def start(self) -> bytes:
        """The status line for the client."""
        return self.passed[: self.passed.index(b"\n") + 1]

    @property
    def field_lines(self) -> bytes:
        """The field lines that pass: what concerns a hop only is gone, and the id, which our own server writes."""
        return self.passed[self.passed.index(b"\n") + 1 :]

    def with_pairs(self, pairs: Iterable[tuple[str, str]], *, has_length: bool) -> "ReplyHead":
        """The same head with other fields. Not `has_length`: its body is now of unknown length."""
        changed = copy(self)
        changed.passed = self.start + serialize_fields(pairs).encode("latin-1")
        changed.has_date = _DATE.search(changed.passed) is not None
        changed.redirects = changed.sets_cookie = False
        if not has_length:
            changed.content_length = None
        return changed

    def with_more(self, pairs: Iterable[tuple[str, str]]) -> "ReplyHead":
        """The same head and these fields, as far as they have a value."""
        more = [pair for pair in pairs if pair[1]]
        changed = copy(self)
        changed.passed += serialize_fields(more).encode("latin-1")
        changed.has_date = self.has_date or any(name.lower() == "date" for name, _ in more)
        return changed

    @property
    def switches_to_tunnel(self) -> bool:
        """RFC 9110 §15.2.2: whether a 101 names the one protocol that is asked for."""
        return self.headers.tokens("upgrade") == [TUNNEL_PROTOCOL]


class ReplyHeads:
    """Reads heads, and remembers those that may come again."""

    def __init__(self, limits: Limits = DEFAULT_LIMITS) -> None:
        self._limits = limits
        self._max_kept_bytes = min(MAX_KEPT_BYTES, limits.max_head_bytes)
        self._kept: dict[bytes, ReplyHead] = {}

    def read(self, buffer: bytes, scanned: int = 0) -> ReplyHead | None:
        """The head at the start of `buffer`, None while it is incomplete. ProtocolError when it breaks a rule.

        `scanned` bytes were looked at before.
        """
        end = buffer.find(HEAD_END) + 4 if not scanned else 0
        if not 3 < end <= self._max_kept_bytes:
            end = self._find_end(buffer, scanned)
            return ReplyHead(buffer[:end], self._limits) if end else None
        wire = buffer[:end]
        head = self._kept.get(wire)
        if head is None:
            head = ReplyHead(wire, self._limits)
            if len(self._kept) >= MAX_KEPT_HEADS:
                self._kept.clear()
            self._kept[wire] = head
        return head

    def _find_end(self, buffer: bytes, scanned: int) -> int:
        try:
            return find_head_end(buffer, scanned, self._limits)
        except ProtocolError as error:
            raise ProtocolError(502, "bad_reply", f"the reply's head: {error.message}") from None
