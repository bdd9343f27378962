"""Replies that are given again without their handler: only to the same request, only while nothing has changed."""

import asyncio
from collections.abc import Callable

import pytest

from shared.httpcore.message import RepeatableResponse, Request, Response
from shared.httpcore.net.repeats import MAX_REPEATS
from shared.httpcore.routing import Router
from tests.shared.httpcore.net.exchanges import GET, get, run
from tests.shared.httpcore.net.raw_client import RawClient, raw_client
from tests.shared.httpcore.net.serving import Serving
from tests.shared.httpcore.net.waiting import until


class Source:
    """A handler with a version of its text, and how often it was asked."""

    def __init__(self, body: Callable[[int], bytes] = lambda version: b"version %d" % version) -> None:
        self.version = 1
        self.calls: list[Request] = []
        self._body = body

    def handle(self, request: Request) -> Response:
        """This version's text, for as long as it is the latest."""
        version = self.version
        self.calls.append(request)
        body = self._body(version)
        return RepeatableResponse(
            lambda: self.version == version, 200, body, "text/plain", [("X-Version", f"{version}")]
        )

    def router(self) -> Router:
        """It answers every GET, and every other method but by itself."""
        router = Router()
        router.add("GET", "/{path:path}", self.handle)
        return router


def test_the_same_request_is_answered_without_the_handler_and_counted() -> None:
    source = Source()

    async def test(client: RawClient, running: Serving) -> None:
        replies = []
        for _ in range(3):
            await client.send(GET)
            replies.append(await client.reply())
        assert len(source.calls) == 1
        assert [reply.body for reply in replies] == [b"version 1"] * 3
        assert len({reply.headers.get("x-request-id") for reply in replies}) == 3
        steady = [[pair for pair in reply.headers if pair[0] not in ("Date", "X-Request-Id")] for reply in replies]
        assert steady == [[("Content-Type", "text/plain"), ("X-Version", "1"), ("Content-Length", "9")]] * 3
        assert [reply.headers.get("date") is not None for reply in replies] == [True] * 3
        await until(lambda: len(running.responses) == 3)
        told = [(request.target, status, size) for request, status, size, _ in running.responses]
        assert told == [("/", 200, 9)] * 3
        assert [request.id for request, *_ in running.responses] == [r.headers.get("x-request-id") for r in replies]

    run(test, source.router())


def test_what_has_changed_is_asked_for_again() -> None:
    source = Source()

    async def test(client: RawClient, _running: Serving) -> None:
        for version in (1, 1, 2, 2, 3):
            source.version = version
            await client.send(GET)
            reply = await client.reply()
            assert (reply.body, reply.headers.get("x-version")) == (b"version %d" % version, f"{version}")
        assert len(source.calls) == 3

    run(test, source.router())


@pytest.mark.parametrize(
    "other",
    [
        get("/other"),
        get("/?query"),
        get("/", "X-Field: 1"),
        get("/", "Host-Like: x"),
        b"GET / HTTP/1.1\r\nHost: y\r\n\r\n",
        b"HEAD / HTTP/1.1\r\nHost: x\r\n\r\n",
        b"GET / HTTP/1.0\r\nHost: x\r\nConnection: keep-alive\r\n\r\n",
    ],
)
def test_another_request_has_its_own_reply(other: bytes) -> None:
    source = Source()
    method = other.split(b" ")[0].decode()

    async def test(client: RawClient, _running: Serving) -> None:
        await client.send(GET)
        await client.reply()
        await client.send(other)
        reply = await client.reply(method)
        assert len(source.calls) == 2
        assert reply.body == (b"" if method == "HEAD" else b"version 1")
        assert reply.headers.get("content-length") == "9"

    run(test, source.router())


def test_another_connection_shares_nothing() -> None:
    source = Source()

    async def test(client: RawClient, running: Serving) -> None:
        await client.send(GET)
        await client.reply()
        async with raw_client(running.port) as other:
            await other.send(GET)
            await other.reply()
        assert len(source.calls) == 2

    run(test, source.router())


def test_a_client_that_chose_the_id_gets_it_each_time() -> None:
    source = Source()

    async def test(client: RawClient, _running: Serving) -> None:
        for _ in range(2):
            await client.send(get("/", "X-Request-Id: mine-1"))
            assert (await client.reply()).headers.get("x-request-id") == "mine-1"
        assert len(source.calls) == 1

    run(test, source.router())


