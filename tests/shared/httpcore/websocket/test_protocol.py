"""The connection as a whole: wire bytes in, events and answers out, at any cut."""

import itertools
import re
import zlib
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.httpcore.websocket.close_codes import CloseCode, serialize_close
from shared.httpcore.websocket.deflate import Deflate
from shared.httpcore.websocket.frames import Opcode, parse_frame_head, serialize_frame
from shared.httpcore.websocket.protocol import (
    TRANSITIONS,
    Cause,
    Closed,
    Event,
    IllegalTransition,
    Pong,
    ProtocolOptions,
    Role,
    State,
    WebSocketProtocol,
    serialize_message,
)
from tests.shared.httpcore.splitting import every_split

MASK = b"\x01\x02\x03\x04"
OPTIONS = ProtocolOptions(max_message_bytes=1000, new_mask=lambda: MASK)
COMPRESSED = ProtocolOptions(max_message_bytes=1000, deflate=Deflate(), new_mask=lambda: MASK)


def frame(opcode: Opcode, payload: bytes = b"", **options: bool) -> bytes:
    """As a client sends it."""
    return serialize_frame(opcode, payload, mask=MASK, **options)


def text(payload: str | bytes, **options: bool) -> bytes:
    return frame(Opcode.TEXT, payload.encode() if isinstance(payload, str) else payload, **options)


def continuation(payload: bytes, **options: bool) -> bytes:
    return frame(Opcode.CONTINUATION, payload, **options)


def close(code: int, reason: str = "") -> bytes:
    return frame(Opcode.CLOSE, serialize_close(code, reason))


def reply(opcode: Opcode, payload: bytes = b"") -> bytes:
    """As a server sends it."""
    return serialize_frame(opcode, payload)


def closing(code: int, reason: str = "") -> bytes:
    return reply(Opcode.CLOSE, serialize_close(code, reason))


def run(protocol: WebSocketProtocol, pieces: tuple[bytes, ...]) -> tuple[list[Event], bytes]:
    events = [event for piece in pieces for event in protocol.receive_data(piece)]
    return events, protocol.take_output()


def failure(code: int, reason: str) -> tuple[list[Event], bytes]:
    return [Closed(code, reason)], closing(code, reason)


HELLO = text("hello")
# name, what a client sends, the server's events, what the server answers
ACCEPTED: list[tuple[str, bytes, list[Event], bytes]] = [
    ("text", text("xin chào"), ["xin chào"], b""),
    ("empty text", text(""), [""], b""),
    ("binary", frame(Opcode.BINARY, b"\x00\xff"), [b"\x00\xff"], b""),
    ("empty binary", frame(Opcode.BINARY), [b""], b""),
    ("two messages", text("a") + frame(Opcode.BINARY, b"b"), ["a", b"b"], b""),
    ("126 bytes", text("x" * 126), ["x" * 126], b""),
    ("fragments", text("a", is_final=False) + continuation(b"b", is_final=False) + continuation(b"c"), ["abc"], b""),
    ("empty fragments", text("", is_final=False) + continuation(b"", is_final=False) + continuation(b""), [""], b""),
    (
        "a character cut by a frame",
        text(b"\xf0\x9f", is_final=False) + continuation(b"\x98\x80"),
        ["😀"],
        b"",
    ),
    ("ping", frame(Opcode.PING, b"are you there"), [], reply(Opcode.PONG, b"are you there")),
    ("pong", frame(Opcode.PONG, b"unasked"), [Pong(b"unasked")], b""),
    (
        "ping between fragments",
        text("a", is_final=False) + frame(Opcode.PING, b"p") + continuation(b"b"),
        ["ab"],
        reply(Opcode.PONG, b"p"),
    ),
    (
        "two pings",
        frame(Opcode.PING, b"1") + frame(Opcode.PING, b"2"),
        [],
        reply(Opcode.PONG, b"1") + reply(Opcode.PONG, b"2"),
    ),
    ("close", close(1000, "bye"), [Closed(1000, "bye")], closing(1000)),
    ("close of an application", close(4321), [Closed(4321, "")], closing(4321)),
    ("empty close", frame(Opcode.CLOSE), [Closed(1005, "")], reply(Opcode.CLOSE)),
    ("close between fragments", text("a", is_final=False) + close(1001), [Closed(1001, "")], closing(1001)),
    ("nothing counts after close", HELLO + close(1000) + HELLO, ["hello", Closed(1000, "")], closing(1000)),
]  # fmt: skip

