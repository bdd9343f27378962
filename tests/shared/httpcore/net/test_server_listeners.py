"""Listeners, and many connections at once."""

import asyncio

import pytest

from shared.httpcore.net.server import bind_listener
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


def test_many_connections_at_once_are_all_served() -> None:
    async def test(client: RawClient, running: Serving) -> None:
        async def one() -> bytes:
            async with raw_client(running.port) as other:
                await other.send(get("/", "Connection: close"))
                return (await other.reply()).body

        assert await asyncio.gather(*(one() for _ in range(200))) == [b"hello"] * 200
        await until(lambda: running.server.connection_count <= 1)

    run(test)
