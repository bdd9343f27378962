"""More connections than may be: who is refused, how, and what is said and kept of it."""

import asyncio
import logging
import resource

import pytest

from shared.httpcore.limits import DEFAULT_LIMITS, Limits
from shared.httpcore.message import Request, Response
from shared.httpcore.net import admission
from shared.httpcore.net.admission import MAX_LINGERING, Admission, max_connections_of_system
from shared.httpcore.net.websocket import WebSocket, WebSocketUpgrade, connect_websocket
from tests.shared.httpcore.net.exchanges import GET, make_router, run
from tests.shared.httpcore.net.raw_client import RawClient, raw_client
from tests.shared.httpcore.net.serving import Serving
from tests.shared.httpcore.net.waiting import until


def test_one_connection_more_than_may_be_gets_503_and_the_others_are_served() -> None:
    async def test(client: RawClient, running: Serving) -> None:
        await client.send(GET)
        assert (await client.reply()).status == 200
        async with raw_client(running.port) as second:
            await second.send(GET)
            assert (await second.reply()).body == b"hello"
            async with raw_client(running.port) as third:
                await third.send(GET)
                reply = await third.reply()
                assert (reply.status, reply.headers.get("retry-after"), reply.says_close) == (503, "1", True)
                assert reply.headers.get("x-request-id")
                assert b"too_many_connections" in reply.body
                assert await third.rest() == b""
            await client.send(GET)
            assert (await client.reply()).status == 200
        assert running.server.refused_count == 1
        await until(lambda: running.server.connection_count == 1)
        async with raw_client(running.port) as fourth:
            await fourth.send(GET)
            assert (await fourth.reply()).status == 200

    run(test, limits=Limits(max_connections=2))


def test_the_limit_of_one_client_is_its_own() -> None:
    async def test(client: RawClient, running: Serving) -> None:
        await client.send(GET)
        assert (await client.reply()).status == 200
        async with raw_client(running.port) as second:
            assert (await second.reply()).status == 503
        reader, writer = await asyncio.open_connection("127.0.0.1", running.port, local_addr=("127.0.0.2", 0))
        other = RawClient(reader, writer)
        await other.send(GET)
        assert (await other.reply()).status == 200
        writer.close()

    run(test, limits=Limits(max_connections_per_client=1))


def test_a_websocket_still_counts_and_counts_no_more_when_it_has_ended() -> None:
    router = make_router()

    async def echo(websocket: WebSocket) -> None:
        async for message in websocket:
            await websocket.send(message)

    @router.get("/ws")
    def upgrade(request: Request) -> Response:
        return WebSocketUpgrade(request, echo)

    async def test(client: RawClient, running: Serving) -> None:
        client.writer.close()
        await until(lambda: running.server.connection_count == 0)
        async with await connect_websocket(f"ws://127.0.0.1:{running.port}/ws") as websocket:
            await websocket.send("hello")
            assert await websocket.receive() == "hello"
            async with raw_client(running.port) as second:
                assert (await second.reply()).status == 503
        await until(lambda: running.server.connection_count == 0)
        async with raw_client(running.port) as third:
            await third.send(GET)
            assert (await third.reply()).status == 200

    run(test, router, Limits(max_connections_per_client=1))


def test_a_flood_of_refusals_is_one_line_and_few_sockets(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(admission, "EPISODE_ENDS_AFTER_S", 0.01)

    async def test(client: RawClient, running: Serving) -> None:
        await client.send(GET)
        await client.reply()
        flood = [await asyncio.open_connection("127.0.0.1", running.port) for _ in range(3 * MAX_LINGERING)]
        await until(lambda: running.server.refused_count == len(flood))
        assert len(running.server._admission._lingering) == MAX_LINGERING
        # Those who neither read nor leave are closed all the same, and the end of the episode is told.
        await until(lambda: not running.server._admission._lingering)
        await until(lambda: "accepted again" in caplog.text)
        for _, writer in flood:
            writer.close()

    with caplog.at_level(logging.WARNING):
        run(test, limits=Limits(max_connections=1))
    assert caplog.messages == [
        "connections are refused with 503: 1 connections are open, as many as may be",
        f"connections are accepted again; {3 * MAX_LINGERING} were refused",
    ]


def test_counts_of_clients_are_kept_only_while_they_are_connected() -> None:
    async def story() -> None:
        counts = Admission(asyncio.get_running_loop(), Limits(max_connections_per_client=2))
        assert [counts.may_enter("a"), counts.may_enter("a"), counts.may_enter("a"), counts.may_enter("b")] == [
            True, True, False, True,
        ]  # fmt: skip
        for ip in ("a", "a", "b"):
            counts.leave(ip)
        assert counts._by_client == {}
        assert counts.may_enter("a")

    asyncio.run(story())


@pytest.mark.parametrize(
    ("soft", "expected"),
    [(resource.RLIM_INFINITY, None), (65_536, 57_344), (1024, 896), (256, 128), (64, 32), (1, 1)],
)
def test_some_descriptors_are_kept_for_other_things(
    soft: int, expected: int | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(resource, "getrlimit", lambda _: (soft, soft))
    assert max_connections_of_system() == expected
    assert DEFAULT_LIMITS.max_connections is None
