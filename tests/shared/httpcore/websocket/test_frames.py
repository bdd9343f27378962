"""Frame heads and payloads as bytes, from RFC 6455 §5.7 and from what nobody should send."""

import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.httpcore.websocket.close_codes import CloseCode, WebSocketError
from shared.httpcore.websocket.frames import (
    MAX_HEAD_BYTES,
    FrameHead,
    Opcode,
    apply_mask,
    parse_frame_head,
    serialize_frame,
)

MASK = b"\x37\xfa\x21\x3d"

# name, the frame's head on the wire, its value
HEADS = [
    ("unmasked text", b"\x81\x05", FrameHead(Opcode.TEXT, True, False, None, 5, 2)),
    ("masked text", b"\x81\x85" + MASK, FrameHead(Opcode.TEXT, True, False, MASK, 5, 6)),
    ("first fragment", b"\x01\x03", FrameHead(Opcode.TEXT, False, False, None, 3, 2)),
    ("last fragment", b"\x80\x02", FrameHead(Opcode.CONTINUATION, True, False, None, 2, 2)),
    ("empty binary", b"\x82\x00", FrameHead(Opcode.BINARY, True, False, None, 0, 2)),
    ("ping", b"\x89\x05", FrameHead(Opcode.PING, True, False, None, 5, 2)),
    ("masked pong", b"\x8a\x85" + MASK, FrameHead(Opcode.PONG, True, False, MASK, 5, 6)),
    ("close", b"\x88\x02", FrameHead(Opcode.CLOSE, True, False, None, 2, 2)),
    ("125 bytes", b"\x82\x7d", FrameHead(Opcode.BINARY, True, False, None, 125, 2)),
    ("126 bytes", b"\x82\x7e\x00\x7e", FrameHead(Opcode.BINARY, True, False, None, 126, 4)),
    ("65535 bytes", b"\x82\x7e\xff\xff", FrameHead(Opcode.BINARY, True, False, None, 65535, 4)),
    (
        "64 KiB",
        b"\x82\x7f\x00\x00\x00\x00\x00\x01\x00\x00",
        FrameHead(Opcode.BINARY, True, False, None, 65536, 10),
    ),
    (
        "longest head",
        b"\x82\xff\x7f" + b"\xff" * 7 + MASK,
        FrameHead(Opcode.BINARY, True, False, MASK, 2**63 - 1, MAX_HEAD_BYTES),
    ),
    ("compressed text", b"\xc1\x07", FrameHead(Opcode.TEXT, True, True, None, 7, 2)),
]

# name, wire bytes, the reason
BAD_HEADS = [
    ("reserved data opcode", b"\x83\x00", "opcode 0x3 is reserved"),
    ("highest reserved data opcode", b"\x87\x00", "opcode 0x7 is reserved"),
    ("reserved control opcode", b"\x8b\x00", "opcode 0xb is reserved"),
    ("highest reserved control opcode", b"\x8f\x00", "opcode 0xf is reserved"),
    ("RSV2", b"\xa1\x00", "RSV2 or RSV3"),
    ("RSV3", b"\x91\x00", "RSV2 or RSV3"),
    ("fragmented ping", b"\x09\x00", "ping frame is fragmented"),
    ("fragmented close", b"\x08\x00", "close frame is fragmented"),
    ("compressed ping", b"\xc9\x00", "ping frame has RSV1 set"),
    ("ping of 126 bytes", b"\x89\x7e\x00\x7e", "ping frame over 125 bytes"),
    ("close of 64 KiB", b"\x88\x7f\x00\x00\x00\x00\x00\x01\x00\x00", "close frame over 125 bytes"),
    ("125 in two bytes", b"\x82\x7e\x00\x7d", "frame length 125 is not written in its shortest form"),
    ("65535 in eight bytes", b"\x82\x7f" + (65535).to_bytes(8, "big"), "65535 is not written in its shortest"),
    ("top bit of the length", b"\x82\x7f\x80" + bytes(7), "top bit"),
]


