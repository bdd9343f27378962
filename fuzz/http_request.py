"""Requests on one connection: heads, bodies, and the next request, as `net.connection` takes them from its buffer."""

import random
from collections.abc import Iterable
from dataclasses import dataclass, field

from conformance.cases import ALL_CASES
from fuzz.target import Target, expect_equal, random_parts, take_choices
from shared.httpcore.errors import HttpError, ProtocolError
from shared.httpcore.framing import BodyDecoder, request_body_decoder
from shared.httpcore.grammar import EMPTY_LINES
from shared.httpcore.limits import Limits
from shared.httpcore.message import Request
from shared.httpcore.parsing import find_head_end, parse_repeated_head, parse_request_head
from shared.httpcore.request_head import HeadFields
from shared.httpcore.serializing import serialize_request_head
from shared.httpcore.websocket.handshake import accept_handshake

# Small, so that the fuzzer reaches them.
LIMITS = Limits(max_request_line_bytes=200, max_head_bytes=1000, max_field_count=20)


@dataclass(slots=True)
class Reading:
    """What the bytes so far amount to: requests with their bodies, then perhaps a refusal."""

    keeps_fields: bool  # whether the fields of one request are lent to the next, as the connection does
    requests: list[tuple[object, ...]] = field(default_factory=list)
    is_refused: bool = False
    _buffer: bytes = b""
    _scanned: int = 0
    _previous: HeadFields | None = None
    _decoder: BodyDecoder | None = None
    _body: bytes = b""

    def feed(self, part: bytes) -> None:
        """Takes what arrived."""
        self._buffer += part
        try:
            while not self.is_refused and self._advance():
                pass
        except ProtocolError:
            self.is_refused = True

    def outcome(self) -> tuple[object, ...]:
        """What two readings of the same bytes must agree on."""
        unfinished = None if self._decoder is None or self.is_refused else self._body
        return (self.requests, self.is_refused, unfinished)

    def _advance(self) -> bool:
        if self._decoder is not None:
            return self._take_body(self._decoder)
        if self._take_repeated_head():
            return True
        if (empty := EMPTY_LINES.match(self._buffer)) is not None:
            self._buffer, self._scanned = self._buffer[empty.end() :], 0
            return True
        end = find_head_end(self._buffer, self._scanned, LIMITS)
        if not end:
            self._scanned = len(self._buffer)
            return False
        request = parse_request_head(self._buffer, end, LIMITS, self._previous if self.keeps_fields else None)
        self._take_head(request, end)
        return True

    def _take_repeated_head(self) -> bool:
        """The short cut for a client that waits for its replies."""
        if not self.keeps_fields or self._previous is None or not self._buffer:
            return False
        request = parse_repeated_head(self._buffer, self._previous, LIMITS)
        if request is None:
            return False
        self._take_head(request, len(self._buffer))
        return True

    def _take_head(self, request: Request, end: int) -> None:
        check_head(self._buffer[:end], request)
        self._previous = request.fields
        self._buffer, self._scanned = self._buffer[end:], 0
        self._decoder = request_body_decoder(request.is_chunked, request.content_length)
        self.requests.append(facts(request))

    def _take_body(self, decoder: BodyDecoder) -> bool:
        part, self._buffer = decoder.feed(self._buffer)
        self._body += part
        if not decoder.is_complete:
            return False
        self.requests.append(("body", self._body))
        self._decoder, self._body = None, b""
        return True


def facts(request: Request) -> tuple[object, ...]:
    """All that a request says of itself, the lazy parts included; HttpError is the only way they may fail."""
    return (
        request.method,
        request.target,
        request.raw_path,
        request.version_minor,
        request.host,
        request.content_length,
        request.is_chunked,
        request.keep_alive,
        request.expects_continue,
        request.upgrade,
        request.id,
        request.headers.items(),
        request.cookies,
        request.wants_html,
        _or_refusal(lambda: request.path),
        _or_refusal(lambda: request.query_params),
        _or_refusal(lambda: accept_handshake(request.method, request.version_minor, request.headers)),
    )


