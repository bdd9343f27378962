"""What this peer keeps on its disk: inbox, outbox and remembered ids, in one SQLite file.

Owns opening the file (lock, schema, durability) and which thread does what: one writes and commits in groups
(`group_writer`), one reads; the event loop never waits for the disk. The SQL is in `inbox`, `outbox` and
`remembered`. A future of a write is done only when the disk has it (WAL, synchronous=FULL).
"""

import asyncio
import fcntl
import os
import sqlite3
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import TypeVar

from services.peer import inbox, outbox, remembered
from services.peer.group_writer import GroupWriter, Lane, StorageError, storage_error
from services.peer.inbox import InboxMessage, InboxPage
from services.peer.messages import Message
from services.peer.outbox import OutboxEntry, Outgoing, Target
from shared.runtime.errors import StartupError

T = TypeVar("T")

SCHEMA_VERSION = 1
MAX_CHECKED_BYTES = 64 * 1024 * 1024  # a larger database isn't read through at start
BUSY_TIMEOUT_S = 5.0


class MessageStore:
    """The messages of one peer. Made by `open_store`; `write_*` calls start in the order they are made."""

    def __init__(self, path: Path, lock_fd: int) -> None:
        self.path = path
        self._lock_fd = lock_fd
        self.writer = GroupWriter(_connect(path))
        self._reading = _connect(path)
        self._reading.execute("PRAGMA query_only = ON")
        self._reader = ThreadPoolExecutor(max_workers=1, thread_name_prefix="peer-store-reader")

    def receive(
        self, message: Message, now_s: float, lane: Lane | None = None
    ) -> "asyncio.Future[InboxMessage | None]":
        """In the inbox once done; None for a repeat. IdConflictError, StorageError."""
        return self.writer.submit(lambda database: inbox.insert(database, message, now_s), lane)

    def queue(self, message: Message, targets: tuple[str, ...] | None, now_s: float) -> "asyncio.Future[OutboxEntry]":
        """In the outbox once done; a repeat as it stands. IdConflictError, OutboxFullError, StorageError."""
        return self.writer.submit(lambda database: outbox.insert(database, message, targets, now_s))

    def address(self, position: int, targets: tuple[str, ...]) -> "asyncio.Future[OutboxEntry | None]":
        """See `outbox.address`."""
        return self.writer.submit(lambda database: outbox.address(database, position, targets))

    def settle(self, position: int, target: Target) -> "asyncio.Future[int | None]":
        """See `outbox.settle`."""
        return self.writer.submit(lambda database: outbox.settle(database, position, target))

    def remove(self, message_id: str) -> "asyncio.Future[OutboxEntry | None]":
        """See `outbox.remove`."""
        return self.writer.submit(lambda database: outbox.remove(database, message_id))

    def clear_inbox(self) -> "asyncio.Future[int]":
        """See `inbox.clear`."""
        return self.writer.submit(inbox.clear)

    def forget_old(self, now_s: float) -> "asyncio.Future[int]":
        """See `remembered.forget_old`."""
        return self.writer.submit(lambda database: remembered.forget_old(database, now_s))

    async def read_inbox(self, after: int, limit: int, max_bytes: int) -> InboxPage:
        """See `inbox.read_page`."""
        return await self._read(partial(inbox.read_page, after=after, limit=limit, max_bytes=max_bytes))

    async def read_queue(self, peer_id: str, limit: int, max_bytes: int) -> tuple[Outgoing, ...]:
        """See `outbox.read_queue`."""
        return await self._read(partial(outbox.read_queue, peer_id=peer_id, limit=limit, max_bytes=max_bytes))

    async def read_targets(self, position: int) -> tuple[Target, ...] | None:
        """See `outbox.read_targets`."""
        return await self._read(partial(outbox.read_targets, position=position))

    async def read_waiting(self, after: int, limit: int, max_bytes: int) -> tuple[OutboxEntry, ...]:
        """See `outbox.read_waiting`."""
        return await self._read(partial(outbox.read_waiting, after=after, limit=limit, max_bytes=max_bytes))

    async def read_rejected(self, limit: int) -> tuple[OutboxEntry, ...]:
        """See `outbox.read_rejected`."""
        return await self._read(partial(outbox.read_rejected, limit=limit))

    async def read_unaddressed(self) -> tuple[OutboxEntry, ...]:
        """See `outbox.read_unaddressed`."""
        return await self._read(outbox.read_unaddressed)

    async def queued_peers(self) -> tuple[str, ...]:
        """See `outbox.queued_peers`."""
        return await self._read(outbox.queued_peers)

    async def count_waiting(self) -> int:
        """See `outbox.count_waiting`."""
        return await self._read(outbox.count_waiting)

    async def _read(self, query: Callable[[sqlite3.Connection], T]) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._reader, self._query, query)

    def _query(self, query: Callable[[sqlite3.Connection], T]) -> T:
        try:
            self._reading.execute("BEGIN")  # all statements of a query see the same state
            try:
                return query(self._reading)
            finally:
                self._reading.execute("COMMIT")
        except sqlite3.Error as error:
            raise storage_error(error) from None

    def close(self) -> None:
        """Everything submitted is on the disk, the file is closed and unlocked. Blocks; call it in a thread."""
        self.writer.close()
        self._reader.shutdown(wait=True)
        self._reading.close()
        os.close(self._lock_fd)


