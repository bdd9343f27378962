"""Connections to upstreams, driven by readiness callbacks, and the idle ones that are kept for the next request.

A connection stays registered with the loop for its whole life, so going idle and being taken again cost nothing, and an
idle one whose upstream ends it, or says something unasked, is closed at that moment. What is said is `attempt`'s.
"""

import asyncio
import socket
import ssl
from collections.abc import Callable
from time import monotonic
from typing import Protocol

from services.proxy.upstreams import Upstream
from shared.httpcore.limits import RECV_BYTES
from shared.httpcore.net.tls_socket import TlsSocket

MAX_IDLE_PER_UPSTREAM = 64
IDLE_S = 30.0


class User(Protocol):
    """Whoever an exchange on a connection belongs to."""

    def on_data(self, data: bytes) -> None:
        """The upstream has sent this."""

    def on_end(self, detail: str, *, is_orderly: bool) -> None:
        """The upstream sends no more, or (not `is_orderly`) the connection broke."""

    def on_sent(self) -> None:
        """What had been held up is with the kernel."""

    def on_send_failed(self) -> None:
        """The upstream takes no more; what it has sent can still be read."""


class UpstreamConnection:
    """One connected socket. `user` None: it is idle."""

    __slots__ = (
        "_idle",
        "_loop",
        "_read",
        "_unsent",
        "idle_since",
        "is_closed",
        "is_one_client_s",
        "is_reading",
        "sock",
        "upstream",
        "user",
    )

    def __init__(self, idle: "IdleConnections", sock: socket.socket, upstream: Upstream) -> None:
        self._loop = asyncio.get_running_loop()
        self._idle = idle
        self._unsent: memoryview | None = None
        self.is_reading = True
        self._read: Callable[[], None] = self._on_readable
        self.idle_since = 0.0
        self.is_closed = False
        self.is_one_client_s = False  # it began by saying who that is (PROXY protocol), and serves nobody else
        self.sock = sock
        self.upstream = upstream
        self.user: User | None = None
        self._loop.add_reader(sock.fileno(), self._read)

    @property
    def plain_fd(self) -> int | None:
        """The descriptor, where what is read from it is what was sent; None under TLS."""
        return None if isinstance(self.sock, TlsSocket) else self.sock.fileno()

    def is_agreed_by(self, context: ssl.SSLContext) -> bool:
        """Whether TLS is spoken on it by these rules."""
        return isinstance(self.sock, TlsSocket) and self.sock.context is context

    # --- reading -----------------------------------------------------------------------------------------------

    def _on_readable(self) -> None:
        try:
            data = self.sock.recv(RECV_BYTES)
        except (BlockingIOError, InterruptedError):
            return
        except OSError as error:
            self._end(f"reading failed: {error}", is_orderly=False)
            return
        user = self.user
        if not data:
            self._end("the upstream ended the connection", is_orderly=True)
        elif user is not None:
            user.on_data(data)
        else:
            self._idle.discard(self)  # said unasked: it would be read as the next reply

    def _end(self, detail: str, *, is_orderly: bool) -> None:
        if self.user is None:
            self._idle.discard(self)
            return
        self.set_reading(False)
        self.user.on_end(detail, is_orderly=is_orderly)

    def set_reading(self, wanted: bool) -> None:
        """Whether `user` hears of what arrives."""
        if wanted is self.is_reading or self.is_closed:
            return
        self.is_reading = wanted
        if wanted:
            self._loop.add_reader(self.sock.fileno(), self._read)
        else:
            self._loop.remove_reader(self.sock.fileno())

    def read_by(self, read: Callable[[], None] | None) -> None:
        """`read` is called whenever there is something to be read, instead of the user; None: as before."""
        self._read = self._on_readable if read is None else read
        if self.is_reading and not self.is_closed:
            self._loop.add_reader(self.sock.fileno(), self._read)

    # --- sending -----------------------------------------------------------------------------------------------

    def send(self, data: bytes) -> bool:
        """Whether all of it is with the kernel; if not, `on_sent` or `on_send_failed` follows, never from here."""
        if self._unsent is not None:
            raise RuntimeError("something is still unsent")
        try:
            sent = self.sock.send(data)
        except (BlockingIOError, InterruptedError):
            sent = 0
        except OSError:
            self._loop.call_soon(self._fail_sending)
            return False
        if sent == len(data):
            return True
        self._unsent = memoryview(data)[sent:]
        self._loop.add_writer(self.sock.fileno(), self._on_writable)
        return False

    @property
    def has_unsent(self) -> bool:
        """Whether the kernel has not taken all that was sent."""
        return self._unsent is not None

    def _on_writable(self) -> None:
        assert self._unsent is not None
        try:
            self._unsent = self._unsent[self.sock.send(self._unsent) :]
        except (BlockingIOError, InterruptedError):
            return
        except OSError:
            self._stop_sending()
            self._fail_sending()
            return
        if not self._unsent:
            self._stop_sending()
            if self.user is not None:
                self.user.on_sent()

    def _stop_sending(self) -> None:
        if self._unsent is not None:
            self._unsent = None
            self._loop.remove_writer(self.sock.fileno())

    def _fail_sending(self) -> None:
        if self.user is not None and not self.is_closed:
            self.user.on_send_failed()

    # --- the end -----------------------------------------------------------------------------------------------

    def release_socket(self) -> socket.socket:
        """The socket, which is somebody else's from here on."""
        self._leave_loop()
        return self.sock

    def close(self) -> None:
        """The connection is gone. Safe to call again."""
        if not self.is_closed:
            self._leave_loop()
            self.sock.close()

    def _leave_loop(self) -> None:
        self._stop_sending()
        self.set_reading(False)
        self.is_closed = True
        self.user = None


class IdleConnections:
    """The connections that wait for the next request, by upstream, the last used first."""

    def __init__(self, max_per_upstream: int = MAX_IDLE_PER_UPSTREAM, idle_s: float = IDLE_S) -> None:
        self._max_per_upstream = max_per_upstream
        self._idle_s = idle_s
        self.by_upstream: dict[Upstream, list[UpstreamConnection]] = {}
        self.now = monotonic()  # as of the last sweep, which is exact enough

    def put(self, connection: UpstreamConnection) -> None:
        """Kept, unless as many wait already."""
        waiting = self.by_upstream.get(connection.upstream)
        if waiting is None:
            waiting = self.by_upstream[connection.upstream] = []
        if len(waiting) >= self._max_per_upstream:
            connection.close()
            return
        connection.user = None
        connection.idle_since = self.now
        if not connection.is_reading:
            connection.set_reading(True)
        waiting.append(connection)

    def discard(self, connection: UpstreamConnection) -> None:
        """It is closed, and offered to nobody any more."""
        connection.close()
        waiting = self.by_upstream.get(connection.upstream, [])
        if connection in waiting:
            waiting.remove(connection)

    def drop(self, upstream: Upstream) -> None:
        """Those to an upstream that is gone are closed."""
        for connection in self.by_upstream.pop(upstream, ()):
            connection.close()

    def sweep(self, now: float) -> bool:
        """Closes what nobody has asked for in a while; whether any are left. The oldest are first in their lists."""
        self.now = now
        for upstream, waiting in list(self.by_upstream.items()):
            while waiting and waiting[0].idle_since + self._idle_s <= now:
                waiting.pop(0).close()
            if not waiting:
                del self.by_upstream[upstream]
        return bool(self.by_upstream)

    def close(self) -> None:
        """None are left."""
        for upstream in list(self.by_upstream):
            self.drop(upstream)
