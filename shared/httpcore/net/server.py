"""Listeners, the connections, the sweep for time-outs and the drain. A connection's own life is in `connection`."""

import asyncio
import itertools
import logging
import os
import socket
import time
from collections.abc import Callable, Iterable
from functools import partial
from typing import Any, Protocol

from shared.httpcore.dates import format_http_date
from shared.httpcore.limits import DEFAULT_LIMITS, Limits
from shared.httpcore.message import Request, Upgrade
from shared.httpcore.net.admission import Admission, Episode
from shared.httpcore.net.connection import Connection
from shared.httpcore.net.handler_watch import HandlerWatch
from shared.httpcore.net.host import OnResponse, OnSlowHandler
from shared.httpcore.net.loop import turn_end_of
from shared.httpcore.net.proxied_accept import HeaderWait
from shared.httpcore.net.stream import Stream, ip_family
from shared.httpcore.proxy_protocol import ProxyHeader
from shared.httpcore.routing import Router

logger = logging.getLogger("weaprous.http")

BACKLOG = 1024
ACCEPTS_PER_TURN = 32
SWEEP_S = 1.0
ACCEPT_PAUSE_S = 0.2
TAKE_OVER_AFTER_S = 0.25


def bind_listener(ip: str, port: int, *, is_shared: bool = False) -> socket.socket:
    """A listening, non-blocking socket; port 0 takes a free one. OSError when the address can't be had.

    `is_shared`: others that are may have the same port, and Linux spreads the connections among them (SO_REUSEPORT).
    """
    family = ip_family(ip)
    if family is None:
        found = socket.getaddrinfo(ip, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
        family, address = found[0][0], found[0][4][:2]
    else:
        address = (ip, port)
    listener = socket.create_server(address, family=family, backlog=BACKLOG, reuse_port=is_shared)
    listener.setblocking(False)
    # Accepted sockets inherit it (Linux, the BSDs), which saves a system call a connection.
    listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return listener


class Listener(Protocol):
    """What connections are accepted from: a listening socket, or what looks like one. It never blocks."""

    def fileno(self) -> int:
        """Readable when a connection waits."""

    def accept(self) -> tuple[socket.socket, Any]:
        """A connection and its client's address. BlockingIOError when none waits."""

    def close(self) -> None:
        """Nothing is accepted from it any more."""


class Server:
    """Serves one application on any number of listeners, in the running event loop."""

    def __init__(
        self,
        router: Router,
        limits: Limits = DEFAULT_LIMITS,
        on_response: OnResponse | None = None,
        on_slow_handler: OnSlowHandler | None = None,
        scheme: str = "http",
    ) -> None:
        self.router = router
        self.limits = limits
        self.scheme = scheme
        self.loop = asyncio.get_running_loop()
        self.at_turn_end = turn_end_of(self.loop)
        self.is_draining = False
        self.record = on_response or _ignore_response  # a reply is complete: whoever counts and logs hears of it
        self.on_slow_handler = on_slow_handler or _ignore_slow_handler
        # Whether connections from an address begin with a PROXY header: then they must; from others none is looked for.
        self.expects_proxy_header: Callable[[str], bool] | None = None
        self._listeners: list[Listener] = []
        self._siblings: set[Listener] = set()  # those of the listeners that another process accepts from
        self._connections: set[Connection] = set()
        self._upgrades: dict[asyncio.Task[None], Upgrade] = {}
        self._sweep_timer: asyncio.TimerHandle | None = None
        self._all_closed: asyncio.Future[None] | None = None
        self._header_waits: set[HeaderWait] = set()
        self._bad_headers = Episode()
        self._out_of_resources = Episode()
        self.handlers = HandlerWatch(self.loop, limits)
        self._admission = Admission(self.loop, limits, speaks_plainly=scheme == "http")
        self._id_prefix = os.urandom(6).hex()
        self._ids = itertools.count(1)
        self._date = ""
        self._date_until = 0.0

    # --- what connections ask ----------------------------------------------------------------------------------

    def http_date(self, now: float) -> str:
        """Now, as an HTTP-date (RFC 9110 §5.6.7), made once a second. `now` is the loop's time."""
        if now >= self._date_until:
            wall_s = time.time()
            self._date = format_http_date(int(wall_s))
            self._date_until = now + 1 - wall_s % 1
        return self._date

    def next_request_id(self) -> str:
        """An id that no other request of this or another process has."""
        return f"{self._id_prefix}-{next(self._ids)}"

    def forget(self, connection: Connection) -> None:
        """The connection is closed, or its socket belongs to an upgrade."""
        self._connections.discard(connection)
        self._admission.leave(connection.remote_ip)
        self._check_all_closed()

    def run_upgrade(self, upgrade: Upgrade, sock: socket.socket, leftover: bytes) -> None:
        """The upgrade runs in a task of its own, known to the drain."""
        ip = _client_ip(sock)
        self._admission.enter(ip)
        task = self.loop.create_task(_run_upgrade(upgrade, Stream(sock), leftover))
        self._upgrades[task] = upgrade
        task.add_done_callback(partial(self._forget_upgrade, ip))
        if self.is_draining:
            upgrade.begin_drain()

    def _forget_upgrade(self, ip: str, task: "asyncio.Task[None]") -> None:
        self._upgrades.pop(task, None)
        self._admission.leave(ip)
        self._check_all_closed()

    @property
    def connection_count(self) -> int:
        """Open connections, upgraded ones included."""
        return len(self._connections) + len(self._upgrades) + len(self._header_waits)

    @property
    def refused_count(self) -> int:
        """Connections that were over the limits, since the start."""
        return self._admission.refused_count

    # --- accepting ---------------------------------------------------------------------------------------------

    def report_count_to(self, report: Callable[[int], None]) -> None:
        """`report` is called with the number of open connections, now and whenever it has changed."""
        self._admission.report_to(report)

    def start(self, listeners: Iterable[Listener], siblings: Iterable[Listener] = ()) -> None:
        """Connections of these listeners are accepted from now on; the server closes them in the end.

        `siblings` are other processes' listeners: what waits there for long is taken, for its process may be gone, or
        held by something.
        """
        self._siblings.update(siblings)
        for listener in (*listeners, *self._siblings):
            self._listeners.append(listener)
            self._watch(listener)

    def _watch(self, listener: Listener) -> None:
        is_sibling = listener in self._siblings
        self.loop.add_reader(
            listener.fileno(), self._on_waiting_for_sibling if is_sibling else self._on_acceptable, listener
        )

    def _on_waiting_for_sibling(self, listener: Listener) -> None:
        self.loop.remove_reader(listener.fileno())
        self.loop.call_later(TAKE_OVER_AFTER_S, self._take_over, listener)

    def _take_over(self, listener: Listener) -> None:
        """What its own process has not taken since."""
        if listener in self._listeners:
            self._watch(listener)
            self._on_acceptable(listener)

    def _on_acceptable(self, listener: Listener) -> None:
        for _ in range(ACCEPTS_PER_TURN):
            try:
                sock, address = listener.accept()
                self._take(sock, address[0].removeprefix("::ffff:"), address[1])
            except (BlockingIOError, InterruptedError, ConnectionAbortedError):
                break
            except OSError as error:
                self._on_accept_failed(listener, error)
                break
        if self._sweep_timer is None:
            self._start_sweeping()

    def _take(self, sock: socket.socket, ip: str, port: int) -> None:
        """An accepted connection begins. OSError when the system can't watch more files."""
        sock.setblocking(False)
        if self.expects_proxy_header is not None and self.expects_proxy_header(ip):
            self._await_header(sock, ip, port)
        else:
            self._enter(sock, ip, port)

    def _enter(self, sock: socket.socket, ip: str, port: int) -> None:
        """The connection begins, when it is within the limits of its client, or is refused. OSError as in `_take`."""
        if not self._admission.may_enter(ip):
            self._admission.refuse(sock, self.next_request_id())
            return
        try:
            self._open(sock, ip, port)
        except OSError:
            sock.close()
            self._admission.leave(ip)
            raise

    def _await_header(self, sock: socket.socket, ip: str, port: int) -> None:
        """A balancer's connection: within the limits is what its client has, which its header will tell."""
        self._admission.enter(ip)
        timeout_s = self.limits.handshake_timeout_s
        self._header_waits.add(HeaderWait(self.loop, sock, (ip, port), timeout_s, self._on_header))

    def _on_header(self, wait: HeaderWait, header: ProxyHeader | None, reason: str) -> None:
        self._header_waits.discard(wait)
        self._admission.leave(wait.ip)
        if header is None:
            if reason and self._bad_headers.note(self.loop.time()):
                logger.warning("a connection from %s had no PROXY header: %s", wait.ip, reason)
            self._check_all_closed()
            return
        ip, port = (header.source.address, header.source.port) if header.source is not None else (wait.ip, wait.port)
        self._enter(wait.sock, ip, port)
        if self._sweep_timer is None:
            self._start_sweeping()

    def _open(self, sock: socket.socket, ip: str, port: int) -> None:
        self._connections.add(Connection(self, sock, ip, port))

    def _on_accept_failed(self, listener: Listener, error: OSError) -> None:
        """Out of descriptors or memory: wait a little instead of spinning, and say so once."""
        if self._out_of_resources.note(self.loop.time()):
            logger.error("can't accept connections: %s; %d are open", error.strerror, self.connection_count)
        self.loop.remove_reader(listener.fileno())
        self.loop.call_later(ACCEPT_PAUSE_S, self._resume_accepting, listener)

    def _resume_accepting(self, listener: Listener) -> None:
        if listener in self._listeners:
            self._watch(listener)

    # --- time-outs ---------------------------------------------------------------------------------------------

    def _start_sweeping(self) -> None:
        rooms = self._admission, self.handlers
        if self._connections or self._out_of_resources.is_on or any(room.needs_sweeping for room in rooms):
            self._sweep_timer = self.loop.call_later(SWEEP_S, self._sweep)

    def _sweep(self) -> None:
        """One look a second at every connection's deadlines; none while there is no connection."""
        self._sweep_timer = None
        now = self.loop.time()
        late = []
        for connection in self._connections:
            if connection.deadline <= now or connection.write_deadline <= now:
                late.append(connection)
            else:
                connection.rest()
        for connection in late:
            try:
                connection.on_deadline()
            except Exception:
                connection.crash()  # the others' time-outs are still to be kept
        self._admission.sweep(now)
        self.handlers.sweep(now)
        self._bad_headers.end(now)
        if self._out_of_resources.end(now):
            logger.warning("accepting connections again")
        self._start_sweeping()

    # --- the end -----------------------------------------------------------------------------------------------

    def begin_drain(self, *, closes_idle: bool = True) -> None:
        """Idle connections close, replies say `Connection: close`, upgrades are told. New connections are served."""
        self.is_draining = True
        for wait in [each for each in self._header_waits if not each.has_begun]:
            wait.give_up("")
        if closes_idle:
            for connection in list(self._connections):
                connection.begin_drain()
        for upgrade in list(self._upgrades.values()):
            upgrade.begin_drain()

    def close_listeners(self) -> None:
        """No connection is accepted any more."""
        for listener in self._listeners:
            self.loop.remove_reader(listener.fileno())
            listener.close()
        self._listeners.clear()
        self._admission.close()

    async def wait_closed(self, timeout_s: float) -> int:
        """Returns when every connection has ended, or when time is over: then the rest is cut, and counted."""
        self._all_closed = self.loop.create_future()
        self._check_all_closed()
        try:
            await asyncio.wait_for(asyncio.shield(self._all_closed), timeout_s)
        except TimeoutError:
            pass
        cut_count = self.connection_count
        for wait in list(self._header_waits):
            wait.give_up("the server is going away")
        for connection in list(self._connections):
            connection.abort()
        tasks = list(self._upgrades)
        for task in tasks:
            task.cancel()
        if tasks:
            await asyncio.wait(tasks, timeout=1.0)
        if self._sweep_timer is not None:
            self._sweep_timer.cancel()
        self.handlers.close()
        return cut_count

    def _check_all_closed(self) -> None:
        if self._all_closed is not None and not self._all_closed.done() and self.connection_count == 0:
            self._all_closed.set_result(None)


def _ignore_response(request: Request, status: int, body_bytes: int, duration_s: float) -> None:
    """Nobody counts."""


def _ignore_slow_handler(name: str, held_s: float) -> None:
    """Nobody watches."""


def _client_ip(sock: socket.socket) -> str:
    """The address of the other side; "" when it is gone already."""
    try:
        return str(sock.getpeername()[0]).removeprefix("::ffff:")
    except OSError:
        return ""


async def _run_upgrade(upgrade: Upgrade, stream: Stream, leftover: bytes) -> None:
    try:
        await upgrade.run(stream, leftover)
    except asyncio.CancelledError:
        raise
    except Exception:
        logger.error("an upgraded connection failed", exc_info=True)
    finally:
        stream.close()
