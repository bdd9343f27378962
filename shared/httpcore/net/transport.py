"""One accepted socket: when it is read, what is still to be sent, how long it may wait, and how it ends.

Knows the states of a connection and the ways from one to another, nothing of requests; `connection` adds those.
"""

import asyncio
import logging
import math
import socket
import struct
from contextlib import suppress
from enum import Enum

from shared.httpcore.errors import ConnectionClosed
from shared.httpcore.limits import RECV_BYTES, Limits
from shared.httpcore.net.output import Output

logger = logging.getLogger("weaprous.http")

RESET_ON_CLOSE = struct.pack("ii", 1, 0)  # SO_LINGER: on, 0 s


class State(Enum):
    """Where a connection is in its exchange."""

    READING_HEAD = "reading head"  # idle, when nothing of the head is there
    READING_BODY = "reading body"  # collecting it
    HANDLING = "handling"  # an async or blocking handler runs, or a reply streams
    LINGERING = "lingering"  # the last reply is on its way; what still arrives is discarded
    UPGRADED = "upgraded"  # the socket belongs to somebody else
    CLOSED = "closed"


# An Enum looks its members up at the price of a call, in Python 3.11 of five; each reply asks for half a dozen.
READING_HEAD, READING_BODY, HANDLING = State.READING_HEAD, State.READING_BODY, State.HANDLING
LINGERING, UPGRADED, CLOSED = State.LINGERING, State.UPGRADED, State.CLOSED
ALL_STATES = frozenset(State)
TRANSITIONS: dict[State, frozenset[State]] = {
    READING_HEAD: ALL_STATES,
    READING_BODY: ALL_STATES,
    HANDLING: ALL_STATES - {READING_BODY},
    LINGERING: frozenset({LINGERING, CLOSED}),
    UPGRADED: frozenset(),
    CLOSED: frozenset(),
}


