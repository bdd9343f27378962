"""Handlers that wait: their threads, and what is said of those that never return."""

import asyncio
import logging
import threading
from collections.abc import Awaitable, Callable
from dataclasses import replace

import pytest

from shared.httpcore.errors import HttpError
from shared.httpcore.limits import DEFAULT_LIMITS
from shared.httpcore.message import Request, Response
from shared.httpcore.net.handler_watch import HandlerWatch
from shared.httpcore.routing import Route
from tests.shared.httpcore.net.waiting import until

LIMITS = replace(DEFAULT_LIMITS, max_blocking_handlers=2, handler_patience_s=60.0, thread_timeout_s=10.0)


def request(number: int = 0) -> Request:
    made = Request("GET", "/")
    made.id = f"r{number}"
    return made


def route_of(handler: Callable[[Request], Response], name: str = "name") -> Route:
    return Route(handler, name, is_async=False, blocking=True)


def run(story: Callable[[HandlerWatch], Awaitable[None]]) -> None:
    async def main() -> None:
        watch = HandlerWatch(asyncio.get_running_loop(), LIMITS)
        try:
            async with asyncio.timeout(20):
                await story(watch)
        finally:
            watch.close()

    asyncio.run(main())


def test_a_blocking_handler_runs_in_a_thread_and_its_failure_comes_back() -> None:
    def fail(_: Request) -> Response:
        raise KeyError("on purpose")

    async def story(watch: HandlerWatch) -> None:
        call = watch.begin(request(), route_of(fail))
        reply = await watch.run_blocking(call, lambda _: Response.text(threading.current_thread().name), request())
        assert reply.body.startswith(b"handler")
        with pytest.raises(KeyError):
            await watch.run_blocking(call, fail, request())
        watch.end(call)
        assert not watch.needs_sweeping

    run(story)


def test_who_gets_no_thread_in_time_is_not_begun_and_gets_503(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.WARNING)
    begun: list[str] = []

    async def story(watch: HandlerWatch) -> None:
        release = threading.Event()

        def wait(each: Request) -> Response:
            begun.append(each.id)
            release.wait(20)
            return Response.text(each.id)

        async def ask(number: int) -> Response:
            call = watch.begin(request(number), route_of(wait))
            try:
                return await watch.run_blocking(call, wait, request(number))
            finally:
                watch.end(call)

        try:
            asked = [asyncio.create_task(ask(number)) for number in range(5)]
            await until(lambda: len(begun) == 2)
            now = asyncio.get_running_loop().time()
            watch.sweep(now + 5)
            await asyncio.sleep(0)
            assert not any(task.done() for task in asked), "they may still get a thread"
            watch.sweep(now + 11)
            done, waiting = await asyncio.wait(asked[2:], timeout=10)
            assert not waiting
            errors = [task.exception() for task in done]
            assert [error.status for error in errors if isinstance(error, HttpError)] == [503] * 3
        finally:
            release.set()
        assert [(await task).body for task in asked[:2]] == [b"r0", b"r1"]
        assert watch.needs_sweeping
        watch.sweep(now + 11 + 6)
        assert not watch.needs_sweeping

    run(story)
    assert sorted(begun) == ["r0", "r1"]
    assert [record.getMessage() for record in caplog.records] == [
        "all 2 threads of blocking handlers are taken; who waits longer than 10 s for one gets 503",
        "there are threads for blocking handlers again; 3 requests got 503",
    ]


def test_a_client_that_leaves_cancels_what_has_not_begun() -> None:
    async def story(watch: HandlerWatch) -> None:
        release = threading.Event()
        begun: list[str] = []

        def wait(each: Request) -> Response:
            begun.append(each.id)
            release.wait(20)
            return Response()

        calls = [watch.begin(request(number), route_of(wait)) for number in range(3)]
        tasks = [
            asyncio.create_task(watch.run_blocking(call, wait, request(number))) for number, call in enumerate(calls)
        ]
        try:
            await until(lambda: len(begun) == 2)
            tasks[2].cancel()
            with pytest.raises(asyncio.CancelledError):
                await tasks[2]
        finally:
            release.set()
        await asyncio.gather(*tasks[:2])
        assert sorted(begun) == ["r0", "r1"]

    run(story)


def test_a_handler_that_hangs_is_named_once_until_none_of_its_name_does(caplog: pytest.LogCaptureFixture) -> None:
    async def story(watch: HandlerWatch) -> None:
        route = route_of(lambda _: Response(), "stuck")
        calls = [watch.begin(request(number), route) for number in range(3)]
        now = calls[0].began_at
        watch.sweep(now + 59)
        assert caplog.messages == []
        for later in (61, 62, 70):
            watch.sweep(now + later)
        assert len(caplog.messages) == 1
        assert caplog.messages[0].startswith("stuck has not returned for 60 s (request r")
        assert caplog.messages[0].endswith("), and 2 more of it")
        for call in calls:
            watch.end(call)
        watch.sweep(now + 71)
        watch.begin(request(9), route).began_at = now
        watch.sweep(now + 72)
        assert caplog.messages[1:] == ["stuck has not returned for 60 s (request r9)"]

    run(story)
