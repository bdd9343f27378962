"""A request's body on its way in: collected for most handlers, streamed with back-pressure to those that ask for it."""

import asyncio
from collections import deque
from collections.abc import Callable

from shared.httpcore.errors import HttpCoreError, ProtocolError
from shared.httpcore.framing import request_body_decoder
from shared.httpcore.message import Request
from shared.httpcore.routing import Route

MAX_WAITING_BYTES = 256 * 1024


class BodyStream:
    """An async iterator over the body. The connection feeds it; `ask_for_more` is called when it runs dry."""

    __slots__ = ("_ask_for_more", "_error", "_is_complete", "_parts", "_waiter", "size")

    def __init__(self, ask_for_more: Callable[[], None]) -> None:
        self._parts: deque[bytes] = deque()
        self._waiter: asyncio.Future[None] | None = None
        self._error: HttpCoreError | None = None
        self._is_complete = False
        self._ask_for_more = ask_for_more
        self.size = 0  # bytes that wait for the handler

    @property
    def is_full(self) -> bool:
        """Whether the connection should stop reading for now."""
        return self.size > MAX_WAITING_BYTES

    @property
    def is_waited_for(self) -> bool:
        """Whether the handler waits for bytes at this moment."""
        return self._waiter is not None

    def feed(self, part: bytes) -> None:
        """More of the body has arrived."""
        if part:
            self._parts.append(part)
            self.size += len(part)
            self._wake()

    def finish(self) -> None:
        """The body is whole."""
        self._is_complete = True
        self._wake()

    def fail(self, error: HttpCoreError) -> None:
        """The rest will not come: the handler gets `error` after what has arrived. The first failure stays."""
        if self._error is None and not self._is_complete:
            self._error = error
            self._wake()

    def _wake(self) -> None:
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)

    def __aiter__(self) -> "BodyStream":
        return self

    async def __anext__(self) -> bytes:
        while not self._parts:
            if self._error is not None:
                raise self._error
            if self._is_complete:
                raise StopAsyncIteration
            self._waiter = asyncio.get_running_loop().create_future()
            self._ask_for_more()
            try:
                await self._waiter
            finally:
                self._waiter = None
        part = self._parts.popleft()
        self.size -= len(part)
        return part


class IncomingBody:
    """One body being received, the request it belongs to and the route that waits for it."""

    __slots__ = (
        "_decoder", "_limit", "_parts", "_size", "awaits_continue", "has_failed", "request", "rest", "route", "stream",
    )  # fmt: skip

    def __init__(self, request: Request, route: Route, limit: int | None, stream: BodyStream | None) -> None:
        self.request = request
        self.route = route
        self.stream = stream  # None: the body is collected
        self.awaits_continue = request.expects_continue  # the client waits for a 100, and did not get it yet
        self.has_failed = False  # its handler knows, and will answer
        self.rest = b""  # received, not decoded; beyond the body once it is complete
        self._limit = limit
        self._decoder = request_body_decoder(request.is_chunked, request.content_length)
        self._size = 0
        self._parts: list[bytes] = []
        check_body_size(request.content_length or 0, limit)

    @property
    def is_complete(self) -> bool:
        """Whether the last byte of the body was received."""
        return self._decoder.is_complete

    def feed(self, data: bytes) -> None:
        """Takes what arrived. ProtocolError 400 for broken chunks, 413 past the limit.

        When the body is complete, `request.body` holds it, or its stream has ended.
        """
        part, self.rest = self._decoder.feed(self.rest + data if self.rest else data)
        self._size += len(part)
        check_body_size(self._size, self._limit)
        if self.stream is None:
            self._parts.append(part)
            if self._decoder.is_complete:
                self.request.body = b"".join(self._parts)
        else:
            self.stream.feed(part)
            if self._decoder.is_complete:
                self.stream.finish()

    def fail(self, error: HttpCoreError) -> None:
        """The rest will not come; a handler that reads the stream learns why."""
        self.has_failed = True
        if self.stream is not None:
            self.stream.fail(error)


def check_body_size(size_bytes: int, limit: int | None) -> None:
    """ProtocolError 413 when the size is over the limit; None is no limit."""
    if limit is not None and size_bytes > limit:
        raise ProtocolError(413, "body_too_large", f"got a body over {limit} bytes, expected no more")
