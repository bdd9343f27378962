"""JSON Lines between peers: bytes, cut anywhere, to frames (design §7, `docs/protocol.md`).

Pure: owns the limits of a line and what makes a frame valid. Doesn't own the frames as values and how they
are written (`frames`), sockets and timeouts (`link`), nor who the other end is (`handshake`).
"""

import base64
import binascii
import json
import re
from collections.abc import Callable, Mapping
from typing import NoReturn

from services.peer.frames import (
    MAX_LINE_BYTES,
    VERSION,
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
)
from services.peer.messages import (
    CHANNEL,
    MESSAGE_ID,
    NOT_TOLD,
    PEER_ID,
    Message,
    MessageError,
    NameRule,
    check_content,
    shown,
)

MAX_CAPABILITIES = 32
MIN_MAX_LINE_BYTES = 1024  # whoever takes less than that can't be told anything

_NONCE = NameRule(re.compile(r"[!-~]{1,128}"), "1–128 visible ASCII characters")
_MAC = NameRule(re.compile(r"[0-9a-f]{64}"), "64 hex digits in lower case")
_CODE = NameRule(re.compile(r"[a-z0-9_]{1,64}"), "1–64 characters of a–z 0–9 _")
_FATAL_TYPES = frozenset({"hello", "auth"})  # no link comes to be without them


class WireError(Exception):
    """A line that breaks the protocol: `code` and `message` are told to the other end.

    `message_id` is the id of the message that it was about, if known. After a fatal one the link ends.
    """

    def __init__(self, code: str, message: str, message_id: str | None = None, *, is_fatal: bool = True) -> None:
        super().__init__(message)
        self.code = code
        self.message = message
        self.message_id = message_id
        self.is_fatal = is_fatal

    def frame(self) -> Failure:
        """The `error` frame that tells of it."""
        return Failure(self.code, self.message, self.message_id)


class RefusedError(WireError):
    """The other end sent an `error` during the handshake; it is not answered, for errors never are."""


class LineDecoder:
    """Turns bytes, cut anywhere, into frames: `feed` what came, call `next_frame` until it gives None."""

    def __init__(self, max_line_bytes: int = MAX_LINE_BYTES) -> None:
        self._max_line_bytes = max_line_bytes
        self._buffer = bytearray()
        self._searched = 0  # no LF stands before this offset

    def feed(self, data: bytes) -> None:
        """Adds bytes as they came from the network."""
        self._buffer += data

    def next_frame(self) -> Frame | None:
        """The next whole frame, or None when more bytes are needed.

        Raises WireError; after a fatal one the decoder is of no further use, after another the next call
        goes on with the next line.
        """
        end = self._buffer.find(b"\n", self._searched)
        size = end if end >= 0 else len(self._buffer)
        if size > self._max_line_bytes:
            raise WireError("line_too_long", f"got a line of more than {self._max_line_bytes} bytes")
        if end < 0:
            self._searched = size
            return None
        line = bytes(self._buffer[:end])
        del self._buffer[: end + 1]
        self._searched = 0
        return parse_frame(line)


def parse_frame(line: bytes) -> Frame:
    """The frame that one line (without its LF) holds. Raises WireError."""
    fields = _parse_object(line)
    kind = fields.get("type")
    if not isinstance(kind, str):
        raise WireError("bad_frame", f"type: got {shown(kind)}, expected text")
    parse = _PARSERS.get(kind)
    if parse is None:
        return Unknown(kind)
    try:
        return parse(fields)
    except _FieldError as error:
        raise WireError(error.code, str(error), _message_id(fields), is_fatal=kind in _FATAL_TYPES) from None


class _FieldError(ValueError):
    """A field that is not what the protocol says."""

    def __init__(self, message: str, code: str = "bad_frame") -> None:
        super().__init__(message)
        self.code = code


def _parse_object(line: bytes) -> dict[str, object]:
    try:
        text = line.decode("utf-8")
    except UnicodeDecodeError as error:
        raise WireError("bad_utf8", f"byte {error.start} of the line is not UTF-8") from None
    try:
        value = json.loads(text, object_pairs_hook=_once_each, parse_constant=_no_constant)
    except (ValueError, RecursionError) as error:
        reason = "nested too deeply" if isinstance(error, RecursionError) else str(error)[:120]
        raise WireError("bad_json", f"the line is not JSON: {reason}") from None
    if not isinstance(value, dict):
        raise WireError("bad_json", f"got {shown(value)}, expected one JSON object a line")
    return value


def _once_each(pairs: list[tuple[str, object]]) -> dict[str, object]:
    fields = dict(pairs)
    if len(fields) != len(pairs):
        raise ValueError("a name stands twice in one object")
    return fields


