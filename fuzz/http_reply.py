"""Replies on one connection, as `net.client` takes them from its buffer: interim ones, heads, bodies of every kind."""

import random
from collections.abc import Iterable

from fuzz.target import Target, expect_equal, random_parts, take_choices
from shared.httpcore.errors import ConnectionClosed, ProtocolError
from shared.httpcore.framing import response_body_decoder
from shared.httpcore.headers import without_hop_by_hop
from shared.httpcore.limits import Limits
from shared.httpcore.parsing import find_head_end
from shared.httpcore.reply_parsing import ResponseHead, parse_response_head
from shared.httpcore.serializing import serialize_fields
from shared.httpcore.websocket.handshake import check_reply

LIMITS = Limits(max_request_line_bytes=200, max_head_bytes=1000, max_field_count=20)
KEY = "dGhlIHNhbXBsZSBub25jZQ=="
MAX_REPLIES = 50


def read(parts: Iterable[bytes], method: str) -> tuple[object, ...]:
    """What a client makes of these parts, after which the connection ends: replies, then how it ended."""
    arriving = iter(parts)
    buffer = b""
    replies: list[object] = []
    try:
        while len(replies) < MAX_REPLIES:
            head, buffer = _read_head(buffer, arriving)
            if head is None:
                return replies, "ended between replies" if not buffer else "ended inside a head"
            replies.append(facts(head))
            if head.status >= 200 or head.status == 101:
                body, buffer = _read_body(head, method, buffer, arriving)
                replies.append(body)
    except (ProtocolError, ConnectionClosed) as error:
        return replies, type(error).__name__
    return replies, "enough"


def _read_head(buffer: bytes, arriving: Iterable[bytes]) -> tuple[ResponseHead | None, bytes]:
    scanned = 0
    while not (end := find_head_end(buffer, scanned, LIMITS)):
        scanned = len(buffer)
        part = next(iter(arriving), None)
        if part is None:
            return None, buffer
        buffer += part
    return parse_response_head(buffer, end, LIMITS), buffer[end:]


def _read_body(head: ResponseHead, method: str, buffer: bytes, arriving: Iterable[bytes]) -> tuple[object, bytes]:
    decoder = response_body_decoder(method, head.status, head.is_chunked, head.content_length)
    body, rest = decoder.feed(buffer)
    while not decoder.is_complete:
        part = next(iter(arriving), None)
        if part is None:
            decoder.end()
            return ("body", body), b""
        more, rest = decoder.feed(rest + part)
        body += more
    return ("body", body), rest


def facts(head: ResponseHead) -> tuple[object, ...]:
    """All that a head says; whether it accepts a WebSocket may fail by ProtocolError only."""
    assert not head.is_chunked or head.content_length is None, "two lengths"
    serialize_fields(without_hop_by_hop(head.headers))
    try:
        agreement: object = check_reply(head.status, head.headers, KEY)
    except ProtocolError as error:
        agreement = error.code
    return (
        head.status,
        head.reason,
        head.version_minor,
        head.content_length,
        head.is_chunked,
        head.keep_alive,
        head.headers.items(),
        agreement,
    )


def check(data: bytes) -> None:
    """The same replies, whole or cut."""
    choices, wire = take_choices(data)
    method = choices.choice(["GET", "HEAD"])
    expect_equal(read([wire], method), read(random_parts(wire, choices), method), "whole and cut")


def _seeds() -> list[bytes]:
    choices = random.Random(2)
    wires = (
        b'HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhelloHTTP/1.1 304 Not Modified\r\nETag: "a"\r\n\r\n',
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5;a=b\r\nhello\r\n0\r\nX-Sum: 1\r\n\r\n"
        b"HTTP/1.1 204 \r\n\r\n",
        b"HTTP/1.0 200\r\nConnection: keep-alive\r\n\r\nuntil the end",
        b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n"
        b"HTTP/1.1 500 No\r\nContent-Length: 0\r\n\r\n",
        b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        b"Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n"
        b"Sec-WebSocket-Extensions: permessage-deflate; server_no_context_takeover\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\nConnection: close, x\r\n\r\n",
    )
    return [choices.randbytes(2) + wire for wire in wires for _ in range(4)]


TARGET = Target(
    "http_reply",
    check,
    ("shared.httpcore",),
    _seeds(),
    (
        b"HTTP/1.1 200 OK\r\n",
        b"HTTP/1.0 304\r\n",
        b"HTTP/1.1 101 x\r\n",
        b"Content-Length: 5\r\n",
        b"Transfer-Encoding: chunked\r\n",
        b"Connection: close\r\n",
        b"Connection: Upgrade\r\nUpgrade: websocket\r\n",
        b"Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n",
        b"Sec-WebSocket-Extensions: permessage-deflate",
        b"; server_no_context_takeover",
        b"Sec-WebSocket-Protocol: a\r\n",
        b"5\r\nhello\r\n",
        b"0\r\n\r\n",
        b"\r\n\r\n",
    ),
)
