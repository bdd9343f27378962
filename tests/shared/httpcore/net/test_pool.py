"""Which connections are used again, and what becomes of requests when they turn out to be stale."""

import asyncio
from collections.abc import Awaitable, Callable

import pytest

from shared.httpcore.errors import ConnectFailed, ConnectionClosed, ProtocolError
from shared.httpcore.message import Request, Response
from shared.httpcore.net.client import Origin
from shared.httpcore.net.pool import ConnectionPool, parse_http_url
from shared.httpcore.routing import Router
from tests.shared.httpcore.net.serving import Serving, serving
from tests.shared.httpcore.net.waiting import until


def make_router() -> Router:
    router = Router()

    def show(request: Request) -> Response:
        return Response.json(
            {
                "method": request.method,
                "target": request.target,
                "host": request.host,
                "port": request.remote_port,
                "key": request.headers.get("x-key"),
                "body": request.body.decode(),
            }
        )

    def close(request: Request) -> Response:
        raise KeyError

    async def slow(request: Request) -> Response:
        await asyncio.sleep(5)
        return Response(204)

    router.add("*", "/show", show)
    router.add("GET", "/fail", close)
    router.add("GET", "/slow", slow)
    return router


def run(
    test: Callable[[ConnectionPool, Serving, str], Awaitable[None]], pool: Callable[[], ConnectionPool] = ConnectionPool
) -> None:
    async def main() -> None:
        async with asyncio.timeout(30), serving(make_router()) as running:
            made = pool()
            try:
                await test(made, running, f"http://127.0.0.1:{running.port}")
            finally:
                await made.aclose()

    asyncio.run(main())


def test_a_request_says_what_it_was_told_to() -> None:
    async def test(pool: ConnectionPool, running: Serving, url: str) -> None:
        reply = await pool.request("POST", f"{url}/show?a=b#fragment", [("X-Key", "k")], b"body")
        assert reply.status == 200
        assert reply.headers.get("content-type") == "application/json; charset=utf-8"
        shown = reply.json()
        assert shown.pop("port") > 0
        assert shown == {
            "method": "POST",
            "target": "/show?a=b",
            "host": f"127.0.0.1:{running.port}",
            "key": "k",
            "body": "body",
        }

    run(test)


def test_a_connection_is_used_again_the_last_one_first() -> None:
    async def test(pool: ConnectionPool, running: Serving, url: str) -> None:
        ports = [(await pool.request("GET", f"{url}/show")).json()["port"] for _ in range(3)]
        assert len(set(ports)) == 1
        both = await asyncio.gather(*(pool.request("GET", f"{url}/show") for _ in range(2)))
        assert len({reply.json()["port"] for reply in both}) == 2
        assert running.server.connection_count == 2

    run(test)


def test_no_more_are_kept_than_the_limit() -> None:
    async def test(pool: ConnectionPool, running: Serving, url: str) -> None:
        await asyncio.gather(*(pool.request("GET", f"{url}/show") for _ in range(5)))
        await until(lambda: running.server.connection_count == 2)

    run(test, lambda: ConnectionPool(max_idle_per_origin=2))


def test_a_connection_idle_for_too_long_is_replaced() -> None:
    async def test(pool: ConnectionPool, running: Serving, url: str) -> None:
        ports = [(await pool.request("GET", f"{url}/show")).json()["port"] for _ in range(2)]
        assert len(set(ports)) == 2
        await until(lambda: running.server.connection_count == 1)

    run(test, lambda: ConnectionPool(idle_s=0))


def test_a_connection_that_the_server_closed_is_replaced_without_a_word() -> None:
    async def test(pool: ConnectionPool, running: Serving, url: str) -> None:
        assert (await pool.request("GET", f"{url}/show")).status == 200
        running.server.begin_drain()  # closes idle connections
        await until(lambda: running.server.connection_count == 0)
        assert (await pool.request("POST", f"{url}/show", body=b"once")).status == 200

    run(test)


def test_a_request_is_not_sent_after_a_reply_that_says_close() -> None:
    async def test(pool: ConnectionPool, running: Serving, url: str) -> None:
        running.server.begin_drain()
        ports = [(await pool.request("GET", f"{url}/show")).json()["port"] for _ in range(2)]
        assert len(set(ports)) == 2

    run(test)


def test_closing_the_pool_closes_its_connections() -> None:
    async def test(pool: ConnectionPool, running: Serving, url: str) -> None:
        await pool.request("GET", f"{url}/show")
        await pool.aclose()
        await until(lambda: running.server.connection_count == 0)

    run(test)