NOT_UTF8 = "text message is not UTF-8"
# name, what a client sends, the code and reason the server fails the connection with
REFUSED: list[tuple[str, bytes, int, str]] = [
    ("unmasked", serialize_frame(Opcode.TEXT, b"hello"), 1002, "frame is not masked"),
    ("RSV1 without an extension", text("x", is_compressed=True), 1002, "RSV1 is set, no extension uses it"),
    ("RSV3", b"\x91\x80" + MASK, 1002, "RSV2 or RSV3 is set, no extension uses them"),
    ("reserved opcode", b"\x83\x80" + MASK, 1002, "opcode 0x3 is reserved"),
    ("fragmented ping", b"\x09\x80" + MASK, 1002, "ping frame is fragmented"),
    ("long ping", b"\x89\xfe\x00\x7e" + MASK + bytes(126), 1002, "ping frame over 125 bytes"),
    ("continuation of nothing", continuation(b"x"), 1002, "continuation of no message"),
    ("text in text", text("a", is_final=False) + text("b"), 1002, "new message within a fragmented one"),
    ("bad UTF-8", text(b"\xff"), 1007, NOT_UTF8),
    ("overlong UTF-8", text(b"\xc0\xaf"), 1007, NOT_UTF8),
    ("a surrogate", text(b"\xed\xa0\x80"), 1007, NOT_UTF8),
    ("above U+10FFFF", text(b"\xf4\x90\x80\x80"), 1007, NOT_UTF8),
    ("half a character at the end", text(b"caf\xc3"), 1007, NOT_UTF8),
    ("half a character at the end of all", text("caf", is_final=False) + continuation(b"\xc3"), 1007, NOT_UTF8),
    ("bad UTF-8 in a first fragment", text(b"\xff", is_final=False), 1007, NOT_UTF8),
    ("half a close code", frame(Opcode.CLOSE, b"\x03"), 1002, "close frame with 1 byte, expected none or at least 2"),
    ("close with a reserved code", frame(Opcode.CLOSE, b"\x03\xee"), 1002, "close code 1006 is reserved"),
    ("close with bad UTF-8", frame(Opcode.CLOSE, b"\x03\xe8\xff"), 1007, "close reason is not UTF-8"),
    ("too big", text("x" * 1001), 1009, "message of 1001 bytes, expected no more than 1000"),
    (
        "too big in fragments",
        text("x" * 999, is_final=False) + continuation(b"xx"),
        1009,
        "message of 1001 bytes, expected no more than 1000",
    ),
]  # fmt: skip


@pytest.mark.parametrize(
    ("wire", "events", "answer"), [case[1:] for case in ACCEPTED], ids=[case[0] for case in ACCEPTED]
)
def test_what_a_client_may_send_means_the_same_at_any_cut(wire: bytes, events: list[Event], answer: bytes) -> None:
    for pieces in every_split(wire):
        assert run(WebSocketProtocol(Role.SERVER, OPTIONS), pieces) == (events, answer)


@pytest.mark.parametrize(("wire", "code", "reason"), [case[1:] for case in REFUSED], ids=[case[0] for case in REFUSED])
def test_what_a_client_may_not_send_fails_the_connection_at_any_cut(wire: bytes, code: int, reason: str) -> None:
    for data in (wire, wire + HELLO):
        for pieces in every_split(data):
            protocol = WebSocketProtocol(Role.SERVER, OPTIONS)
            assert run(protocol, pieces) == failure(code, reason)
            assert protocol.state is State.CLOSED
            assert protocol.closed == Closed(code, reason)


def test_messages_before_a_failure_are_delivered() -> None:
    wire = text("hel", is_final=False) + continuation(b"lo") + continuation(b"x")
    events, answer = run(WebSocketProtocol(Role.SERVER, OPTIONS), (wire,))
    assert events == ["hello", Closed(1002, "continuation of no message")]
    assert answer == closing(1002, "continuation of no message")


