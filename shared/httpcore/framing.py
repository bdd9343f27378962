"""How long a body is and where it ends: RFC 9112 §6 and §7, for both directions. Values in, values out.

A decoder takes what was received and gives back the body's bytes and what lies beyond the body.
"""

from collections.abc import Callable
from typing import Protocol

from shared.httpcore.errors import ConnectionClosed, ProtocolError
from shared.httpcore.grammar import CHUNK_LINE, CONTENT_LENGTH, STRAY_OCTET, TRAILER_SECTION

MAX_CHUNK_EXTENSION_BYTES = 256
MAX_CHUNK_LINE_BYTES = 15 + MAX_CHUNK_EXTENSION_BYTES + 2
MAX_TRAILER_BYTES = 8 * 1024
MAX_TRAILER_FIELDS = 100
LAST_CHUNK = b"0\r\n\r\n"


def parse_content_length(value: bytes) -> int:
    """RFC 9110 §8.6: digits only. ProtocolError 400 for anything else, a list of equal numbers included."""
    digits = value.strip(b" \t")
    if CONTENT_LENGTH.fullmatch(digits) is None:
        raise ProtocolError(400, "bad_content_length", "got a Content-Length that is not 1 to 18 digits")
    return int(digits)


def parse_transfer_encoding(value: bytes, version_minor: int, *, has_length: bool) -> None:
    """RFC 9112 §6.1, §6.3: returns when the body is chunked and nothing else; ProtocolError otherwise."""
    if version_minor == 0:
        # §6.1: a message of HTTP/1.0 with Transfer-Encoding has faulty framing.
        raise ProtocolError(400, "bad_transfer_encoding", "got a Transfer-Encoding in an HTTP/1.0 message")
    if has_length:
        # §6.3 rule 3: ought to be handled as an error; it is how requests are smuggled.
        raise ProtocolError(400, "ambiguous_length", "got both Transfer-Encoding and Content-Length")
    if value.strip(b" \t").lower() != b"chunked":
        raise ProtocolError(501, "bad_transfer_encoding", "got a Transfer-Encoding other than one `chunked`")


class BodyDecoder(Protocol):
    """One body on its way in."""

    is_complete: bool

    def feed(self, data: bytes) -> tuple[bytes, bytes]:
        """The body's bytes in `data`, and the rest that is not used: beyond the body, or too little to decide."""

    def end(self) -> None:
        """The connection ended. ConnectionClosed when the body is not whole."""


class LengthDecoder:
    """A body of `length` bytes (RFC 9112 §6.3 rule 6)."""

    __slots__ = ("is_complete", "left")

    def __init__(self, length: int) -> None:
        self.left = length
        self.is_complete = length == 0

    def feed(self, data: bytes) -> tuple[bytes, bytes]:
        """See BodyDecoder."""
        if len(data) < self.left:
            self.left -= len(data)
            return data, b""
        body, rest = data[: self.left], data[self.left :]
        self.left = 0
        self.is_complete = True
        return body, rest

    def end(self) -> None:
        """See BodyDecoder."""
        if not self.is_complete:
            raise ConnectionClosed(f"the body ended {self.left} bytes too early")


class CloseDelimitedDecoder:
    """A reply's body that ends with the connection (RFC 9112 §6.3 rule 8)."""

    __slots__ = ("is_complete",)

    def __init__(self) -> None:
        self.is_complete = False

    def feed(self, data: bytes) -> tuple[bytes, bytes]:
        """See BodyDecoder."""
        return data, b""

    def end(self) -> None:
        """See BodyDecoder."""
        self.is_complete = True


