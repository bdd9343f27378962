"""The values of the chat: a message, its ids and its limits, and what a post over HTTP says.

Owns the patterns of peer and message ids, the size of a text, and the rules of `POST /p2p/msg` that need
no state. Doesn't know sockets, SQLite or who may call. Read `frames` next (how a message travels), then
`delivery`.
"""

import hashlib
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TypeGuard

MAX_CONTENT_BYTES = 32 * 1024
NOT_TOLD = 0.0  # as `sent_at`: the sender didn't say when


@dataclass(frozen=True, slots=True)
class NameRule:
    """What a name may look like, and the words for it in an error."""

    pattern: re.Pattern[str]
    words: str

    def fits(self, value: object) -> TypeGuard[str]:
        """Whether the value is such a name."""
        return isinstance(value, str) and self.pattern.fullmatch(value) is not None


PEER_ID = NameRule(re.compile(r"[A-Za-z0-9_-]{1,63}"), "1–63 characters of A–Z a–z 0–9 _ -")
MESSAGE_ID = NameRule(re.compile(r"[A-Za-z0-9._:-]{1,64}"), "1–64 characters of A–Z a–z 0–9 . _ : -")
# As the tracker takes them.
CHANNEL = NameRule(re.compile("[^\x00-\x1f\x7f-\x9f\ud800-\udfff]{1,64}"), "1–64 printable characters")


class MessageError(ValueError):
    """A post that can't become a message; `code` and `status` are what the caller is told."""

    def __init__(self, status: int, code: str, message: str) -> None:
        super().__init__(message)
        self.status = status
        self.code = code


@dataclass(frozen=True, slots=True)
class Message:
    """One chat message, `to` a peer or to everybody in `channel`; `sent_at` is Unix time in seconds.

    With both, `to` says where it goes and `channel` is a label that travels along.
    """

    id: str
    sender: str
    to: str | None
    channel: str | None
    content: str
    sent_at: float

    def digest(self) -> bytes:
        """The SHA-256 that tells a repeat of this id from another message under it; time doesn't count."""
        told = json.dumps([self.to, self.channel, self.content], ensure_ascii=True, separators=(",", ":"))
        return hashlib.sha256(told.encode("ascii")).digest()


@dataclass(frozen=True, slots=True)
class Post:
    """What a caller of `POST /p2p/msg` asked for; None where nothing was said."""

    sender: str | None
    to: str | None
    channel: str | None
    content: str
    id: str | None


def parse_post(fields: Mapping[str, object]) -> Post:
    """The post in a JSON object; unknown fields are ignored, null means absent. Raises MessageError."""
    content = fields.get("content")
    if not isinstance(content, str):
        got = "nothing" if content is None else type(content).__name__
        raise MessageError(400, "bad_content", f"content: got {got}, expected text")
    check_content(content)
    return Post(
        sender=_named(fields, "from", PEER_ID),
        to=_named(fields, "to", PEER_ID),
        channel=_named(fields, "channel", CHANNEL),
        content=content,
        id=_named(fields, "id", MESSAGE_ID),
    )


def check_content(content: str) -> None:
    """Passes when the text is UTF-8 and at most 32 KiB of it. Raises MessageError 400 or 413."""
    try:
        size = len(content.encode("utf-8"))
    except UnicodeEncodeError as error:
        raise MessageError(
            400, "bad_content", f"content: half a surrogate pair at character {error.start} is no text"
        ) from None
    if size > MAX_CONTENT_BYTES:
        raise MessageError(
            413,
            "content_too_large",
            f"content: got {size} bytes of UTF-8, expected no more than {MAX_CONTENT_BYTES}",
        )


def _named(fields: Mapping[str, object], name: str, rule: NameRule) -> str | None:
    value = fields.get(name)
    if value is not None and not rule.fits(value):
        raise MessageError(400, f"bad_{name}", f"{name}: got {shown(value)}, expected {rule.words}")
    return value


def shown(value: object) -> str:
    """The value as JSON in ASCII, cut at 60 characters, for an error text; a list or an object only by name."""
    if isinstance(value, list | dict):  # never dumped: it may be nested deeper than `json` can write
        return "a list" if isinstance(value, list) else "an object"
    try:
        text = json.dumps(value)
    except (TypeError, ValueError):
        text = type(value).__name__
    return text if len(text) <= 60 else text[:57] + "..."