def test_a_client_refuses_masked_frames_and_masks_its_own() -> None:
    client = WebSocketProtocol(Role.CLIENT, OPTIONS)
    client.send_message("hi")
    assert client.take_output() == serialize_frame(Opcode.TEXT, b"hi", mask=MASK)
    assert client.receive_data(serialize_frame(Opcode.TEXT, b"hi")) == ["hi"]
    assert client.receive_data(HELLO) == [Closed(1002, "frame is not unmasked")]
    assert client.take_output() == close(1002, "frame is not unmasked")


def test_every_frame_of_a_client_has_a_fresh_mask() -> None:
    masks = itertools.count(1)
    client = WebSocketProtocol(Role.CLIENT, ProtocolOptions(new_mask=lambda: next(masks).to_bytes(4, "big")))
    client.send_message("")
    client.send_ping()
    heads = client.take_output()
    assert heads == b"\x81\x80\x00\x00\x00\x01" + b"\x89\x80\x00\x00\x00\x02"


def test_the_default_mask_is_not_the_same_twice() -> None:
    client = WebSocketProtocol(Role.CLIENT)
    masks = set()
    for _ in range(8):
        client.send_ping()
        head = parse_frame_head(client.take_output())
        assert head is not None
        masks.add(head.mask)
    assert len(masks) > 1


@pytest.mark.parametrize(
    ("prefix", "bad"),
    [
        (b"\xce\xba\xe1\xbd\xb9\xcf\x83\xce\xbc\xce\xb5", b"\xf4\x90"),
        (b"abc", b"\xff"),
        (b"", b"\xe0\x80"),
        (b"abc", b"\xc3("),
    ],
)
def test_bad_utf8_is_noticed_before_the_frame_is_complete(prefix: bytes, bad: bytes) -> None:
    wire = text(prefix + bad + b"the rest")
    arrived = len(wire) - len(b"the rest")
    protocol = WebSocketProtocol(Role.SERVER, OPTIONS)
    assert protocol.receive_data(wire[: arrived - 1]) == []
    assert protocol.receive_data(wire[arrived - 1 : arrived]) == [Closed(1007, NOT_UTF8)]


def test_a_message_over_the_limit_is_refused_by_its_head_alone() -> None:
    protocol = WebSocketProtocol(Role.SERVER, OPTIONS)
    head = text("x" * 1001)[:8]
    assert protocol.receive_data(head) == [Closed(1009, "message of 1001 bytes, expected no more than 1000")]


def test_a_message_of_exactly_the_limit_passes() -> None:
    protocol = WebSocketProtocol(Role.SERVER, OPTIONS)
    assert protocol.receive_data(text("x" * 600, is_final=False) + continuation(b"x" * 400)) == ["x" * 1000]
    assert protocol.receive_data(text("y" * 1000)) == ["y" * 1000]


def test_nothing_behind_an_event_is_looked_at_before_it_is_asked_for() -> None:
    protocol = WebSocketProtocol(Role.SERVER, OPTIONS)
    protocol.feed(HELLO + frame(Opcode.PING, b"p") + text("") + b"\x83\x80" + MASK)
    assert protocol.next_event() == "hello"
    assert (protocol.state, protocol.take_output()) == (State.OPEN, b"")
    assert protocol.next_event() == ""
    assert (protocol.state, protocol.take_output()) == (State.OPEN, reply(Opcode.PONG, b"p"))
    assert protocol.next_event() == Closed(1002, "opcode 0x3 is reserved")
    protocol.feed(HELLO)
    assert protocol.next_event() is None


def test_the_closing_handshake_that_this_side_begins() -> None:
    protocol = WebSocketProtocol(Role.SERVER, OPTIONS)
    protocol.send_close(1001, "going away")
    assert (protocol.state, protocol.take_output()) == (State.CLOSING, closing(1001, "going away"))
    # What was under way still arrives; a ping is not answered any more.
    assert protocol.receive_data(HELLO + frame(Opcode.PING, b"p")) == ["hello"]
    assert protocol.receive_data(close(1001)) == [Closed(1001, "")]
    assert (protocol.state, protocol.take_output()) == (State.CLOSED, b"")


def test_a_failure_after_our_close_frame_sends_no_second_one() -> None:
    protocol = WebSocketProtocol(Role.SERVER, OPTIONS)
    protocol.send_close(1000)
    protocol.take_output()
    assert protocol.receive_data(b"\x83\x80" + MASK) == [Closed(1002, "opcode 0x3 is reserved")]
    assert protocol.take_output() == b""