@pytest.mark.parametrize(("wire", "expected"), [case[1:] for case in HEADS], ids=[case[0] for case in HEADS])
def test_a_head_is_read_once_it_is_whole_whatever_follows(wire: bytes, expected: FrameHead) -> None:
    for length in range(len(wire)):
        assert parse_frame_head(wire[:length]) is None
    assert parse_frame_head(wire) == expected
    assert parse_frame_head(bytearray(wire) + b"what follows") == expected


@pytest.mark.parametrize(("wire", "reason"), [case[1:] for case in BAD_HEADS], ids=[case[0] for case in BAD_HEADS])
def test_a_head_that_no_frame_may_have_is_refused_with_1002(wire: bytes, reason: str) -> None:
    for data in (wire, wire + b"what follows"):
        with pytest.raises(WebSocketError, match=reason) as refused:
            parse_frame_head(data)
        assert refused.value.code is CloseCode.PROTOCOL_ERROR


def test_a_bad_first_pair_is_refused_before_the_rest_is_there() -> None:
    with pytest.raises(WebSocketError, match="ping frame over 125 bytes"):
        parse_frame_head(b"\x89\xfe")


def test_frames_are_written_as_the_examples_of_the_rfc() -> None:
    # RFC 6455 §5.7
    assert serialize_frame(Opcode.TEXT, b"Hello") == bytes.fromhex("81 05 48 65 6c 6c 6f")
    assert serialize_frame(Opcode.TEXT, b"Hello", mask=MASK) == bytes.fromhex("81 85 37 fa 21 3d 7f 9f 4d 51 58")
    assert serialize_frame(Opcode.TEXT, b"Hel", is_final=False) == bytes.fromhex("01 03 48 65 6c")
    assert serialize_frame(Opcode.CONTINUATION, b"lo") == bytes.fromhex("80 02 6c 6f")
    assert serialize_frame(Opcode.PING, b"Hello") == bytes.fromhex("89 05 48 65 6c 6c 6f")
    assert serialize_frame(Opcode.BINARY, bytes(256))[:4] == bytes.fromhex("82 7e 01 00")
    assert serialize_frame(Opcode.BINARY, bytes(65536))[:10] == bytes.fromhex("82 7f 00 00 00 00 00 01 00 00")


@given(
    opcode=st.sampled_from(Opcode),
    payload=st.binary(max_size=125) | st.integers(126, 70_000).map(bytes),
    mask=st.none() | st.binary(min_size=4, max_size=4),
    is_final=st.booleans(),
    is_compressed=st.booleans(),
)
def test_what_is_written_is_read_back(
    opcode: Opcode, payload: bytes, mask: bytes | None, is_final: bool, is_compressed: bool
) -> None:
    if opcode >= Opcode.CLOSE:
        payload, is_final, is_compressed = payload[:125], True, False
    wire = serialize_frame(opcode, payload, mask=mask, is_final=is_final, is_compressed=is_compressed)
    head = parse_frame_head(wire)
    assert head is not None
    assert (head.opcode, head.is_final, head.is_compressed, head.mask) == (
        opcode,
        is_final,
        is_compressed,
        mask,
    )
    body = wire[head.head_bytes :]
    assert len(body) == head.payload_bytes
    assert (body if mask is None else apply_mask(body, mask)) == payload


@given(st.binary(max_size=200), st.binary(min_size=4, max_size=4))
def test_a_mask_is_the_xor_of_the_rfc_and_its_own_inverse(payload: bytes, mask: bytes) -> None:
    masked = apply_mask(payload, mask)
    assert masked == bytes(octet ^ mask[index % 4] for index, octet in enumerate(payload))
    assert apply_mask(masked, mask) == payload


@given(st.binary(max_size=20))
def test_any_bytes_are_a_head_an_unfinished_head_or_the_documented_error(data: bytes) -> None:
    with contextlib.suppress(WebSocketError):
        head = parse_frame_head(data)
        assert head is None or head.head_bytes <= len(data)
