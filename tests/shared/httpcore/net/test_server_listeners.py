"""Listeners, and many connections at once."""

import asyncio
import errno
import os
import socket

import pytest

from shared.httpcore.limits import Limits
from shared.httpcore.net.server import TAKE_OVER_AFTER_S, bind_listener
from shared.httpcore.net.websocket import WebSocket, WebSocketUpgrade
from tests.shared.httpcore.net.exchanges import GET, get, make_router, run
from tests.shared.httpcore.net.raw_client import RawClient, raw_client
from tests.shared.httpcore.net.serving import Serving
from tests.shared.httpcore.net.waiting import until

KEY_FIELD = "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ=="


def test_a_port_in_use_is_an_error() -> None:
    listener = bind_listener("127.0.0.1", 0)
    try:
        with pytest.raises(OSError):
            bind_listener("127.0.0.1", listener.getsockname()[1])
    finally:
        listener.close()


def test_a_port_can_be_had_again_at_once_after_use() -> None:
    ports: list[int] = []

    async def test(client: RawClient, running: Serving) -> None:
        await client.send(GET)
        await client.reply()
        ports.append(running.port)

    run(test)
    bind_listener("127.0.0.1", ports[0]).close()


def test_what_waits_for_a_sibling_is_taken_in_the_end() -> None:
    async def test(client: RawClient, running: Serving) -> None:
        sibling = bind_listener("127.0.0.1", 0)
        other = bind_listener("127.0.0.1", 0)
        running.server.start([other], siblings=[sibling])
        for _ in range(2):
            for listener in (sibling, other):
                async with raw_client(listener.getsockname()[1]) as late:
                    await late.send(get("/", "Connection: close"))
                    assert (await late.reply()).body == b"hello"
        assert sibling.fileno() >= 0
        running.server.close_listeners()
        assert sibling.fileno() == -1

    run(test)


def test_what_a_sibling_takes_in_time_stays_its_own() -> None:
    async def test(client: RawClient, running: Serving) -> None:
        sibling = bind_listener("127.0.0.1", 0)
        running.server.start([], siblings=[sibling.dup()])
        before = running.server.connection_count
        async with raw_client(sibling.getsockname()[1]):
            taken, _ = await asyncio.get_running_loop().sock_accept(sibling)
            await asyncio.sleep(TAKE_OVER_AFTER_S + 0.05)
            assert running.server.connection_count == before
            taken.close()
        sibling.close()

    run(test)


def test_the_server_reports_each_connection_that_comes_and_goes() -> None:
    async def test(client: RawClient, running: Serving) -> None:
        await until(lambda: running.server.connection_count == 1)
        reports: list[int] = []
        running.server.report_count_to(reports.append)
        async with raw_client(running.port):
            await until(lambda: reports == [1, 2])
        await until(lambda: reports == [1, 2, 1])
        upgrade = get("/ws", "Upgrade: websocket", "Connection: Upgrade", "Sec-WebSocket-Version: 13", KEY_FIELD)
        await client.send(upgrade)
        assert (await client.reply()).status == 101
        await until(lambda: reports == [1, 2, 1, 0, 1])

    router = make_router()
    router.add("GET", "/ws", lambda request: WebSocketUpgrade(request, listen))
    run(test, router)


async def listen(websocket: WebSocket) -> None:
    async for _ in websocket:
        pass


def test_one_that_is_refused_is_not_reported() -> None:
    async def test(client: RawClient, running: Serving) -> None:
        await until(lambda: running.server.connection_count == 1)
        reports: list[int] = []
        running.server.report_count_to(reports.append)
        async with raw_client(running.port) as refused:
            assert (await refused.reply()).status == 503
        assert reports == [1]

    run(test, limits=Limits(max_connections=1))


def test_many_connections_at_once_are_all_served() -> None:
    async def test(client: RawClient, running: Serving) -> None:
        async def one() -> bytes:
            async with raw_client(running.port) as other:
                await other.send(get("/", "Connection: close"))
                return (await other.reply()).body

        assert await asyncio.gather(*(one() for _ in range(200))) == [b"hello"] * 200
        await until(lambda: running.server.connection_count <= 1)

    run(test)


def test_a_system_that_watches_no_more_files_costs_the_newcomer_and_a_pause(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def test(client: RawClient, running: Serving) -> None:
        loop = asyncio.get_running_loop()
        await until(lambda: running.server.connection_count == 1)

        def refuse(*_: object) -> None:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

        with socket.create_connection(("127.0.0.1", running.port)) as newcomer:
            with monkeypatch.context() as patch:
                patch.setattr(loop, "add_reader", refuse)
                running.server._on_acceptable(running.server._listeners[0])
            newcomer.setblocking(False)
            assert await loop.sock_recv(newcomer, 1) == b""
        assert running.server.connection_count == 1
        async with raw_client(running.port) as other:
            await other.send(GET)
            assert (await other.reply()).status == 200

    run(test)
    assert [record.getMessage() for record in caplog.records] == [
        "can't accept connections: No space left on device; 1 are open"
    ]
