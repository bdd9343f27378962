"""An accepted socket until the PROXY header in front of it is read (see `shared.httpcore.proxy_protocol`).

Takes exactly the header's bytes off the socket: what follows is a request, or a TLS handshake, for whoever comes next.
Owns the time that a balancer may take.
"""

import asyncio
import socket
from collections.abc import Callable

from shared.httpcore.errors import ProtocolError
from shared.httpcore.proxy_protocol import MAX_V2_BYTES, ProxyHeader, parse_proxy_header

# Called once: with the header, or with None and why there is none ("": nobody is to blame); then the socket is closed.
OnEnd = Callable[["HeaderWait", ProxyHeader | None, str], None]


class HeaderWait:
    """One socket. `ip` and `port` are the balancer's."""

    __slots__ = ("_loop", "_on_end", "_received", "_timer", "ip", "port", "sock")

    def __init__(
        self, loop: asyncio.AbstractEventLoop, sock: socket.socket, address: tuple[str, int], timeout_s: float,
        on_end: OnEnd,
    ) -> None:  # fmt: skip
        self.sock = sock
        self.ip, self.port = address
        self._loop = loop
        self._on_end = on_end
        self._received = b""
        self._timer = loop.call_later(timeout_s, self.give_up, "it took too long")
        loop.add_reader(sock.fileno(), self._on_readable)

    def _on_readable(self) -> None:
        """Looks before it takes. Of a header that is not whole all that came belongs to it, so all is taken; otherwise
        the loop would call again at once, for what it has seen already.
        """
        try:
            seen = self.sock.recv(MAX_V2_BYTES - len(self._received), socket.MSG_PEEK)
            if not seen:
                self.give_up("it left in the middle" if self.has_begun else "")
                return
            header = parse_proxy_header(self._received + seen)
            self._received += self.sock.recv(len(seen) if header is None else header.size - len(self._received))
        except (BlockingIOError, InterruptedError):
            return
        except ProtocolError as error:
            self.give_up(error.message)
            return
        except OSError as error:
            self.give_up(error.strerror or "the connection broke")
            return
        if header is not None:
            self._stop()
            self._on_end(self, header, "")

    @property
    def has_begun(self) -> bool:
        """Whether a part of the header has come. A balancer may open a connection only to see whether it can."""
        return bool(self._received)

    def give_up(self, reason: str) -> None:
        """The socket is closed, and whoever waits for the header is told why."""
        self._stop()
        self.sock.close()
        self._on_end(self, None, reason)

    def _stop(self) -> None:
        self._timer.cancel()
        self._loop.remove_reader(self.sock.fileno())
