"""permessage-deflate (RFC 7692), always without context takeover, on both sides.

Deliberate: context takeover compresses chat a little better and holds some 95 KiB a connection; without it an
idle connection holds nothing, and a message to many is compressed once. Owns compression, inflation within a
limit, and the negotiation of parameters; how extension header fields are split is `handshake`'s business.
"""

import zlib
from collections.abc import Iterable
from dataclasses import dataclass

from shared.httpcore.websocket.close_codes import CloseCode, WebSocketError

EXTENSION = "permessage-deflate"
# What a server of ours answers. Both parameters must be obeyed by the client (RFC 7692 §7.1.1).
ANSWER = f"{EXTENSION}; server_no_context_takeover; client_no_context_takeover"
# What a client of ours asks for; the last lets the server choose the window we compress with (§7.1.2.2).
OFFER = f"{ANSWER}; client_max_window_bits"

MIN_COMPRESSED_BYTES = 256  # below it a message without context rarely shrinks by what the work costs
MAX_COMPRESSED_BYTES = 256 * 1024  # above it compression would hold the event loop for longer than others may wait
_EMPTY_BLOCK = b"\x00\x00\xff\xff"  # what a sync flush ends with; RFC 7692 §7.2.1 has it cut off, §7.2.2 put back
_MAX_FINAL_BLOCKS = 16

# One extension of a Sec-WebSocket-Extensions field: its name, and parameters with their values (None: no
# value).
ExtensionOffer = tuple[str, tuple[tuple[str, str | None], ...]]


@dataclass(frozen=True, slots=True)
class Deflate:
    """What was agreed on: the window this side compresses with (inflation takes any window)."""

    window_bits: int = 15

    def compress(self, payload: bytes) -> bytes | None:
        """The payload compressed, or None when it goes out better as it is."""
        if not MIN_COMPRESSED_BYTES <= len(payload) <= MAX_COMPRESSED_BYTES or self.window_bits < 9:
            return None  # zlib has no window of 8 bits for raw deflate; a message may always go uncompressed
        deflate = zlib.compressobj(wbits=-self.window_bits, memLevel=5)
        packed = deflate.compress(payload) + deflate.flush(zlib.Z_SYNC_FLUSH)
        return packed[:-4] if len(packed) - 4 < len(payload) else None


class Inflater:
    """One compressed message on its way in, never more than `max_bytes` of it."""

    __slots__ = ("_final_blocks", "_inflate", "_max_bytes", "_room")

    def __init__(self, max_bytes: int) -> None:
        self._inflate = zlib.decompressobj(-15)
        self._max_bytes = max_bytes
        self._room = max_bytes
        self._final_blocks = 0

    def feed(self, piece: bytes) -> bytes:
        """What `piece` inflates to. WebSocketError 1009 past the limit, before memory is taken; 1007 for no deflate."""
        inflated = b""
        while piece:
            try:
                # A limit of 0 would mean none; one byte more than there is room for tells when it is passed.
                chunk = self._inflate.decompress(piece, self._room + 1)
            except zlib.error:
                raise WebSocketError(CloseCode.INVALID_DATA, "message is not deflate data") from None
            self._room -= len(chunk)
            if self._room < 0:
                raise WebSocketError(CloseCode.TOO_BIG, f"message inflates to more than {self._max_bytes} bytes")
            inflated += chunk
            piece = self._rest()
        return inflated

    def finish(self) -> bytes:
        """The rest of the message, after its last piece (RFC 7692 §7.2.2)."""
        return self.feed(_EMPTY_BLOCK)

    def _rest(self) -> bytes:
        if not self._inflate.eof:
            return self._inflate.unconsumed_tail
        # RFC 7692 §7.2.3.4: a sender may end a block with BFINAL; what follows is a stream of its own.
        self._final_blocks += 1
        if self._final_blocks > _MAX_FINAL_BLOCKS:  # each costs a fresh inflater, a thousandfold of its two bytes
            raise WebSocketError(CloseCode.POLICY_VIOLATION, f"message with over {_MAX_FINAL_BLOCKS} final blocks")
        rest = self._inflate.unused_data
        self._inflate = zlib.decompressobj(-15)
        return rest


def accept_offer(offers: Iterable[ExtensionOffer]) -> tuple[Deflate, str] | None:
    """A server's choice: the first offer it can meet, with the reply's field value; None when there is none.

    RFC 7692 §5.1: an offer with a parameter unknown, repeated or out of range is declined, not an error.
    """
    for name, parameters in offers:
        if name == EXTENSION and (window_bits := _offered_window(parameters)) is not None:
            # RFC 7692 §7.1.1.2: a server may ask for client_no_context_takeover even when it was not offered.
            reply = ANSWER
            if any(key == "server_max_window_bits" for key, _ in parameters):
                reply += f"; server_max_window_bits={window_bits}"
            return Deflate(window_bits), reply
    return None


def _offered_window(parameters: tuple[tuple[str, str | None], ...]) -> int | None:
    """The window the server must keep to, or None when the offer can't be met."""
    if len({key for key, _ in parameters}) != len(parameters):
        return None
    window_bits = 15
    for key, value in parameters:
        match key, value:
            case "server_no_context_takeover" | "client_no_context_takeover", None:
                pass
            case "client_max_window_bits", None:
                pass
            case "client_max_window_bits", str() if _window(value) is not None:
                pass
            # Deliberate: 8 is legal, but zlib can't compress raw deflate with so small a window.
            case "server_max_window_bits", str() if (_window(value) or 0) > 8:
                window_bits = int(value)
            case _:
                return None
    return window_bits


def check_reply(extensions: Iterable[ExtensionOffer]) -> Deflate | None:
    """A client's reading of the server's answer to `OFFER`: agreed, or None when the server declined.

    ValueError for an answer that `OFFER` does not allow (RFC 7692 §5.1: the client fails the connection).
    """
    agreed: Deflate | None = None
    window_bits = 15
    for name, parameters in extensions:
        keys = [key for key, _ in parameters]
        values = dict(parameters)
        if name != EXTENSION or agreed is not None:
            raise ValueError(f"the server chose the extension {name!r}, which was not offered")
        if len(values) != len(keys) or "server_no_context_takeover" not in values:
            raise ValueError("the server did not confirm server_no_context_takeover")
        for key, value in parameters:
            if key in ("server_no_context_takeover", "client_no_context_takeover") and value is None:
                continue
            if key == "server_max_window_bits" and value is not None and _window(value) is not None:
                continue
            if key == "client_max_window_bits" and value is not None and _window(value) is not None:
                window_bits = int(value)
                continue
            raise ValueError(f"the server chose {key}={value}, which was not offered")
        agreed = Deflate(window_bits)
    return agreed


def _window(value: str) -> int | None:
    """RFC 7692 §7.1.2: a decimal integer without leading zeroes between 8 and 15."""
    return int(value) if value in ("8", "9", "10", "11", "12", "13", "14", "15") else None
