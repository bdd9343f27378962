"""Handlers that wait: the threads of blocking ones, and what the log and the clients hear when some never return.

A handler that hangs holds up nobody but its client. The blocking ones have threads of their own, so that a hanging one
takes none from name look-ups and files; when all are taken, who waits too long for one gets 503.
"""

import asyncio
import logging
import os
from concurrent.futures import Future, ThreadPoolExecutor

from shared.httpcore.errors import HttpError
from shared.httpcore.limits import Limits
from shared.httpcore.message import Request, Response
from shared.httpcore.net.admission import Episode
from shared.httpcore.routing import PlainHandler, Route

logger = logging.getLogger("weaprous.http")

RETRY_AFTER_S = 1


class Call:
    """One handler at work."""

    __slots__ = ("began_at", "is_given_up", "name", "request_id", "thread")

    def __init__(self, name: str, request_id: str, began_at: float) -> None:
        self.name = name
        self.request_id = request_id
        self.began_at = began_at  # loop time
        self.thread: Future[Response] | None = None  # of a blocking one
        self.is_given_up = False  # it waited too long for a thread

    @property
    def waits_for_thread(self) -> bool:
        """Whether it has not begun."""
        return self.thread is not None and not self.thread.running() and not self.thread.done()


class HandlerWatch:
    """The async and blocking handlers of one server that are at work."""

    def __init__(self, loop: asyncio.AbstractEventLoop, limits: Limits) -> None:
        self._loop = loop
        self._limits = limits
        self._calls: set[Call] = set()
        self._told: set[str] = set()  # names of handlers that hang, of which the log has a line
        self._all_taken = Episode()
        self._max_threads = limits.max_blocking_handlers or min(32, (os.cpu_count() or 1) + 4)  # as asyncio has it
        self._threads: ThreadPoolExecutor | None = None

    @property
    def needs_sweeping(self) -> bool:
        """Whether `sweep` has something to look at."""
        return bool(self._calls) or self._all_taken.is_on

    def begin(self, request: Request, route: Route) -> Call:
        """The handler is at work until `end`."""
        call = Call(route.name, request.id, self._loop.time())
        self._calls.add(call)
        return call

    def end(self, call: Call) -> None:
        """It has returned, or was cancelled."""
        self._calls.discard(call)

    async def run_blocking(self, call: Call, handler: PlainHandler, request: Request) -> Response:
        """The handler's reply, from a thread. HttpError 503 when none came free in time."""
        if self._threads is None:
            self._threads = ThreadPoolExecutor(self._max_threads, "handler")
        call.thread = self._threads.submit(handler, request)
        try:
            return await asyncio.wrap_future(call.thread)
        except asyncio.CancelledError:
            if not call.is_given_up:
                raise
        retry_after = ("Retry-After", str(RETRY_AFTER_S))
        raise HttpError(503, "busy", "too much is being worked on here; try again", [retry_after])

    def sweep(self, now: float) -> None:
        """Those that wait too long for a thread are given up; of those that hang the log gets a line a name."""
        limits = self._limits
        hanging: dict[str, list[Call]] = {}
        for call in list(self._calls):
            age_s = now - call.began_at
            if call.waits_for_thread:
                if age_s > limits.thread_timeout_s:
                    self._give_up(call, now)
            elif age_s > limits.handler_patience_s:
                hanging.setdefault(call.name, []).append(call)
        for name in hanging.keys() - self._told:
            self._tell(name, hanging[name])
        self._told = set(hanging)
        if count := self._all_taken.end(now):
            logger.warning("there are threads for blocking handlers again; %d requests got 503", count)

    def _give_up(self, call: Call, now: float) -> None:
        assert call.thread is not None
        call.is_given_up = call.thread.cancel()
        if call.is_given_up and self._all_taken.note(now):
            logger.error(
                "all %d threads of blocking handlers are taken; who waits longer than %g s for one gets 503",
                self._max_threads,
                self._limits.thread_timeout_s,
            )

    def _tell(self, name: str, calls: list[Call]) -> None:
        more = f", and {len(calls) - 1} more of it" if len(calls) > 1 else ""
        logger.error(
            "%s has not returned for %g s (request %s)%s",
            name,
            self._limits.handler_patience_s,
            calls[0].request_id,
            more,
        )

    def close(self) -> None:
        """Idle threads end; one that works is not waited for."""
        if self._threads is not None:
            self._threads.shutdown(wait=False, cancel_futures=True)
            self._threads = None
