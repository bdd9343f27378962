"""The server, the client and the streams over TLS, with certificates that are made for the test."""

import asyncio
import logging
import os
import socket
import ssl
import struct
import subprocess
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from shared.httpcore.errors import ConnectFailed, ConnectionClosed
from shared.httpcore.limits import DEFAULT_LIMITS, Limits
from shared.httpcore.message import FileResponse, Request, Response, StreamingResponse
from shared.httpcore.net.client import ClientConnection, Origin
from shared.httpcore.net.pool import ConnectionPool
from shared.httpcore.net.server import bind_listener
from shared.httpcore.net.stream import Stream
from shared.httpcore.net.tls import (
    CertificateError,
    CertificateFiles,
    make_client_context,
    make_server_context,
    read_expiry,
)
from shared.httpcore.net.tls_server import TlsServer
from shared.httpcore.net.tls_socket import TlsSocket
from shared.httpcore.net.websocket import WebSocket, WebSocketUpgrade, connect_websocket
from shared.httpcore.routing import Router
from shared.httpcore.x509 import parse_dns_names, parse_not_after
from tests.certificates import LocalCa, openssl
from tests.shared.httpcore.net.raw_client import RawClient
from tests.shared.httpcore.net.waiting import until

BIG = bytes(range(256)) * 40_000  # 10 MB


@pytest.fixture(scope="module")
def ca(tmp_path_factory: pytest.TempPathFactory) -> LocalCa:
    return LocalCa(tmp_path_factory.mktemp("ca"))


@pytest.fixture(scope="module")
def certificate(ca: LocalCa) -> Path:
    return ca.issue("localhost", "127.0.0.1")


def context_of(*paths: Path) -> ssl.SSLContext:
    return make_server_context([CertificateFiles(path, path) for path in paths])


def make_router(folder: Path) -> Router:
    router = Router()
    (folder / "big").write_bytes(BIG)

    async def echo(websocket: WebSocket) -> None:
        async for message in websocket:
            await websocket.send(message)

    async def parts() -> AsyncIterator[bytes]:
        for start in range(0, len(BIG), 100_000):
            yield BIG[start : start + 100_000]

    def send_file(_: Request) -> Response:
        return FileResponse(os.open(folder / "big", os.O_RDONLY), 0, len(BIG))

    router.add("GET", "/", lambda request: Response.text(f"{request.scheme} {request.host}"))
    router.add("POST", "/", lambda request: Response(200, request.body, "x/y"), max_body_bytes=2 * len(BIG))
    router.add("POST", "/small", lambda request: Response.text("small"))
    router.add("GET", "/file", send_file)
    router.add("GET", "/stream", lambda _: StreamingResponse(200, parts()))
    router.add("GET", "/ws", lambda request: WebSocketUpgrade(request, echo, max_message_bytes=len(BIG)))
    return router


@asynccontextmanager
async def serving_tls(
    router: Router, context: ssl.SSLContext, limits: Limits = DEFAULT_LIMITS
) -> AsyncIterator[tuple[TlsServer, int]]:
    listener = bind_listener("127.0.0.1", 0)
    server = TlsServer(router, context, limits)
    server.start([listener])
    try:
        yield server, listener.getsockname()[1]
    finally:
        server.begin_drain()
        server.close_listeners()
        await server.wait_closed(0.2)


Test = Callable[[TlsServer, int], Awaitable[None]]


def run(test: Test, folder: Path, context: ssl.SSLContext, limits: Limits = DEFAULT_LIMITS) -> None:
    async def main() -> None:
        async with asyncio.timeout(30), serving_tls(make_router(folder), context, limits) as (server, port):
            await test(server, port)

    asyncio.run(main())


@asynccontextmanager
async def tls_client(port: int, context: ssl.SSLContext, name: str = "localhost") -> AsyncIterator[RawClient]:
    reader, writer = await asyncio.open_connection("127.0.0.1", port, limit=2**24, ssl=context, server_hostname=name)
    try:
        yield RawClient(reader, writer)
    finally:
        writer.close()


