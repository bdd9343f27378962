"""The payload of close frames, both ways."""

import pytest

from shared.httpcore.websocket.close_codes import (
    CloseCode,
    WebSocketError,
    is_sendable,
    parse_close,
    serialize_close,
)

SENDABLE = [1000, 1001, 1002, 1003, 1007, 1008, 1009, 1010, 1011, 1012, 1013, 1014, 3000, 3999, 4000, 4999]
RESERVED = [0, 1, 999, 1004, 1005, 1006, 1015, 1016, 1100, 2000, 2999, 5000, 65535]


@pytest.mark.parametrize("code", SENDABLE)
def test_a_code_that_frames_may_carry_survives_the_wire(code: int) -> None:
    assert is_sendable(code)
    assert parse_close(serialize_close(code, "tạm biệt")) == (code, "tạm biệt")


@pytest.mark.parametrize("code", RESERVED)
def test_a_reserved_code_is_refused_in_both_directions(code: int) -> None:
    assert not is_sendable(code)
    with pytest.raises(WebSocketError, match=f"close code {code} is reserved") as refused:
        parse_close(code.to_bytes(2, "big"))
    assert refused.value.code is CloseCode.PROTOCOL_ERROR
    if code != CloseCode.NO_STATUS:
        with pytest.raises(ValueError, match=f"got close code {code}, expected 1000–1003"):
            serialize_close(code)


def test_an_empty_close_frame_is_no_status_in_both_directions() -> None:
    assert parse_close(b"") == (CloseCode.NO_STATUS, "")
    assert serialize_close(CloseCode.NO_STATUS) == b""


def test_half_a_code_is_a_protocol_error() -> None:
    with pytest.raises(WebSocketError, match="close frame with 1 byte") as refused:
        parse_close(b"\x03")
    assert refused.value.code is CloseCode.PROTOCOL_ERROR


def test_a_reason_that_is_not_utf8_is_invalid_data() -> None:
    with pytest.raises(WebSocketError) as refused:
        parse_close(b"\x03\xe8\xff")
    assert refused.value.code is CloseCode.INVALID_DATA


@pytest.mark.parametrize("reason", ["x" * 200, "ế" * 60, "😀" * 40])
def test_a_long_reason_is_cut_at_a_character_so_that_the_frame_holds_it(reason: str) -> None:
    payload = serialize_close(1000, reason)
    assert len(payload) <= 125
    assert reason.startswith(payload[2:].decode())
    assert len(payload) > 120