@pytest.mark.parametrize("has_begun", [False, True])
def test_an_end_without_a_close_frame_is_1006(has_begun: bool) -> None:
    protocol = WebSocketProtocol(Role.SERVER, OPTIONS)
    protocol.receive_data(HELLO[:3] if has_begun else b"")
    assert protocol.receive_eof() == [Closed(1006, "connection ended without a close frame")]
    assert protocol.take_output() == b""
    assert protocol.receive_eof() == []


def test_an_end_after_the_closing_handshake_is_no_event() -> None:
    protocol = WebSocketProtocol(Role.SERVER, OPTIONS)
    protocol.receive_data(close(1000))
    assert protocol.receive_eof() == []
    assert protocol.closed == Closed(1000, "")


ACTIONS: dict[Cause, Callable[[WebSocketProtocol], object]] = {
    Cause.SENT_CLOSE: lambda protocol: protocol.send_close(1000),
    Cause.RECEIVED_CLOSE: lambda protocol: protocol.receive_data(close(1000)),
    Cause.FAILED: lambda protocol: protocol.fail(CloseCode.INTERNAL_ERROR, "why"),
    Cause.ENDED: lambda protocol: protocol.receive_eof(),
}
REACH: dict[State, Callable[[WebSocketProtocol], object]] = {
    State.OPEN: lambda protocol: None,
    State.CLOSING: lambda protocol: protocol.send_close(1000),
    State.CLOSED: lambda protocol: protocol.receive_eof(),
}


@pytest.mark.parametrize("state", State)
@pytest.mark.parametrize("cause", Cause)
def test_the_table_of_transitions_is_what_happens(state: State, cause: Cause) -> None:
    protocol = WebSocketProtocol(Role.SERVER, OPTIONS)
    REACH[state](protocol)
    assert protocol.state is state
    expected = TRANSITIONS.get((state, cause))
    if expected is None and cause in (Cause.SENT_CLOSE, Cause.FAILED):
        with pytest.raises(IllegalTransition, match=f"{cause.name} in state {state.name}"):
            ACTIONS[cause](protocol)
    else:
        ACTIONS[cause](protocol)  # what comes from outside is ignored once the connection is closed
    assert protocol.state is (expected or state)


@pytest.mark.parametrize("state", [State.CLOSING, State.CLOSED])
def test_nothing_is_sent_after_a_close_frame(state: State) -> None:
    protocol = WebSocketProtocol(Role.SERVER, OPTIONS)
    REACH[state](protocol)
    sends: list[Callable[[], None]] = [
        lambda: protocol.send_message("x"),
        protocol.send_ping,
        lambda: protocol.send_serialized(reply(Opcode.TEXT)),
    ]
    for send in sends:
        with pytest.raises(IllegalTransition, match=state.name):
            send()


def test_a_client_may_not_send_a_frame_made_for_many() -> None:
    with pytest.raises(IllegalTransition, match="CLIENT"):
        WebSocketProtocol(Role.CLIENT, OPTIONS).send_serialized(reply(Opcode.TEXT))


def test_a_code_that_no_frame_may_carry_leaves_the_connection_open() -> None:
    protocol = WebSocketProtocol(Role.SERVER, OPTIONS)
    with pytest.raises(ValueError, match="got close code 1006"):
        protocol.send_close(1006)
    assert protocol.state is State.OPEN


# --- compression
# ---------------------------------------------------------------------------------------------


def packed(payload: bytes) -> bytes:
    deflate = zlib.compressobj(wbits=-15)
    return (deflate.compress(payload) + deflate.flush(zlib.Z_SYNC_FLUSH))[:-4]


WORDS = ("the quick brown fox " * 30).encode()


