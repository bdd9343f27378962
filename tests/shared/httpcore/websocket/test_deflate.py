"""Compression of single messages, and inflation that never takes more memory than it was allowed."""

import contextlib
import zlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.httpcore.websocket.close_codes import CloseCode, WebSocketError
from shared.httpcore.websocket.deflate import (
    MAX_COMPRESSED_BYTES,
    MIN_COMPRESSED_BYTES,
    Deflate,
    Inflater,
)


@given(
    payload=st.binary(max_size=40).map(lambda seed: seed * 50),
    window_bits=st.integers(9, 15),
    cut=st.integers(0, 500),
)
def test_what_is_compressed_inflates_to_the_same(payload: bytes, window_bits: int, cut: int) -> None:
    packed = Deflate(window_bits).compress(payload)
    if packed is None:
        return
    inflater = Inflater(len(payload))
    assert inflater.feed(packed[:cut]) + inflater.feed(packed[cut:]) + inflater.finish() == payload


@pytest.mark.parametrize(
    "payload",
    [b"", b"x" * (MIN_COMPRESSED_BYTES - 1), bytes(range(256)) * 1, bytes(MAX_COMPRESSED_BYTES + 1)],
    ids=["empty", "short", "random", "long"],
)
def test_what_does_not_pay_is_left_alone(payload: bytes) -> None:
    assert Deflate().compress(payload) is None


def test_a_bomb_is_refused_after_one_byte_too_many() -> None:
    bomb = zlib.compressobj(wbits=-15)
    packed = bomb.compress(bytes(50_000_000)) + bomb.flush(zlib.Z_SYNC_FLUSH)
    with pytest.raises(WebSocketError, match="inflates to more than 4096 bytes") as refused:
        Inflater(4096).feed(packed)
    assert refused.value.code is CloseCode.TOO_BIG


@given(st.lists(st.binary(max_size=50), max_size=5))
def test_any_bytes_inflate_within_the_limit_or_end_in_the_documented_error(pieces: list[bytes]) -> None:
    inflater, size = Inflater(100), 0
    with contextlib.suppress(WebSocketError):
        for piece in pieces:
            size += len(inflater.feed(piece))
        size += len(inflater.finish())
    assert size <= 100
