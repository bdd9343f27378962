"""Who is let in: how many connections there are, in total and of each client, and the refusal of those over the limits.

Knows nothing of requests: a refused connection gets one reply, written in advance, whatever it was going to ask.
`server` accepts and asks here; `limits` has the numbers.
"""

import asyncio
import logging
import resource
import socket
from collections import OrderedDict
from collections.abc import Callable

from shared.httpcore.limits import RECV_BYTES, Limits

logger = logging.getLogger("weaprous.http")

RETRY_AFTER_S = 1
MAX_LINGERING = 32  # refused connections that are kept until the client has read why
LINGER_S = 1.0
EPISODE_ENDS_AFTER_S = 5.0
MIN_KEPT_FILES = 128  # descriptors for everything else: files, upstreams, refused connections

_BODY = b'{"error":{"code":"too_many_connections","message":"as many connections are open as may be; try again"}}'
REFUSAL = (
    b"HTTP/1.1 503 Service Unavailable\r\nContent-Type: application/json; charset=utf-8\r\nContent-Length: %d\r\n"
    b"Retry-After: %d\r\nCache-Control: no-store\r\nConnection: close\r\nX-Request-Id: "
) % (len(_BODY), RETRY_AFTER_S)


def max_connections_of_system() -> int | None:
    """How many of the descriptors that this process may open are for connections; None when there is no limit.

    An eighth is kept for other things, at least 128, and never more than half.
    """
    soft, _hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft == resource.RLIM_INFINITY:
        return None
    return max(1, soft - min(soft // 2, max(MIN_KEPT_FILES, soft // 8)))


class Episode:
    """Trouble that comes in crowds: told once when it begins, and once when there was none for a while."""

    def __init__(self) -> None:
        self._count = 0
        self._last_at: float | None = None  # None: there is no trouble

    @property
    def is_on(self) -> bool:
        """Whether its end is still to be told."""
        return self._last_at is not None

    def note(self, now: float) -> bool:
        """It happened again; whether this was the first time."""
        is_first = self._last_at is None
        self._count = 1 if is_first else self._count + 1
        self._last_at = now
        return is_first

    def end(self, now: float) -> int:
        """How often it happened, if it has just ended; else 0."""
        if self._last_at is None or now - self._last_at < EPISODE_ENDS_AFTER_S:
            return 0
        self._last_at = None
        return self._count


class Admission:
    """The counts of one server. Each connection that was counted is to `leave` once, with the same address."""

    def __init__(self, loop: asyncio.AbstractEventLoop, limits: Limits, speaks_plainly: bool = True) -> None:
        self.refused_count = 0  # since the start
        self._loop = loop
        self._max_total = limits.max_connections or max_connections_of_system()
        self._max_per_client = limits.max_connections_per_client
        self._total = 0
        self._by_client: dict[str, int] = {}  # only kept where there is a limit
        self._speaks_plainly = speaks_plainly  # under TLS nothing can be said before a handshake
        self._lingering: OrderedDict[socket.socket, float] = OrderedDict()  # refused, and until when; oldest first
        self._refusals = Episode()
        self._report: Callable[[int], None] | None = None

    def report_to(self, report: Callable[[int], None]) -> None:
        """`report` is called with the number of connections, now and whenever it has changed."""
        self._report = report
        report(self._total)

    @property
    def needs_sweeping(self) -> bool:
        """Whether `sweep` has something to wait for."""
        return self._refusals.is_on

    def may_enter(self, ip: str) -> bool:
        """Whether one more connection of this client is within the limits; it is then counted."""
        if self._max_total is not None and self._total >= self._max_total:
            self._on_refusal(f"{self._total} connections are open, as many as may be")
            return False
        if self._max_per_client is not None and self._by_client.get(ip, 0) >= self._max_per_client:
            self._on_refusal(f"{ip} has {self._max_per_client} connections open, as many as one client may")
            return False
        self.enter(ip)
        return True

    def enter(self, ip: str) -> None:
        """One more connection is counted, within the limits or not."""
        self._total += 1
        if self._report is not None:
            self._report(self._total)
        if self._max_per_client is not None:
            self._by_client[ip] = self._by_client.get(ip, 0) + 1

    def leave(self, ip: str) -> None:
        """A connection of this client has ended."""
        self._total -= 1
        if self._report is not None:
            self._report(self._total)
        if self._max_per_client is not None:
            count = self._by_client[ip] - 1
            if count:
                self._by_client[ip] = count
            else:
                del self._by_client[ip]

    def refuse(self, sock: socket.socket, request_id: str) -> None:
        """The connection gets 503 and is closed when the client has read it, soon at the latest.

        Closing at once would reset it and so destroy the reply, if the client's request is on its way (RFC 9112 §9.6).
        """
        try:
            if not self._speaks_plainly:
                raise BlockingIOError
            sock.send(b"%b%b\r\n\r\n%b" % (REFUSAL, request_id.encode("ascii"), _BODY))
            sock.shutdown(socket.SHUT_WR)
        except OSError:
            sock.close()
            return
        if len(self._lingering) >= MAX_LINGERING:
            self._let_go(next(iter(self._lingering)))
        self._lingering[sock] = self._loop.time() + LINGER_S
        self._loop.add_reader(sock.fileno(), self._discard, sock)

    def sweep(self, now: float) -> None:
        """Refused connections whose time is over are closed; the end of an episode of refusals is logged."""
        for sock, until in list(self._lingering.items()):
            if until <= now:
                self._let_go(sock)
        if count := self._refusals.end(now):
            logger.warning("connections are accepted again; %d were refused", count)

    def close(self) -> None:
        """Nobody who was refused is waited for any more."""
        for sock in list(self._lingering):
            self._let_go(sock)

    def _on_refusal(self, why: str) -> None:
        """It is counted, and logged once for all those that follow each other."""
        self.refused_count += 1
        if self._refusals.note(self._loop.time()):
            logger.error("connections are refused with 503: %s", why)

    def _discard(self, sock: socket.socket) -> None:
        """What the client asks is not looked at; its end is what is waited for."""
        try:
            if sock.recv(RECV_BYTES):
                return
        except (BlockingIOError, InterruptedError):
            return
        except OSError:
            pass
        self._let_go(sock)

    def _let_go(self, sock: socket.socket) -> None:
        del self._lingering[sock]
        self._loop.remove_reader(sock.fileno())
        sock.close()
