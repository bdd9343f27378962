"""One thread that writes to SQLite, and commits in groups what many callers want written.

Owns the writing connection, the grouping, and the rule that a caller hears of success only after the commit.
Doesn't know what is written (`inbox`, `outbox`). While one commit waits for the disk, the writes that arrive
meanwhile gather and share the next one: a thousand messages take a few dozen fsyncs.
"""

import asyncio
import logging
import queue
import sqlite3
import threading
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

T = TypeVar("T")
Job = Callable[[sqlite3.Connection], T]

MAX_BATCH = 512
_SQLITE_FULL = 13
_LOG = logging.getLogger("weaprous.peer.store")


class StorageError(Exception):
    """The disk didn't take it, so nothing was promised. `is_full`: for want of room."""

    def __init__(self, message: str, *, is_full: bool = False) -> None:
        super().__init__(message)
        self.is_full = is_full


class Lane:
    """Writes that must keep their order: once one fails for want of a disk, those behind it fail as well."""

    __slots__ = ("is_broken",)

    def __init__(self) -> None:
        self.is_broken = False


@dataclass(slots=True)
class _Write(Generic[T]):
    job: Job[T]
    future: "asyncio.Future[T]"
    lane: Lane | None
    outcome: Any = None
    error: Exception | None = None


class GroupWriter:
    """Runs jobs one after another in its thread; a job's future is done when its commit is on the disk.

    A job raises before it writes, or everything it wrote is undone; other jobs of its group aren't touched.
    """

    def __init__(self, database: sqlite3.Connection, max_batch: int = MAX_BATCH) -> None:
        self._database = database
        self._max_batch = max_batch
        self._queue: queue.SimpleQueue[_Write[Any] | None] = queue.SimpleQueue()
        self._thread = threading.Thread(target=self._run, name="peer-store-writer", daemon=True)
        self._is_closed = False
        self.commit_count = 0
        self.write_count = 0
        self._thread.start()

    def submit(self, job: Job[T], lane: Lane | None = None) -> "asyncio.Future[T]":
        """The future of what `job` returns, resolved after the commit; StorageError when there was none."""
        future: asyncio.Future[T] = asyncio.get_running_loop().create_future()
        if self._is_closed:
            future.set_exception(StorageError("the message store is closed"))
        else:
            self._queue.put(_Write(job, future, lane))
        return future

    def close(self) -> None:
        """Everything submitted is committed and the thread has ended. Blocks; call it in a thread."""
        if not self._is_closed:
            self._is_closed = True
            self._queue.put(None)
        self._thread.join()

    def _run(self) -> None:
        is_open = True
        while is_open:
            first = self._queue.get()
            if first is None:
                break
            batch = [first]
            while len(batch) < self._max_batch and not self._queue.empty():
                following = self._queue.get()
                if following is None:
                    is_open = False
                    break
                batch.append(following)
            self._write_batch(batch)
            _resolve(batch)
        self._database.close()

    def _write_batch(self, batch: list[_Write[Any]]) -> None:
        """Every write of the batch has its outcome or its error afterwards."""
        try:
            self._commit(batch)
        except sqlite3.Error as error:
            if len(batch) > 1:  # one that is too large must not fail the others
                for write in batch:
                    self._write_batch([write])
                return
            failure = storage_error(error)
            _LOG.error("the message store took nothing", extra={"reason": str(failure)})
            batch[0].error = failure
            if batch[0].lane is not None:
                batch[0].lane.is_broken = True

    def _commit(self, batch: list[_Write[Any]]) -> None:
        self._database.execute("BEGIN IMMEDIATE")
        try:
            for write in batch:
                self._perform(write)
            self._database.execute("COMMIT")
        except BaseException:
            if self._database.in_transaction:
                self._database.execute("ROLLBACK")
            raise
        self.commit_count += 1
        self.write_count += len(batch)

    def _perform(self, write: _Write[Any]) -> None:
        write.outcome = write.error = None
        if write.lane is not None and write.lane.is_broken:
            write.error = StorageError("an earlier message of this link could not be stored")
            return
        self._database.execute("SAVEPOINT job")
        try:
            write.outcome = write.job(self._database)
        except sqlite3.Error:
            raise
        except Exception as error:
            write.error = error
            self._database.execute("ROLLBACK TO job")
        self._database.execute("RELEASE job")


def storage_error(error: sqlite3.Error) -> StorageError:
    """What SQLite says, without paths, and whether it is for want of room."""
    code = getattr(error, "sqlite_errorcode", 0) & 0xFF
    is_full = code == _SQLITE_FULL
    return StorageError("the disk is full" if is_full else str(error), is_full=is_full)


def _resolve(batch: list[_Write[Any]]) -> None:
    loop = batch[0].future.get_loop()
    try:
        loop.call_soon_threadsafe(_settle, batch)
    except RuntimeError:
        pass  # the loop has ended; whoever waited is gone with it


def _settle(batch: list[_Write[Any]]) -> None:
    for write in batch:
        if write.future.done():
            continue
        if write.error is not None:
            write.future.set_exception(write.error)
        else:
            write.future.set_result(write.outcome)
