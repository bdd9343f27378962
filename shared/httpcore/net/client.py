"""The client's side of a connection: one request after another, replies checked as hard as requests are.

Owns one exchange at a time. Which connection is used again for what is `pool`'s.
"""

import json
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from typing import Any

from shared.httpcore.errors import ConnectionClosed, ProtocolError
from shared.httpcore.framing import LAST_CHUNK, BodyDecoder, response_body_decoder, serialize_chunk
from shared.httpcore.headers import Headers
from shared.httpcore.limits import DEFAULT_LIMITS, Limits
from shared.httpcore.net.stream import Stream
from shared.httpcore.parsing import find_head_end
from shared.httpcore.reply_parsing import ResponseHead, parse_response_head
from shared.httpcore.serializing import serialize_request_head

RequestBody = bytes | AsyncIterator[bytes] | None

MAX_INTERIM_REPLIES = 32  # a server that says no more than 1xx would be listened to for ever


@dataclass(frozen=True, slots=True)
class Origin:
    """Where a connection goes: a host, as a name or an address, and a TCP port; whether TLS is spoken there."""

    host: str
    port: int
    is_tls: bool = False

    def __str__(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


@dataclass(frozen=True, slots=True)
class ClientResponse:
    """A reply with its whole body."""

    status: int
    headers: Headers
    body: bytes

    def json(self) -> Any:
        """The body as JSON; ValueError when it is none."""
        return json.loads(self.body.decode("utf-8"))


class ClientConnection:
    """A connection to one origin. After a broken exchange `can_be_reused` stays False and only `close` is left."""

    __slots__ = (
        "_buffer", "_decoder", "_interim_count", "_is_request_sent", "_keep_alive", "_limits", "_method",
        "exchange_count", "idle_since", "origin", "stream",
    )  # fmt: skip

    def __init__(self, stream: Stream, origin: Origin, limits: Limits = DEFAULT_LIMITS) -> None:
        self.stream = stream
        self.origin = origin
        self.exchange_count = 0  # requests begun on it
        self.idle_since = 0.0  # loop time; the pool's
        self._limits = limits
        self._buffer = b""
        self._method = ""
        self._decoder: BodyDecoder | None = None  # of the reply, once its head is there
        self._interim_count = 0  # heads of 1xx since the request
        self._keep_alive = True
        self._is_request_sent = True

    @property
    def is_reused(self) -> bool:
        """Whether an earlier exchange went over this connection, so that it may be stale."""
        return self.exchange_count > 1

    @property
    def can_be_reused(self) -> bool:
        """Whether the last exchange ended cleanly: all sent, all read, nothing left over, both sides persistent."""
        is_over = self._decoder.is_complete if self._decoder is not None else self.exchange_count == 0
        return is_over and self._is_request_sent and self._keep_alive and not self._buffer and not self.stream.is_closed

    async def send_request(
        self, method: str, target: str, headers: Sequence[tuple[str, str]], body: RequestBody = None
    ) -> None:
        """The request is sent whole. `headers` hold Host, and no framing but a Content-Length for an iterator.

        Bytes go with Content-Length, an iterator chunked unless `headers` tell its length; ValueError, and the
        connection is closed, when it has another. ConnectionClosed when the other side does not take it all: it may
        have replied all the same.
        """
        self.exchange_count += 1
        self._method = method
        self._decoder = None
        self._interim_count = 0
        self._is_request_sent = False
        pairs = list(headers)
        length = next((int(value) for name, value in pairs if name.lower() == "content-length"), None)
        if isinstance(body, bytes) and length is None:
            pairs.append(("Content-Length", str(len(body))))
        elif isinstance(body, bytes) and length != len(body):
            raise ValueError(f"got a body of {len(body)} bytes and a Content-Length of {length}")
        elif body is not None and length is None:
            pairs.append(("Transfer-Encoding", "chunked"))
        head = serialize_request_head(method, target, pairs)
        if body is None or isinstance(body, bytes):
            await self.stream.send_all(head + (body or b""))
        else:
            await self.stream.send_all(head)
            await (self._send_chunked(body) if length is None else self._send_sized(body, length))
        self._is_request_sent = True

    async def _send_chunked(self, body: AsyncIterator[bytes]) -> None:
        async for part in body:
            if part:
                await self.stream.send_all(serialize_chunk(part))
        await self.stream.send_all(LAST_CHUNK)

    async def _send_sized(self, body: AsyncIterator[bytes], length: int) -> None:
        left = length
        async for part in body:
            if len(part) > left:
                break
            left -= len(part)
            await self.stream.send_all(part)
        else:
            if left == 0:
                return
        self.close()  # a byte more, or one less, would be read as part of another request
        raise ValueError(f"the body is not the {length} bytes that its Content-Length says")

    async def read_head(self) -> ResponseHead:
        """The next head, a 1xx one included. ConnectionClosed; ProtocolError for bad grammar, or 1xx without end."""
        scanned = 0
        while not (end := self._find_head_end(scanned)):
            scanned = len(self._buffer)
            data = await self.stream.recv()
            if not data:
                raise ConnectionClosed(
                    f"{self.origin} closed the connection {'inside' if scanned else 'before'} a reply"
                )
            self._buffer += data
        head = parse_response_head(self._buffer, end, self._limits)
        self._buffer = self._buffer[end:]
        if head.status >= 200 or head.status == 101:
            self._keep_alive = head.keep_alive and head.status != 101
            self._decoder = response_body_decoder(self._method, head.status, head.is_chunked, head.content_length)
        else:
            self._interim_count += 1
            if self._interim_count >= MAX_INTERIM_REPLIES:
                raise ProtocolError(502, "bad_reply", f"got {MAX_INTERIM_REPLIES} interim replies and no final one")
        return head

    def _find_head_end(self, scanned: int) -> int:
        try:
            return find_head_end(self._buffer, scanned, self._limits)
        except ProtocolError as error:
            raise ProtocolError(502, "bad_reply", f"the reply's head: {error.message}") from None

    async def body(self) -> AsyncIterator[bytes]:
        """The reply's body, decoded, as it arrives. ConnectionClosed when it is cut, ProtocolError when broken."""
        decoder = self._decoder
        if decoder is None:
            raise RuntimeError("read the reply's head first")
        data, self._buffer = self._buffer, b""
        while True:
            part, rest = self._feed(decoder, data)
            if decoder.is_complete:
                self._buffer = rest
            if part:
                yield part
            if decoder.is_complete:
                return
            received = await self.stream.recv()
            if not received:
                decoder.end()
                self._keep_alive = False
                return
            data = rest + received if rest else received

    def _feed(self, decoder: BodyDecoder, data: bytes) -> tuple[bytes, bytes]:
        try:
            return decoder.feed(data)
        except ProtocolError as error:
            self._keep_alive = False
            raise ProtocolError(502, "bad_reply", f"the reply's body: {error.message}") from None

    async def read_body(self, max_body_bytes: int | None) -> bytes:
        """The reply's whole body; ProtocolError 502 past the limit."""
        parts, size = [], 0
        async for part in self.body():
            parts.append(part)
            size += len(part)
            if max_body_bytes is not None and size > max_body_bytes:
                self._keep_alive = False
                raise ProtocolError(502, "reply_too_large", f"got a reply over {max_body_bytes} bytes")
        return b"".join(parts)

    def take_stream(self) -> tuple[Stream, bytes]:
        """After a 101: the stream and what was read past the head. The connection is not to be used any more."""
        self._keep_alive = False
        leftover, self._buffer = self._buffer, b""
        return self.stream, leftover

    def close(self) -> None:
        """The connection is gone."""
        self.stream.close()
