"""Listeners, and many connections at once."""

import asyncio
import errno
import os
import socket

import pytest

from shared.httpcore.net.server import TAKE_OVER_AFTER_S, bind_listener
from tests.shared.httpcore.net.exchanges import GET, get, run
from tests.shared.httpcore.net.raw_client import RawClient, raw_client
from tests.shared.httpcore.net.serving import Serving
from tests.shared.httpcore.net.waiting import until


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