@asynccontextmanager
async def plain_client(port: int) -> AsyncIterator[RawClient]:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        yield RawClient(reader, writer)
    finally:
        writer.close()


def connect_tls(port: int, context: ssl.SSLContext, **how: Any) -> ssl.SSLSocket:
    """Somebody else's TLS, blocking."""
    return context.wrap_socket(socket.create_connection(("127.0.0.1", port), timeout=20), **how)


async def rest_or_reset(client: RawClient) -> bytes:
    try:
        return await client.rest()
    except ConnectionResetError:
        return b""


# --- requests ----------------------------------------------------------------------------------------------------


def test_requests_are_answered_and_know_that_they_came_over_tls(tmp_path: Path, ca: LocalCa, certificate: Path) -> None:
    async def test(server: TlsServer, port: int) -> None:
        async with tls_client(port, make_client_context(ca.file)) as client:
            await client.send(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n" * 3)
            assert [reply.body for reply in await client.replies(["GET"] * 3)] == [b"https a"] * 3
            assert server.connection_count == 1
            ssl_object = client.writer.get_extra_info("ssl_object")
            assert ssl_object.selected_alpn_protocol() == "http/1.1"
            assert ssl_object.version() == "TLSv1.3"

    run(test, tmp_path, context_of(certificate))


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
def test_large_bodies_pass_both_ways(tmp_path: Path, ca: LocalCa, certificate: Path, version: ssl.TLSVersion) -> None:
    async def test(_: TlsServer, port: int) -> None:
        context = make_client_context(ca.file)
        context.maximum_version = version
        pool = ConnectionPool(tls=context)
        for method, path, body in (("POST", "/", BIG), ("GET", "/file", None), ("GET", "/stream", None)):
            reply = await pool.request(method, f"https://localhost:{port}{path}", (), body, 20, 2 * len(BIG))
            assert (reply.status, reply.body == BIG) == (200, True)
        await pool.aclose()

    run(test, tmp_path, context_of(certificate))


def test_a_client_that_reads_slowly_gets_everything(tmp_path: Path, ca: LocalCa, certificate: Path) -> None:
    async def test(server: TlsServer, port: int) -> None:
        async with tls_client(port, make_client_context(ca.file)) as client:
            client.pause()
            await client.send(b"GET /file HTTP/1.1\r\nHost: a\r\n\r\n" * 2)
            await until(lambda: any(not each.output.is_empty for each in server._connections))
            client.resume()
            assert [reply.body == BIG for reply in await client.replies(["GET", "GET"])] == [True, True]

    run(test, tmp_path, context_of(certificate))


def test_the_end_of_a_connection_is_said(tmp_path: Path, ca: LocalCa, certificate: Path) -> None:
    """A client that knows close_notify can tell an end from a cut: no error here, where a missing one would raise."""

    def ask(port: int) -> bytes:
        context = make_client_context(ca.file)
        with connect_tls(port, context, server_hostname="localhost", suppress_ragged_eofs=False) as sock:
            sock.sendall(b"GET / HTTP/1.0\r\n\r\n")
            received = b""
            while data := sock.recv(1000):
                received += data
            return received

    async def test(_: TlsServer, port: int) -> None:
        assert (await asyncio.to_thread(ask, port)).endswith(b"https ")

    run(test, tmp_path, context_of(certificate))


def test_an_early_reply_to_an_upload_can_be_read(tmp_path: Path, ca: LocalCa, certificate: Path) -> None:
    """The upload goes on while the server has ended its own direction, and must not be answered by a reset."""

    def upload(port: int) -> bytes:
        with connect_tls(port, make_client_context(ca.file), server_hostname="localhost") as sock:
            sock.sendall(b"POST /small HTTP/1.1\r\nHost: a\r\nContent-Length: 5000000\r\n\r\n")
            for _ in range(15):
                sock.sendall(bytes(100_000))
            return sock.recv(1000)

    async def test(_: TlsServer, port: int) -> None:
        assert (await asyncio.to_thread(upload, port)).startswith(b"HTTP/1.1 413 ")

    run(test, tmp_path, context_of(certificate))


def test_websockets_run_over_tls(
    tmp_path: Path, ca: LocalCa, certificate: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", str(ca.file))

    async def test(server: TlsServer, port: int) -> None:
        async with await connect_websocket(f"wss://localhost:{port}/ws", max_message_bytes=len(BIG)) as websocket:
            for message in ("ping", b"\0" * 100_000, BIG):
                await websocket.send(message)
                assert await websocket.receive() == message
            server.begin_drain()
            await websocket.wait_closed()

    run(test, tmp_path, context_of(certificate))


# --- names, sessions, reload -------------------------------------------------------------------------------------


def common_names(port: int, ca: LocalCa, *names: str) -> list[tuple[str, ...]]:
    """The DNS names of the certificate that is shown for each SNI."""
    found = []
    for name in names:
        context = make_client_context(ca.file)
        context.check_hostname = False
        with connect_tls(port, context, server_hostname=name) as sock:
            assert sock.selected_alpn_protocol() == "http/1.1"
            der = sock.getpeercert(binary_form=True)
            assert der is not None
            found.append(parse_dns_names(der))
    return found


def test_sni_chooses_by_exact_name_then_by_wildcard_then_the_first(
    tmp_path: Path, ca: LocalCa, certificate: Path
) -> None:
    wild, exact = ca.issue("*.example.com", "example.com"), ca.issue("b.example.com")

    async def test(_: TlsServer, port: int) -> None:
        names = ("a.example.com", "B.EXAMPLE.COM", "example.com", "x.a.example.com", "else.where", "localhost")
        shown = await asyncio.to_thread(common_names, port, ca, *names)
        first, any_name = ("localhost",), ("*.example.com", "example.com")
        assert shown == [any_name, ("b.example.com",), any_name, first, first, first]

    run(test, tmp_path, context_of(certificate, wild, exact))


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
def test_sessions_are_resumed_by_ticket(
    tmp_path: Path, ca: LocalCa, certificate: Path, version: ssl.TLSVersion
) -> None:
    def connect_twice(port: int) -> bool | None:
        context = make_client_context(ca.file)
        context.maximum_version = version
        session = None
        for _ in range(2):
            with connect_tls(port, context, server_hostname="localhost", session=session) as sock:
                sock.sendall(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
                sock.recv(1000)
                session, is_reused = sock.session, sock.session_reused
        assert session is not None
        assert session.has_ticket
        return is_reused

    async def test(_: TlsServer, port: int) -> None:
        assert await asyncio.to_thread(connect_twice, port)

    run(test, tmp_path, context_of(certificate))


def test_another_context_is_for_new_connections(tmp_path: Path, ca: LocalCa, certificate: Path) -> None:
    async def test(server: TlsServer, port: int) -> None:
        async with tls_client(port, make_client_context(ca.file)) as client:
            server.context = context_of(ca.issue("new.test"))
            assert await asyncio.to_thread(common_names, port, ca, "localhost") == [("new.test",)]
            await client.send(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
            assert (await client.reply()).status == 200

    run(test, tmp_path, context_of(certificate))


@pytest.mark.filterwarnings("ignore:ssl.TLSVersion:DeprecationWarning")
@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1, ssl.TLSVersion.TLSv1_1])
def test_old_versions_are_refused(tmp_path: Path, certificate: Path, version: ssl.TLSVersion) -> None:
    def connect(port: int) -> None:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
        context.set_ciphers("ALL:@SECLEVEL=0")
        context.minimum_version, context.maximum_version = ssl.TLSVersion.TLSv1, version
        connect_tls(port, context)

    async def test(server: TlsServer, port: int) -> None:
        with pytest.raises(ssl.SSLError, match="PROTOCOL_VERSION"):
            await asyncio.to_thread(connect, port)
        await until(lambda: server.failed_handshake_count == 1 and server.connection_count == 0)

    run(test, tmp_path, context_of(certificate))


# --- handshakes that come to nothing -----------------------------------------------------------------------------


@pytest.mark.parametrize("said", [b"", b"\x16", b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03"])
def test_a_stalled_handshake_is_cut(
    tmp_path: Path, certificate: Path, said: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)

    async def test(server: TlsServer, port: int) -> None:
        async with plain_client(port) as client:
            await client.send(said)
            assert await client.rest() == b""
        assert server.connection_count == 0
        assert "a TLS handshake with 127.0.0.1 failed: it took too long" in caplog.text

    run(test, tmp_path, context_of(certificate), replace(DEFAULT_LIMITS, handshake_timeout_s=0.1))


def test_plain_http_gets_a_clear_400(tmp_path: Path, certificate: Path) -> None:
    async def test(server: TlsServer, port: int) -> None:
        async with plain_client(port) as client:
            await client.send(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
            reply = await client.reply()
            assert (reply.status, reply.says_close) == (400, True)
            assert b"https://" in reply.body
            assert await client.rest() == b""
        await until(lambda: server.connection_count == 0)

    run(test, tmp_path, context_of(certificate))


@pytest.mark.parametrize(
    "garbage",
    [b"\x00" * 100, b"\x80\x2e\x01\x00\x02", b"\xff" * 70_000, b"\x16\x03\x01\x00\x05hello" + bytes(70_000)],
)
def test_garbage_ends_the_connection_and_nothing_else(
    tmp_path: Path, ca: LocalCa, certificate: Path, garbage: bytes
) -> None:
    async def test(server: TlsServer, port: int) -> None:
        async with plain_client(port) as client:
            await client.send(garbage)
            assert b"HTTP" not in await rest_or_reset(client)  # at most an alert
        await until(lambda: server.failed_handshake_count == 1 and server.connection_count == 0)
        async with tls_client(port, make_client_context(ca.file)) as client:
            await client.send(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
            assert (await client.reply()).status == 200

    run(test, tmp_path, context_of(certificate))


def test_failures_are_logged_once_in_a_while(
    tmp_path: Path, certificate: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)

    async def test(server: TlsServer, port: int) -> None:
        for _ in range(5):
            async with plain_client(port) as client:
                await client.send(b"\0")
                await rest_or_reset(client)
        assert server.failed_handshake_count == 5
        assert caplog.text.count("a TLS handshake with") == 1
        assert "failed: the client does not speak TLS" in caplog.text

    run(test, tmp_path, context_of(certificate))


@pytest.mark.parametrize("by_reset", [True, False])
def test_a_client_that_leaves_in_the_middle_of_the_handshake_is_forgotten(
    tmp_path: Path, certificate: Path, by_reset: bool
) -> None:
    def leave(port: int) -> None:
        hello, nowhere = ssl.MemoryBIO(), ssl.MemoryBIO()
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        engine = context.wrap_bio(nowhere, hello, server_hostname="localhost")
        with pytest.raises(ssl.SSLWantReadError):
            engine.do_handshake()
        with socket.create_connection(("127.0.0.1", port), timeout=20) as sock:
            sock.sendall(hello.read())
            assert sock.recv(1)  # the server's flight
            if by_reset:
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))

    async def test(server: TlsServer, port: int) -> None:
        await asyncio.to_thread(leave, port)
        await until(lambda: server.failed_handshake_count == 1 and server.connection_count == 0)

    run(test, tmp_path, context_of(certificate))


def test_a_port_probe_is_no_failure(tmp_path: Path, certificate: Path) -> None:
    async def test(server: TlsServer, port: int) -> None:
        async with plain_client(port):
            await until(lambda: server.connection_count == 1)
        await until(lambda: server.connection_count == 0)
        assert server.failed_handshake_count == 0

    run(test, tmp_path, context_of(certificate))


def test_a_drain_closes_those_who_said_nothing_and_cuts_the_rest(tmp_path: Path, certificate: Path) -> None:
    async def test(server: TlsServer, port: int) -> None:
        async with plain_client(port) as silent, plain_client(port) as slow:
            await slow.send(b"\x16")
            await until(lambda: [each._has_begun for each in server._handshakes].count(True) == 1)
            await until(lambda: server.connection_count == 2)
            server.begin_drain()
            assert await silent.rest() == b""
            server.close_listeners()
            assert await server.wait_closed(0.1) == 1
            assert await slow.rest() == b""

    run(test, tmp_path, context_of(certificate))


def test_a_handshake_counts_as_a_connection(tmp_path: Path, ca: LocalCa, certificate: Path) -> None:
    async def test(server: TlsServer, port: int) -> None:
        async with plain_client(port):
            await until(lambda: server.connection_count == 1)
            async with plain_client(port) as second:
                assert await second.rest() == b""
        await until(lambda: server.connection_count == 0)
        async with tls_client(port, make_client_context(ca.file)) as client:
            await client.send(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
            assert (await client.reply()).status == 200
        assert server.refused_count == 1

    run(test, tmp_path, context_of(certificate), replace(DEFAULT_LIMITS, max_connections=1))


# --- the client --------------------------------------------------------------------------------------------------


def test_a_server_of_an_unknown_ca_is_refused(tmp_path: Path, certificate: Path) -> None:
    async def test(_: TlsServer, port: int) -> None:
        with pytest.raises(ConnectFailed, match=r"no TLS with localhost: certificate verify failed: .*issuer"):
            await ConnectionPool().request("GET", f"https://localhost:{port}/")

    run(test, tmp_path, context_of(certificate))


def test_a_server_of_another_name_is_refused(tmp_path: Path, ca: LocalCa) -> None:
    async def test(_: TlsServer, port: int) -> None:
        pool = ConnectionPool(tls=make_client_context(ca.file))
        for host in ("localhost", "127.0.0.1"):
            with pytest.raises(ConnectFailed, match=r"mismatch|doesn't match|not valid for"):
                await pool.request("GET", f"https://{host}:{port}/")

    run(test, tmp_path, context_of(ca.issue("other.test")))


def test_a_server_without_tls_is_refused() -> None:
    async def main() -> None:
        async def speak(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            writer.write(b"220 hello\r\n")
            writer.close()

        async with await asyncio.start_server(speak, "127.0.0.1", 0) as server:
            port = server.sockets[0].getsockname()[1]
            with pytest.raises(ConnectFailed, match=r"no TLS with 127\.0\.0\.1: "):
                await Stream.connect("127.0.0.1", port, tls=make_client_context())

    asyncio.run(main())


def test_a_handshake_of_a_silent_server_takes_no_longer_than_it_may() -> None:
    async def main() -> None:
        with socket.create_server(("127.0.0.1", 0)) as listener, pytest.raises(ConnectFailed, match=r"within 0\.1 s"):
            await Stream.connect(*listener.getsockname(), timeout_s=0.1, tls=make_client_context())

    asyncio.run(main())


@pytest.mark.parametrize("says_goodbye", [True, False])
def test_a_reply_that_ends_with_the_connection_is_whole_only_after_close_notify(
    ca: LocalCa, certificate: Path, says_goodbye: bool
) -> None:
    def serve(listener: socket.socket) -> None:
        sock = context_of(certificate).wrap_socket(listener.accept()[0], server_side=True)
        sock.recv(1000)
        sock.sendall(b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\nhalf")
        if says_goodbye:
            sock.unwrap()
        sock.close()

    async def main() -> None:
        with socket.create_server(("127.0.0.1", 0)) as listener:
            serving = asyncio.create_task(asyncio.to_thread(serve, listener))
            port = listener.getsockname()[1]
            stream = await Stream.connect("localhost", port, tls=make_client_context(ca.file))
            connection = ClientConnection(stream, Origin("localhost", port, is_tls=True))
            await connection.send_request("GET", "/", [("Host", "a")])
            await connection.read_head()
            if says_goodbye:
                assert await connection.read_body(None) == b"half"
            else:
                with pytest.raises(ConnectionClosed, match="without close_notify"):
                    await connection.read_body(None)
            connection.close()
            await serving

    asyncio.run(main())


# --- the socket --------------------------------------------------------------------------------------------------


def socket_pair(ca: LocalCa, certificate: Path) -> tuple[TlsSocket, TlsSocket]:
    """A client and a server that have agreed."""
    plain_client, plain_server = socket.socketpair()
    client = TlsSocket(plain_client, make_client_context(ca.file), "localhost")
    server = TlsSocket(plain_server, context_of(certificate))
    waiting = [client, server]
    while waiting:
        sock = waiting.pop(0)
        try:
            sock.handshake()
        except ssl.SSLWantReadError:
            waiting.append(sock)
    return client, server


def read_all(sock: TlsSocket) -> bytes:
    received = b""
    try:
        while data := sock.recv():
            received += data
    except BlockingIOError:
        pass
    return received


def test_one_direction_ends_and_the_other_goes_on(ca: LocalCa, certificate: Path) -> None:
    client, server = socket_pair(ca, certificate)
    with client, server:
        assert server.send(b"on its way") == 10
        client.shutdown(socket.SHUT_WR)
        assert client.recv() == b"on its way"
        assert server.recv() == b""
        assert server.send(b"and more") == 8
        server.close()
        assert client.recv() == b"and more"
        assert (client.recv(), client.recv()) == (b"", b"")


def test_a_socket_that_takes_no_more_loses_and_repeats_nothing(ca: LocalCa, certificate: Path) -> None:
    client, server = socket_pair(ca, certificate)
    with client, server:
        left, received = memoryview(BIG), b""
        blocked = 0
        while left:
            try:
                left = left[server.send(left) :]
            except BlockingIOError:
                blocked += 1
                received += read_all(client)
        received += read_all(client)
        assert blocked > 1
        assert received == BIG


def test_a_reset_says_no_goodbye(ca: LocalCa, certificate: Path) -> None:
    client, server = socket_pair(ca, certificate)
    with client, server:
        server.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        server.close()
        with pytest.raises(ConnectionError):
            client.recv()


# --- certificates that can't be used -----------------------------------------------------------------------------


def test_what_is_wrong_with_a_certificate_is_said_in_one_line(tmp_path: Path, ca: LocalCa, certificate: Path) -> None:
    other, empty, broken, locked = ca.issue("other.test"), tmp_path / "empty", tmp_path / "broken", tmp_path / "locked"
    empty.write_text("")
    broken.write_text(certificate.read_text().replace("\nMII", "\nNII"))
    openssl("ec", "-in", certificate, "-aes256", "-passout", "pass:secret", "-out", locked)
    cases = [
        (tmp_path / "none", certificate, f"{tmp_path}/none: can't be read: No such file or directory"),
        (tmp_path, certificate, f"{tmp_path}: can't be read: Is a directory"),
        (empty, empty, f"{empty}: got no PEM with CERTIFICATE, expected -----BEGIN CERTIFICATE-----"),
        (certificate, ca.file, f"{ca.file}: got no PEM with PRIVATE KEY, expected -----BEGIN PRIVATE KEY-----"),
        (certificate, other, f"{certificate}: the key in {other} is not this certificate's"),
        (certificate, locked, f"{locked}: the key is encrypted; nobody is there to type its password"),
    ]
    for chain, key, message in cases:
        with pytest.raises(CertificateError) as caught:
            make_server_context([CertificateFiles(chain, key)])
        assert str(caught.value) == message
    with pytest.raises(CertificateError, match="OpenSSL can't use it"):
        context_of(broken)
    with pytest.raises(CertificateError, match="can't be read"):
        make_client_context(tmp_path / "none")


def der_of(path: Path) -> bytes:
    text = path.read_text()
    return ssl.PEM_cert_to_DER_cert(text[: text.index(ssl.PEM_FOOTER) + len(ssl.PEM_FOOTER)])


def test_the_names_in_a_certificate_are_read(ca: LocalCa) -> None:
    many = [f"host-{number}.a-long-name.example" for number in range(200)]
    assert parse_dns_names(der_of(ca.issue(*many))) == tuple(many)
    assert parse_dns_names(der_of(ca.issue("10.0.0.1", "A.test"))) == ("a.test",)
    assert parse_dns_names(der_of(ca.file)) == ()


def test_when_a_certificate_ends_is_read_as_openssl_reads_it(ca: LocalCa, certificate: Path) -> None:
    for path in (certificate, ca.file):
        shown = subprocess.run(
            ["openssl", "x509", "-in", path, "-noout", "-enddate"], capture_output=True, text=True, check=True
        ).stdout
        assert parse_not_after(der_of(path)) == ssl.cert_time_to_seconds(shown.strip().partition("=")[2])


def test_the_first_certificate_of_a_chain_to_end_counts(ca: LocalCa, tmp_path: Path) -> None:
    soon, late = ca.issue("soon.test", days=2), ca.issue("late.test", days=20_000)  # the late one is past 2050
    chain = tmp_path / "chain.pem"
    for first, second in [(soon, late), (late, soon)]:
        chain.write_text(first.read_text() + second.read_text())
        assert read_expiry(chain) == read_expiry(soon) < read_expiry(late) == parse_not_after(der_of(late))
    assert read_expiry(late) > 2_524_608_000
    with pytest.raises(CertificateError, match="can't be read"):
        read_expiry(tmp_path / "none.pem")


def test_what_is_no_certificate_has_no_names_and_no_end(certificate: Path) -> None:
    der = der_of(certificate)
    for broken in (b"", b"\0", b"\x30", b"\x30\0", b"\x30\x85", b"hello", *(der[:size] for size in range(len(der)))):
        for parse in (parse_dns_names, parse_not_after):
            with pytest.raises(ValueError):
                parse(broken)


@pytest.mark.parametrize(
    ("tag", "content", "expected"),
    [
        (0x17, b"700101000000Z", 0),
        (0x17, b"491231235959Z", 2_524_607_999),
        (0x17, b"500101000000Z", -631_152_000),
        (0x18, b"20500101000000Z", 2_524_608_000),
        (0x18, b"99991231235959Z", 253_402_300_799),  # RFC 5280 §4.1.2.5: no end
        (0x17, b"20500101000000Z", None),
        (0x18, b"500101000000Z", None),
        (0x18, b"20500101000000", None),
        (0x18, b"20500101000000+0100", None),
        (0x04, b"500101000000Z", None),
    ],
)
def test_both_forms_of_a_time_are_read(tag: int, content: bytes, expected: int | None) -> None:
    def element(tag: int, content: bytes) -> bytes:
        return bytes((tag, len(content))) + content

    name = signature = element(0x30, b"")
    validity = element(0x30, element(0x17, b"700101000000Z") + element(tag, content))
    serial_number = element(0x02, b"\x01")
    for version in (b"", element(0xA0, element(0x02, b"\x02"))):
        der = element(0x30, element(0x30, version + serial_number + signature + name + validity))
        if expected is None:
            with pytest.raises(ValueError, match="as a time"):
                parse_not_after(der)
        else:
            assert parse_not_after(der) == expected
