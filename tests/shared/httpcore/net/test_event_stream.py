"""Replies of server-sent events: heartbeats, back-pressure, and their four ways to end."""

import asyncio
from collections.abc import AsyncIterator

from shared.httpcore.message import Request, Response
from shared.httpcore.net.event_stream import event_stream
from shared.httpcore.routing import Router
from shared.httpcore.sse import ServerSentEvent
from tests.shared.httpcore.net.exchanges import GET, run
from tests.shared.httpcore.net.raw_client import RawClient
from tests.shared.httpcore.net.serving import Serving
from tests.shared.httpcore.net.waiting import until


class Feed:
    """Events put in by the test; None ends them."""

    def __init__(self) -> None:
        self.queue: asyncio.Queue[ServerSentEvent | None] = asyncio.Queue()
        self.is_closed = False

    def __aiter__(self) -> "Feed":
        return self

    async def __anext__(self) -> ServerSentEvent:
        event = await self.queue.get()
        if event is None:
            raise StopAsyncIteration
        return event

    async def aclose(self) -> None:
        self.is_closed = True


class Scene:
    """A router whose `/` streams a feed."""

    def __init__(self, heartbeat_s: float = 60.0) -> None:
        self.feed = Feed()
        self.draining = asyncio.Event()
        self.router = Router()

        @self.router.get("/")
        def stream(_: Request) -> Response:
            return event_stream(self.feed, heartbeat_s, self.draining, [("X-More", "1")])


def test_events_arrive_as_they_happen_and_end_with_the_feed() -> None:
    scene = Scene()

    async def test(client: RawClient, _: Serving) -> None:
        await client.send(GET)
        head = (await client.reader.readuntil(b"\r\n\r\n")).decode().lower()
        for field in ("text/event-stream", "cache-control: no-store", "x-accel-buffering: no", "x-more: 1"):
            assert field in head
        for word in ("one", "two"):
            scene.feed.queue.put_nowait(ServerSentEvent(word))
            assert await client.reader.readuntil(b"\n\n\r\n") == f"b\r\ndata: {word}\n\n\r\n".encode()
        scene.feed.queue.put_nowait(None)
        assert await client.reader.readuntil(b"0\r\n\r\n") == b"0\r\n\r\n"
        assert scene.feed.is_closed
        await client.send(b"GET /none HTTP/1.1\r\nHost: x\r\n\r\n")
        assert (await client.reply()).status == 404

    run(test, scene.router)


def test_a_heartbeat_comes_when_nothing_happens_and_loses_no_event() -> None:
    scene = Scene(heartbeat_s=0.01)

    async def test(client: RawClient, _: Serving) -> None:
        await client.send(GET)
        for _ in range(3):
            await client.reader.readuntil(b"\r\n3\r\n:\n\n")
        scene.feed.queue.put_nowait(ServerSentEvent("late"))
        await client.reader.readuntil(b"data: late\n\n")

    run(test, scene.router)


def test_the_stream_ends_when_the_server_drains() -> None:
    scene = Scene()

    async def test(client: RawClient, _: Serving) -> None:
        await client.send(GET)
        scene.feed.queue.put_nowait(ServerSentEvent("one"))
        await client.reader.readuntil(b"one\n\n\r\n")
        scene.draining.set()
        assert await client.reader.readuntil(b"0\r\n\r\n") == b"0\r\n\r\n"
        assert scene.feed.is_closed

    run(test, scene.router)


def test_a_stream_that_always_has_more_ends_when_the_server_drains() -> None:
    draining = asyncio.Event()
    router = Router()

    async def endless() -> AsyncIterator[ServerSentEvent]:
        while True:
            yield ServerSentEvent("x")

    @router.get("/")
    def stream(_: Request) -> Response:
        return event_stream(endless(), draining=draining)

    async def test(client: RawClient, _: Serving) -> None:
        await client.send(GET)
        await client.reader.readuntil(b"data: x\n\n")
        draining.set()
        assert (await client.reader.readuntil(b"\r\n0\r\n\r\n")).endswith(b"0\r\n\r\n")

    run(test, router)


def test_the_feed_is_closed_when_the_client_leaves_and_when_no_body_is_wanted() -> None:
    for request in (GET, b"HEAD / HTTP/1.1\r\nHost: x\r\n\r\n"):
        scene = Scene()

        async def test(client: RawClient, _: Serving, scene: Scene = scene, request: bytes = request) -> None:
            await client.send(request)
            await client.reader.readuntil(b"\r\n\r\n")
            client.reset()
            await until(lambda: scene.feed.is_closed)

        run(test, scene.router)


def test_a_client_that_does_not_read_is_not_written_for() -> None:
    made = 0
    router = Router()

    async def endless() -> AsyncIterator[ServerSentEvent]:
        nonlocal made
        while True:
            made += 1
            yield ServerSentEvent("x" * 100_000)

    @router.get("/")
    def stream(_: Request) -> Response:
        return event_stream(endless())

    async def test(client: RawClient, running: Serving) -> None:
        client.pause()
        await client.send(GET)
        connection = next(iter(running.server._connections))
        await until(lambda: connection.output.size > connection.limits.max_output_bytes)
        before = made
        for _ in range(1000):
            await asyncio.sleep(0)
        assert made <= before + 1

    run(test, router)
