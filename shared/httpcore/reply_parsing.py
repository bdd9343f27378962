"""Heads of replies from bytes: one strict regex accepts or refuses, one split sets apart what concerns this hop only.

Owns the syntax of replies (RFC 9112 §4–§5) and what their framing fields decide; read `parsing` first, which has the
same for requests. What follows for the body is `framing`'s.
"""

from functools import lru_cache
from typing import NamedTuple

from shared.httpcore.errors import ProtocolError
from shared.httpcore.framing import parse_content_length, parse_transfer_encoding
from shared.httpcore.grammar import HOP_FIELD_NAMES, HOP_FIELDS, RESPONSE_HEAD
from shared.httpcore.headers import Headers
from shared.httpcore.limits import Limits
from shared.httpcore.serializing import BODILESS

MAX_KEPT_REPLY_BYTES = 4096  # of the replies whose framing is remembered: a MiB at most
# What Connection may name without a line being dropped that is not set apart anyway.
_SET_APART = frozenset(name.encode("ascii") for name in ("", *HOP_FIELD_NAMES))


class ReplyFraming(NamedTuple):
    """What a reply's head says to this hop alone: how long the body is, and what becomes of the connection."""

    status: int
    content_length: int | None  # None: no such field
    is_sized: bool  # a body of this length follows a GET
    is_chunked: bool
    keep_alive: bool
    named: frozenset[bytes]  # the fields, in lower case, that Connection names beside those that are hop-by-hop anyway
    length_line: bytes  # Content-Length as it is passed on; b"" for none


class ResponseHead:
    """The head of a reply, checked as hard as a request's. Its framing is read at once, the rest when asked for."""

    __slots__ = (
        "_headers", "content_length", "is_chunked", "is_sized", "keep_alive", "named", "passed", "status", "wire",
    )  # fmt: skip

    def __init__(self, wire: bytes, limits: Limits) -> None:
        """Of a whole head, its empty line included. ProtocolError (502) when it breaks a rule."""
        if RESPONSE_HEAD.fullmatch(wire) is None:
            raise ProtocolError(502, "bad_reply", "the reply's head breaks the grammar of HTTP/1.1")
        size = len(wire)
        if size > limits.max_request_line_bytes and wire.find(b"\r\n") > limits.max_request_line_bytes:
            raise ProtocolError(502, "bad_reply", f"got a status line over {limits.max_request_line_bytes} bytes")
        if wire.count(b"\n") - 2 > limits.max_field_count:
            raise ProtocolError(502, "bad_reply", f"the reply has more than {limits.max_field_count} field lines")
        # What concerns this hop only is set apart in one pass: the even parts pass, the status line first.
        parts = HOP_FIELDS.split(wire[:-2])
        decide = decide_framing if size <= MAX_KEPT_REPLY_BYTES else decide_framing.__wrapped__
        (
            self.status, self.content_length, self.is_sized, self.is_chunked, self.keep_alive, self.named, length_line,
        ) = decide(wire[:12], *parts[1::2])  # fmt: skip
        passed = parts[::2]
        passed.append(length_line)
        self.passed = b"".join(passed)  # status line and field lines, unless some are `named`
        self.wire = wire
        self._headers: Headers | None = None

    @property
    def version_minor(self) -> int:
        """1 for HTTP/1.1, 0 for HTTP/1.0."""
        return self.wire[7] - 0x30

    @property
    def reason(self) -> str:
        """The reason phrase, "" for none."""
        return self.wire[13 : self.wire.index(b"\r")].decode("latin-1")

    @property
    def headers(self) -> Headers:
        """All fields as they were received, parsed when first asked for."""
        if self._headers is None:
            self._headers = Headers.parse(self.wire[self.wire.index(b"\n") + 1 : -2])
        return self._headers


def parse_response_head(buffer: bytes, end: int, limits: Limits) -> ResponseHead:
    """The reply whose head is `buffer[:end]`. ProtocolError (502) when it breaks a rule."""
    return ResponseHead(buffer[:end], limits)


@lru_cache(maxsize=256)
def decide_framing(start: bytes, *lines: bytes | None) -> ReplyFraming:
    """RFC 9112 §6.3, §9.3: what a reply's version and status (its first 12 octets) and its lines of Connection,
    Content-Length and Transfer-Encoding mean. ProtocolError (502) when they contradict each other.

    The rest of a head differs from reply to reply; these seldom do, so what was decided of late is kept.
    """
    fields: dict[bytes, bytes] = {}
    for line in filter(None, lines):
        name, _, value = line.lower().partition(b":")
        if name in fields:
            if name != b"connection":
                raise ProtocolError(502, "bad_reply", f"the reply has more than one {name.decode()} field")
            value = fields[name] + b"," + value
        fields[name] = value
    status, version_minor = int(start[9:]), start[7] - 0x30
    coding, length, content_length = fields.get(b"transfer-encoding"), fields.get(b"content-length"), None
    try:
        if coding is not None:
            parse_transfer_encoding(coding, version_minor, has_length=length is not None)
        elif length is not None:
            content_length = parse_content_length(length)
    except ProtocolError as error:
        raise ProtocolError(502, "bad_reply", f"the reply's framing: {error.message}") from None
    options = frozenset(option.strip(b" \t") for option in fields.get(b"connection", b"").split(b","))
    # RFC 9110 §8.6, §15.2: a 1xx or a 204 ends with its head, and MUST NOT announce a body. Servers do so of a 204;
    # whether one follows, and when, nobody can tell.
    is_announced = (coding is not None or bool(content_length)) and (status < 200 or status == 204)
    if is_announced and status != 204:
        raise ProtocolError(502, "bad_reply", f"got a {status} reply that announces a body")
    # §8.6: no Content-Length in a 204; one in a 304 would be that of another reply.
    is_sized = content_length is not None and status >= 200 and status not in BODILESS
    return ReplyFraming(
        status=status,
        content_length=content_length,
        is_sized=is_sized,
        is_chunked=coding is not None,
        keep_alive=not is_announced and b"close" not in options and (version_minor == 1 or b"keep-alive" in options),
        named=options - _SET_APART,
        length_line=b"Content-Length: %d\r\n" % content_length if is_sized else b"",  # type: ignore[str-format]
    )
