"""The drain: who is closed, who is served, who is cut."""

import asyncio

import pytest

from shared.httpcore.message import Request, Response
from shared.httpcore.routing import Router
from tests.shared.httpcore.net.exchanges import GET, run, waiting_router
from tests.shared.httpcore.net.raw_client import RawClient, raw_client
from tests.shared.httpcore.net.serving import Serving
from tests.shared.httpcore.net.waiting import until


def test_the_drain_closes_idle_connections_and_lets_the_others_finish() -> None:
    events: list[str] = []

    async def test(client: RawClient, running: Serving) -> None:
        async with raw_client(running.port) as idle:
            await client.send(GET)
            await until(lambda: events and running.server.connection_count == 2)
            running.server.begin_drain()
            assert running.server.is_draining
            assert await idle.rest() == b""
            reply = await client.reply()
            assert (reply.body, reply.says_close) == (b"waited", True)
            running.server.close_listeners()
            client.end_sending()
            assert await running.server.wait_closed(10) == 0

    run(test, waiting_router(events))


def test_a_request_that_has_arrived_unread_when_the_drain_begins_is_answered() -> None:
    async def test(client: RawClient, running: Serving) -> None:
        await client.send(GET)
        await client.reply()
        client.writer.write(GET)  # it is with the kernel, and the server has had no turn since
        running.server.begin_drain()
        reply = await client.reply()
        assert (reply.body, reply.says_close) == (b"hello", True)
        assert await client.rest() == b""

    run(test)


def test_idle_connections_may_be_kept_for_a_while_and_their_next_reply_is_the_last() -> None:
    async def test(client: RawClient, running: Serving) -> None:
        await client.send(GET)
        await client.reply()
        running.server.begin_drain(closes_idle=False)
        await client.send(GET)
        assert (await client.reply()).says_close
        assert await client.rest() == b""

    run(test)


def test_new_connections_are_served_while_draining_until_the_listeners_close() -> None:
    async def test(client: RawClient, running: Serving) -> None:
        await until(lambda: running.server.connection_count == 1)
        running.server.begin_drain()
        async with raw_client(running.port) as late:
            await late.send(GET + GET)
            reply = await late.reply()
            assert (reply.body, reply.says_close) == (b"hello", True)
            assert await late.rest() == b""
        running.server.close_listeners()
        with pytest.raises(OSError):
            await asyncio.open_connection("127.0.0.1", running.port)
        assert await running.server.wait_closed(10) == 0

    run(test)


def test_a_head_that_is_arriving_when_the_drain_begins_is_answered() -> None:
    async def test(client: RawClient, running: Serving) -> None:
        await client.send(GET[:10])
        async with raw_client(running.port) as other:  # its reply tells that the bytes before it were read
            await other.send(GET)
            await other.reply()
        running.server.begin_drain()
        await client.send(GET[10:])
        reply = await client.reply()
        assert (reply.body, reply.says_close) == (b"hello", True)

    run(test)


def test_what_does_not_end_in_time_is_cut_and_counted() -> None:
    events: list[str] = []
    router = Router()

    @router.get("/")
    async def never(request: Request) -> Response:
        events.append("started")
        await asyncio.Event().wait()
        return Response(204)

    async def test(client: RawClient, running: Serving) -> None:
        await client.send(GET)
        await until(lambda: events)
        running.server.begin_drain()
        running.server.close_listeners()
        assert await running.server.wait_closed(0.01) == 1
        with pytest.raises((ConnectionError, asyncio.IncompleteReadError)):
            await client.reply()

    run(test, router)