class Transport:
    """Owns the socket until it is closed or handed over. Subclasses say what arrives means."""

    __slots__ = (
        "_discarded_bytes",
        "_is_reading",
        "_sock",
        "_waiting_for_drain",
        "deadline",
        "has_ended",
        "limits",
        "loop",
        "output",
        "state",
        "write_deadline",
    )

    def __init__(self, loop: asyncio.AbstractEventLoop, sock: socket.socket, limits: Limits) -> None:
        self.loop = loop
        self.limits = limits
        self.state = READING_HEAD
        self.output = Output(loop, sock, self)
        self.deadline = loop.time() + limits.idle_timeout_s  # the sweep calls `on_deadline` after it
        self.write_deadline = math.inf  # and after this, which no other wait moves: when unsent bytes must have moved
        self.has_ended = False  # the client sends no more, or is gone
        self._sock = sock
        self._discarded_bytes = 0
        self._waiting_for_drain: asyncio.Future[None] | None = None
        self._is_reading = True
        loop.add_reader(sock.fileno(), self._on_readable)

    @property
    def local_address(self) -> tuple[str, int]:
        """The address and port that the client connected to; an IPv4 one in its own form. ("", 0) when it is gone."""
        try:
            ip, port = self._sock.getsockname()[:2]
        except OSError:
            return "", 0
        return ip.removeprefix("::ffff:"), port

    # --- what subclasses fill in -------------------------------------------------------------------------------

    def _on_data(self, data: bytes) -> None:
        raise NotImplementedError

    def _on_end(self) -> None:
        raise NotImplementedError

    def _on_all_sent(self) -> None:
        raise NotImplementedError

    def _on_closed(self) -> None:
        raise NotImplementedError

    def set_deadline(self, timeout_s: float) -> None:
        """`on_deadline` is called when nothing moves it for so long."""
        self.deadline = self.loop.time() + timeout_s

    def _enter(self, state: State) -> None:
        assert state is self.state or state in TRANSITIONS[self.state], f"{self.state} → {state}"
        self.state = state

    # --- reading -----------------------------------------------------------------------------------------------

    def _on_readable(self) -> None:
        try:
            data = self._sock.recv(RECV_BYTES)
        except (BlockingIOError, InterruptedError):
            return
        except OSError:
            self.abort()
            return
        try:
            if data:
                self._on_data(data)
            else:
                self.has_ended = True
                self._set_reading(False)
                self._on_end()
        except Exception:
            self.crash()

    def _set_reading(self, wanted: bool) -> None:
        if wanted is self._is_reading or (wanted and self.has_ended):
            return
        self._is_reading = wanted
        if wanted:
            self.loop.add_reader(self._sock.fileno(), self._on_readable)
        else:
            self.loop.remove_reader(self._sock.fileno())

    # --- sending -----------------------------------------------------------------------------------------------

    async def drain(self) -> None:
        """Returns when little enough is unsent. ConnectionClosed when the client is gone."""
        self.output.flush()
        while self.state is not CLOSED and self.output.size > self.limits.max_output_bytes:
            self._waiting_for_drain = self.loop.create_future()
            await self._waiting_for_drain
        if self.state is CLOSED:
            raise ConnectionClosed("the client is gone")

    def on_output_progress(self) -> None:
        """Output: some is left, so the client has a while to read on."""
        self.deadline = self.write_deadline = self.loop.time() + self.limits.write_timeout_s

    def on_output_drained(self) -> None:
        """Output: what was held up is sent."""
        self.write_deadline = math.inf
        self._wake_drain()
        if self.state is READING_HEAD:
            self.set_deadline(self.limits.idle_timeout_s)
        elif self.state is READING_BODY:
            self.set_deadline(self.limits.body_timeout_s)
        else:
            self.deadline = math.inf
        self._on_all_sent()

    def on_output_failed(self) -> None:
        """Output: the client is gone."""
        self.abort()

    def _wake_drain(self) -> None:
        if self._waiting_for_drain is not None and not self._waiting_for_drain.done():
            self._waiting_for_drain.set_result(None)

    # --- the end -----------------------------------------------------------------------------------------------

    def _linger(self) -> None:
        """No more requests; what is written goes out, then the connection ends."""
        self._enter(LINGERING)
        if self.write_deadline == math.inf:
            self.set_deadline(self.limits.linger_timeout_s)
        else:  # the client is still to read earlier replies
            self.deadline = self.write_deadline
        self._set_reading(True)

    def _end_sending(self) -> None:
        """RFC 9112 §9.6: shut the sending side, then read on for a while, so that the reply is not lost to a reset."""
        if self.has_ended:
            self.close()
            return
        self.set_deadline(self.limits.linger_timeout_s)
        try:
            self._sock.shutdown(socket.SHUT_WR)
        except OSError:
            self.close()

    def _discard(self, data: bytes) -> None:
        self._discarded_bytes += len(data)
        if self._discarded_bytes > self.limits.max_lingering_bytes:
            self.close()

    def crash(self) -> None:
        """For exceptions that nobody foresaw: the log tells, and only this connection suffers."""
        logger.error("a connection failed while %s", self.state.value, exc_info=True)
        self.abort()

    def abort(self) -> None:
        """Closes by a reset, so that the client can tell that a reply is not whole."""
        if self.state is not CLOSED and self.state is not UPGRADED:
            with suppress(OSError):  # macOS refuses it once the other side has reset the connection
                self._sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET_ON_CLOSE)
            self.close()

    def close(self) -> None:
        """The socket is closed. Safe to call again, and after a hand-over, when it does nothing."""
        if self.state is CLOSED or self.state is UPGRADED:
            return
        self._enter(CLOSED)
        self._set_reading(False)
        self.has_ended = True
        self.output.discard()
        self._sock.close()
        self._wake_drain()
        self._on_closed()

    def _has_unread(self) -> bool:
        """Whether something has arrived that was not read yet; closing now would lose it."""
        try:
            return bool(socket.socket.recv(self._sock, 1, socket.MSG_PEEK))  # under TLS the bytes as they came
        except OSError:
            return False

    def _release_socket(self) -> socket.socket:
        """The socket, which is somebody else's from here on."""
        self._enter(UPGRADED)
        self._set_reading(False)
        return self._sock