def test_an_origin_that_is_gone_can_be_dropped() -> None:
    async def test(pool: ConnectionPool, running: Serving, url: str) -> None:
        await pool.request("GET", f"{url}/show")
        pool.drop_origin(Origin("127.0.0.1", running.port))
        await until(lambda: running.server.connection_count == 0)
        assert pool.take_idle(Origin("127.0.0.1", running.port)) is None

    run(test)


def test_a_request_that_takes_too_long_is_given_up_and_its_connection_closed() -> None:
    async def test(pool: ConnectionPool, running: Serving, url: str) -> None:
        with pytest.raises(TimeoutError):
            await pool.request("GET", f"{url}/slow", timeout_s=0.05)
        assert pool.take_idle(Origin("127.0.0.1", running.port)) is None

    run(test)


def test_a_reply_over_the_limit_is_an_error_and_its_connection_closed() -> None:
    async def test(pool: ConnectionPool, running: Serving, url: str) -> None:
        with pytest.raises(ProtocolError, match="over 3 bytes"):
            await pool.request("GET", f"{url}/show", max_body_bytes=3)
        assert pool.take_idle(Origin("127.0.0.1", running.port)) is None

    run(test)


def test_nobody_there_is_connect_failed() -> None:
    async def test(pool: ConnectionPool, running: Serving, url: str) -> None:
        running.server.close_listeners()
        with pytest.raises(ConnectFailed):
            await pool.request("GET", f"{url}/show")

    run(test)


class OnceThenGone:
    """A server that answers the first request of a connection, and closes it when the second one has arrived."""

    def __init__(self) -> None:
        self.heads: list[bytes] = []

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            self.heads.append(await reader.readuntil(b"\r\n\r\n"))
            writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")
            self.heads.append(await reader.readuntil(b"\r\n\r\n"))
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            writer.close()


@pytest.mark.parametrize(("method", "is_repeated"), [("GET", True), ("PUT", True), ("POST", False), ("PATCH", False)])
def test_a_stale_connection_is_replaced_only_when_a_repeat_does_no_harm(method: str, is_repeated: bool) -> None:
    async def main() -> None:
        gone, pool = OnceThenGone(), ConnectionPool()
        async with asyncio.timeout(30), await asyncio.start_server(gone.serve, "127.0.0.1", 0) as server:
            url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/"
            await pool.request("GET", url)
            if is_repeated:
                assert (await pool.request(method, url)).body == b"ok"
                assert len(gone.heads) == 3
            else:
                with pytest.raises(ConnectionClosed):
                    await pool.request(method, url, body=b"x")
                assert len(gone.heads) == 2
            await pool.aclose()

    asyncio.run(main())


def test_bytes_that_come_unasked_make_an_idle_connection_useless() -> None:
    """A reply nobody asked for would be taken for the answer to the next request."""
    heads: list[bytes] = []
    is_answered, is_evil = asyncio.Event(), asyncio.Event()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        heads.append(await reader.readuntil(b"\r\n\r\n"))
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")
        await is_answered.wait()
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nevil")
        await writer.drain()
        is_evil.set()
        await reader.read()
        writer.close()

    async def main() -> None:
        pool = ConnectionPool()
        async with asyncio.timeout(30), await asyncio.start_server(serve, "127.0.0.1", 0) as server:
            url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/"
            assert (await pool.request("GET", url)).body == b"ok"
            is_answered.set()
            await is_evil.wait()
            assert (await pool.request("GET", url)).body == b"ok"
            await pool.aclose()
        assert len(heads) == 2

    asyncio.run(main())


@pytest.mark.parametrize(
    ("url", "origin", "target"),
    [
        ("http://x", Origin("x", 80), "/"),
        ("http://x:8080/a/b?c=d", Origin("x", 8080), "/a/b?c=d"),
        ("http://x?c=d", Origin("x", 80), "/?c=d"),
        ("HTTP://EXAMPLE.com/A#b", Origin("example.com", 80), "/A"),
        ("http://[::1]:9/", Origin("::1", 9), "/"),
        ("ws://x/p2p/ws", Origin("x", 80), "/p2p/ws"),
    ],
)
def test_urls_are_read(url: str, origin: Origin, target: str) -> None:
    assert parse_http_url(url) == (origin, target)


@pytest.mark.parametrize(
    "url", ["", "x", "/a", "ftp://x/", "http:///a", "http://:80/", "http://x:port/", "http://x:99999/", "http://[::1/"]
)
def test_what_is_no_url_of_ours_is_a_mistake(url: str) -> None:
    with pytest.raises(ValueError):
        parse_http_url(url)
