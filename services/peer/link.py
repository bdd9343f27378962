"""One link: a TCP connection to a peer that has said who it is, and the frames that go over it.

Owns reading, writing, acknowledgements both ways and keep-alive. How a link comes to be is in `greeting`, who is
linked with whom in `links`. What becomes of a message that arrives is decided by `receive`; which messages are sent,
and when, by `courier`.
"""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass

from services.peer.frames import (
    Ack,
    Auth,
    Chat,
    Direct,
    Failure,
    Frame,
    Hello,
    Ping,
    Pong,
    Unknown,
    message_frame,
    serialize_frame,
)
from services.peer.greeting import discard, receive_some
from services.peer.group_writer import Lane, StorageError
from services.peer.handshake import Handshake
from services.peer.inbox import InboxMessage
from services.peer.messages import Message, shown
from services.peer.remembered import IdConflictError
from services.peer.wire import LineDecoder, WireError
from shared.httpcore.errors import ConnectionClosed
from shared.httpcore.net.stream import Stream

Receive = Callable[[Message, Lane], "asyncio.Future[InboxMessage | None]"]

# What the other end says of a message that it will never take.
PERMANENT_CODES = frozenset(
    {"bad_frame", "bad_content", "content_too_large", "wrong_sender", "wrong_target", "id_conflict"}
)
SEND_BYTES = 64 * 1024  # a piece; each must be taken within `stall_s`
# Far above what a sender within its window causes: only one that never reads gets there, and isn't read either.
MAX_OUTGOING_BYTES = 4 * 1024 * 1024


@dataclass(frozen=True, slots=True, kw_only=True)
class LinkLimits:
    """What a link bears; times in seconds."""

    handshake_s: float = 5.0
    ping_after_s: float = 15.0  # of silence
    silence_s: float = 45.0  # without a byte: the other end is gone
    idle_s: float = 300.0  # without a message: the link isn't needed
    stall_s: float = 30.0  # without taking a byte that we send
    max_unanswered: int = 256  # messages that arrived and aren't on the disk yet; beyond it nothing is read


DEFAULT_LIMITS = LinkLimits()


class LinkError(Exception):
    """The link ended, or the other end couldn't take the message now: try again later."""


class RejectedError(Exception):
    """The other end will never take this message."""


