"""The reply on its way from upstream to client: small ones collected, others passed on as they come.

Nothing is read from the upstream before the client has taken what was read, and the upstream's connection
is given back at the last byte, or cut when the client leaves.
"""

import asyncio
import logging
import time
from collections.abc import AsyncIterator

from services.proxy.exchanges import CLIENT_PATIENCE_S, Exchange
from services.proxy.rewriting import response_fields
from shared.httpcore.errors import ConnectionClosed, ProtocolError
from shared.httpcore.message import Request, Response, StreamingResponse
from shared.httpcore.parsing import ResponseHead
from shared.httpcore.serializing import BODILESS

# Up to this size a reply of known length is collected: one write to the client, and a proper 502 when it is cut short.
MAX_COLLECTED_BYTES = 64 * 1024

_log = logging.getLogger("weaprous.proxy.relay")


class ReplyCutShort(Exception):
    """The upstream broke off, or broke the rules, inside a reply that was being collected."""


class Relay:
    """The chunks of a reply's body. The exchange ends with it, however it ends."""

    def __init__(self, exchange: Exchange, request_id: str, read_timeout_s: float) -> None:
        assert exchange.connection is not None
        self._exchange = exchange
        self._request_id = request_id
        self._read_timeout_s = read_timeout_s
        self._chunks = exchange.connection.body()

    def __aiter__(self) -> "Relay":
        return self

    async def __anext__(self) -> bytes:
        """The next chunk. ConnectionClosed when the upstream cuts the reply short: then the client's is cut
        too.
        """
        exchange = self._exchange
        exchange.wait_at_most(self._read_timeout_s)
        try:
            chunk = await anext(self._chunks)
        except StopAsyncIteration:
            exchange.finish(reuse=True)
            raise
        except (ConnectionClosed, ProtocolError) as error:
            why = "it took too long" if exchange.has_timed_out else str(error)
            if exchange.has_timed_out or not exchange.is_over:
                exchange.pool.note_broken(exchange.upstream, time.monotonic(), f"a reply was cut short: {why}")
            _log.warning(
                "a reply was cut short",
                extra={"upstream": exchange.upstream.name, "reason": why, "request_id": self._request_id},
            )
            exchange.finish(reuse=False)
            raise ConnectionClosed("the upstream cut the reply short") from None
        exchange.wait_at_most(CLIENT_PATIENCE_S)
        return chunk

    async def aclose(self) -> None:
        """Nobody wants the rest."""
        self._exchange.finish(reuse=False)


async def respond(exchange: Exchange, request: Request, head: ResponseHead, read_timeout_s: float) -> Response:
    """The client's reply. ReplyCutShort when a small one breaks off."""
    fields = response_fields(head.headers)
    length = None if head.is_chunked else head.content_length
    if head.status in BODILESS:
        exchange.finish(reuse=True)
        return Response(head.status, b"", None, fields)
    if request.method == "HEAD":
        exchange.finish(reuse=True)
        return StreamingResponse(head.status, _nothing(), None, fields, length)
    relay = Relay(exchange, request.id, read_timeout_s)
    if length is None or length > MAX_COLLECTED_BYTES:
        return StreamingResponse(head.status, relay, None, fields, length)
    try:
        body = b"".join([chunk async for chunk in relay])
    except ConnectionClosed:
        raise ReplyCutShort from None
    return Response(head.status, body, None, fields)


async def _nothing() -> AsyncIterator[bytes]:
    return
    yield b""


async def settle(task: "asyncio.Task[None] | None") -> None:
    """Returns when the task has ended, however it ended."""
    if task is not None:
        await asyncio.wait([task])