class ChunkedDecoder:
    """A chunked body (RFC 9112 §7.1). Extensions and trailers are checked and dropped.

    What `feed` returns as rest before the body is complete is a partial line: give it back with the next data in front.
    """

    __slots__ = ("_left", "_step", "is_complete")

    def __init__(self) -> None:
        self.is_complete = False
        self._left = 0  # bytes of the current chunk that are still to come
        self._step: Callable[[bytes, int, list[bytes]], int] = self._take_size

    def feed(self, data: bytes) -> tuple[bytes, bytes]:
        """See BodyDecoder. ProtocolError 400 when the chunked coding is broken."""
        body: list[bytes] = []
        at, before = 0, -1
        while at > before and at < len(data) and not self.is_complete:
            before, at = at, self._step(data, at, body)
        return b"".join(body), data[at:]

    def end(self) -> None:
        """See BodyDecoder."""
        if not self.is_complete:
            raise ConnectionClosed("the chunked body ended before its last chunk")

    # Each step takes what starts at `at` and returns where it ended: the same place when it needs more bytes.

    def _take_size(self, data: bytes, at: int, body: list[bytes]) -> int:
        line = CHUNK_LINE.match(data, at)
        if line is None:
            _check_partial_size(data[at : at + MAX_CHUNK_LINE_BYTES + 1])
            return at
        if line[2] is not None and len(line[2]) > MAX_CHUNK_EXTENSION_BYTES:
            raise ProtocolError(400, "bad_chunk", f"got a chunk extension over {MAX_CHUNK_EXTENSION_BYTES} bytes")
        self._left = int(line[1], 16)
        self._step = self._take_data if self._left else self._take_trailers
        return line.end()

    def _take_data(self, data: bytes, at: int, body: list[bytes]) -> int:
        part = data[at : at + self._left]
        body.append(part)
        self._left -= len(part)
        if self._left == 0:
            self._step = self._take_data_end
        return at + len(part)

    def _take_data_end(self, data: bytes, at: int, body: list[bytes]) -> int:
        if data.startswith(b"\r\n", at):
            self._step = self._take_size
            return at + 2
        if data[at:] == b"\r":
            return at
        raise ProtocolError(400, "bad_chunk", "expected CRLF after the chunk's data")

    def _take_trailers(self, data: bytes, at: int, body: list[bytes]) -> int:
        if data.startswith(b"\r\n", at):
            self.is_complete = True
            return at + 2
        end = data.find(b"\r\n\r\n", at)
        if end < 0:
            if len(data) - at > MAX_TRAILER_BYTES or STRAY_OCTET.search(data, at) is not None:
                raise ProtocolError(
                    400,
                    "bad_trailer",
                    f"got a trailer section over {MAX_TRAILER_BYTES} bytes or a stray CR or LF",
                )
            return at
        section = TRAILER_SECTION.fullmatch(data, at, end + 4)
        if section is None or end - at > MAX_TRAILER_BYTES or data.count(b"\n", at, end) >= MAX_TRAILER_FIELDS:
            raise ProtocolError(400, "bad_trailer", "got a trailer section that breaks the grammar of fields")
        self.is_complete = True
        return end + 4


def _check_partial_size(data: bytes) -> None:
    """Refuses early what can't become a chunk line however it goes on."""
    if b"\n" in data or len(data) > MAX_CHUNK_LINE_BYTES or STRAY_OCTET.search(data) is not None:
        raise ProtocolError(
            400, "bad_chunk", "expected a chunk size of 1 to 15 hex digits, extensions by the grammar, CRLF"
        )
    size = data.partition(b";")[0].rstrip(b" \t\r")
    if len(size) > 15 or size.strip(b"0123456789abcdefABCDEF") or (not size and data):
        raise ProtocolError(400, "bad_chunk", "expected a chunk size of 1 to 15 hex digits")


def request_body_decoder(is_chunked: bool, content_length: int | None) -> BodyDecoder:
    """RFC 9112 §6.3 for requests: chunked, a length, or no body (rule 7)."""
    return ChunkedDecoder() if is_chunked else LengthDecoder(content_length or 0)


def response_body_decoder(method: str, status: int, is_chunked: bool, content_length: int | None) -> BodyDecoder:
    """RFC 9112 §6.3 for replies: rules 1, 2, 4, 6 and 8 in their order."""
    if method == "HEAD" or status < 200 or status in (204, 304):
        return LengthDecoder(0)
    if is_chunked:
        return ChunkedDecoder()
    if content_length is not None:
        return LengthDecoder(content_length)
    return CloseDelimitedDecoder()


def serialize_chunk(data: bytes) -> bytes:
    """One chunk; `data` must not be empty, for that would be the last chunk."""
    return b"%x\r\n%b\r\n" % (len(data), data)
