"""One WebSocket connection after its handshake: bytes in, messages out, and the bytes to answer with.

Owns what is legal when: roles and masks, control frames between fragments, pings answered, the closing
handshake, every close code. Never touches a socket or a clock: `feed` takes what came, `next_event` gives what
it means, `take_output` what is to be sent. `net.websocket` moves all; when to ping and how long to wait is
decided there.
"""

import secrets
from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum, auto

from shared.httpcore.websocket.close_codes import CloseCode, WebSocketError, parse_close, serialize_close
from shared.httpcore.websocket.deflate import Deflate
from shared.httpcore.websocket.frames import FrameHead, Opcode, apply_mask, parse_frame_head, serialize_frame
from shared.httpcore.websocket.messages import MessageAssembler


class Role(Enum):
    """Which end this is. RFC 6455 §5.1: a client masks all it sends, a server masks nothing."""

    SERVER = auto()
    CLIENT = auto()


class State(Enum):
    """RFC 6455 §7.1: where the connection stands."""

    OPEN = auto()
    CLOSING = auto()  # our close frame is out, the peer's is awaited; messages may still come
    CLOSED = auto()  # nothing more is read or written, but what `take_output` holds


class Cause(Enum):
    """What moves the state."""

    SENT_CLOSE = auto()
    RECEIVED_CLOSE = auto()
    FAILED = auto()  # the peer broke a rule, or this side gave up on it (RFC 6455 §7.1.7)
    ENDED = auto()  # the peer's bytes ended


# What is not listed is a mistake of the caller.
TRANSITIONS: dict[tuple[State, Cause], State] = {
    (State.OPEN, Cause.SENT_CLOSE): State.CLOSING,
    (State.OPEN, Cause.RECEIVED_CLOSE): State.CLOSED,
    (State.OPEN, Cause.FAILED): State.CLOSED,
    (State.OPEN, Cause.ENDED): State.CLOSED,
    (State.CLOSING, Cause.RECEIVED_CLOSE): State.CLOSED,
    (State.CLOSING, Cause.FAILED): State.CLOSED,
    (State.CLOSING, Cause.ENDED): State.CLOSED,
}


@dataclass(frozen=True, slots=True)
class Pong:
    """The peer answered a ping, or sent a pong unasked."""

    payload: bytes


@dataclass(frozen=True, slots=True)
class Closed:
    """The connection's last event. `code` is the peer's, or this side's own when it was this side that failed it."""

    code: int
    reason: str


# A text message is a str, a binary one bytes: no wrapping for what comes a hundred thousand times a second.
Event = str | bytes | Pong | Closed


class IllegalTransition(RuntimeError):
    """The caller asked for what the state does not allow, such as sending on a closed connection."""


def _new_mask() -> bytes:
    """RFC 6455 §5.3: from a strong source of entropy, so that no page can choose the bytes on the wire."""
    return secrets.token_bytes(4)


@dataclass(frozen=True, slots=True)
class ProtocolOptions:
    """What a connection is given for its lifetime."""

    max_message_bytes: int = 1024 * 1024
    deflate: Deflate | None = None  # None: no compression was agreed on
    new_mask: Callable[[], bytes] = _new_mask