@pytest.mark.parametrize(
    ("wire", "expected"),
    [
        (text(packed(WORDS), is_compressed=True), WORDS.decode()),
        (frame(Opcode.BINARY, packed(WORDS), is_compressed=True), WORDS),
        (
            text(packed(WORDS)[:9], is_compressed=True, is_final=False) + continuation(packed(WORDS)[9:]),
            WORDS.decode(),
        ),
        (text("plain"), "plain"),
        # RFC 7692 §7.2.3: fragments, a stored block, BFINAL, two blocks
        (text(bytes.fromhex("f248cdc9c90700"), is_compressed=True), "Hello"),
        (text(bytes.fromhex("000500faff48656c6c6f00"), is_compressed=True), "Hello"),
        (text(bytes.fromhex("f348cdc9c9070000"), is_compressed=True), "Hello"),
        (text(bytes.fromhex("f248050000 00ffffcac9c90700".replace(" ", "")), is_compressed=True), "Hello"),
    ],
)
def test_compressed_messages_are_inflated_at_any_cut(wire: bytes, expected: str | bytes) -> None:
    for pieces in every_split(wire):
        assert run(WebSocketProtocol(Role.SERVER, COMPRESSED), pieces) == ([expected], b"")


@pytest.mark.parametrize(
    ("wire", "code", "reason"),
    [
        (text(packed(bytes(1001)), is_compressed=True), 1009, "message inflates to more than 1000 bytes"),
        (text(packed(bytes(10**7)), is_compressed=True), 1009, "message inflates to more than 1000 bytes"),
        (text(b"\xff\xff\xff", is_compressed=True), 1007, "message is not deflate data"),
        (text(packed(b"\xff" * 20), is_compressed=True), 1007, NOT_UTF8),
        (text(b"\x03\x00" * 20, is_compressed=True), 1008, "message with over 16 final blocks"),
        (
            text("a", is_final=False) + continuation(b"x", is_compressed=True),
            1002,
            "continuation frame has RSV1 set",
        ),
    ],
)
def test_bad_compressed_messages_fail_the_connection(wire: bytes, code: int, reason: str) -> None:
    for pieces in ((wire,), tuple(wire[index : index + 1] for index in range(len(wire)))):
        assert run(WebSocketProtocol(Role.SERVER, COMPRESSED), pieces) == failure(code, reason)


def test_a_message_is_sent_compressed_when_that_is_agreed_on_and_pays() -> None:
    server = WebSocketProtocol(Role.SERVER, COMPRESSED)
    client = WebSocketProtocol(Role.CLIENT, COMPRESSED)
    server.send_message(WORDS.decode())
    server.send_message("short")
    wire = server.take_output()
    assert len(wire) < len(WORDS) / 4
    assert client.receive_data(wire) == [WORDS.decode(), "short"]
    client.send_message(WORDS)
    assert server.receive_data(client.take_output()) == [WORDS]


def test_a_message_to_many_is_made_once() -> None:
    shared_frame = serialize_message(WORDS.decode(), Deflate())
    for _ in range(2):
        server = WebSocketProtocol(Role.SERVER, COMPRESSED)
        server.send_serialized(shared_frame)
        client = WebSocketProtocol(Role.CLIENT, COMPRESSED)
        assert client.receive_data(server.take_output()) == [WORDS.decode()]


# --- anything
# ------------------------------------------------------------------------------------------------

MESSAGES = st.lists(st.text(max_size=300) | st.binary(max_size=300), max_size=5)


@given(messages=MESSAGES, sizes=st.lists(st.integers(1, 50), min_size=1), compresses=st.booleans())
def test_messages_arrive_as_they_were_sent_at_any_cut(
    messages: list[str | bytes], sizes: list[int], compresses: bool
) -> None:
    options = ProtocolOptions(deflate=Deflate(9) if compresses else None)
    client, server = WebSocketProtocol(Role.CLIENT, options), WebSocketProtocol(Role.SERVER, options)
    for message in messages:
        client.send_message(message)
    wire, received = client.take_output(), []
    for size in itertools.cycle(sizes):
        if not wire:
            break
        received += server.receive_data(wire[:size])
        wire = wire[size:]
    assert received == messages


@given(st.lists(st.binary(max_size=60), max_size=4), st.sampled_from([OPTIONS, COMPRESSED]))
def test_any_bytes_end_in_events_or_in_a_documented_failure(pieces: list[bytes], options: ProtocolOptions) -> None:
    protocol = WebSocketProtocol(Role.SERVER, options)
    events, answer = run(protocol, tuple(pieces))
    closed = [event for event in events if isinstance(event, Closed)]
    assert closed == ([protocol.closed] if protocol.closed else [])
    if protocol.closed:
        assert re.match(rb"(?s).*\x88.", answer)
