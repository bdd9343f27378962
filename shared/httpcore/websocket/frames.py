"""One frame: its head parsed and checked, its bytes written, its payload masked.

Owns what RFC 6455 §5.2 says of a single frame; the order of frames is `messages`' and `protocol`'s business.
"""

import sys
from dataclasses import dataclass
from enum import IntEnum

from shared.httpcore.websocket.close_codes import CloseCode, WebSocketError

MAX_HEAD_BYTES = 14
MAX_CONTROL_BYTES = 125


class Opcode(IntEnum):
    """RFC 6455 §11.8. What is not listed is reserved."""

    CONTINUATION = 0x0
    TEXT = 0x1
    BINARY = 0x2
    CLOSE = 0x8
    PING = 0x9
    PONG = 0xA


_OPCODES: dict[int, Opcode] = {int(opcode): opcode for opcode in Opcode}


@dataclass(frozen=True, slots=True)
class FrameHead:
    """A frame's head: `payload_bytes` follow it; `mask` is None for an unmasked frame."""

    opcode: Opcode
    is_final: bool
    is_compressed: bool  # RSV1, which RFC 7692 §6 gives this meaning
    mask: bytes | None
    payload_bytes: int
    head_bytes: int

    @property
    def is_control(self) -> bool:
        """RFC 6455 §5.5: control frames are those whose opcode has its high bit set."""
        return self.opcode >= Opcode.CLOSE


def parse_frame_head(buffer: bytes | bytearray) -> FrameHead | None:
    """The head at the front of `buffer`, or None when more bytes are needed; nothing is consumed.

    WebSocketError 1002, as early as the bytes allow, for what no frame may have. Whether it may have a mask
    or RSV1 here and now depends on the connection; `protocol` checks that.

         0               1               2               3
        |F|R|R|R| opcode|M| length (7)  | extended length: 0, 2 or 8 bytes | mask: 0 or 4 bytes | payload
    """
    if len(buffer) < 2:
        return None
    first, second = buffer[0], buffer[1]
    opcode = _OPCODES.get(first & 0x0F)
    if opcode is None:
        raise WebSocketError(CloseCode.PROTOCOL_ERROR, f"opcode {first & 0x0F:#x} is reserved")
    if first & 0x30:
        raise WebSocketError(CloseCode.PROTOCOL_ERROR, "RSV2 or RSV3 is set, no extension uses them")
    if opcode >= Opcode.CLOSE:
        _check_control(opcode, first, second & 0x7F)
    length_end = {126: 4, 127: 10}.get(second & 0x7F, 2)
    head_bytes = length_end + (4 if second & 0x80 else 0)
    if len(buffer) < head_bytes:
        return None
    return FrameHead(
        opcode,
        bool(first & 0x80),
        bool(first & 0x40),
        bytes(buffer[length_end:head_bytes]) if second & 0x80 else None,
        _payload_bytes(second & 0x7F, buffer[2:length_end]),
        head_bytes,
    )


def _check_control(opcode: Opcode, first: int, length: int) -> None:
    """RFC 6455 §5.5: a control frame is whole and holds at most 125 bytes; RFC 7692 §6.1: it has no RSV1."""
    if not first & 0x80:
        raise WebSocketError(CloseCode.PROTOCOL_ERROR, f"{opcode.name.lower()} frame is fragmented")
    if length > MAX_CONTROL_BYTES:
        raise WebSocketError(CloseCode.PROTOCOL_ERROR, f"{opcode.name.lower()} frame over {MAX_CONTROL_BYTES} bytes")
    if first & 0x40:
        raise WebSocketError(CloseCode.PROTOCOL_ERROR, f"{opcode.name.lower()} frame has RSV1 set")


def _payload_bytes(length: int, extended: bytes | bytearray) -> int:
    """RFC 6455 §5.2: an extended length has its top bit clear and is written in the shortest form."""
    if length < 126:
        return length
    value = int.from_bytes(extended, "big")
    if value >> 63:
        raise WebSocketError(CloseCode.PROTOCOL_ERROR, "frame length has its top bit set")
    if value < (126 if length == 126 else 65536):
        raise WebSocketError(CloseCode.PROTOCOL_ERROR, f"frame length {value} is not written in its shortest form")
    return value


def serialize_frame(
    opcode: Opcode,
    payload: bytes,
    *,
    mask: bytes | None = None,
    is_final: bool = True,
    is_compressed: bool = False,
) -> bytes:
    """The frame as bytes; `mask`, 4 bytes from a source the application can't foresee, is a client's duty (§5.3)."""
    first = opcode | (0x80 if is_final else 0) | (0x40 if is_compressed else 0)
    mask_bit = 0 if mask is None else 0x80
    length = len(payload)
    if length < 126:
        head = bytes((first, mask_bit | length))
    elif length < 65536:
        head = bytes((first, mask_bit | 126)) + length.to_bytes(2, "big")
    else:
        head = bytes((first, mask_bit | 127)) + length.to_bytes(8, "big")
    return head + payload if mask is None else head + mask + apply_mask(payload, mask)


def apply_mask(payload: bytes | bytearray | memoryview, mask: bytes) -> bytes:
    """`payload` with octet i XORed by octet i mod 4 of `mask` (RFC 6455 §5.3); twice gives it back.

    The whole payload is one integer and one XOR, about 40 times as fast as a loop over the octets.
    """
    length = len(payload)
    repeated = (mask * (length // 4 + 1))[:length]
    mixed = int.from_bytes(payload, sys.byteorder) ^ int.from_bytes(repeated, sys.byteorder)
    return mixed.to_bytes(length, sys.byteorder)