def _or_refusal(read: object) -> object:
    assert callable(read)
    try:
        return read()
    except HttpError as error:
        return error.code


def check_head(head: bytes, request: Request) -> None:
    """A second opinion on an accepted head, in the plainest words; and that it could be written again."""
    lines = head[:-4].split(b"\r\n")
    assert not any(octet in line for line in lines for octet in (b"\r", b"\n", b"\x00")), "a stray octet"
    assert len(lines[0].split(b" ")) == 3, "a request line of three words"
    names = [line.split(b":")[0].lower() for line in lines[1:]]
    assert all(b":" in line and name and name.strip() == name for line, name in zip(lines[1:], names)), "a name"
    lengths, codings, hosts = (names.count(name) for name in (b"content-length", b"transfer-encoding", b"host"))
    assert lengths + codings <= 1, "two lengths"
    assert hosts <= 1, "two hosts"
    assert hosts or request.version_minor == 0, "no host"
    assert request.is_chunked == (codings == 1), "chunked as the field says"
    assert not (request.is_chunked and request.version_minor == 0), "chunked in HTTP/1.0"
    written = serialize_request_head(request.method, request.target, request.headers.items())
    again = parse_request_head(written, len(written), Limits(), None)
    expect_equal(request.target, again.target, "targets, written and read again,")
    expect_equal(request.headers, again.headers, "fields, written and read again,")


def read(parts: Iterable[bytes], *, keeps_fields: bool) -> tuple[object, ...]:
    """What a connection that gets these parts makes of them."""
    reading = Reading(keeps_fields)
    for part in parts:
        reading.feed(part)
    return reading.outcome()


def head_by_head(wire: bytes) -> list[bytes]:
    """The wire cut behind every empty line."""
    parts = [part + b"\r\n\r\n" for part in wire.split(b"\r\n\r\n")]
    return [*parts[:-1], parts[-1][:-4]]


def check(data: bytes) -> None:
    """The same requests, whole or cut, with the fields of the last request at hand or not."""
    choices, wire = take_choices(data)
    whole = read([wire], keeps_fields=False)
    expect_equal(whole, read(random_parts(wire, choices), keeps_fields=False), "whole and cut")
    expect_equal(whole, read([wire], keeps_fields=True), "without and with the last fields")
    # One request a part, as from a client that waits for each reply: where the short cut is taken.
    expect_equal(whole, read(head_by_head(wire), keeps_fields=True), "whole and head by head")


def _seeds() -> list[bytes]:
    choices = random.Random(1)
    wires = [case.wire + case.then for case in ALL_CASES if len(case.wire) < 1000]
    wires += [wire * 2 for wire in wires if len(wire) < 500]  # whose second head is the first one's once more
    return [choices.randbytes(2) + wire for wire in wires]


TARGET = Target(
    "http_request",
    check,
    ("shared.httpcore",),
    _seeds(),
    (
        b"GET / HTTP/1.1\r\n",
        b"POST /a?b=c HTTP/1.0\r\n",
        b"http://a.example",
        b"Host: a.example\r\n",
        b"Content-Length: 5\r\n",
        b"Transfer-Encoding: chunked\r\n",
        b"Connection: keep-alive, close, upgrade\r\n",
        b"Expect: 100-continue\r\n",
        b"Upgrade: websocket\r\n",
        b"Cookie: a=b; c=d\r\n",
        b"Accept: text/html\r\n",
        b"X-Request-Id: 1\r\n",
        b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n",
        b"Sec-WebSocket-Extensions: permessage-deflate; server_max_window_bits=10\r\n",
        b"5\r\nhello\r\n",
        b"0\r\n\r\n",
        b"\r\n\r\n",
    ),
)