class Link:
    """A link after its handshake. `run` reads until the end; `transmit` sends a message and waits for its ack."""

    def __init__(
        self, stream: Stream, handshake: Handshake, decoder: LineDecoder, receive: Receive, limits: LinkLimits
    ) -> None:
        self.peer_id = handshake.peer.peer_id
        self._own_id = handshake.hello.peer_id
        self._max_line_bytes = handshake.peer.max_line
        self._stream = stream
        self._decoder = decoder
        self._receive = receive
        self._limits = limits
        self._loop = asyncio.get_running_loop()
        self._lane = Lane()
        self._sending: dict[str, asyncio.Future[None]] = {}  # by message id, until the ack
        self._storing = 0  # messages that arrived and aren't answered yet
        self._outgoing = bytearray()
        self._has_outgoing = asyncio.Event()
        self._progress = asyncio.Event()  # set whenever something was answered or written
        self._is_finishing = False  # takes and sends no new messages
        self._is_parting = False  # ends the stream once all is written
        self.end_reason = ""
        self.last_received_at = self.last_message_at = self._loop.time()
        self._is_pinged = False

    @property
    def is_quiet(self) -> bool:
        """Nothing is on its way, neither here nor there."""
        return not self._sending and not self._storing and not self._outgoing

    @property
    def is_usable(self) -> bool:
        """Whether messages may be sent over it."""
        return not self.end_reason and not self._is_finishing

    @property
    def _is_behind(self) -> bool:
        """Whether the other end has to wait: for our disk, or for itself to read what we answered."""
        return self._storing >= self._limits.max_unanswered or len(self._outgoing) > MAX_OUTGOING_BYTES

    # --- sending -----------------------------------------------------------------------------------------------

    def transmit(self, message: Message) -> "asyncio.Future[None]":
        """Done when the other end has the message on its disk. LinkError: not now; RejectedError: never."""
        acked: asyncio.Future[None] = self._loop.create_future()
        acked.add_done_callback(_heed)
        if not self.is_usable or message.id in self._sending:
            acked.set_exception(LinkError(self.end_reason or "the link is busy or about to end"))
            return acked
        line = serialize_frame(message_frame(message))
        if len(line) - 1 > self._max_line_bytes:
            text = f"the message takes {len(line) - 1} bytes, the other end no more than {self._max_line_bytes}"
            acked.set_exception(RejectedError(f"line_too_long: {text}"))
            return acked
        self.last_message_at = self._loop.time()
        self._sending[message.id] = acked
        self._write_line(line)
        return acked

    def _send(self, frame: Frame) -> None:
        self._write_line(serialize_frame(frame))

    def _write_line(self, line: bytes) -> None:
        self._outgoing += line
        self._has_outgoing.set()

    async def _write(self) -> None:
        """Sends what is waiting until the link ends; several frames share one call."""
        try:
            while True:
                await self._has_outgoing.wait()
                self._has_outgoing.clear()
                while self._outgoing:
                    piece = bytes(self._outgoing[:SEND_BYTES])
                    async with asyncio.timeout(self._limits.stall_s):
                        await self._stream.send_all(piece)
                    del self._outgoing[: len(piece)]
                    self._progress.set()
                if self._is_parting:
                    self._stream.end_sending()
        except ConnectionClosed:  # reading ends as well, after what the other end may have said of it
            self._outgoing.clear()
            self._progress.set()
        except TimeoutError:
            self.close(f"the other end took nothing for {self._limits.stall_s:g} s")

    # --- reading -----------------------------------------------------------------------------------------------

    async def run(self) -> None:
        """Reads and answers until the link ends; `end_reason` says why it did."""
        writer = self._loop.create_task(self._write())
        try:
            await self._read()
        except WireError as error:
            self.end_reason = self.end_reason or f"{error.code}: {error.message}"
            self._is_parting = True
            self._send(error.frame())
            await discard(self._stream)
        except ConnectionClosed as error:
            self.close(str(error))
        finally:
            self.close("the link was cancelled")
            writer.cancel()

    async def _read(self) -> None:
        while True:
            while (frame := self._next_frame()) is not None:
                self._take(frame)
            while self._is_behind and not self.end_reason:
                await self._next_progress()
            await asyncio.sleep(0)  # recv doesn't give way to others while there is something to read
            self._decoder.feed(await receive_some(self._stream))
            self.last_received_at = self._loop.time()
            self._is_pinged = False

    def _next_frame(self) -> Frame | None:
        while True:
            try:
                return self._decoder.next_frame()
            except WireError as error:
                if error.is_fatal:
                    raise
                self._send(error.frame())

    def _take(self, frame: Frame) -> None:
        match frame:
            case Direct(message) | Chat(message):
                self._take_message(message)
            case Ack(message_id):
                self._resolve(message_id, None)
            case Failure():
                self._take_failure(frame)
            case Ping(n):
                self._send(Pong(n))
            case Pong():
                pass
            case Hello() | Auth():
                text = "hello and auth come once, at the start, and auth only where both ends have a key"
                raise WireError("unexpected_frame", text)
            case Unknown(kind):
                self._send(Failure("unknown_type", f"type: got {shown(kind)}, which this peer doesn't know"))

    def _take_message(self, message: Message) -> None:
        self.last_message_at = self._loop.time()
        if message.sender != self.peer_id:
            text = f"from: got {message.sender!r} on a link with {self.peer_id!r}"
            self._send(Failure("wrong_sender", text, message.id))
        elif message.to not in (None, self._own_id):
            self._send(Failure("wrong_target", f"to: got {message.to!r}, this is {self._own_id!r}", message.id))
        elif self._is_finishing:
            self._send(Failure("going_away", "this peer is about to stop", message.id))
        else:
            self._storing += 1
            self._receive(message, self._lane).add_done_callback(lambda stored: self._answer(message.id, stored))

    def _answer(self, message_id: str, stored: "asyncio.Future[InboxMessage | None]") -> None:
        self._storing -= 1
        error = None if stored.cancelled() else stored.exception()
        if error is None and not stored.cancelled():
            self._send(Ack(message_id, is_repeat=stored.result() is None))
        elif isinstance(error, IdConflictError):
            self._send(Failure("id_conflict", str(error), message_id))
        else:
            # The lane is broken: nothing more can be stored in order on this link, so the sender begins another.
            text = str(error) if isinstance(error, StorageError) else "internal error"
            self._send(Failure("storage_failed", text, message_id))
            self._is_finishing = True
        self._progress.set()

    def _take_failure(self, failure: Failure) -> None:
        told = f"{failure.code}: {failure.message}"
        if failure.id is not None:
            self._resolve(failure.id, RejectedError(told) if failure.code in PERMANENT_CODES else LinkError(told))
        else:
            self.close(told)

    def _resolve(self, message_id: str, error: Exception | None) -> None:
        acked = self._sending.pop(message_id, None)
        self._progress.set()
        if acked is None or acked.done():
            return
        if error is None:
            acked.set_result(None)
        else:
            acked.set_exception(error)

    # --- keeping and ending ------------------------------------------------------------------------------------

    def check(self, now: float) -> None:
        """Called each second with the loop's time: pings a silent link, ends a dead or an unneeded one."""
        silent_s = now - self.last_received_at
        if silent_s > self._limits.silence_s:
            self.close(f"nothing was heard for {self._limits.silence_s:g} s")
        elif self.is_quiet and (self._is_finishing or now - self.last_message_at > self._limits.idle_s):
            self.close("no longer needed")
        elif silent_s > self._limits.ping_after_s and not self._is_pinged:
            self._is_pinged = True
            self._send(Ping(int(now)))

    async def finish(self) -> None:
        """What is on its way has arrived and been answered, and the link is closed. No new messages meanwhile."""
        self._is_finishing = True
        while not self.end_reason and not self.is_quiet:
            await self._next_progress()
        self.close("this peer is about to stop")

    async def _next_progress(self) -> None:
        self._progress.clear()
        await self._progress.wait()

    def close(self, reason: str) -> None:
        """The link has ended; what wasn't acknowledged counts as not sent. A second call does nothing."""
        if not self.end_reason:
            self.end_reason = reason
        self._stream.close()
        self._progress.set()
        for message_id in list(self._sending):
            self._resolve(message_id, LinkError(self.end_reason))


def _heed(acked: "asyncio.Future[None]") -> None:
    """An ack that nobody waits for any more may fail without a complaint of asyncio's."""
    if not acked.cancelled():
        acked.exception()
