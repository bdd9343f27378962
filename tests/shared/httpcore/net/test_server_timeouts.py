"""Time-outs, each with its status or its close."""

import asyncio

import pytest

from shared.httpcore.message import Request, Response
from shared.httpcore.routing import Router
from tests.shared.httpcore.net.exchanges import GET, HASTY, get, post, run
from tests.shared.httpcore.net.raw_client import RawClient, Reply
from tests.shared.httpcore.net.serving import Serving
from tests.shared.httpcore.net.waiting import until


async def wait_for_reply(client: RawClient) -> Reply:
    reply = await client.reply()
    assert reply.says_close
    assert await client.rest() == b""
    return reply


def test_an_idle_connection_is_closed_without_a_word() -> None:
    async def test(client: RawClient, running: Serving) -> None:
        assert await client.rest() == b""
        await until(lambda: running.server.connection_count == 0)

    run(test, limits=HASTY)


def test_a_connection_is_idle_again_after_a_reply() -> None:
    async def test(client: RawClient, running: Serving) -> None:
        await client.send(GET)
        assert (await client.reply()).body == b"hello"
        assert await client.rest() == b""

    run(test, limits=HASTY)


def test_a_head_that_takes_too_long_is_408() -> None:
    async def test(client: RawClient, running: Serving) -> None:
        await client.send(GET[:-2])
        reply = await wait_for_reply(client)
        assert (reply.status, b"head_timeout" in reply.body) == (408, True)

    run(test, limits=HASTY)


@pytest.mark.parametrize("path", ["/echo", "/stream-echo"])
def test_a_body_that_takes_too_long_is_408(path: str) -> None:
    async def test(client: RawClient, running: Serving) -> None:
        await client.send(post(path, b"abc")[:-1])
        reply = await wait_for_reply(client)
        assert (reply.status, b"body_timeout" in reply.body) == (408, True)

    run(test, limits=HASTY)


def test_a_client_that_never_reads_is_cut() -> None:
    router = Router()

    @router.get("/")
    def large(request: Request) -> Response:
        return Response(200, bytes(32 * 2**20), "application/octet-stream")

    async def test(client: RawClient, running: Serving) -> None:
        client.pause()
        await client.send(GET)
        await until(lambda: running.responses)
        await until(lambda: running.server.connection_count == 0)

    run(test, router, HASTY)


def test_a_client_that_stays_after_the_last_reply_is_cut() -> None:
    async def test(client: RawClient, running: Serving) -> None:
        await client.send(get("/", "Connection: close"))
        assert (await client.reply()).body == b"hello"
        assert await client.rest() == b""
        await until(lambda: running.server.connection_count == 0)

    run(test, limits=HASTY)


def test_a_handler_may_take_longer_than_any_time_out() -> None:
    router = Router()

    @router.get("/")
    async def slow(request: Request) -> Response:
        await asyncio.sleep(2.2)  # two sweeps
        return Response.text("at last")

    async def test(client: RawClient, running: Serving) -> None:
        await client.send(GET)
        assert (await client.reply()).body == b"at last"

    run(test, router, HASTY)