def open_store(data_dir: Path, peer_id: str) -> MessageStore:
    """The store in `data_dir`, made when there is none. Blocks.

    StartupError: another process has it, it can't be written, is no database, is damaged, or is newer.
    """
    path = data_dir / f"{peer_id}.db"
    try:
        data_dir.mkdir(parents=True, exist_ok=True, mode=0o700)
        lock_fd = _lock(path)
    except OSError as error:
        raise StartupError(f"--data-dir {data_dir}: {error.strerror or error}") from None
    try:
        _prepare(path)
        return MessageStore(path, lock_fd)
    except (OSError, sqlite3.Error, StorageError) as error:
        os.close(lock_fd)
        raise StartupError(f"{path}: {error}") from None
    except BaseException:
        os.close(lock_fd)
        raise


def _lock(path: Path) -> int:
    """A descriptor that holds the lock beside the database until it is closed, or the process has ended."""
    lock_fd = os.open(f"{path}.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(lock_fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(lock_fd)
        raise StartupError(f"{path}: another peer process is using it") from None
    except OSError:
        os.close(lock_fd)
        raise
    return lock_fd


def _connect(path: Path) -> sqlite3.Connection:
    """A connection that commits only when told; each is used by one thread, not always the one that opened it."""
    database = sqlite3.connect(path, timeout=BUSY_TIMEOUT_S, isolation_level=None, check_same_thread=False)
    database.execute("PRAGMA synchronous = FULL")
    database.execute("PRAGMA foreign_keys = ON")
    return database


def _prepare(path: Path) -> None:
    """The file holds the tables of this version, and SQLite finds it sound."""
    os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600))
    database = _connect(path)
    try:
        if database.execute("PRAGMA journal_mode = WAL").fetchone()[0] != "wal":
            raise StorageError("the file system doesn't support SQLite's write-ahead log")
        version = int(database.execute("PRAGMA user_version").fetchone()[0])
        if version > SCHEMA_VERSION:
            raise StorageError(f"written by a newer version: schema {version}, this one knows {SCHEMA_VERSION}")
        if version == 0:
            tables = remembered.TABLES + inbox.TABLES + outbox.TABLES
            database.executescript(f"BEGIN IMMEDIATE; {tables} PRAGMA user_version = {SCHEMA_VERSION}; COMMIT;")
        if path.stat().st_size <= MAX_CHECKED_BYTES:
            found = database.execute("PRAGMA quick_check(1)").fetchone()[0]
            if found != "ok":
                raise StorageError(f"the database is damaged: {found}")
        database.execute("BEGIN IMMEDIATE")  # fails now, not at the first message, where nothing can be written
        database.execute("ROLLBACK")
    finally:
        database.close()
