"""A new connection to an upstream, by readiness callbacks: look the name up, try its addresses, agree on TLS.

Owns the socket until it is connected. What is said on it is `attempt`'s, when it is given up `exchanges`'.
"""

import asyncio
import errno
import os
import socket
import ssl
from dataclasses import dataclass
from typing import Protocol

from services.proxy.retries import FailureKind
from services.proxy.upstreams import Pool, Upstream
from shared.httpcore.net.stream import ip_family
from shared.httpcore.net.tls import explain
from shared.httpcore.net.tls_socket import TlsSocket

_UNDER_WAY = frozenset({errno.EINPROGRESS, errno.EINTR, errno.EWOULDBLOCK})


class Dialler(Protocol):
    """Whoever wants the connection. Called once, and never from within `Dial`'s own calls."""

    def on_connected(self, sock: socket.socket) -> None:
        """It is there, non-blocking, and the caller's from now on."""

    def on_connect_failed(self, kind: FailureKind, detail: str) -> None:
        """There is none to be had: CONNECT_FAILED, TLS_FAILED or BAD_CERTIFICATE."""


@dataclass(frozen=True, slots=True)
class TlsTarget:
    """How TLS is spoken to an upstream: by which rules, and which name it must prove."""

    context: ssl.SSLContext
    name: str


def tls_target(pool: Pool, upstream: Upstream) -> TlsTarget | None:
    """How the pool's configuration has TLS spoken to its upstream; None: it does not."""
    if (tls := pool.config.tls) is None:
        return None
    return TlsTarget(tls.context, tls.name or upstream.member.tls_name or upstream.address.host)


class Dial:
    """One try to connect to `host`, an address or a name, at `port`. `preface` is said first, before TLS even."""

    __slots__ = (
        "_addresses", "_dialler", "_failure", "_is_over", "_kind", "_lookup", "_loop", "_sock", "_tls", "preface",
    )  # fmt: skip

    def __init__(
        self, dialler: Dialler, host: str, port: int, tls: TlsTarget | None = None, preface: bytes = b""
    ) -> None:
        self._loop = asyncio.get_running_loop()
        self._dialler = dialler
        self._tls = tls
        self.preface = preface
        self._sock: socket.socket | None = None
        self._addresses: list[tuple[int, tuple[str, int]]] = []
        self._failure = f"no address for {host}"
        self._kind = FailureKind.CONNECT_FAILED
        self._is_over = False
        self._lookup: asyncio.Task[None] | None = None
        if (family := ip_family(host)) is not None:
            self._addresses.append((family, (host, port)))
            self._try_next()
        else:  # a name that is not `resolve`: looked up for each connection, in a thread
            self._lookup = self._loop.create_task(self._look_up(host, port))

    def cancel(self) -> None:
        """Nobody wants it any more."""
        self._is_over = True
        if self._lookup is not None:
            self._lookup.cancel()
        self._close()

    async def _look_up(self, host: str, port: int) -> None:
        try:
            found = await self._loop.getaddrinfo(host, port, type=socket.SOCK_STREAM)
        except (OSError, UnicodeError) as error:
            self._failure = f"{host}: {error}"
        else:
            self._addresses = [(entry[0], (str(entry[4][0]), int(entry[4][1]))) for entry in found]
        self._try_next()

    def _try_next(self) -> None:
        """The next address; when none is left the dialler hears why the last one failed."""
        while self._addresses:
            family, address = self._addresses.pop(0)
            try:
                self._sock = sock = socket.socket(family, socket.SOCK_STREAM)
                sock.setblocking(False)
                sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                code = sock.connect_ex(address)
            except OSError as error:
                self._failure = str(error)
                self._close()
                continue
            if code in _UNDER_WAY or code == 0:  # writable at once when it is connected already
                self._loop.add_writer(sock.fileno(), self._on_writable)
                return
            self._failure = os.strerror(code)
            self._close()
        self._loop.call_soon(self._fail)

    def _on_writable(self) -> None:
        sock = self._sock
        assert sock is not None
        self._loop.remove_writer(sock.fileno())
        code = sock.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
        if code:
            self._failure = os.strerror(code)
            self._close()
            self._try_next()
            return
        if self.preface:
            try:
                sock.sendall(self.preface)  # some hundred bytes, into an empty buffer
            except OSError as error:
                self._failure = str(error)
                self._close()
                self._loop.call_soon(self._fail)
                return
        if self._tls is not None:
            self._begin_tls(sock, self._tls)
        else:
            self._succeed(sock)

    def _begin_tls(self, sock: socket.socket, tls: TlsTarget) -> None:
        try:
            self._sock = TlsSocket(sock, tls.context, tls.name)
        except (OSError, ValueError) as error:
            self._fail_tls(error)
            return
        self._shake_hands()

    def _shake_hands(self) -> None:
        sock = self._sock
        assert isinstance(sock, TlsSocket)
        fd = sock.fileno()
        self._loop.remove_reader(fd)
        self._loop.remove_writer(fd)
        try:
            sock.handshake()
        except ssl.SSLWantReadError:
            self._loop.add_reader(fd, self._shake_hands)
        except ssl.SSLWantWriteError:
            self._loop.add_writer(fd, self._shake_hands)
        except (OSError, ValueError) as error:
            self._fail_tls(error)
        else:
            self._succeed(sock)

    def _fail_tls(self, error: Exception) -> None:
        is_unproven = isinstance(error, ssl.SSLCertVerificationError)
        self._kind = FailureKind.BAD_CERTIFICATE if is_unproven else FailureKind.TLS_FAILED
        self._failure = f"no TLS: {explain(error)}"
        self._close()
        self._loop.call_soon(self._fail)

    def _succeed(self, sock: socket.socket) -> None:
        self._is_over, self._sock = True, None
        self._dialler.on_connected(sock)

    def _fail(self) -> None:
        if not self._is_over:
            self._is_over = True
            self._dialler.on_connect_failed(self._kind, self._failure)

    def _close(self) -> None:
        if self._sock is None:
            return
        fd = self._sock.fileno()
        if fd >= 0:
            self._loop.remove_reader(fd)
            self._loop.remove_writer(fd)
        self._sock.close()
        self._sock = None
