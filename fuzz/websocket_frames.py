"""A WebSocket's bytes after the handshake, for both ends, with and without compression."""

import random
from collections.abc import Iterable

from fuzz.target import Target, expect_equal, random_parts, take_choices
from shared.httpcore.websocket.deflate import Deflate
from shared.httpcore.websocket.frames import Opcode, serialize_frame
from shared.httpcore.websocket.protocol import (
    Closed,
    Event,
    ProtocolOptions,
    Role,
    State,
    WebSocketProtocol,
    serialize_message,
)

MAX_MESSAGE_BYTES = 2000
MASK = b"\x01\x02\x03\x04"


def new_protocol(role: Role, deflate: Deflate | None) -> WebSocketProtocol:
    """One end, whose masks are always the same."""
    return WebSocketProtocol(role, ProtocolOptions(MAX_MESSAGE_BYTES, deflate, lambda: MASK))


def read(parts: Iterable[bytes], role: Role, deflate: Deflate | None) -> tuple[list[object], list[object]]:
    """What one end makes of these parts, and what the other end would make of its answers."""
    protocol = new_protocol(role, deflate)
    events: list[Event] = []
    for part in parts:
        events += protocol.receive_data(part)
    events += protocol.receive_eof()
    assert protocol.state is State.CLOSED, "the end closes it"
    assert [isinstance(event, Closed) for event in events].count(True) == 1, "closed once"
    assert isinstance(events[-1], Closed), "closed is the last event"
    answers = new_protocol(opposite(role), deflate).receive_data(protocol.take_output())
    return [_without_reason(event) for event in events], [_without_reason(event) for event in answers]


def opposite(role: Role) -> Role:
    """The other end."""
    return Role.SERVER if role is Role.CLIENT else Role.CLIENT


def _without_reason(event: Event) -> object:
    """Which of two faults is named may depend on how the bytes are cut; the code may not."""
    return ("closed", event.code) if isinstance(event, Closed) else event


def check(data: bytes) -> None:
    """The same messages, whole or cut, none over the limit; and each can be sent and read back."""
    choices, wire = take_choices(data)
    role = choices.choice([Role.SERVER, Role.CLIENT])
    deflate = choices.choice([None, Deflate(), Deflate(9)])
    whole = read([wire], role, deflate)
    expect_equal(whole, read(random_parts(wire, choices), role, deflate), "whole and cut")
    for event in whole[0]:
        if isinstance(event, (str, bytes)):
            check_message(event, role, deflate)


def check_message(message: str | bytes, role: Role, deflate: Deflate | None) -> None:
    """A message that came in goes out, and arrives at the other end as it was."""
    size = len(message.encode() if isinstance(message, str) else message)
    assert size <= MAX_MESSAGE_BYTES, f"a message of {size} bytes passed the limit of {MAX_MESSAGE_BYTES}"
    sent = serialize_message(message, deflate, MASK if role is Role.CLIENT else None)
    expect_equal([message], new_protocol(opposite(role), deflate).receive_data(sent), "sent and received")


def _seeds() -> list[bytes]:
    choices = random.Random(4)
    text, packed = "héllo €".encode(), Deflate().compress(b"hello " * 100)
    assert packed is not None
    seeds = []
    for mask in (None, MASK):
        frames = (
            serialize_frame(Opcode.TEXT, text, mask=mask),
            serialize_frame(Opcode.TEXT, text[:3], mask=mask, is_final=False)
            + serialize_frame(Opcode.PING, b"?", mask=mask)
            + serialize_frame(Opcode.CONTINUATION, text[3:], mask=mask),
            serialize_frame(Opcode.BINARY, bytes(300), mask=mask),
            serialize_frame(Opcode.BINARY, packed, mask=mask, is_compressed=True),
            serialize_frame(Opcode.TEXT, packed[:5], mask=mask, is_final=False, is_compressed=True)
            + serialize_frame(Opcode.CONTINUATION, packed[5:], mask=mask),
            serialize_frame(Opcode.CLOSE, b"\x03\xe8bye", mask=mask) + serialize_frame(Opcode.PONG, b"", mask=mask),
        )
        seeds += [choices.randbytes(2) + frame for frame in (*frames, b"".join(frames)) for _ in range(8)]
    return seeds


TARGET = Target(
    "websocket_frames",
    check,
    ("shared.httpcore.websocket",),
    _seeds(),
    (
        b"\x81\x85" + MASK,
        b"\x01\x03",
        b"\x80\x02",
        b"\xc1\x7e\x01\x00",
        b"\x89\x00",
        b"\x88\x02\x03\xe8",
        b"\x00\x00\xff\xff",
    ),
)