def test_a_body_is_read_each_time_and_never_taken_for_a_request() -> None:
    source = Source()
    head, body = b"GET / HTTP/1.1\r\nHost: x\r\nContent-Length: 27\r\n\r\n", b"GET /smuggled HTTP/1.1\r\n\r\n?"

    async def test(client: RawClient, _running: Serving) -> None:
        assert len(body) == 27
        for _ in range(3):
            await client.send(head, body)
            await client.reply()
        assert [request.target for request in source.calls] == ["/", "/", "/"]
        assert [request.body for request in source.calls] == [body] * 3

    run(test, source.router())


@pytest.mark.parametrize("steady", [True, False])
@pytest.mark.parametrize("kind", ["before", "after"])
def test_hooks_that_look_at_more_than_the_request_see_each_one(kind: str, steady: bool) -> None:
    source = Source()
    router = source.router()
    seen: list[Request] = []

    def hook(request: Request, *_: Response) -> None:
        seen.append(request)

    if kind == "before":
        router.before(hook, steady=steady)
    else:
        router.after(hook, steady=steady)

    async def test(client: RawClient, _running: Serving) -> None:
        for _ in range(3):
            await client.send(GET)
            await client.reply()
        assert len(source.calls) == len(seen) == (1 if steady else 3)

    run(test, router)


def test_what_a_steady_hook_adds_is_repeated() -> None:
    source = Source()
    router = source.router()
    router.after(lambda request, response: response.add_header("X-Host", request.host), steady=True)

    async def test(client: RawClient, _running: Serving) -> None:
        for _ in range(2):
            await client.send(GET)
            assert (await client.reply()).headers.get_all("x-host") == ["x"]
        assert len(source.calls) == 1

    run(test, router)


def test_a_host_that_the_target_named_is_not_remembered_for_who_names_none() -> None:
    """HTTP/1.0 without Host: the same fields, but another host."""
    source = Source()

    async def test(client: RawClient, _running: Serving) -> None:
        for target in ("http://y/", "/", "http://y/"):
            await client.send(f"GET {target} HTTP/1.0\r\nConnection: keep-alive\r\n\r\n".encode())
            await client.reply()
        assert [request.host for request in source.calls] == ["y", "", "y"]

    run(test, source.router())


def test_http_1_0_hears_that_the_connection_goes_on() -> None:
    source = Source()

    async def test(client: RawClient, _running: Serving) -> None:
        for _ in range(2):
            await client.send(get("/", "Connection: keep-alive", version="1.0"))
            assert (await client.reply()).headers.get("connection") == "keep-alive"
        assert len(source.calls) == 1

    run(test, source.router())


def test_a_draining_server_still_says_close() -> None:
    source = Source()

    async def test(client: RawClient, running: Serving) -> None:
        await client.send(GET)
        await client.reply()
        await client.send(GET[:10])
        await until(lambda: any(connection._buffer for connection in running.server._connections))
        running.server.begin_drain()
        await client.send(GET[10:])
        assert (await client.reply()).says_close
        assert await client.rest() == b""

    run(test, source.router())


@pytest.mark.parametrize("size", [0, 1, 16 * 1024, 16 * 1024 + 1, 64 * 1024])
def test_pipelined_ones_come_in_order_and_whole(size: int) -> None:
    source = Source(lambda version: b"%d" % version * size)

    async def test(client: RawClient, _running: Serving) -> None:
        await client.send(GET)
        await client.reply()
        await client.send(GET * 20 + get("/last"))
        replies = await client.replies(["GET"] * 21)
        assert [reply.body for reply in replies] == [b"1" * size] * 21
        assert [request.target for request in source.calls] == ["/", "/last"]

    run(test, source.router())


def test_a_client_that_asks_for_everything_is_not_remembered_without_bound() -> None:
    source = Source()

    async def test(client: RawClient, running: Serving) -> None:
        for number in range(5 * MAX_REPEATS):
            await client.send(get(f"/{number}"))
            await client.reply()
        (connection,) = running.server._connections
        assert connection._last_fields is not None
        assert 0 < len(connection._last_fields.repeats or ()) <= MAX_REPEATS
        connection.rest()  # as the sweep calls it
        assert connection._last_fields is None

    run(test, source.router())


def test_a_slow_reader_gets_all_of_it_while_others_are_served() -> None:
    source = Source(lambda version: b"x" * 64 * 1024)

    async def test(client: RawClient, running: Serving) -> None:
        client.pause()
        await client.send(GET * 200)
        async with raw_client(running.port) as other:
            await other.send(GET)
            await other.reply()
        client.resume()
        for _ in range(200):
            assert len((await client.reply()).body) == 64 * 1024
        await asyncio.sleep(0)

    run(test, source.router())
