"""A new connection to an upstream: whom it reaches, what is said first, and why there is none."""

import asyncio
import contextlib
import socket
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from services.proxy.dialing import Dial, TlsTarget
from services.proxy.retries import FailureKind
from shared.httpcore.net.tls import make_client_context
from shared.httpcore.net.tls_socket import TlsSocket
from tests.certificates import LocalCa
from tests.tls_terminator import TlsTerminator

Failed = tuple[FailureKind, str]


class Waiting:
    """A dialler that hears once of a socket, or of a failure."""

    def __init__(self) -> None:
        self.outcome: asyncio.Future[socket.socket | Failed] = asyncio.get_running_loop().create_future()

    def on_connected(self, sock: socket.socket) -> None:
        self.outcome.set_result(sock)

    def on_connect_failed(self, kind: FailureKind, detail: str) -> None:
        self.outcome.set_result((kind, detail))


async def dial(host: str, port: int, tls: TlsTarget | None = None, preface: bytes = b"") -> socket.socket | Failed:
    waiting = Waiting()
    Dial(waiting, host, port, tls, preface)
    assert not waiting.outcome.done(), "never from within its own calls"
    async with asyncio.timeout(10):
        return await waiting.outcome


def failure_of(host: str, port: int, tls: TlsTarget | None = None) -> Failed:
    outcome = asyncio.run(dial(host, port, tls))
    assert isinstance(outcome, tuple)
    return outcome


@pytest.fixture
def listener() -> Iterator[socket.socket]:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        listener.settimeout(10)
        yield listener


@pytest.fixture(scope="module")
def ca(tmp_path_factory: pytest.TempPathFactory) -> LocalCa:
    return LocalCa(tmp_path_factory.mktemp("ca"))


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost"])
def test_an_address_and_a_name_are_reached_and_the_preface_is_said(listener: socket.socket, host: str) -> None:
    async def run() -> None:
        sock = await dial(host, listener.getsockname()[1], preface=b"PROXY UNKNOWN\r\n")
        assert isinstance(sock, socket.socket)
        with sock, listener.accept()[0] as accepted:
            accepted.settimeout(10)
            assert accepted.recv(100) == b"PROXY UNKNOWN\r\n"
            assert sock.getblocking() is False
            assert sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)

    asyncio.run(run())


def test_where_nobody_listens_the_system_s_word_for_it_is_the_reason() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    assert failure_of("127.0.0.1", port) == (FailureKind.CONNECT_FAILED, "Connection refused")


def test_a_name_that_can_t_be_one_is_a_failure_and_no_crash() -> None:
    kind, detail = failure_of("x" * 64 + ".example", 80)
    assert kind is FailureKind.CONNECT_FAILED
    assert detail.startswith("x" * 64)


def test_one_that_is_cancelled_says_nothing_and_leaves_nothing_open(listener: socket.socket) -> None:
    async def run() -> None:
        waiting = Waiting()
        dial = Dial(waiting, "127.0.0.1", listener.getsockname()[1])
        dial.cancel()
        with listener.accept()[0] as accepted:
            accepted.setblocking(False)
            assert await asyncio.get_running_loop().sock_recv(accepted, 1) == b""
        assert not waiting.outcome.done()

    asyncio.run(run())


def test_a_lookup_that_is_cancelled_connects_to_nobody(listener: socket.socket) -> None:
    async def run() -> None:
        waiting = Waiting()
        dial = Dial(waiting, "localhost", listener.getsockname()[1])
        dial.cancel()
        while len(asyncio.all_tasks()) > 1:
            await asyncio.sleep(0)
        assert not waiting.outcome.done()

    asyncio.run(run())
    listener.setblocking(False)
    with pytest.raises(BlockingIOError):
        listener.accept()


# --- TLS -------------------------------------------------------------------------------------------------------


def test_tls_is_agreed_on_before_anybody_hears_of_it(ca: LocalCa, listener: socket.socket) -> None:
    async def run(port: int) -> None:
        sock = await dial("127.0.0.1", port, TlsTarget(context, "inside.example"))
        assert isinstance(sock, TlsSocket)
        assert sock.context is context
        sock.close()

    context = make_client_context(ca.file)
    with TlsTerminator(ca.issue("inside.example"), listener.getsockname()[1]) as terminator:
        asyncio.run(run(int(terminator.url.rpartition(":")[2])))


@pytest.mark.parametrize(
    ("name", "days", "reason"),
    [
        ("other.example", 2, "Hostname mismatch, certificate is not valid for 'inside.example'."),
        ("inside.example", -1, "certificate has expired"),
    ],
)
def test_a_certificate_that_proves_nothing_is_told_apart(
    ca: LocalCa, listener: socket.socket, name: str, days: int, reason: str
) -> None:
    certificate = ca.issue(name, file="unproven.pem", days=days)
    with TlsTerminator(certificate, listener.getsockname()[1]) as terminator:
        port = int(terminator.url.rpartition(":")[2])
        outcome = failure_of("127.0.0.1", port, TlsTarget(make_client_context(ca.file), "inside.example"))
    assert outcome == (FailureKind.BAD_CERTIFICATE, f"no TLS: certificate verify failed: {reason}")


def test_a_ca_that_is_not_trusted_proves_nothing(ca: LocalCa, listener: socket.socket, tmp_path: Path) -> None:
    other = LocalCa(tmp_path / "other")
    with TlsTerminator(ca.issue("inside.example"), listener.getsockname()[1]) as terminator:
        port = int(terminator.url.rpartition(":")[2])
        kind, _ = failure_of("127.0.0.1", port, TlsTarget(make_client_context(other.file), "inside.example"))
    assert kind is FailureKind.BAD_CERTIFICATE


@pytest.mark.parametrize("answer", [b"", b"HTTP/1.1 400 Bad Request\r\n\r\n", b"\x16\x03\x03\xff\xff" + b"x" * 100])
def test_who_does_not_speak_tls_is_no_upstream(listener: socket.socket, answer: bytes) -> None:
    def serve() -> None:
        with contextlib.suppress(OSError), listener.accept()[0] as accepted:
            accepted.recv(65536)
            accepted.sendall(answer)

    threading.Thread(target=serve, daemon=True).start()
    target = TlsTarget(make_client_context(is_verified=False), "inside.example")
    kind, detail = failure_of("127.0.0.1", listener.getsockname()[1], target)
    assert kind is FailureKind.TLS_FAILED
    assert detail.startswith("no TLS: ")