class WebSocketProtocol:
    """The state of one connection. Not for more than one thread; `closed` is None until the last event."""

    __slots__ = (
        "_assembler",
        "_buffer",
        "_head",
        "_options",
        "_output",
        "_remaining",
        "_role",
        "closed",
        "state",
    )

    def __init__(self, role: Role, options: ProtocolOptions = ProtocolOptions()) -> None:
        self.state = State.OPEN
        self.closed: Closed | None = None
        self._role = role
        self._options = options
        self._assembler = MessageAssembler(options.max_message_bytes)
        self._buffer = bytearray()  # received, not yet understood
        self._head: FrameHead | None = None  # of the data frame whose payload is arriving
        self._remaining = 0  # of its payload, in bytes
        self._output: list[bytes] = []

    # What comes in

    def feed(self, data: bytes) -> None:
        """Keeps what came for `next_event`. Bytes after the last event are ignored, as they must be."""
        if self.state is not State.CLOSED:
            self._buffer += data

    def next_event(self) -> Event | None:
        """The oldest event of the bytes so far; None when it needs more bytes, or there won't be another.

        Nothing behind it is looked at or inflated: 64 KiB may hold 64 MiB of messages.
        """
        events: list[Event] = []
        try:
            while not events and self._advance(events):
                pass
        except WebSocketError as error:
            return self.fail(error.code, error.reason)
        return events[0] if events else None

    def receive_data(self, data: bytes) -> list[Event]:
        """All the events that `data` completes, oldest first: for who has room for whatever they inflate to."""
        self.feed(data)
        return list(iter(self.next_event, None))

    def receive_eof(self) -> list[Event]:
        """The peer's bytes ended: `Closed` 1006 unless the closing handshake was complete (§7.1.5)."""
        if self.state is State.CLOSED:
            return []
        return [self._close(Cause.ENDED, CloseCode.ABNORMAL, "connection ended without a close frame")]

    def _advance(self, events: list[Event]) -> bool:
        """Takes one step: a head, a control frame or a piece of a payload. False when no more can be done now."""
        if self.state is State.CLOSED:
            return False
        if self._head is not None:
            return self._take_payload(self._head, events)
        head = parse_frame_head(self._buffer)
        if head is None:
            return False
        self._check_head(head)
        if not head.is_control:
            self._assembler.begin_frame(head)
            del self._buffer[: head.head_bytes]
            self._head, self._remaining = head, head.payload_bytes
            return True
        end = head.head_bytes + head.payload_bytes
        if len(self._buffer) < end:
            return False
        payload = self._unmask(self._buffer[head.head_bytes : end], head, 0)
        del self._buffer[:end]
        self._handle_control(head.opcode, payload, events)
        return True

    def _check_head(self, head: FrameHead) -> None:
        # RFC 6455 §5.1: a server fails a connection on an unmasked frame, a client on a masked one.
        if (head.mask is not None) is not (self._role is Role.SERVER):
            expected = "masked" if self._role is Role.SERVER else "unmasked"
            raise WebSocketError(CloseCode.PROTOCOL_ERROR, f"frame is not {expected}")
        # RFC 6455 §5.2: a reserved bit without an extension that gives it a meaning fails the connection.
        if head.is_compressed and self._options.deflate is None:
            raise WebSocketError(CloseCode.PROTOCOL_ERROR, "RSV1 is set, no extension uses it")

    def _take_payload(self, head: FrameHead, events: list[Event]) -> bool:
        if self._remaining:
            if not self._buffer:
                return False
            piece = self._unmask(self._buffer[: self._remaining], head, head.payload_bytes - self._remaining)
            del self._buffer[: len(piece)]
            self._remaining -= len(piece)
            self._assembler.add(piece)
        if not self._remaining:
            self._head = None
            message = self._assembler.end_frame(head)
            if message is not None:
                events.append(message)
        return True

    @staticmethod
    def _unmask(piece: bytearray, head: FrameHead, offset: int) -> bytes:
        """`piece`, which starts `offset` bytes into the payload, as it was before the mask."""
        if head.mask is None:
            return bytes(piece)
        turn = offset % 4
        return apply_mask(piece, head.mask[turn:] + head.mask[:turn])

    def _handle_control(self, opcode: Opcode, payload: bytes, events: list[Event]) -> None:
        if opcode is Opcode.PING:
            # RFC 6455 §5.5.2: answered with the same payload, unless a close frame was sent or received.
            if self.state is State.OPEN:
                self._send_frame(Opcode.PONG, payload)
        elif opcode is Opcode.PONG:
            events.append(Pong(payload))
        else:
            events.append(self._receive_close(payload))

    def _receive_close(self, payload: bytes) -> Closed:
        code, reason = parse_close(payload)
        # RFC 6455 §5.5.1: answered with a close frame, typically the same code, unless one was sent.
        if self.state is State.OPEN:
            self._send_frame(Opcode.CLOSE, payload[:2])
        return self._close(Cause.RECEIVED_CLOSE, code, reason)

    # What goes out

    def send_message(self, message: str | bytes) -> None:
        """Puts the message, whole and in one frame, in the output. IllegalTransition unless OPEN."""
        if self.state is not State.OPEN:
            raise IllegalTransition(f"can't send a message in state {self.state.name}")
        self._output.append(serialize_message(message, self._options.deflate, self._next_mask()))

    def send_serialized(self, frame: bytes) -> None:
        """Puts in the output what `serialize_message` made, once for many. Server only. IllegalTransition
        unless OPEN.
        """
        if self.state is not State.OPEN or self._role is not Role.SERVER:
            raise IllegalTransition(f"can't send a shared frame as {self._role.name} in state {self.state.name}")
        self._output.append(frame)

    def send_ping(self, payload: bytes = b"") -> None:
        """Puts a ping with up to 125 bytes in the output. IllegalTransition unless OPEN."""
        if self.state is not State.OPEN:
            raise IllegalTransition(f"can't ping in state {self.state.name}")
        self._send_frame(Opcode.PING, payload)

    def send_close(self, code: int = CloseCode.NORMAL, reason: str = "") -> None:
        """Starts the closing handshake. ValueError for a code no frame may carry; IllegalTransition unless OPEN."""
        payload = serialize_close(code, reason)
        self._move(Cause.SENT_CLOSE)
        self._send_frame(Opcode.CLOSE, payload)

    def fail(self, code: CloseCode, reason: str) -> Closed:
        """Ends the connection with `code`, told to the peer unless it was told another before (RFC 6455 §7.1.7)."""
        if self.state is State.OPEN:
            self._send_frame(Opcode.CLOSE, serialize_close(code, reason))
        return self._close(Cause.FAILED, code, reason)

    def take_output(self) -> bytes:
        """What is to be sent now, in order; b"" when there is nothing. It is forgotten here."""
        output = self._output[0] if len(self._output) == 1 else b"".join(self._output)
        self._output.clear()
        return output

    @property
    def has_output(self) -> bool:
        """True when `take_output` has something to give."""
        return bool(self._output)

    def _send_frame(self, opcode: Opcode, payload: bytes) -> None:
        self._output.append(serialize_frame(opcode, payload, mask=self._next_mask()))

    def _next_mask(self) -> bytes | None:
        return self._options.new_mask() if self._role is Role.CLIENT else None

    # State

    def _close(self, cause: Cause, code: int, reason: str) -> Closed:
        self._move(cause)
        self._buffer.clear()
        self.closed = Closed(int(code), reason)
        return self.closed

    def _move(self, cause: Cause) -> None:
        try:
            self.state = TRANSITIONS[self.state, cause]
        except KeyError:
            raise IllegalTransition(f"{cause.name} in state {self.state.name}") from None


def serialize_message(message: str | bytes, deflate: Deflate | None, mask: bytes | None = None) -> bytes:
    """The message as one frame, compressed when `deflate` was agreed on and it gains by it."""
    opcode = Opcode.TEXT if isinstance(message, str) else Opcode.BINARY
    payload = message.encode() if isinstance(message, str) else bytes(message)
    packed = None if deflate is None else deflate.compress(payload)
    return serialize_frame(opcode, payload if packed is None else packed, mask=mask, is_compressed=packed is not None)
