"""The outbox: messages of this peer on their way, each with the state it has for each target.

Owns the tables `outbox` and `outbox_target`, and what a repeat of a post finds there. Functions over a
connection; `store` says which thread runs them. When they are sent is for `delivery` and `courier`.
"""

import enum
import sqlite3
from dataclasses import dataclass

from services.peer import remembered
from services.peer.messages import Message

MAX_WAITING = 10_000  # deliveries: a message to a channel counts once for each peer that it waits for

TABLES = """
CREATE TABLE outbox (
    position INTEGER PRIMARY KEY AUTOINCREMENT,
    id TEXT NOT NULL UNIQUE, sender TEXT NOT NULL, recipient TEXT, channel TEXT, content TEXT NOT NULL,
    sent_at REAL NOT NULL,
    pending INTEGER NOT NULL,    -- targets that wait; 1 while they aren't known yet
    is_addressed INTEGER NOT NULL -- 0: for a channel whose members the tracker has yet to tell
);
CREATE INDEX outbox_waiting ON outbox (position) WHERE pending > 0;
CREATE TABLE outbox_target (
    position INTEGER NOT NULL REFERENCES outbox (position) ON DELETE CASCADE,
    peer_id TEXT NOT NULL, state TEXT NOT NULL, error TEXT,
    PRIMARY KEY (position, peer_id)
) WITHOUT ROWID;
CREATE INDEX outbox_queue ON outbox_target (peer_id, position) WHERE state = 'queued';
CREATE INDEX outbox_rejected ON outbox_target (position) WHERE state = 'rejected';
-- The sum of `pending`, asked for at each post.
CREATE TABLE outbox_total (pending INTEGER NOT NULL);
INSERT INTO outbox_total VALUES (0);
CREATE TRIGGER outbox_added AFTER INSERT ON outbox BEGIN
    UPDATE outbox_total SET pending = pending + NEW.pending;
END;
CREATE TRIGGER outbox_changed AFTER UPDATE OF pending ON outbox BEGIN
    UPDATE outbox_total SET pending = pending + NEW.pending - OLD.pending;
END;
CREATE TRIGGER outbox_deleted AFTER DELETE ON outbox BEGIN
    UPDATE outbox_total SET pending = pending - OLD.pending;
END;
"""

_INSERT = """
INSERT INTO outbox (id, sender, recipient, channel, content, sent_at, pending, is_addressed)
VALUES (?, ?, ?, ?, ?, ?, ?, ?)
"""
_SETTLE = """
UPDATE outbox_target SET state = ?, error = ? WHERE position = ? AND peer_id = ? AND state = 'queued'
"""
_DROP_TEXT = """
UPDATE outbox SET content = '' WHERE position = ?1 AND pending = 0
AND NOT EXISTS (SELECT 1 FROM outbox_target WHERE position = ?1 AND state = 'rejected')
"""
_SELECT = "SELECT position, id, sender, recipient, channel, content, sent_at FROM outbox "
_WAITING = _SELECT + "WHERE pending > 0 AND position > ? ORDER BY position LIMIT ?"
_WAITING_ID = _SELECT + "WHERE pending > 0 AND id = ?"
_UNADDRESSED = """
SELECT position, id, sender, recipient, channel, '', sent_at FROM outbox
WHERE pending > 0 AND NOT is_addressed ORDER BY position
"""
_UNADDRESSED_ONE = _SELECT + "WHERE pending > 0 AND NOT is_addressed AND position = ?"
_REJECTED = _SELECT + (
    "JOIN outbox_target USING (position) WHERE state = 'rejected'"
    " GROUP BY outbox_target.position ORDER BY outbox_target.position DESC LIMIT ?"
)
_QUEUE = _SELECT + (
    "JOIN outbox_target USING (position) WHERE peer_id = ? AND state = 'queued'"
    " ORDER BY outbox_target.position LIMIT ?"  # as in the index: nothing is sorted
)


class State(enum.Enum):
    """What became of a message for one target."""

    QUEUED = "queued"
    DELIVERED = "delivered"  # the target has it on its disk
    REJECTED = "rejected"  # the target will never take it
    REMOVED = "removed"  # the user took it back before it was delivered


class OutboxFullError(Exception):
    """As many messages wait as may."""


@dataclass(frozen=True, slots=True)
class Target:
    """One peer that a message is for; `error` says why it was rejected."""

    peer_id: str
    state: State = State.QUEUED
    error: str | None = None


@dataclass(frozen=True, slots=True)
class Outgoing:
    """A message with its place in the outbox."""

    position: int
    message: Message


@dataclass(frozen=True, slots=True)
class OutboxEntry:
    """A message, and how it stands with each of its targets; None: not known yet who they are."""

    position: int
    message: Message
    targets: tuple[Target, ...] | None
    is_repeat: bool = False

    @property
    def pending(self) -> int:
        """How many have yet to get it; 1 while nobody knows who they are."""
        return 1 if self.targets is None else sum(target.state is State.QUEUED for target in self.targets)


def insert(
    database: sqlite3.Connection,
    message: Message,
    targets: tuple[str, ...] | None,
    now_s: float,
    max_waiting: int = MAX_WAITING,
) -> OutboxEntry:
    """The message waits for its targets; a repeat is found as it stands. IdConflictError, OutboxFullError."""
    if remembered.is_repeat(database, message):
        return _find(database, message)
    if count_waiting(database) >= max_waiting:
        raise OutboxFullError(f"{max_waiting} deliveries wait, as many as may")
    remembered.remember(database, message, now_s)
    pending = 1 if targets is None else len(targets)
    row = (message.id, message.sender, message.to, message.channel, message.content, message.sent_at)
    cursor = database.execute(_INSERT, (*row, pending, targets is not None))
    position = int(cursor.lastrowid or 0)
    if targets is None:
        return OutboxEntry(position, message, None)
    _insert_targets(database, position, targets)
    return OutboxEntry(position, message, tuple(Target(peer_id) for peer_id in targets))


