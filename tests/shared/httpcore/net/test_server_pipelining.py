"""Many requests of one client at once: order, fairness, back-pressure."""

import asyncio
import inspect
import os
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from shared.httpcore.message import FileResponse, Request, Response, StreamingResponse
from shared.httpcore.net.server import Server
from shared.httpcore.routing import Router
from tests.shared.httpcore.net.exchanges import get, run
from tests.shared.httpcore.net.raw_client import RawClient, raw_client
from tests.shared.httpcore.net.serving import Serving
from tests.shared.httpcore.net.waiting import until


def mixed_router() -> Router:
    router = Router()

    @router.get("/plain/{number}")
    def plain(request: Request) -> Response:
        return Response.text(request.path_params["number"])

    @router.get("/async/{number}")
    async def asynchronous(request: Request) -> Response:
        await asyncio.sleep(0)
        return Response.text(request.path_params["number"])

    @router.get("/stream/{number}")
    async def streaming(request: Request) -> Response:
        async def chunks() -> AsyncIterator[bytes]:
            yield request.path_params["number"].encode()

        return StreamingResponse(200, chunks(), "text/plain")

    return router


@pytest.mark.parametrize("kinds", [["plain"], ["async"], ["stream"], ["plain", "async", "stream"]])
def test_pipelined_requests_are_answered_in_order(kinds: list[str]) -> None:
    async def test(client: RawClient, running: Serving) -> None:
        await client.send(b"".join(get(f"/{kinds[number % len(kinds)]}/{number}") for number in range(200)))
        replies = await client.replies(["GET"] * 200)
        assert [reply.body for reply in replies] == [b"%d" % number for number in range(200)]

    run(test, mixed_router())


@pytest.mark.parametrize("kinds", [["plain"], ["async"], ["plain", "async"]])
def test_a_client_that_ends_its_side_gets_the_replies_to_all_it_sent(kinds: list[str]) -> None:
    async def test(client: RawClient, running: Serving) -> None:
        await client.send(b"".join(get(f"/{kinds[number % len(kinds)]}/{number}") for number in range(100)))
        client.end_sending()
        replies = await client.replies(["GET"] * 100)
        assert [reply.body for reply in replies] == [b"%d" % number for number in range(100)]
        assert await client.rest() == b""
        await until(lambda: running.server.connection_count == 0)

    run(test, mixed_router())


def test_one_client_s_many_requests_do_not_starve_another() -> None:
    order: list[str] = []
    router = Router()

    @router.get("/{who}")
    def note(request: Request) -> Response:
        order.append(request.path_params["who"])
        return Response(204)

    async def test(client: RawClient, running: Serving) -> None:
        async with raw_client(running.port) as other:
            client.writer.write(get("/greedy") * 500)
            other.writer.write(get("/modest"))
            await client.replies(["GET"] * 500)
            await other.reply()
        assert order.index("modest") < 100

    run(test, router)


def test_many_requests_for_files_take_turns_too_and_no_deeper_stack_the_more_there_are(tmp_path: Path) -> None:
    """Each reply was sent whole, and so called for the next from within its own sending."""
    path = tmp_path / "file"
    path.write_bytes(b"x")
    order: list[str] = []
    depths: list[int] = []
    router = Router()

    @router.get("/wait")
    async def wait(request: Request) -> Response:
        await until(lambda: len(running_connection(request)) > 64 * 1024)
        return Response(204)

    def running_connection(request: Request) -> bytes:
        (connection,) = (each for each in servers[0]._connections if each.remote_port == request.remote_port)
        return connection._buffer

    @router.get("/f")
    def file(request: Request) -> Response:
        order.append("greedy")
        depths.append(len(inspect.stack(0)))
        return FileResponse(os.open(path, os.O_RDONLY), 0, 1, 200, "text/plain")

    @router.get("/modest")
    def modest(request: Request) -> Response:
        order.append("modest")
        return Response(204)

    servers: list[Server] = []

    async def test(client: RawClient, running: Serving) -> None:
        servers.append(running.server)
        count = 3000
        async with raw_client(running.port) as other:
            client.writer.write(get("/wait") + get("/f") * count)
            await until(lambda: depths)
            other.writer.write(get("/modest"))
            await client.replies(["GET"] * (count + 1))
            await other.reply()
        assert order.index("modest") < count - 100
        assert max(depths) - min(depths) < 30

    run(test, router)


def test_reading_ahead_stops_while_a_handler_runs() -> None:
    """What a client sends in the meantime waits in the kernel's buffers, not in the server's memory."""
    release = asyncio.Event()
    router = Router()

    @router.get("/wait")
    async def wait(request: Request) -> Response:
        await release.wait()
        return Response.text("waited")

    async def test(client: RawClient, running: Serving) -> None:
        await client.send(get("/wait"))
        filler = get("/missing", "A: " + "b" * 900)
        written = 0
        while written < 64 * 2**20:
            client.writer.write(filler * 1000)
            written += len(filler) * 1000
            try:
                async with asyncio.timeout(0.5):
                    await client.writer.drain()
            except TimeoutError:
                break
        assert written < 32 * 2**20
        release.set()
        assert (await client.reply()).body == b"waited"
        assert (await client.reply()).status == 404

    run(test, router)
