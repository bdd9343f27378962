"""One non-blocking TCP socket with awaitable verbs; asyncio only says when it is ready.

Owns waiting, partial sends and closing of what clients, WebSockets, tunnels and peer links use. The server's
connections do not use it until an upgrade: they answer inside the readiness callback (`connection`).
"""

import asyncio
import os
import socket
import ssl
from collections.abc import Callable
from types import TracebackType
from typing import Self

from shared.httpcore.errors import ConnectFailed, ConnectionClosed
from shared.httpcore.limits import RECV_BYTES
from shared.httpcore.net.tls import explain
from shared.httpcore.net.tls_socket import TlsSocket


class Stream:
    """Owns `sock` from now on and makes it non-blocking. One reader and one writer at a time."""

    __slots__ = ("_loop", "_waiting", "_writing", "is_closed", "sock")

    def __init__(self, sock: socket.socket) -> None:
        sock.setblocking(False)
        self.sock = sock
        self.is_closed = False
        self._loop = asyncio.get_running_loop()
        self._writing = asyncio.Lock()
        self._waiting: set[asyncio.Future[None]] = set()

    @classmethod
    async def connect(
        cls, host: str, port: int, timeout_s: float = 10.0, tls: ssl.SSLContext | None = None
    ) -> "Stream":
        """A stream to the first address of `host` that answers. ConnectFailed when none does in time.

        `tls`: over TLS, and the server must prove that it is `host` (see `tls.make_client_context`).
        """
        try:
            async with asyncio.timeout(timeout_s):
                stream = cls(await _connect_socket(host, port))
                if tls is not None:
                    await stream.begin_tls(tls, host)
                return stream
        except TimeoutError:
            raise ConnectFailed(f"no connection to {host}:{port} within {timeout_s:g} s") from None
        except (OSError, UnicodeError) as error:
            raise ConnectFailed(f"no connection to {host}:{port}: {_reason(error)}") from None

    async def begin_tls(self, context: ssl.SSLContext, server_name: str) -> None:
        """As a client: everything from here on is encrypted. ConnectFailed says why not, and the stream is closed."""
        try:
            self.sock = sock = TlsSocket(self.sock, context, server_name)
            while True:
                try:
                    sock.handshake()
                    return
                except ssl.SSLWantReadError:
                    await self._wait(self._loop.add_reader, self._loop.remove_reader)
                except ssl.SSLWantWriteError:
                    await self._wait(self._loop.add_writer, self._loop.remove_writer)
        except (OSError, ValueError) as error:
            self.close()
            raise ConnectFailed(f"no TLS with {server_name}: {explain(error)}") from None
        except BaseException:
            self.close()
            raise

    async def recv(self, max_bytes: int = RECV_BYTES) -> bytes:
        """What has arrived, at least one byte; b"" when the other side has ended. ConnectionClosed on a reset."""
        while True:
            if self.is_closed:
                raise ConnectionClosed("the stream was closed on this side")
            try:
                return self.sock.recv(max_bytes)
            except (BlockingIOError, InterruptedError):
                await self._wait(self._loop.add_reader, self._loop.remove_reader)
            except OSError as error:
                raise ConnectionClosed(f"reading failed: {error}") from None

    async def send_all(self, data: bytes | memoryview) -> None:
        """Every byte is with the kernel afterwards; waits while the other side does not read."""
        async with self._writing:
            view = memoryview(data)
            while view:
                try:
                    view = view[self._send_some(view) :]
                except (BlockingIOError, InterruptedError):
                    await self._wait(self._loop.add_writer, self._loop.remove_writer)

    def _send_some(self, view: memoryview) -> int:
        if self.is_closed:
            raise ConnectionClosed("the stream was closed on this side")
        try:
            return self.sock.send(view)
        except (BlockingIOError, InterruptedError):
            raise
        except OSError as error:
            raise ConnectionClosed(f"sending failed: {error}") from None

    async def _wait(self, add: Callable[..., None], remove: Callable[[int], bool]) -> None:
        fd = self.sock.fileno()
        ready: asyncio.Future[None] = self._loop.create_future()
        self._waiting.add(ready)
        add(fd, _set_ready, ready)
        try:
            await ready
        finally:
            self._waiting.discard(ready)
            if not self.is_closed:
                remove(fd)

    def end_sending(self) -> None:
        """The other side reads the end after what was sent; reading goes on."""
        try:
            self.sock.shutdown(socket.SHUT_WR)
        except OSError:
            pass

    def close(self) -> None:
        """The socket is closed; whoever waits on it gets ConnectionClosed. Safe to call again."""
        if self.is_closed:
            return
        self.is_closed = True
        fd = self.sock.fileno()
        if fd >= 0:  # else TLS could not even begin
            self._loop.remove_reader(fd)
            self._loop.remove_writer(fd)
        self.sock.close()
        for ready in self._waiting:
            _set_ready(ready)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def _set_ready(ready: "asyncio.Future[None]") -> None:
    if not ready.done():
        ready.set_result(None)


def ip_family(host: str) -> socket.AddressFamily | None:
    """The address family of an IP address; None for a name, which needs a resolver."""
    for family in (socket.AF_INET, socket.AF_INET6):
        try:
            socket.inet_pton(family, host)
        except OSError:
            continue
        return family
    return None


def _reason(error: OSError | UnicodeError) -> str:
    """The system's words for its error; asyncio's text around it tells the address once more."""
    if isinstance(error, OSError) and not isinstance(error, socket.gaierror) and error.errno:
        return os.strerror(error.errno)
    return str(error)


async def _connect_socket(host: str, port: int) -> socket.socket:
    loop = asyncio.get_running_loop()
    if (literal := ip_family(host)) is not None:
        addresses: list[tuple[int, tuple[str, int]]] = [(literal, (host, port))]
    else:  # getaddrinfo blocks, so asyncio runs it in a thread
        found = await loop.getaddrinfo(host, port, type=socket.SOCK_STREAM)
        addresses = [(entry[0], (str(entry[4][0]), int(entry[4][1]))) for entry in found]
    failure: OSError = OSError(f"no address for {host}")
    for family, address in addresses:
        sock = socket.socket(family, socket.SOCK_STREAM)
        try:
            sock.setblocking(False)
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            await loop.sock_connect(sock, address)
        except OSError as error:
            failure = error
            sock.close()
        except BaseException:
            sock.close()
            raise
        else:
            return sock
    raise failure