def address(database: sqlite3.Connection, position: int, targets: tuple[str, ...]) -> OutboxEntry | None:
    """A message whose targets weren't known waits for these; None when it had been addressed or removed."""
    row = database.execute(_UNADDRESSED_ONE, (position,)).fetchone()
    if row is None:
        return None
    _insert_targets(database, position, targets)
    change = "UPDATE outbox SET pending = ?, is_addressed = 1 WHERE position = ?"
    database.execute(change, (len(targets), position))
    return OutboxEntry(position, Message(*row[1:]), tuple(Target(peer_id) for peer_id in targets))


def settle(database: sqlite3.Connection, position: int, target: Target) -> int | None:
    """The message waits for this target no more; returns how many it still waits for, None if it didn't wait.

    The text of a message that everybody has got isn't kept.
    """
    row = (target.state.value, target.error, position, target.peer_id)
    if database.execute(_SETTLE, row).rowcount == 0:
        return None
    database.execute("UPDATE outbox SET pending = pending - 1 WHERE position = ?", (position,))
    database.execute(_DROP_TEXT, (position,))
    return int(database.execute("SELECT pending FROM outbox WHERE position = ?", (position,)).fetchone()[0])


def remove(database: sqlite3.Connection, message_id: str) -> OutboxEntry | None:
    """Nobody who hasn't got the message yet will get it; as it was before, None when no such message waited."""
    row = database.execute(_WAITING_ID, (message_id,)).fetchone()
    if row is None:
        return None
    place = row[:1]
    before = OutboxEntry(row[0], Message(*row[1:]), read_targets(database, row[0]))
    change = "UPDATE outbox_target SET state = 'removed' WHERE position = ? AND state = 'queued'"
    database.execute(change, place)
    database.execute("UPDATE outbox SET pending = 0, is_addressed = 1 WHERE position = ?", place)
    database.execute(_DROP_TEXT, place)
    return before


def read_queue(database: sqlite3.Connection, peer_id: str, limit: int, max_bytes: int) -> tuple[Outgoing, ...]:
    """What waits for the peer, oldest first; at most `max_bytes` of text, unless the first alone is larger."""
    window: list[Outgoing] = []
    size = 0
    for position, *fields in database.execute(_QUEUE, (peer_id, limit)):
        outgoing = Outgoing(position, Message(*fields))
        size += len(outgoing.message.content)
        if window and size > max_bytes:
            break
        window.append(outgoing)
    return tuple(window)


def read_targets(database: sqlite3.Connection, position: int) -> tuple[Target, ...] | None:
    """How the message stands with each of its targets; None: not known yet who they are."""
    query = "SELECT is_addressed FROM outbox WHERE position = ?"
    row = database.execute(query, (position,)).fetchone()
    return None if row and not row[0] else _targets(database, position)


def queued_peers(database: sqlite3.Connection) -> tuple[str, ...]:
    """The peers that messages wait for."""
    query = "SELECT DISTINCT peer_id FROM outbox_target WHERE state = 'queued'"
    return tuple(row[0] for row in database.execute(query))


def count_waiting(database: sqlite3.Connection) -> int:
    """How many deliveries wait."""
    return int(database.execute("SELECT pending FROM outbox_total").fetchone()[0])


def read_waiting(database: sqlite3.Connection, after: int, limit: int, max_bytes: int) -> tuple[OutboxEntry, ...]:
    """Messages that wait, oldest first, after position `after`; bounded as `read_queue`."""
    entries: list[OutboxEntry] = []
    size = 0
    for position, *fields in database.execute(_WAITING, (after, limit)):
        message = Message(*fields)
        size += len(message.content)
        if entries and size > max_bytes:
            break
        entries.append(OutboxEntry(position, message, read_targets(database, position)))
    return tuple(entries)


def read_unaddressed(database: sqlite3.Connection) -> tuple[OutboxEntry, ...]:
    """Messages to channels whose members aren't known yet, oldest first; without their text."""
    rows = database.execute(_UNADDRESSED).fetchall()
    return tuple(OutboxEntry(row[0], Message(*row[1:]), None) for row in rows)


def read_rejected(database: sqlite3.Connection, limit: int) -> tuple[OutboxEntry, ...]:
    """Messages that a target will never take, newest first."""
    rows = database.execute(_REJECTED, (limit,)).fetchall()
    return tuple(OutboxEntry(row[0], Message(*row[1:]), read_targets(database, row[0])) for row in rows)


def _find(database: sqlite3.Connection, message: Message) -> OutboxEntry:
    row = database.execute("SELECT position FROM outbox WHERE id = ?", (message.id,)).fetchone()
    position = row[0] if row else 0
    return OutboxEntry(position, message, read_targets(database, position), is_repeat=True)


def _targets(database: sqlite3.Connection, position: int) -> tuple[Target, ...]:
    query = "SELECT peer_id, state, error FROM outbox_target WHERE position = ? ORDER BY peer_id"
    rows = database.execute(query, (position,))
    return tuple(Target(peer_id, State(state), error) for peer_id, state, error in rows)


def _insert_targets(database: sqlite3.Connection, position: int, targets: tuple[str, ...]) -> None:
    rows = [(position, peer_id, State.QUEUED.value) for peer_id in targets]
    database.executemany("INSERT INTO outbox_target (position, peer_id, state) VALUES (?, ?, ?)", rows)
