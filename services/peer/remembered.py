"""Which message ids have been seen, from whom: what makes a repeat a repeat, also after the inbox was cleared.

Owns the table `seen` and how long it remembers. Ids are the sender's own: the same id from two senders names
two messages. Functions over a connection, run by `group_writer`.
"""

import sqlite3

from services.peer.messages import Message

REMEMBER_S = 90 * 86_400.0
MAX_REMEMBERED = 1_000_000
PRUNE_AT_ONCE = 5_000  # rows a transaction, so that a large cleaning doesn't hold up messages

TABLES = """
CREATE TABLE seen (
    sender TEXT NOT NULL, id TEXT NOT NULL, digest BLOB NOT NULL, at REAL NOT NULL,
    PRIMARY KEY (sender, id)
) WITHOUT ROWID;
CREATE INDEX seen_by_age ON seen (at);
"""

_OLD = """
SELECT sender, id FROM seen WHERE at < ?
AND NOT EXISTS (SELECT 1 FROM inbox WHERE inbox.sender = seen.sender AND inbox.id = seen.id)
AND NOT EXISTS (SELECT 1 FROM outbox WHERE outbox.id = seen.id AND outbox.pending > 0)
ORDER BY at LIMIT ?
"""


class IdConflictError(Exception):
    """The sender has used this id for another message."""


def is_repeat(database: sqlite3.Connection, message: Message) -> bool:
    """Whether this very message came before. IdConflictError when another one did under its id."""
    query = "SELECT digest FROM seen WHERE sender = ? AND id = ?"
    row = database.execute(query, (message.sender, message.id)).fetchone()
    if row is None:
        return False
    if bytes(row[0]) != message.digest():
        raise IdConflictError(f"id {message.id!r} names another message of {message.sender!r}")
    return True


def remember(database: sqlite3.Connection, message: Message, now_s: float) -> None:
    """A second message under this id is known as a repeat or a conflict from now on."""
    row = (message.sender, message.id, message.digest(), now_s)
    database.execute("INSERT INTO seen (sender, id, digest, at) VALUES (?, ?, ?, ?)", row)


def forget_old(database: sqlite3.Connection, now_s: float) -> int:
    """Forgets up to PRUNE_AT_ONCE ids that are older than 90 days, or not of the newest million.

    Returns how many. Those whose message is still in the inbox, or on its way, are kept.
    """
    query = "SELECT at FROM seen ORDER BY at DESC LIMIT 1 OFFSET ?"
    beyond = database.execute(query, (MAX_REMEMBERED,)).fetchone()
    cutoff = max(now_s - REMEMBER_S, beyond[0] if beyond else 0.0)
    old = database.execute(_OLD, (cutoff, PRUNE_AT_ONCE)).fetchall()
    database.executemany("DELETE FROM outbox WHERE id = ?2 AND sender = ?1", old)
    database.executemany("DELETE FROM seen WHERE sender = ? AND id = ?", old)
    return len(old)
