"""The lines between peers: bytes, cut anywhere, to frames, and frames back to lines."""

import random
from collections.abc import Iterable

from fuzz.target import Target, expect_equal, random_parts, take_choices
from services.peer.frames import Ack, Chat, Direct, Frame, Hello, Ping, Unknown, serialize_frame
from services.peer.messages import Message
from services.peer.wire import LineDecoder, WireError, parse_frame

MAX_LINE_BYTES = 2000


def read(parts: Iterable[bytes]) -> list[object]:
    """What a link makes of these parts: frames and errors in order, to the first fatal one."""
    decoder = LineDecoder(MAX_LINE_BYTES)
    found: list[object] = []
    for part in parts:
        decoder.feed(part)
        while True:
            try:
                frame = decoder.next_frame()
            except WireError as error:
                found.append((error.code, error.message_id, error.is_fatal))
                serialize_frame(error.frame())
                if error.is_fatal:
                    return found
            else:
                if frame is None:
                    break
                if not isinstance(frame, Unknown):  # answered by an error, never written
                    check_frame(frame)
                found.append(frame)
    return found


def check_frame(frame: Frame) -> None:
    """A frame that came in can be written as one line, and read back."""
    line = serialize_frame(frame)
    assert line.endswith(b"\n"), "a line ends"
    assert line.count(b"\n") == 1, "one line"
    expect_equal(frame, parse_frame(line[:-1]), "read and read again")


def check(data: bytes) -> None:
    """The same frames, whole or cut; WireError is the only error."""
    choices, wire = take_choices(data)
    expect_equal(read([wire]), read(random_parts(wire, choices)), "whole and cut")


def _seeds() -> list[bytes]:
    choices = random.Random(5)
    message = Message(id="1", sender="p1", to="p2", channel=None, content="héllo", sent_at=1.5)
    chat = Message(id="2", sender="p1", to=None, channel="chat", content="a\nb", sent_at=1.5)
    frames: list[Frame] = [Hello("p1", "0" * 64), Direct(message), Chat(chat), Ack("1", True), Ping(3)]
    lines = [serialize_frame(frame) for frame in frames]
    lines += [b'{"type":"auth","mac":"%b"}\n' % (b"0" * 64), b'{"type":"error","code":"x","message":"y","id":"1"}\n']
    lines += [b'{"type":"direct","id":"3","from":"p1","to":"p2","sent_at":1,"encoding":"base64","content":"aMOp"}\n']
    return [choices.randbytes(2) + line for line in [*lines, b"".join(lines)] for _ in range(3)]


TARGET = Target(
    "peer_wire",
    check,
    ("services.peer",),
    _seeds(),
    (
        b'{"type":"direct",',
        b'"id":"1"',
        b'"content":"',
        b'"encoding":"base64"',
        b'"sent_at":1e400',
        b"\\ud800",
        b"[[[[[[[[",
        b"NaN",
        b"\n",
        b'"nonce":""',
        b'"max_line":65536',
    ),
)
