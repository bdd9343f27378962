"""Connections kept for the next request to the same origin. What goes over one of them is `client`'s."""

import asyncio
import ssl
from collections import deque
from collections.abc import Sequence
from urllib.parse import urlsplit

from shared.httpcore.errors import ConnectionClosed
from shared.httpcore.limits import DEFAULT_LIMITS, MIB, Limits
from shared.httpcore.methods import IDEMPOTENT_METHODS
from shared.httpcore.net.client import ClientConnection, ClientResponse, Origin
from shared.httpcore.net.stream import Stream
from shared.httpcore.net.tls import make_client_context

_DEFAULT_PORTS = {"http": 80, "ws": 80, "https": 443, "wss": 443}


class ConnectionPool:
    """Idle connections by origin, the last used first. Belongs to one event loop."""

    def __init__(
        self,
        max_idle_per_origin: int = 64,
        idle_s: float = 30.0,
        limits: Limits = DEFAULT_LIMITS,
        tls: ssl.SSLContext | None = None,
    ) -> None:
        """`tls` is for https:// origins; None means the system's CAs."""
        self._max_idle_per_origin = max_idle_per_origin
        self._idle_s = idle_s
        self._limits = limits
        self._tls = tls
        self._idle: dict[Origin, deque[ClientConnection]] = {}
        self._sweep_timer: asyncio.TimerHandle | None = None

    def take_idle(self, origin: Origin) -> ClientConnection | None:
        """An idle connection that looks alive, or None."""
        idle = self._idle.get(origin)
        now = asyncio.get_running_loop().time()
        while idle:
            connection = idle.pop()
            if now - connection.idle_since < self._idle_s and _is_silent(connection.stream):
                return connection
            connection.close()
        self._idle.pop(origin, None)
        return None

    async def acquire(self, origin: Origin, connect_timeout_s: float = 10.0) -> ClientConnection:
        """An idle connection, or a new one. ConnectFailed when there is none to be had."""
        return self.take_idle(origin) or await self.connect(origin, connect_timeout_s)

    async def connect(self, origin: Origin, connect_timeout_s: float = 10.0) -> ClientConnection:
        """A new connection. ConnectFailed when it can't be made in time."""
        if origin.is_tls and self._tls is None:
            self._tls = await asyncio.to_thread(make_client_context)
        stream = await Stream.connect(origin.host, origin.port, connect_timeout_s, self._tls if origin.is_tls else None)
        return ClientConnection(stream, origin, self._limits)

    def release(self, connection: ClientConnection) -> None:
        """Keeps the connection when its exchange ended cleanly and there is room, else closes it."""
        idle = self._idle.setdefault(connection.origin, deque())
        if not connection.can_be_reused or len(idle) >= self._max_idle_per_origin:
            connection.close()
            return
        loop = asyncio.get_running_loop()
        connection.idle_since = loop.time()
        idle.append(connection)
        if self._sweep_timer is None:
            self._sweep_timer = loop.call_later(self._idle_s, self._sweep)

    def _sweep(self) -> None:
        """Closes what nobody has asked for in a while; the oldest are first in their queues."""
        loop = asyncio.get_running_loop()
        oldest = loop.time() - self._idle_s
        for origin, idle in list(self._idle.items()):
            while idle and idle[0].idle_since <= oldest:
                idle.popleft().close()
            if not idle:
                del self._idle[origin]
        self._sweep_timer = loop.call_later(self._idle_s, self._sweep) if self._idle else None

    def drop_origin(self, origin: Origin) -> None:
        """Closes the idle connections of an origin that is gone."""
        for connection in self._idle.pop(origin, ()):
            connection.close()

    async def request(
        self,
        method: str,
        url: str,
        headers: Sequence[tuple[str, str]] = (),
        body: bytes | None = None,
        timeout_s: float = 10.0,
        max_body_bytes: int = 8 * MIB,
    ) -> ClientResponse:
        """The reply to one request, whole.

        ConnectFailed, ConnectionClosed, ProtocolError, or TimeoutError after `timeout_s`. A stale connection that was
        closed before any byte of the reply is replaced once, for idempotent methods.
        """
        origin, target = parse_http_url(url)
        pairs = [("Host", str(origin)), *headers]
        async with asyncio.timeout(timeout_s):
            connection = await self.acquire(origin, timeout_s)
            try:
                return await self._exchange(connection, method, target, pairs, body, max_body_bytes)
            except ConnectionClosed:
                if not connection.is_reused or method not in IDEMPOTENT_METHODS:
                    raise
            connection = await self.connect(origin, timeout_s)
            return await self._exchange(connection, method, target, pairs, body, max_body_bytes)

    async def _exchange(
        self,
        connection: ClientConnection,
        method: str,
        target: str,
        pairs: Sequence[tuple[str, str]],
        body: bytes | None,
        max_body_bytes: int,
    ) -> ClientResponse:
        try:
            await connection.send_request(method, target, pairs, body)
            while (head := await connection.read_head()).status < 200:
                pass
            content = await connection.read_body(max_body_bytes)
        except BaseException:
            connection.close()
            raise
        self.release(connection)
        return ClientResponse(head.status, head.headers, content)

    async def aclose(self) -> None:
        """Closes every idle connection."""
        if self._sweep_timer is not None:
            self._sweep_timer.cancel()
        for origin in list(self._idle):
            self.drop_origin(origin)


def _is_silent(stream: Stream) -> bool:
    """Whether nothing has arrived on an idle connection: an end or stray bytes make it useless."""
    if stream.is_closed:
        return False
    try:
        stream.sock.recv(1)
    except (BlockingIOError, InterruptedError):
        return True
    except OSError:
        pass
    return False


def parse_http_url(url: str) -> tuple[Origin, str]:
    """The origin and the request-target of an http:// or https:// URL; ValueError for anything else."""
    parts = urlsplit(url)
    default_port = _DEFAULT_PORTS.get(parts.scheme)
    if default_port is None or not parts.hostname:
        raise ValueError(f"got {url!r}, expected http://HOST[:PORT]/PATH, or https://")
    target = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
    return Origin(parts.hostname, parts.port or default_port, parts.scheme in ("https", "wss")), target
