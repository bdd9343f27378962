"""A reply of server-sent events: each as it happens, and a heartbeat when nothing does. The format is in `sse`."""

import asyncio
from collections.abc import AsyncIterator, Sequence

from shared.httpcore.message import StreamingResponse
from shared.httpcore.sse import HEARTBEAT, SSE_TYPE, ServerSentEvent, serialize_event

# `no-store`: not for caches. X-Accel-Buffering: proxies that know it (nginx's) pass each event on at once.
_FIELDS = (("Cache-Control", "no-store"), ("X-Accel-Buffering", "no"))


def event_stream(
    events: AsyncIterator[ServerSentEvent],
    heartbeat_s: float = 15.0,
    draining: asyncio.Event | None = None,
    headers: Sequence[tuple[str, str]] = (),
) -> StreamingResponse:
    """A 200 whose body is the events, until they end, the client leaves or `draining` is set.

    `events` is asked for the next one only when the client has room for it, so it decides what happens to those that
    nobody waits for; its `aclose` is called in the end, begun or not.
    """
    return StreamingResponse(200, _EventChunks(events, heartbeat_s, draining), SSE_TYPE, [*_FIELDS, *headers])


class _EventChunks:
    """The body's chunks. A class, since a generator that was never begun would not close what it holds."""

    def __init__(
        self, events: AsyncIterator[ServerSentEvent], heartbeat_s: float, draining: asyncio.Event | None
    ) -> None:
        self._events = events
        self._heartbeat_s = heartbeat_s
        self._draining = draining
        self._next: asyncio.Task[ServerSentEvent | None] | None = None
        self._end: asyncio.Task[object] | None = None

    def __aiter__(self) -> "_EventChunks":
        return self

    async def __anext__(self) -> bytes:
        loop = asyncio.get_running_loop()
        if self._draining is not None and self._end is None:
            self._end = loop.create_task(self._draining.wait())
        if self._next is None:
            if self._draining is not None and self._draining.is_set():
                raise StopAsyncIteration
            self._next = loop.create_task(self._ask())
        waited_for = {self._next} if self._end is None else {self._next, self._end}
        await asyncio.wait(waited_for, timeout=self._heartbeat_s, return_when=asyncio.FIRST_COMPLETED)
        if self._next.done():
            event, self._next = self._next.result(), None
            if event is None:
                raise StopAsyncIteration
            return serialize_event(event)
        if self._end is not None and self._end.done():
            raise StopAsyncIteration
        return HEARTBEAT

    async def _ask(self) -> ServerSentEvent | None:
        return await anext(self._events, None)

    async def aclose(self) -> None:
        """Nothing is waited for any more. Safe to call again."""
        tasks = [task for task in (self._next, self._end) if task is not None]
        self._next = self._end = None
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        close = getattr(self._events, "aclose", None)
        if close is not None:
            await close()
