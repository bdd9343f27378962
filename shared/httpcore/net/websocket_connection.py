"""A WebSocket on a socket: what `websocket.protocol` decides, carried by a `Stream`, with time-outs.

One task a connection, the pump, reads and answers pings; a handler waits in `receive` for what the pump put into the
`Inbox`. The pump stops while that is full, even between two messages of one read, so a flood waits in the kernel's
buffers, and what was read waits compressed. Read `websocket.protocol` first; `websocket` makes these, for a server and
for a client.
"""

import asyncio
import secrets
from collections.abc import AsyncIterator
from types import TracebackType
from typing import Self

from shared.httpcore.errors import ConnectionClosed, HttpCoreError
from shared.httpcore.limits import MIB
from shared.httpcore.net.stream import Stream
from shared.httpcore.net.websocket_inbox import Inbox, wake
from shared.httpcore.websocket.close_codes import CLEAN_CODES, CloseCode
from shared.httpcore.websocket.keepalive import DEFAULT_TIMEOUTS, Step, WebSocketTimeouts, next_step
from shared.httpcore.websocket.protocol import Closed, Event, Pong, State, WebSocketProtocol

MAX_LINGERING_BYTES = 1 * MIB  # discarded after a close frame, so that the other side can read it


class WebSocketClosed(HttpCoreError):
    """The connection is closed. `code` is the other side's, or this side's own; 1006 when the connection broke."""

    def __init__(self, code: int, reason: str) -> None:
        super().__init__(f"WebSocket closed: {code} {reason}".rstrip())
        self.code = code
        self.reason = reason

    @property
    def is_clean(self) -> bool:
        """True when one side said good-bye (1000, 1001 or no code) and nothing went wrong."""
        return self.code in CLEAN_CODES