def _no_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is not JSON")


def _parse_hello(fields: Mapping[str, object]) -> Hello:
    version = _number(fields, "v", None)
    if version != VERSION:
        raise _FieldError(f"v: got {version}, expected {VERSION}", "bad_version")
    caps = fields.get("caps", [])
    if not isinstance(caps, list) or not all(_CODE.fits(cap) for cap in caps[: MAX_CAPABILITIES + 1]):
        raise _FieldError(f"caps: got {shown(caps)}, expected a list of words of a–z 0–9 _")
    if len(caps) > MAX_CAPABILITIES:
        raise _FieldError(f"caps: got {len(caps)} texts, expected no more than {MAX_CAPABILITIES}")
    max_line = _number(fields, "max_line", MAX_LINE_BYTES)
    if max_line < MIN_MAX_LINE_BYTES:
        raise _FieldError(f"max_line: got {max_line}, expected at least {MIN_MAX_LINE_BYTES}")
    nonce = _text(fields, "nonce", _NONCE) if fields.get("nonce") else ""
    return Hello(_text(fields, "peer_id", PEER_ID), nonce, tuple(caps), max_line)


def _parse_direct(fields: Mapping[str, object]) -> Direct:
    channel = None if fields.get("channel") is None else _text(fields, "channel", CHANNEL)
    return Direct(_parse_message(fields, _text(fields, "to", PEER_ID), channel))


def _parse_chat(fields: Mapping[str, object]) -> Chat:
    return Chat(_parse_message(fields, None, _text(fields, "channel", CHANNEL)))


def _parse_message(fields: Mapping[str, object], to: str | None, channel: str | None) -> Message:
    sent_at = fields.get("sent_at", NOT_TOLD)
    # The bounds also keep out numbers that no float can hold.
    if isinstance(sent_at, bool) or not isinstance(sent_at, int | float) or not 0 <= sent_at < 1e12:
        raise _FieldError(f"sent_at: got {shown(sent_at)}, expected Unix seconds")
    return Message(
        id=_text(fields, "id", MESSAGE_ID),
        sender=_text(fields, "from", PEER_ID),
        to=to,
        channel=channel,
        content=_parse_content(fields),
        sent_at=float(sent_at),
    )


def _parse_content(fields: Mapping[str, object]) -> str:
    content, encoding = fields.get("content"), fields.get("encoding")
    if not isinstance(content, str):
        raise _FieldError(f"content: got {shown(content)}, expected text")
    if encoding not in (None, "base64"):
        raise _FieldError(f'encoding: got {shown(encoding)}, expected "base64" or none')
    try:
        if encoding == "base64":
            content = base64.b64decode(content, validate=True).decode("utf-8")
        check_content(content)
    except MessageError as error:
        raise _FieldError(str(error), error.code) from None
    except (binascii.Error, ValueError):
        raise _FieldError("content: is not the base64 of UTF-8") from None
    return content


def _parse_ack(fields: Mapping[str, object]) -> Ack:
    return Ack(_text(fields, "id", MESSAGE_ID), fields.get("repeat") is True)


def _parse_error(fields: Mapping[str, object]) -> Failure:
    # Deliberate: an error frame is read leniently, for an error must never be answered by an error.
    code, message = fields.get("code"), fields.get("message")
    text = message if isinstance(message, str) else ""
    return Failure(
        code=code if _CODE.fits(code) else "unspecified",
        message=text[:500].encode("utf-8", "replace").decode("utf-8"),
        id=_message_id(fields),
    )


def _message_id(fields: Mapping[str, object]) -> str | None:
    value = fields.get("id")
    return value if MESSAGE_ID.fits(value) else None


def _number(fields: Mapping[str, object], name: str, default: int | None) -> int:
    value = fields.get(name, default)
    if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value < 2**53:
        raise _FieldError(f"{name}: got {shown(value)}, expected a whole number below 2^53")
    return value


def _text(fields: Mapping[str, object], name: str, rule: NameRule) -> str:
    value = fields.get(name)
    if not rule.fits(value):
        raise _FieldError(f"{name}: got {shown(value)}, expected {rule.words}")
    return value


_PARSERS: dict[str, Callable[[Mapping[str, object]], Frame]] = {
    "hello": _parse_hello,
    "auth": lambda fields: Auth(_text(fields, "mac", _MAC)),
    "direct": _parse_direct,
    "chat": _parse_chat,
    "ack": _parse_ack,
    "ping": lambda fields: Ping(_number(fields, "n", 0)),
    "pong": lambda fields: Pong(_number(fields, "n", 0)),
    "error": _parse_error,
}
