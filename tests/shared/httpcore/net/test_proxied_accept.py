"""Connections that begin with a PROXY header, over real sockets: whose they are, and what becomes of those without."""

import asyncio
import logging
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest

from shared.httpcore.limits import Limits
from shared.httpcore.message import Request, Response
from shared.httpcore.net.server import bind_listener
from shared.httpcore.net.tls import CertificateFiles, make_client_context, make_server_context
from shared.httpcore.net.tls_server import TlsServer
from shared.httpcore.proxy_protocol import Endpoint, serialize_proxy_v1, serialize_proxy_v2
from shared.httpcore.routing import Router
from tests.certificates import LocalCa
from tests.shared.httpcore.net.exchanges import GET, run
from tests.shared.httpcore.net.raw_client import RawClient, raw_client
from tests.shared.httpcore.net.serving import Serving
from tests.shared.httpcore.net.waiting import until

CLIENT, ENTRANCE = Endpoint("203.0.113.7", 4711), Endpoint("198.51.100.1", 443)
HEADERS = {
    "v1": serialize_proxy_v1(CLIENT, ENTRANCE),
    "v2": serialize_proxy_v2(CLIENT, ENTRANCE, checksum=True),
}


def who_router() -> Router:
    router = Router()

    @router.get("/")
    def who(request: Request) -> Response:
        return Response.text(f"{request.remote_ip} {request.remote_port}")

    return router


async def rest_or_reset(client: RawClient) -> bytes:
    """What was sent is not read by the other side, so the system may say that the connection was reset."""
    try:
        return await client.rest()
    except ConnectionResetError:
        return b""


def run_behind_balancer(
    test: Callable[[RawClient, Serving], Awaitable[None]], limits: Limits | None = None, *, balancer: str = "127.0.0.1"
) -> None:
    async def prepared(client: RawClient, running: Serving) -> None:
        running.server.expects_proxy_header = lambda ip: ip == balancer
        await client.send(GET)  # this one came before
        assert (await client.reply()).body.startswith(b"127.0.0.1 ")
        async with raw_client(running.port) as later:
            await test(later, running)

    run(prepared, who_router(), limits or Limits())


@pytest.mark.parametrize("version", HEADERS)
def test_the_client_is_the_one_that_the_header_names(version: str) -> None:
    async def test(client: RawClient, running: Serving) -> None:
        await client.send(HEADERS[version] + GET + GET)
        for _ in range(2):
            assert (await client.reply()).body == b"203.0.113.7 4711"

    run_behind_balancer(test)


@pytest.mark.parametrize("version", HEADERS)
def test_a_header_may_come_in_any_number_of_parts(version: str) -> None:
    async def test(client: RawClient, running: Serving) -> None:
        for octet in HEADERS[version] + GET:
            await client.send(bytes([octet]))
        assert (await client.reply()).body == b"203.0.113.7 4711"

    run_behind_balancer(test)


def test_a_balancer_that_speaks_for_itself_is_itself() -> None:
    async def test(client: RawClient, running: Serving) -> None:
        await client.send(serialize_proxy_v2(None, None) + GET)
        assert (await client.reply()).body.startswith(b"127.0.0.1 ")

    run_behind_balancer(test)


def test_a_balancer_without_a_header_is_cut_off_and_it_is_said_once(caplog: pytest.LogCaptureFixture) -> None:
    async def test(client: RawClient, running: Serving) -> None:
        await client.send(GET)
        assert await rest_or_reset(client) == b""
        async with raw_client(running.port) as second:
            await second.send(b"PROXY TCP4 nonsense\r\n" + GET)
            assert await rest_or_reset(second) == b""
        await until(lambda: running.server.connection_count == 1)  # the one from before

    with caplog.at_level(logging.WARNING):
        run_behind_balancer(test)
    assert sum("had no PROXY header" in record.getMessage() for record in caplog.records) == 1


def test_from_anybody_else_a_header_is_a_bad_request() -> None:
    async def test(client: RawClient, running: Serving) -> None:
        await client.send(HEADERS["v1"] + GET)
        assert (await client.reply()).status == 400

    run_behind_balancer(test, balancer="192.0.2.1")


def test_a_balancer_that_says_nothing_is_waited_for_only_so_long() -> None:
    async def test(client: RawClient, running: Serving) -> None:
        await client.send(b"PROXY ")
        assert await client.rest() == b""

    run_behind_balancer(test, Limits(handshake_timeout_s=0.05))


def test_the_limit_of_one_client_is_that_of_the_client_behind_the_balancer() -> None:
    async def test(client: RawClient, running: Serving) -> None:
        await client.send(HEADERS["v1"] + GET)
        assert (await client.reply()).status == 200
        async with raw_client(running.port) as same, raw_client(running.port) as other:
            await same.send(HEADERS["v2"] + GET)
            assert (await same.reply()).status == 503
            await other.send(serialize_proxy_v1(Endpoint("203.0.113.8", 1), ENTRANCE) + GET)
            assert (await other.reply()).status == 200

    run_behind_balancer(test, Limits(max_connections_per_client=1))


def test_draining_waits_for_no_balancer_that_has_not_begun(caplog: pytest.LogCaptureFixture) -> None:
    async def test(client: RawClient, running: Serving) -> None:
        await until(lambda: running.server.connection_count == 2)
        running.server.begin_drain()
        assert await client.rest() == b""
        running.server.close_listeners()
        assert await running.server.wait_closed(5.0) == 0

    run_behind_balancer(test)
    assert not caplog.records


def test_tls_begins_after_the_header(tmp_path: Path) -> None:
    ca = LocalCa(tmp_path)
    certificate = ca.issue("localhost")
    context = make_server_context([CertificateFiles(certificate, certificate)])

    async def main() -> None:
        listener = bind_listener("127.0.0.1", 0)
        server = TlsServer(who_router(), context)
        server.expects_proxy_header = lambda ip: True
        server.start([listener])
        reader, writer = await asyncio.open_connection(*listener.getsockname())
        writer.write(HEADERS["v2"])
        await writer.start_tls(make_client_context(ca.file), server_hostname="localhost")
        client = RawClient(reader, writer)
        await client.send(GET)
        assert (await client.reply()).body == b"203.0.113.7 4711"
        writer.close()
        server.begin_drain()
        server.close_listeners()
        await server.wait_closed(1.0)

    asyncio.run(asyncio.wait_for(main(), 30))
