"""The frames that peers exchange, as values, and how each is written as one line (`docs/protocol.md`).

Pure. Doesn't read bytes (`wire`), nor know which frame may come when (`handshake`, `link`).
"""

import base64
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from services.peer.messages import Message

VERSION = 1
MAX_LINE_BYTES = 64 * 1024  # of one line, its LF not counted
CAPABILITIES = ("direct", "chat", "base64")


@dataclass(frozen=True, slots=True)
class Hello:
    """The first frame of both ends; `nonce` may be empty only where no key is in use."""

    peer_id: str
    nonce: str
    caps: tuple[str, ...] = CAPABILITIES
    max_line: int = MAX_LINE_BYTES


@dataclass(frozen=True, slots=True)
class Auth:
    """Proof of the shared key: 64 hex digits, see `handshake`."""

    mac: str


@dataclass(frozen=True, slots=True)
class Direct:
    """A message to the peer at the other end."""

    message: Message


@dataclass(frozen=True, slots=True)
class Chat:
    """A message to a channel, of which the peer at the other end is a member."""

    message: Message


@dataclass(frozen=True, slots=True)
class Ack:
    """The message with this id, of the peer that reads this, is on the disk of the one that wrote it."""

    id: str
    is_repeat: bool = False


@dataclass(frozen=True, slots=True)
class Ping:
    """Asks for a `pong` with the same number."""

    n: int = 0


@dataclass(frozen=True, slots=True)
class Pong:
    """Answers a `ping`."""

    n: int = 0


@dataclass(frozen=True, slots=True)
class Failure:
    """An `error` frame: about the message `id` where one is named, else about the link."""

    code: str
    message: str
    id: str | None = None


@dataclass(frozen=True, slots=True)
class Unknown:
    """A frame of a type that this version doesn't know; an `error` answers it, and the link goes on."""

    type: str


Frame = Hello | Auth | Direct | Chat | Ack | Ping | Pong | Failure | Unknown


def message_frame(message: Message) -> Direct | Chat:
    """The frame that carries this message: `direct` when it names a peer, else `chat`."""
    return Chat(message) if message.to is None else Direct(message)


def serialize_frame(frame: Frame) -> bytes:
    """The frame as one line with its LF; a text that escapes would make too long travels as base64."""
    if isinstance(frame, Direct | Chat):
        return _serialize_message(frame)
    return _line(_FIELDS[type(frame)](frame))


def _line(fields: Mapping[str, object]) -> bytes:
    return json.dumps(fields, ensure_ascii=False, separators=(",", ":")).encode("utf-8") + b"\n"


def _serialize_message(frame: Direct | Chat) -> bytes:
    message = frame.message
    fields: dict[str, object] = {"type": "direct" if isinstance(frame, Direct) else "chat", "id": message.id}
    fields["from"] = message.sender
    if message.to is not None:
        fields["to"] = message.to
    if message.channel is not None:
        fields["channel"] = message.channel
    fields["sent_at"] = message.sent_at
    line = _line({**fields, "content": message.content})
    if len(line) - 1 <= MAX_LINE_BYTES:
        return line
    content = base64.b64encode(message.content.encode("utf-8")).decode("ascii")
    return _line({**fields, "encoding": "base64", "content": content})


def _hello_fields(frame: Hello) -> dict[str, object]:
    return {
        "type": "hello",
        "v": VERSION,
        "peer_id": frame.peer_id,
        "caps": list(frame.caps),
        "nonce": frame.nonce,
        "max_line": frame.max_line,
    }


def _ack_fields(frame: Ack) -> dict[str, object]:
    fields: dict[str, object] = {"type": "ack", "id": frame.id}
    return {**fields, "repeat": True} if frame.is_repeat else fields


def _error_fields(frame: Failure) -> dict[str, object]:
    fields: dict[str, object] = {"type": "error", "code": frame.code, "message": frame.message}
    return fields if frame.id is None else {**fields, "id": frame.id}


_FIELDS: dict[type, Callable[..., dict[str, object]]] = {
    Hello: _hello_fields,
    Auth: lambda frame: {"type": "auth", "mac": frame.mac},
    Ack: _ack_fields,
    Ping: lambda frame: {"type": "ping", "n": frame.n},
    Pong: lambda frame: {"type": "pong", "n": frame.n},
    Failure: _error_fields,
    Unknown: lambda frame: {"type": frame.type},
}
