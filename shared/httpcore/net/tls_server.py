"""A server whose connections begin with a TLS handshake; after it they are `connection`'s, as any other.

Owns the handshakes: their time, their failures, and those who speak something else. Contexts are `tls`'s.
"""

import asyncio
import logging
import socket
import ssl
from functools import partial

from shared.httpcore.limits import DEFAULT_LIMITS, RECV_BYTES, Limits
from shared.httpcore.net.connection import Connection
from shared.httpcore.net.host import OnResponse, OnSlowHandler
from shared.httpcore.net.server import Server
from shared.httpcore.net.tls import explain
from shared.httpcore.net.tls_socket import TlsSocket
from shared.httpcore.routing import Router

logger = logging.getLogger("weaprous.http")

HANDSHAKE_RECORD = b"\x16"  # RFC 8446 §5.1: the first byte of every TLS connection
FAILURE_LOG_S = 10.0  # strangers with scanners must not fill the log

_BODY = b"This port speaks HTTPS: the address must begin with https://\n"
PLAINTEXT_REPLY = (
    b"HTTP/1.1 400 Bad Request\r\nContent-Type: text/plain; charset=utf-8\r\nContent-Length: %d\r\n"
    b"Cache-Control: no-store\r\nConnection: close\r\n\r\n%b"
) % (len(_BODY), _BODY)


class TlsServer(Server):
    """Serves one application over TLS. Assign another `context` for the connections from then on."""

    def __init__(
        self,
        router: Router,
        context: ssl.SSLContext,
        limits: Limits = DEFAULT_LIMITS,
        on_response: OnResponse | None = None,
        on_slow_handler: OnSlowHandler | None = None,
    ) -> None:
        super().__init__(router, limits, on_response, on_slow_handler, scheme="https")
        self.context = context
        self.failed_handshake_count = 0  # since the start
        self._handshakes: set[Handshake] = set()
        self._last_failure_logged_at = -FAILURE_LOG_S
        self._unlogged_failures = 0

    @property
    def connection_count(self) -> int:
        """Open connections; those in their handshake, and upgraded ones, included."""
        return super().connection_count + len(self._handshakes)

    def _open(self, sock: socket.socket, ip: str, port: int) -> None:
        self._handshakes.add(Handshake(self, sock, ip, port))

    def on_handshake_done(self, handshake: "Handshake", sock: TlsSocket) -> None:
        """The connection begins."""
        self._handshakes.discard(handshake)
        connection = Connection(self, sock, handshake.remote_ip, handshake.remote_port)
        self._connections.add(connection)
        if sock.has_unread:
            connection._on_readable()  # the first request came with the end of the handshake
        if self._sweep_timer is None:
            self._start_sweeping()

    def on_handshake_ended(self, handshake: "Handshake") -> None:
        """The socket is closed, and there was no connection."""
        self._handshakes.discard(handshake)
        self._admission.leave(handshake.remote_ip)
        self._check_all_closed()

    def on_handshake_failed(self, ip: str, reason: str) -> None:
        """It is counted, and logged once in a while."""
        self.failed_handshake_count += 1
        now = self.loop.time()
        if now - self._last_failure_logged_at < FAILURE_LOG_S:
            self._unlogged_failures += 1
            return
        more = f"; {self._unlogged_failures} more since the last such line" if self._unlogged_failures else ""
        logger.info("a TLS handshake with %s failed: %s%s", ip, reason, more)
        self._last_failure_logged_at, self._unlogged_failures = now, 0

    def begin_drain(self, *, closes_idle: bool = True) -> None:
        """As `Server`; a client that has not yet said a word counts as idle."""
        for handshake in list(self._handshakes):
            handshake.begin_drain()
        super().begin_drain(closes_idle=closes_idle)

    async def wait_closed(self, timeout_s: float) -> int:
        """As `Server`; handshakes are cut with the rest."""
        cut_count = await super().wait_closed(timeout_s)
        for handshake in list(self._handshakes):
            handshake.close()
        return cut_count


class Handshake:
    """One accepted socket until TLS is agreed. Nothing of OpenSSL is allocated before the client's first byte."""

    __slots__ = ("_discarded_bytes", "_has_begun", "_loop", "_server", "_sock", "_timer", "remote_ip", "remote_port")

    def __init__(self, server: TlsServer, sock: socket.socket, remote_ip: str, remote_port: int) -> None:
        self.remote_ip = remote_ip
        self.remote_port = remote_port
        self._server = server
        self._sock = sock
        self._has_begun = False
        self._discarded_bytes = 0
        self._loop = server.loop
        self._loop.add_reader(sock.fileno(), self._on_first_byte)
        self._timer: asyncio.TimerHandle | None = server.loop.call_later(
            server.limits.handshake_timeout_s, partial(self._fail, "it took too long")
        )

    def _on_first_byte(self) -> None:
        try:
            first = self._sock.recv(1, socket.MSG_PEEK)
        except (BlockingIOError, InterruptedError):
            return
        except OSError:
            first = b""
        self._has_begun = True
        if first == HANDSHAKE_RECORD:
            self._begin()
        elif first.isalpha():
            self._answer_plaintext()
        elif first:
            self._fail("the client does not speak TLS")
        else:
            self.close()  # somebody who only wanted to know whether the port is open

    def _begin(self) -> None:
        self._loop.remove_reader(self._sock.fileno())
        try:
            self._sock = TlsSocket(self._sock, self._server.context)
        except (OSError, ValueError) as error:
            self._fail(explain(error))
        else:
            self._go_on()

    def _go_on(self) -> None:
        sock = self._sock
        assert isinstance(sock, TlsSocket)
        fd = sock.fileno()
        self._loop.remove_writer(fd)
        try:
            sock.handshake()
        except ssl.SSLWantReadError:
            self._loop.add_reader(fd, self._go_on)
        except ssl.SSLWantWriteError:
            self._loop.remove_reader(fd)
            self._loop.add_writer(fd, self._go_on)
        except (OSError, ValueError) as error:
            self._fail(explain(error))
        else:
            self._stop_waiting()
            self._server.on_handshake_done(self, sock)

    def _answer_plaintext(self) -> None:
        """A clear 400; then what the client still sends is discarded, so that no reset destroys the reply."""
        self._server.on_handshake_failed(self.remote_ip, "the client speaks plain HTTP")
        self._stop_waiting()
        self._timer = self._loop.call_later(self._server.limits.linger_timeout_s, self.close)
        try:
            self._sock.send(PLAINTEXT_REPLY)
            self._sock.shutdown(socket.SHUT_WR)
        except OSError:
            self.close()
        else:
            self._loop.add_reader(self._sock.fileno(), self._discard)

    def _discard(self) -> None:
        try:
            data = self._sock.recv(RECV_BYTES)
        except (BlockingIOError, InterruptedError):
            return
        except OSError:
            data = b""
        self._discarded_bytes += len(data)
        if not data or self._discarded_bytes > self._server.limits.max_lingering_bytes:
            self.close()

    def _fail(self, reason: str) -> None:
        self._server.on_handshake_failed(self.remote_ip, reason)
        self.close()

    def begin_drain(self) -> None:
        """One that has not begun is closed."""
        if not self._has_begun:
            self.close()

    def close(self) -> None:
        """The socket is closed."""
        if self._timer is None:
            return
        self._stop_waiting()
        self._sock.close()
        self._server.on_handshake_ended(self)

    def _stop_waiting(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        fd = self._sock.fileno()
        if fd >= 0:
            self._loop.remove_reader(fd)
            self._loop.remove_writer(fd)
