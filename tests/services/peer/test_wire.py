"""The JSON Lines codec: every frame round-trips at every split, and whatever else comes is a WireError."""

import base64
import json
import sys
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.peer.frames import (
    MAX_LINE_BYTES,
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
from services.peer.messages import MAX_CONTENT_BYTES, NOT_TOLD, Message
from services.peer.wire import LineDecoder, WireError, parse_frame

NONCE = "0123456789abcdef0123456789abcdef"
MESSAGE = Message("m-1", "p1", "p2", None, "hej då ✓", 1700000000.5)

FRAMES: list[tuple[str, Frame, str]] = [
    (
        "hello",
        Hello("p1", NONCE),
        f'{{"type":"hello","v":1,"peer_id":"p1","caps":["direct","chat","base64"],"nonce":"{NONCE}","max_line":65536}}',
    ),
    ("auth", Auth("ab" * 32), '{"type":"auth","mac":"' + "ab" * 32 + '"}'),
    (
        "direct",
        Direct(MESSAGE),
        '{"type":"direct","id":"m-1","from":"p1","to":"p2","sent_at":1700000000.5,"content":"hej då ✓"}',
    ),
    (
        "direct with a channel as its label",
        Direct(replace(MESSAGE, channel="chat")),
        '{"type":"direct","id":"m-1","from":"p1","to":"p2","channel":"chat","sent_at":1700000000.5,'
        '"content":"hej då ✓"}',
    ),
    (
        "chat",
        Chat(replace(MESSAGE, to=None, channel="chat")),
        '{"type":"chat","id":"m-1","from":"p1","channel":"chat","sent_at":1700000000.5,"content":"hej då ✓"}',
    ),
    ("ack", Ack("m-1"), '{"type":"ack","id":"m-1"}'),
    ("ack of a repeat", Ack("m-1", is_repeat=True), '{"type":"ack","id":"m-1","repeat":true}'),
    ("ping", Ping(7), '{"type":"ping","n":7}'),
    ("pong", Pong(7), '{"type":"pong","n":7}'),
    ("error of the link", Failure("bad_json", "no"), '{"type":"error","code":"bad_json","message":"no"}'),
    (
        "error of a message",
        Failure("storage_failed", "full", "m-1"),
        '{"type":"error","code":"storage_failed","message":"full","id":"m-1"}',
    ),
]


def read_all(chunks: list[bytes]) -> list[Frame | str]:
    """Every frame in order; an error as its code, after a fatal one nothing."""
    decoder = LineDecoder()
    seen: list[Frame | str] = []
    for chunk in chunks:
        decoder.feed(chunk)
        while True:
            try:
                frame = decoder.next_frame()
            except WireError as error:
                seen.append(f"{error.code}:{error.message_id}:{error.message}")
                if error.is_fatal:
                    return seen
                continue
            if frame is None:
                break
            seen.append(frame)
    return seen


@pytest.mark.parametrize(("frame", "line"), [case[1:] for case in FRAMES], ids=[case[0] for case in FRAMES])
def test_a_frame_is_written_as_one_line_and_read_back_at_every_split(frame: Frame, line: str) -> None:
    data = line.encode() + b"\n"
    assert serialize_frame(frame) == data
    following = data + b'{"type":"ping","n":1}\n{"ty'
    for split in range(len(data) + 1):
        assert read_all([following[:split], following[split:]]) == [frame, Ping(1)]


BAD_LINES: list[tuple[str, bytes, str, bool]] = [
    ("not UTF-8", b'{"type":"ping\xff"}', "bad_utf8", True),
    ("overlong UTF-8", b'{"type":"\xc0\xaf"}', "bad_utf8", True),
    ("empty line", b"", "bad_json", True),
    ("half an object", b'{"type":"ping"', "bad_json", True),
    ("two objects", b'{"type":"ping"}{"type":"ping"}', "bad_json", True),
    ("an array", b'[{"type":"ping"}]', "bad_json", True),
    ("a byte order mark", b'\xef\xbb\xbf{"type":"ping"}', "bad_json", True),
    ("NaN", b'{"type":"ping","n":NaN}', "bad_json", True),
    ("a name twice", b'{"type":"ping","type":"pong"}', "bad_json", True),
    ("a name twice, deeper", b'{"type":"ping","x":{"a":1,"a":2}}', "bad_json", True),
    ("nested too deeply", b'{"type":' + b"[" * 30_000, "bad_json", True),
    ("a number of 5,000 digits", b'{"type":"ping","n":' + b"9" * 5000 + b"}", "bad_json", True),
    ("no type", b"{}", "bad_frame", True),
    ("a type that is no text", b'{"type":1}', "bad_frame", True),
    ("another version", b'{"type":"hello","v":2}', "bad_version", True),
    ("version true", b'{"type":"hello","v":true,"peer_id":"p1"}', "bad_frame", True),
    ("hello without an id", b'{"type":"hello","v":1}', "bad_frame", True),
    ("an id with a slash", b'{"type":"hello","v":1,"peer_id":"p/1"}', "bad_frame", True),
    ("an id with a line feed", b'{"type":"hello","v":1,"peer_id":"p1\\n"}', "bad_frame", True),
    ("a nonce with a line feed", b'{"type":"hello","v":1,"peer_id":"p1","nonce":"a\\nb"}', "bad_frame", True),
    ("a small max_line", b'{"type":"hello","v":1,"peer_id":"p1","max_line":100}', "bad_frame", True),
    ("too many caps", b'{"type":"hello","v":1,"peer_id":"p1","caps":[' + b'"x",' * 32 + b'"x"]}', "bad_frame", True),
    ("caps that are no texts", b'{"type":"hello","v":1,"peer_id":"p1","caps":[1]}', "bad_frame", True),
    ("a mac in capitals", b'{"type":"auth","mac":"' + b"AB" * 32 + b'"}', "bad_frame", True),
    ("ack of nothing", b'{"type":"ack"}', "bad_frame", False),
    ("a negative ping", b'{"type":"ping","n":-1}', "bad_frame", False),
    ("direct without content", b'{"type":"direct","id":"m","from":"a","to":"b","sent_at":1}', "bad_frame", False),
    ("chat without channel", b'{"type":"chat","id":"m","from":"a","content":"","sent_at":1}', "bad_frame", False),
    (
        "sent_at beyond any float",
        b'{"type":"chat","id":"m","from":"a","channel":"c","content":"","sent_at":1' + b"0" * 400 + b"}",
        "bad_frame",
        False,
    ),
    (
        "sent_at too large for a float literal",
        b'{"type":"chat","id":"m","from":"a","channel":"c","content":"","sent_at":1e999}',
        "bad_frame",
        False,
    ),
    (
        "half a surrogate pair",
        b'{"type":"chat","id":"m","from":"a","channel":"c","sent_at":1,"content":"\\ud800"}',
        "bad_content",
        False,
    ),
    (
        "content a byte too large",
        b'{"type":"chat","id":"m","from":"a","channel":"c","sent_at":1,"content":"'
        + b"x" * (MAX_CONTENT_BYTES + 1)
        + b'"}',
        "content_too_large",
        False,
    ),
    (
        "base64 that is none",
        b'{"type":"chat","id":"m","from":"a","channel":"c","sent_at":1,"encoding":"base64","content":"%"}',
        "bad_frame",
        False,
    ),
    (
        "base64 of no UTF-8",
        b'{"type":"chat","id":"m","from":"a","channel":"c","sent_at":1,"encoding":"base64","content":"/w=="}',
        "bad_frame",
        False,
    ),
    (
        "an unknown encoding",
        b'{"type":"chat","id":"m","from":"a","channel":"c","sent_at":1,"encoding":"gzip","content":""}',
        "bad_frame",
        False,
    ),
]


@pytest.mark.parametrize(
    ("line", "code", "is_fatal"), [case[1:] for case in BAD_LINES], ids=[case[0] for case in BAD_LINES]
)
def test_a_bad_line_is_an_error_with_its_code(line: bytes, code: str, is_fatal: bool) -> None:
    with pytest.raises(WireError) as caught:
        parse_frame(line)
    assert (caught.value.code, caught.value.is_fatal) == (code, is_fatal)
    assert parse_frame(serialize_frame(caught.value.frame())[:-1]) == caught.value.frame()


@pytest.mark.parametrize("field", ["type", "id", "to", "content", "encoding", "sent_at"])
def test_a_field_of_lists_is_an_error_however_deep_they_are(field: str) -> None:
    # `json` reads a little deeper than it writes; in between, the link ended without a word.
    least = {"type": "direct", "id": "m", "from": "p1", "to": "p2", "content": "x", "sent_at": 1}
    line = json.dumps(least | {field: "HERE"})
    codes = set()
    for levels in range(1, sys.getrecursionlimit() + 10):
        with pytest.raises(WireError) as caught:
            parse_frame(line.replace('"HERE"', "[" * levels + "]" * levels).encode())
        codes.add(caught.value.code)
    assert codes == {"bad_frame", "bad_json"}


def test_an_error_about_a_message_names_its_id() -> None:
    with pytest.raises(WireError) as caught:
        parse_frame(b'{"type":"direct","id":"m-9","from":"p1","to":"p/2","sent_at":1,"content":"x"}')
    assert caught.value.message_id == "m-9"
    assert str(caught.value) == 'to: got "p/2", expected 1–63 characters of A–Z a–z 0–9 _ -'


def test_the_least_that_a_frame_must_hold_is_enough() -> None:
    assert parse_frame(b'{"type":"hello","v":1,"peer_id":"p1"}') == Hello("p1", "", (), MAX_LINE_BYTES)
    least = parse_frame(b'{"type":"direct","id":"m","from":"p1","to":"p2","content":"x"}')
    assert least == Direct(Message("m", "p1", "p2", None, "x", NOT_TOLD))


def test_unknown_fields_are_ignored_and_unknown_types_are_told() -> None:
    assert parse_frame(b'{"type":"ping","n":1,"more":[1,{"a":null}]}') == Ping(1)
    assert parse_frame(b'{"type":"wave"}') == Unknown("wave")
    assert parse_frame(b'{"type":"ping"} \r') == Ping(0)


def test_an_error_frame_is_read_whatever_it_holds() -> None:
    assert parse_frame(b'{"type":"error"}') == Failure("unspecified", "")
    read = parse_frame(b'{"type":"error","code":"No Code","message":"\\ud800","id":"a/b"}')
    assert read == Failure("unspecified", "?")


def padded_ping(line_bytes: int) -> bytes:
    empty = len(b'{"type":"ping","pad":""}')
    return b'{"type":"ping","pad":"' + b"x" * (line_bytes - empty) + b'"}'


def test_a_line_of_64_kib_passes_and_one_byte_more_does_not() -> None:
    assert read_all([padded_ping(MAX_LINE_BYTES) + b"\n"]) == [Ping(0)]
    too_long = "line_too_long:None:got a line of more than 65536 bytes"
    assert read_all([padded_ping(MAX_LINE_BYTES + 1) + b"\n"]) == [too_long]


def test_a_line_without_end_is_refused_as_soon_as_it_is_too_long() -> None:
    decoder = LineDecoder()
    decoder.feed(b"x" * MAX_LINE_BYTES)
    assert decoder.next_frame() is None
    decoder.feed(b"x")
    with pytest.raises(WireError, match="got a line of more than 65536 bytes"):
        decoder.next_frame()


def test_the_limit_counts_bytes_not_characters() -> None:
    line = '{"type":"ping","pad":"' + "é" * 40_000 + '"}\n'
    assert len(line) < MAX_LINE_BYTES
    assert read_all([line.encode()]) == ["line_too_long:None:got a line of more than 65536 bytes"]


@pytest.mark.parametrize("character", ["\x00", '"', "\n", "\x7f", "a"])
def test_every_content_of_32_kib_fits_into_a_line(character: str) -> None:
    message = Message("m" * 64, "p" * 63, "q" * 63, "c" * 64, character * MAX_CONTENT_BYTES, 1e9)
    data = serialize_frame(message_frame(message))
    assert len(data) <= MAX_LINE_BYTES + 1
    assert parse_frame(data[:-1]) == Direct(message)
    assert ("encoding" in json.loads(data)) == (character not in "a\x7f")


def test_content_in_base64_is_the_same_as_content_in_clear() -> None:
    encoded = base64.b64encode("hej då ✓".encode()).decode()
    head = '{"type":"direct","id":"m-1","from":"p1","to":"p2","sent_at":1700000000.5,"encoding":"base64"'
    assert parse_frame(f'{head},"content":"{encoded}"}}'.encode()) == Direct(MESSAGE)


peer_ids = st.from_regex(r"[A-Za-z0-9_-]{1,63}", fullmatch=True)
message_ids = st.from_regex(r"[A-Za-z0-9._:-]{1,64}", fullmatch=True)
texts = st.text(st.characters(codec="utf-8"), max_size=300)
channels = st.text(st.characters(codec="utf-8", exclude_categories=("Cc", "Cs")), min_size=1, max_size=64).filter(
    lambda text: not any(0x7F <= ord(character) <= 0x9F for character in text)
)
messages = st.builds(
    Message,
    id=message_ids,
    sender=peer_ids,
    to=st.none() | peer_ids,
    channel=channels,
    content=texts,
    sent_at=st.floats(0, 1e11),
)
frames: st.SearchStrategy[Frame] = st.one_of(
    messages.map(message_frame),
    st.builds(Ack, message_ids, st.booleans()),
    st.builds(Ping, st.integers(0, 2**53 - 1)),
    st.builds(Hello, peer_ids, st.just(NONCE)),
    st.builds(Failure, st.just("busy"), texts, st.none() | message_ids),
)


@given(st.lists(frames, max_size=5), st.data())
def test_any_frames_cut_anywhere_are_read_back(sent: list[Frame], data: st.DataObject) -> None:
    wire = b"".join(serialize_frame(frame) for frame in sent)
    cuts = sorted(data.draw(st.lists(st.integers(0, len(wire)), max_size=6)))
    chunks = [wire[start:end] for start, end in zip([0, *cuts], [*cuts, len(wire)])]
    assert read_all(chunks) == sent


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=8,
)
kinds = st.sampled_from(["hello", "auth", "direct", "chat", "ack", "ping", "pong", "error", "wave"])
names = ["v", "peer_id", "caps", "nonce", "max_line", "mac", "id", "from", "to", "channel", "sent_at", "n"]
likely_lines = st.builds(
    lambda kind, fields: json.dumps({**fields, "type": kind}).encode() + b"\n",
    kinds,
    st.dictionaries(st.sampled_from([*names, "content", "encoding", "code", "message"]), json_values),
)


@given(st.lists(st.binary(max_size=60) | st.just(b"\n") | likely_lines, max_size=6), st.data())
def test_whatever_comes_is_frames_or_a_wire_error_the_same_at_any_split(
    parts: list[bytes], data: st.DataObject
) -> None:
    wire = b"".join(parts)
    cut = data.draw(st.integers(0, len(wire)))
    whole = read_all([wire])
    assert read_all([wire[:cut], wire[cut:]]) == whole
    for seen in whole:
        if not isinstance(seen, str | Unknown):
            assert parse_frame(serialize_frame(seen)[:-1]) == seen
