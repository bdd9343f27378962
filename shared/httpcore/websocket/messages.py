"""Frames to messages: fragments joined, text checked as UTF-8 while it arrives, sizes held to the limit.

Takes payloads already unmasked, in pieces of any size; knows nothing of control frames, which `protocol`
takes out before. Compressed messages pass through an `Inflater` of `deflate` on their way.
"""

import codecs

from shared.httpcore.websocket.close_codes import CloseCode, WebSocketError
from shared.httpcore.websocket.deflate import Inflater
from shared.httpcore.websocket.frames import FrameHead, Opcode

_new_utf8_decoder = codecs.getincrementaldecoder("utf-8")


class MessageAssembler:
    """The message that is arriving, if any. `begin_frame`, then `add` its payload, then `end_frame`."""

    __slots__ = ("_announced_bytes", "_content", "_decoder", "_inflater", "_is_open", "_max_bytes")

    def __init__(self, max_message_bytes: int) -> None:
        self._max_bytes = max_message_bytes
        self._is_open = False
        self._content = bytearray()
        self._announced_bytes = 0
        self._decoder: codecs.IncrementalDecoder | None = None  # None for binary
        self._inflater: Inflater | None = None

    def begin_frame(self, head: FrameHead) -> None:
        """A data frame starts. WebSocketError 1002 when it is out of turn, 1009 when it passes the limit."""
        # RFC 6455 §5.4: a message is one frame with an opcode, then continuations until FIN.
        if head.opcode is Opcode.CONTINUATION:
            if not self._is_open:
                raise WebSocketError(CloseCode.PROTOCOL_ERROR, "continuation of no message")
            if head.is_compressed:  # RFC 7692 §6.1: the first frame speaks for the whole message
                raise WebSocketError(CloseCode.PROTOCOL_ERROR, "continuation frame has RSV1 set")
        elif self._is_open:
            raise WebSocketError(CloseCode.PROTOCOL_ERROR, "new message within a fragmented one")
        else:
            self._is_open = True
            self._decoder = _new_utf8_decoder() if head.opcode is Opcode.TEXT else None
            self._inflater = Inflater(self._max_bytes) if head.is_compressed else None
        if self._inflater is None:
            self._announced_bytes += head.payload_bytes
            if self._announced_bytes > self._max_bytes:
                raise too_big(self._announced_bytes, self._max_bytes)

    def add(self, piece: bytes) -> None:
        """More of the frame's payload. WebSocketError 1007 at the first byte that no UTF-8 text can have."""
        if self._inflater is not None:
            piece = self._inflater.feed(piece)
        self._append(piece, is_last=False)

    def end_frame(self, head: FrameHead) -> str | bytes | None:
        """The whole message when this frame was its last, else None. WebSocketError 1007 for half a character."""
        if not head.is_final:
            return None
        self._append(b"" if self._inflater is None else self._inflater.finish(), is_last=True)
        message = bytes(self._content) if self._decoder is None else self._content.decode()
        self._is_open = False
        self._announced_bytes = 0
        self._content = bytearray()
        self._decoder = self._inflater = None
        return message

    def _append(self, piece: bytes, *, is_last: bool) -> None:
        # The decoder only judges: kept text would take up to four times the room of these bytes.
        if self._decoder is not None:
            try:
                self._decoder.decode(piece, is_last)
            except UnicodeDecodeError:
                raise WebSocketError(CloseCode.INVALID_DATA, "text message is not UTF-8") from None
        self._content += piece


def too_big(got_bytes: int, max_bytes: int) -> WebSocketError:
    """The error of a message over the limit."""
    return WebSocketError(CloseCode.TOO_BIG, f"message of {got_bytes} bytes, expected no more than {max_bytes}")