class WebSocket:
    """An open WebSocket. Any number of tasks may send; one at a time may receive."""

    __slots__ = (
        "_close_sent",
        "_inbox",
        "_keepalive",
        "_last_received_at",
        "_loop",
        "_pinged_at",
        "_pings",
        "_protocol",
        "_pump",
        "_side_task",
        "_stream",
        "_timeouts",
        "subprotocol",
    )

    def __init__(
        self,
        stream: Stream,
        protocol: WebSocketProtocol,
        timeouts: WebSocketTimeouts = DEFAULT_TIMEOUTS,
        leftover: bytes = b"",
    ) -> None:
        """Must be made in a running event loop, which it uses from then on; `leftover` was read past the handshake."""
        self.subprotocol: str | None = None
        self._stream = stream
        self._protocol = protocol
        self._timeouts = timeouts
        self._loop = asyncio.get_running_loop()
        self._inbox = Inbox()
        self._pings: dict[bytes, asyncio.Future[None]] = {}  # sent by `ping`, oldest first
        self._close_sent: Closed | None = None  # what `close` said
        self._last_received_at = self._loop.time()
        self._pinged_at: float | None = None  # a keep-alive ping is unanswered since then
        self._keepalive: asyncio.TimerHandle | None = None
        self._side_task: asyncio.Task[None] | None = None
        if timeouts.ping_interval_s is not None:
            self._keepalive = self._loop.call_later(timeouts.ping_interval_s, self._check_silence)
        self._pump = self._loop.create_task(self._run_pump(leftover))

    # --- for the application -----------------------------------------------------------------------------------

    @property
    def is_open(self) -> bool:
        """True while messages can be sent."""
        return self._protocol.state is State.OPEN

    async def receive(self) -> str | bytes:
        """The next message. WebSocketClosed when there is none and won't be one; RuntimeError for a second reader."""
        while self._inbox.is_empty:
            if self._close_sent is not None or self._protocol.closed is not None:
                raise self._closed_error()
            await self._inbox.wait_change()
        return self._inbox.take()

    async def send(self, message: str | bytes) -> None:
        """The message is with the kernel; waits while the other side does not read. WebSocketClosed when
        closed.

        A send that is cancelled half-way ends the connection, for the rest of its frame can't be taken back.
        """
        if self._protocol.state is not State.OPEN:
            raise self._closed_error()
        self._protocol.send_message(message)
        await self._flush()

    async def send_serialized(self, frame: bytes) -> None:
        """As `send`, with what `serialize_message` made once for many. For a server's end only."""
        if self._protocol.state is not State.OPEN:
            raise self._closed_error()
        self._protocol.send_serialized(frame)
        await self._flush()

    async def ping(self) -> float:
        """Seconds from a ping to its pong. WebSocketClosed when the connection ends before."""
        if self._protocol.state is not State.OPEN:
            raise self._closed_error()
        started_at = self._loop.time()
        payload = secrets.token_bytes(8)
        self._pings[payload] = answered = self._loop.create_future()
        try:
            self._protocol.send_ping(payload)
            await self._flush()
            await answered
        finally:
            self._pings.pop(payload, None)
        if self._protocol.closed is not None:
            raise self._closed_error()
        return self._loop.time() - started_at

    async def close(self, code: int = CloseCode.NORMAL, reason: str = "") -> None:
        """The connection is closed, by the closing handshake if the other side takes part in time. Safe to
        repeat.

        ValueError for a code that no close frame may carry.
        """
        if self._protocol.state is State.OPEN:
            self._protocol.send_close(code, reason)
            self._close_sent = Closed(int(code), reason)
            self._wake_all()
        try:
            async with asyncio.timeout(self._timeouts.close_s):
                if self._protocol.has_output:
                    await self._flush()
                await asyncio.shield(self._pump)
        except (TimeoutError, WebSocketClosed):
            pass
        finally:
            self.abort()
        await asyncio.wait({self._pump})

    async def wait_closed(self) -> None:
        """Returns when the connection is closed, whoever closed it."""
        await asyncio.wait({self._pump})

    def abort(self) -> None:
        """The socket is closed at once, without a word."""
        self._stream.close()
        self._inbox.wake_putter()

    def __aiter__(self) -> AsyncIterator[str | bytes]:
        return self._messages()

    async def _messages(self) -> AsyncIterator[str | bytes]:
        """Every message until a clean close; WebSocketClosed at any other."""
        while True:
            try:
                message = await self.receive()
            except WebSocketClosed as closed:
                if closed.is_clean:
                    return
                raise
            yield message

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close(CloseCode.NORMAL if kind is None else CloseCode.INTERNAL_ERROR)

    # --- the pump ----------------------------------------------------------------------------------------------

    async def _run_pump(self, data: bytes) -> None:
        """Reads until the connection is closed, then closes the socket in a way that lets the other side read."""
        protocol = self._protocol
        try:
            while True:
                protocol.feed(data)
                await self._take_all()
                if protocol.state is State.CLOSED:
                    break
                data = await self._stream.recv()
                self._last_received_at = self._loop.time()
                if not data:
                    self._take_end()
                    return
            await self._linger()
        except (ConnectionClosed, WebSocketClosed):
            self._take_end()
        finally:
            self._stream.close()
            self._take_end()  # cancelled, if this is news
            if self._keepalive is not None:
                self._keepalive.cancel()

    async def _take_all(self) -> None:
        """Takes what has arrived, each message only when there is room: a few bytes may inflate to megabytes."""
        protocol = self._protocol
        while not self._stream.is_closed and (event := protocol.next_event()) is not None:
            self._take(event)
            if self._inbox.is_full:
                await self._wait_for_room()
        if protocol.has_output:
            await self._flush()

    def _take(self, event: Event) -> None:
        """Puts a message in the inbox, and wakes whoever waited for what came."""
        if isinstance(event, (str, bytes)):
            if self._close_sent is None:  # nobody waits for messages after `close`
                self._inbox.put(event)
        elif isinstance(event, Pong):
            self._take_pong(event.payload)
        else:
            self._wake_all()

    def _take_end(self) -> None:
        if self._protocol.receive_eof():
            self._wake_all()

    def _take_pong(self, payload: bytes) -> None:
        """RFC 6455 §5.5.3: a pong may answer the newest of several pings; the older ones are answered with it."""
        if payload in self._pings:
            for sent, answered in list(self._pings.items()):
                wake(answered)
                if sent == payload:
                    break

    def _wake_all(self) -> None:
        self._inbox.wake_all()
        for answered in self._pings.values():
            wake(answered)

    async def _wait_for_room(self) -> None:
        """Returns when the inbox has room or nobody will ask for it; what was to be answered is answered before."""
        if self._protocol.has_output:
            await self._flush()
        while self._inbox.is_full and self.is_open and not self._stream.is_closed:
            await self._inbox.wait_room()
            self._last_received_at = self._loop.time()

    async def _linger(self) -> None:
        """After the last frame: our end is shut, and what still comes is discarded until the other side ends.

        Closing with unread bytes in the buffer would send a reset, and destroy our close frame on its way.
        """
        self._stream.end_sending()
        room = MAX_LINGERING_BYTES
        try:
            async with asyncio.timeout(self._timeouts.close_s):
                while room > 0 and (data := await self._stream.recv()):
                    room -= len(data)
        except TimeoutError:
            pass

    # --- sending and silence -----------------------------------------------------------------------------------

    async def _flush(self) -> None:
        """Sends the protocol's output; `Stream.send_all` keeps the order of its callers."""
        try:
            await self._stream.send_all(self._protocol.take_output())
        except ConnectionClosed:
            self._take_end()
            raise self._closed_error() from None
        except asyncio.CancelledError:
            self.abort()
            raise

    def _closed_error(self) -> WebSocketClosed:
        closed = self._close_sent or self._protocol.closed or Closed(CloseCode.ABNORMAL, "closed")
        return WebSocketClosed(closed.code, closed.reason)

    def _check_silence(self) -> None:
        """The timer's callback: pings a silent peer, gives up on one that stays silent."""
        if self._protocol.state is not State.OPEN:
            return
        if self._inbox.is_waited_for:  # it is we who don't read
            self._last_received_at = self._loop.time()
        step = next_step(self._timeouts, self._loop.time(), self._last_received_at, self._pinged_at)
        if step is Step.GIVE_UP:
            self._protocol.fail(CloseCode.INTERNAL_ERROR, f"no pong within {self._timeouts.pong_s:g} s")
            self._wake_all()
            self._side_task = self._loop.create_task(self._give_up())
            return
        if step is Step.PING:
            self._pinged_at = self._loop.time()
            self._protocol.send_ping()
            self._side_task = self._loop.create_task(self._flush_quietly())
            step = min(self._timeouts.pong_s, self._timeouts.ping_interval_s or self._timeouts.pong_s)
        self._keepalive = self._loop.call_later(step, self._check_silence)

    async def _flush_quietly(self) -> None:
        try:
            await self._flush()
        except WebSocketClosed:
            pass

    async def _give_up(self) -> None:
        """A last word, if the socket takes it."""
        try:
            async with asyncio.timeout(1.0):
                await self._flush_quietly()
        except TimeoutError:
            pass
        finally:
            self.abort()
