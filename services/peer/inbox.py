"""The inbox: messages that were addressed to this peer or to a channel it is in, each with a growing `seq`.

Owns the table `inbox`. Functions over a connection; `store` says which thread runs them.
"""

import sqlite3
from dataclasses import dataclass

from services.peer import remembered
from services.peer.messages import Message

TABLES = """
CREATE TABLE inbox (
    seq INTEGER PRIMARY KEY AUTOINCREMENT, -- never given twice, not even after the inbox was cleared
    id TEXT NOT NULL, sender TEXT NOT NULL, recipient TEXT, channel TEXT, content TEXT NOT NULL,
    sent_at REAL NOT NULL, received_at REAL NOT NULL
);
CREATE UNIQUE INDEX inbox_by_id ON inbox (sender, id);
"""

_INSERT = """
INSERT INTO inbox (id, sender, recipient, channel, content, sent_at, received_at) VALUES (?, ?, ?, ?, ?, ?, ?)
"""
_COUNT = """
SELECT (SELECT count(*) FROM inbox), coalesce((SELECT seq FROM sqlite_sequence WHERE name = 'inbox'), 0)
"""
_PAGE = """
SELECT seq, received_at, id, sender, recipient, channel, content, sent_at FROM inbox
WHERE seq > ? ORDER BY seq LIMIT ?
"""


@dataclass(frozen=True, slots=True)
class InboxMessage:
    """A message with its place in the inbox; `received_at` is Unix time in seconds."""

    seq: int
    received_at: float
    message: Message

    def to_json(self) -> dict[str, object]:
        """The object that the API and the WebSocket give out."""
        return {
            "seq": self.seq,
            "id": self.message.id,
            "from": self.message.sender,
            "to": self.message.to,
            "channel": self.message.channel,
            "content": self.message.content,
            "received_at": self.received_at,
            "sent_at": self.message.sent_at,
        }


@dataclass(frozen=True, slots=True)
class InboxPage:
    """Messages after some `seq`, oldest first, of the `count` that the inbox holds; `last_seq` was given last."""

    count: int
    last_seq: int
    messages: tuple[InboxMessage, ...]

    @property
    def has_more(self) -> bool:
        """Whether there are messages after those of this page."""
        return bool(self.messages) and self.messages[-1].seq < self.last_seq


def insert(database: sqlite3.Connection, message: Message, now_s: float) -> InboxMessage | None:
    """The message is in the inbox; None for a repeat. IdConflictError when the id names another message."""
    if remembered.is_repeat(database, message):
        return None
    remembered.remember(database, message, now_s)
    row = (message.id, message.sender, message.to, message.channel, message.content, message.sent_at, now_s)
    seq = database.execute(_INSERT, row).lastrowid
    return InboxMessage(int(seq or 0), now_s, message)


def read_page(database: sqlite3.Connection, after: int, limit: int, max_bytes: int) -> InboxPage:
    """At most `limit` messages, and no more than `max_bytes` of text unless the first alone is larger."""
    messages: list[InboxMessage] = []
    size = 0
    count, last_seq = database.execute(_COUNT).fetchone()
    for row in database.execute(_PAGE, (after, limit)):
        size += len(row[6])
        if messages and size > max_bytes:
            break
        seq, received_at, *fields = row
        messages.append(InboxMessage(seq, received_at, Message(*fields)))
    return InboxPage(count, last_seq, tuple(messages))


def clear(database: sqlite3.Connection) -> int:
    """The inbox is empty; returns how many messages it held. Their ids stay remembered."""
    return database.execute("DELETE FROM inbox").rowcount
