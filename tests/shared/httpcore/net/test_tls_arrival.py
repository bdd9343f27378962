"""TLS as the network likes to deliver it: all at once, byte by byte, a request in the middle of a record. What OpenSSL
holds is not seen by `epoll`, so nothing may stay there unread.
"""

import asyncio
import socket
import ssl
from collections.abc import Callable
from pathlib import Path

import pytest

from shared.httpcore.limits import Limits
from shared.httpcore.net.tls_server import TlsServer
from tests.certificates import LocalCa
from tests.shared.httpcore.net.exchanges import GET, get, make_router, post
from tests.shared.httpcore.net.test_tls import context_of, serving_tls

BODY = bytes(range(256)) * 800
LIMITS = Limits(max_body_bytes=len(BODY))


class BurstClient:
    """TLS in memory over a blocking socket: what is sent waits until it is told to go, and in which pieces."""

    def __init__(self, port: int, context: ssl.SSLContext) -> None:
        self._arrived, self._leaving = ssl.MemoryBIO(), ssl.MemoryBIO()
        self._engine = context.wrap_bio(self._arrived, self._leaving, server_hostname="localhost")
        self._sock = socket.create_connection(("127.0.0.1", port), timeout=20)
        self._sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    def close(self) -> None:
        self._sock.close()

    def go(self, piece_bytes: int) -> None:
        """All that waits is sent."""
        data = self._leaving.read()
        for at in range(0, len(data), piece_bytes):
            self._sock.sendall(data[at : at + piece_bytes])

    def agree(self, piece_bytes: int) -> None:
        """The handshake, but for its last flight, which waits."""
        while True:
            try:
                self._engine.do_handshake()
            except ssl.SSLWantReadError:
                self.go(piece_bytes)
                self._receive()
            else:
                return

    def write(self, data: bytes, record_bytes: int) -> None:
        """Encrypted, in records of this size; it waits."""
        for at in range(0, len(data), record_bytes):
            self._engine.write(data[at : at + record_bytes])

    def read_until(self, is_enough: Callable[[bytes], bool]) -> bytes:
        """What the server says until then."""
        found = b""
        while not is_enough(found):
            try:
                found += self._engine.read(65536)
            except ssl.SSLWantReadError:
                self._receive()
        return found

    def _receive(self) -> None:
        data = self._sock.recv(65536)
        if not data:
            raise ConnectionError("the server ended the connection")
        self._arrived.write(data)


@pytest.fixture(scope="module")
def ca(tmp_path_factory: pytest.TempPathFactory) -> LocalCa:
    return LocalCa(tmp_path_factory.mktemp("ca"))


@pytest.fixture(scope="module")
def certificate(ca: LocalCa) -> Path:
    return ca.issue("localhost")


MANY = GET * 100 + post("/echo", BODY) + get("/stream") + GET * 3


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
@pytest.mark.parametrize(
    ("wire", "record_bytes", "piece_bytes"),
    [
        pytest.param(GET, 1000, 1_000_000, id="a request with the end of the handshake"),
        pytest.param(MANY, 16384, 1_000_000, id="many requests with it"),
        pytest.param(GET * 3, 7, 1_000_000, id="requests in many records at once"),
        pytest.param(GET * 3, 1000, 1, id="byte by byte"),
        pytest.param(GET * 3, 1, 13, id="records of one byte in pieces"),
        pytest.param(MANY, 16384, 1000, id="large records in pieces"),
    ],
)
def test_all_that_arrives_is_read(
    ca: LocalCa, certificate: Path, version: ssl.TLSVersion, wire: bytes, record_bytes: int, piece_bytes: int
) -> None:
    context = ssl.create_default_context(cafile=str(ca.file))
    context.minimum_version = context.maximum_version = version
    count = wire.count(b" HTTP/1.1\r\n")

    def exchange(port: int) -> bytes:
        client = BurstClient(port, context)
        try:
            client.agree(piece_bytes)
            client.write(wire, record_bytes)
            client.go(piece_bytes)
            return client.read_until(lambda found: found.count(b"HTTP/1.1 200") == count and found.endswith(b"hello"))
        finally:
            client.close()

    async def story() -> None:
        async with asyncio.timeout(60), serving_tls(make_router(), context_of(certificate), LIMITS) as (server, port):
            assert isinstance(server, TlsServer)
            replies = await asyncio.to_thread(exchange, port)
            assert (BODY in replies) is (wire is MANY)

    asyncio.run(story())
