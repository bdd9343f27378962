"""The exchanges that wait: async and blocking handlers, and replies that are made while they are sent.

One task each; a plain handler with its reply at hand never comes here (see `connection`).
"""

import asyncio
import types
from collections.abc import AsyncIterator, Callable, Coroutine, Generator
from time import monotonic
from typing import TYPE_CHECKING, Any, cast

from shared.httpcore.errors import ConnectionClosed, HttpError
from shared.httpcore.framing import LAST_CHUNK, serialize_chunk
from shared.httpcore.message import Request, Response, StreamingResponse
from shared.httpcore.routing import PlainHandler, Route
from shared.httpcore.serializing import BODILESS

if TYPE_CHECKING:
    from shared.httpcore.net.replying import ReplySide

SLOW_HANDLER_S = 0.05  # holding the loop for longer is worth a warning
CHUNKS_PER_TURN = 16  # of a stream that never has to wait, before others get their turn


async def run_exchange(connection: "ReplySide", request: Request, route: Route) -> None:
    """Runs the handler and gives its reply to the connection. Cancelled when the client leaves an abandonable one."""
    try:
        response = await _call(connection, request, route)
    except HttpError as error:
        response = connection.error_reply(request, error)
    except asyncio.CancelledError:
        connection.abort()
        raise
    except Exception as error:
        if isinstance(error, ConnectionClosed) and connection.has_ended:
            connection.abort()  # it was the client that left
            return
        response = connection.internal_error(request, route.name)
    connection.reply(request, response)
    connection.advance()


async def _call(connection: "ReplySide", request: Request, route: Route) -> Response:
    handlers = connection.server.handlers
    call = None if _may_take_long(route) else handlers.begin(request, route)
    try:
        if call is None or route.is_async:
            coroutine = cast(Callable[[Request], Coroutine[Any, Any, Response]], route.handler)(request)
            return await _timed_steps(coroutine, route.name, connection)
        return await handlers.run_blocking(call, cast(PlainHandler, route.handler), request)
    finally:
        if call is not None:
            handlers.end(call)


def _may_take_long(route: Route) -> bool:
    """Who waits for news, or for an upload, waits for somebody else."""
    return route.is_async and (route.abandonable or route.stream_body)


@types.coroutine
def _timed_steps(
    coroutine: Coroutine[Any, Any, Response], name: str, connection: "ReplySide"
) -> Generator[Any, Any, Response]:
    """Runs the coroutine; each of its steps between two waits is held against the watchdog's bound."""
    now, server = connection.loop.time, connection.server
    step: Callable[[], Any] = lambda: coroutine.send(None)  # noqa: E731
    while True:
        started = now()
        try:
            waited_for = step()
        except StopIteration as stop:
            return cast(Response, stop.value)
        finally:
            held_s = now() - started
            if held_s > SLOW_HANDLER_S:
                server.on_slow_handler(name, held_s)
        try:
            yield waited_for
        except BaseException as error:
            thrown = error
            step = lambda: coroutine.throw(thrown)  # noqa: B023, E731
        else:
            step = lambda: coroutine.send(None)  # noqa: E731


async def send_stream(connection: "ReplySide", request: Request, response: StreamingResponse, *, chunked: bool) -> None:
    """Sends each chunk of the body as it comes, waiting when the client reads slowly. The head is in the output."""
    sent_bytes, cut = 0, True
    has_body = request.method != "HEAD" and response.status not in BODILESS
    try:
        if has_body:
            sent_bytes = await _send_chunks(connection, response.chunks, chunked)
        cut = has_body and response.content_length not in (None, sent_bytes)
    except ConnectionClosed:
        pass  # the client is gone, or whoever makes the body is
    except asyncio.CancelledError:
        connection.abort()
        raise
    except Exception:
        connection.internal_error(request, "a streaming reply")
    finally:
        await close_chunks(response)
    if cut:
        connection.cut_off(request, response.status, sent_bytes)
    else:
        connection.finish(request, response.status, sent_bytes, monotonic())
    connection.advance()


async def close_chunks(response: StreamingResponse) -> None:
    """Whoever makes the body hears that no more of it is wanted."""
    close = getattr(response.chunks, "aclose", None)
    if close is not None:
        await close()


async def _send_chunks(connection: "ReplySide", chunks: AsyncIterator[bytes], chunked: bool) -> int:
    sent_bytes = count = 0
    async for chunk in chunks:
        if not chunk:
            continue
        connection.output.write(serialize_chunk(chunk) if chunked else chunk)
        sent_bytes += len(chunk)
        count += 1
        await connection.drain()
        if count % CHUNKS_PER_TURN == 0:
            await asyncio.sleep(0)
    if chunked:
        connection.output.write(LAST_CHUNK)
    return sent_bytes
