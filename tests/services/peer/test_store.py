"""The store: what it promised survives, writes share commits, and a disk that refuses is told as it is."""

import asyncio
import os
import signal
import sqlite3
import subprocess
import sys
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import TypeVar

import pytest

from services.peer import outbox, remembered
from services.peer.group_writer import Lane, StorageError
from services.peer.messages import Message
from services.peer.outbox import OutboxFullError, State, Target
from services.peer.remembered import IdConflictError
from services.peer.store import MessageStore, open_store
from shared.runtime.errors import StartupError

T = TypeVar("T")
NOW_S = 1_700_000_000.0
ROOT = Path(__file__).resolve().parents[3]


def message(message_id: str, content: str = "hi", sender: str = "p2", to: str | None = "p1") -> Message:
    return Message(message_id, sender, to, None if to else "chat", content, NOW_S)


@pytest.fixture
def data_dir(tmp_path: Path) -> Path:
    return tmp_path / "data"


@pytest.fixture
def store(data_dir: Path) -> Iterator[MessageStore]:
    opened = open_store(data_dir, "p1")
    yield opened
    opened.close()


def run(story: Callable[[], Awaitable[T]]) -> T:
    async def told() -> T:
        return await story()

    return asyncio.run(told())


# --- inbox ---------------------------------------------------------------------------------------------------


def test_messages_get_growing_seqs_and_are_read_in_pages(store: MessageStore) -> None:
    async def story() -> None:
        for number in range(5):
            stored = await store.receive(message(f"m{number}"), NOW_S)
            assert stored is not None
            assert stored.seq == number + 1
        page = await store.read_inbox(after=2, limit=2, max_bytes=1000)
        assert [each.seq for each in page.messages] == [3, 4]
        assert (page.count, page.last_seq, page.has_more) == (5, 5, True)
        rest = await store.read_inbox(after=4, limit=2, max_bytes=1000)
        assert [each.message.id for each in rest.messages] == ["m4"]
        assert not rest.has_more

    run(story)


def test_a_page_ends_before_it_grows_too_large_but_always_moves_on(store: MessageStore) -> None:
    async def story() -> None:
        for number in range(3):
            await store.receive(message(f"m{number}", "x" * 100), NOW_S)
        page = await store.read_inbox(after=0, limit=10, max_bytes=250)
        assert (len(page.messages), page.has_more) == (2, True)
        page = await store.read_inbox(after=0, limit=10, max_bytes=1)
        assert len(page.messages) == 1

    run(story)


def test_a_repeat_is_stored_once_and_another_message_under_its_id_is_a_conflict(store: MessageStore) -> None:
    async def story() -> None:
        assert await store.receive(message("m"), NOW_S) is not None
        assert await store.receive(replace(message("m"), sent_at=1.0), NOW_S) is None
        with pytest.raises(IdConflictError, match="id 'm' names another message of 'p2'"):
            await store.receive(message("m", "other"), NOW_S)
        assert await store.receive(message("m", "other", sender="p3"), NOW_S) is not None
        page = await store.read_inbox(0, 10, 1000)
        assert [each.message.sender for each in page.messages] == ["p2", "p3"]

    run(story)


def test_after_clear_ids_stay_remembered_and_seqs_go_on(store: MessageStore) -> None:
    async def story() -> None:
        await store.receive(message("m1"), NOW_S)
        await store.receive(message("m2"), NOW_S)
        assert await store.clear_inbox() == 2
        assert await store.receive(message("m1"), NOW_S) is None
        page = await store.read_inbox(0, 10, 1000)
        assert (page.count, page.last_seq, page.messages) == (0, 2, ())
        stored = await store.receive(message("m3"), NOW_S)
        assert stored is not None
        assert stored.seq == 3

    run(story)


def test_any_text_comes_back_as_it_was(store: MessageStore) -> None:
    content = "\x00 \r\n \U0001f600 'quoted' \u2028 é"

    async def story() -> None:
        await store.receive(message("m", content), NOW_S)
        page = await store.read_inbox(0, 10, 1000)
        assert page.messages[0].to_json() == {
            "seq": 1,
            "id": "m",
            "from": "p2",
            "to": "p1",
            "channel": None,
            "content": content,
            "received_at": NOW_S,
            "sent_at": NOW_S,
        }

    run(story)


# --- outbox --------------------------------------------------------------------------------------------------


def own(message_id: str, to: str | None = "p2", content: str = "hi") -> Message:
    return message(message_id, content, sender="p1", to=to)


def test_a_queued_message_waits_until_each_target_has_it(store: MessageStore) -> None:
    async def story() -> None:
        entry = await store.queue(own("m", to=None), ("p2", "p3"), NOW_S)
        assert (entry.pending, await store.count_waiting()) == (2, 2)
        assert await store.queued_peers() == ("p2", "p3")
        assert await store.settle(entry.position, Target("p2", State.DELIVERED)) == 1
        assert await store.settle(entry.position, Target("p2", State.DELIVERED)) is None
        assert await store.count_waiting() == 1
        assert await store.read_queue("p2", 10, 1000) == ()
        [waiting] = await store.read_waiting(0, 10, 1000)
        assert waiting.targets == (Target("p2", State.DELIVERED), Target("p3"))
        assert await store.settle(entry.position, Target("p3", State.DELIVERED)) == 0
        assert await store.count_waiting() == 0
        assert await store.read_waiting(0, 10, 1000) == ()

    run(story)


def test_the_text_of_a_delivered_message_is_not_kept_and_its_repeat_is_known(store: MessageStore) -> None:
    async def story() -> None:
        entry = await store.queue(own("m"), ("p2",), NOW_S)
        await store.settle(entry.position, Target("p2", State.DELIVERED))
        repeat = await store.queue(own("m"), ("p2", "p9"), NOW_S)
        assert repeat.is_repeat
        assert repeat.targets == (Target("p2", State.DELIVERED),)
        with pytest.raises(IdConflictError):
            await store.queue(own("m", content="other"), ("p2",), NOW_S)

    run(story)
    with sqlite3.connect(store.path) as database:
        assert database.execute("SELECT content FROM outbox").fetchall() == [("",)]


def test_a_queue_is_read_in_the_order_of_posting(store: MessageStore) -> None:
    async def story() -> None:
        for number in range(6):
            await store.queue(own(f"m{number}", content="x" * 100), ("p2" if number % 2 else "p3",), NOW_S)
        queue = await store.read_queue("p2", 2, 1000)
        assert [each.message.id for each in queue] == ["m1", "m3"]
        assert len(await store.read_queue("p2", 10, 250)) == 2
        assert len(await store.read_queue("p2", 10, 1)) == 1

    run(story)


def test_a_message_for_unknown_members_is_addressed_once(store: MessageStore) -> None:
    async def story() -> None:
        entry = await store.queue(own("m", to=None), None, NOW_S)
        assert entry.targets is None
        assert entry.pending == 1
        assert [each.message.id for each in await store.read_unaddressed()] == ["m"]
        addressed = await store.address(entry.position, ("p2", "p3"))
        assert addressed is not None
        assert addressed.targets == (Target("p2"), Target("p3"))
        assert await store.address(entry.position, ("p4",)) is None
        assert await store.read_unaddressed() == ()
        assert await store.queued_peers() == ("p2", "p3")

    run(story)


def test_a_channel_without_members_waits_for_nobody(store: MessageStore) -> None:
    async def story() -> None:
        entry = await store.queue(own("m", to=None), (), NOW_S)
        assert entry.pending == 0
        assert await store.count_waiting() == 0

    run(story)


def test_a_removed_message_waits_no_more(store: MessageStore) -> None:
    async def story() -> None:
        entry = await store.queue(own("m", to=None), ("p2", "p3"), NOW_S)
        await store.settle(entry.position, Target("p2", State.DELIVERED))
        removed = await store.remove("m")
        assert removed is not None
        assert removed.targets == (Target("p2", State.DELIVERED), Target("p3"))
        assert await store.remove("m") is None
        assert await store.read_queue("p3", 10, 1000) == ()
        assert await store.count_waiting() == 0
        repeat = await store.queue(own("m", to=None), ("p2", "p3"), NOW_S)
        assert repeat.targets == (Target("p2", State.DELIVERED), Target("p3", State.REMOVED))

    run(story)


def test_a_rejected_message_is_listed_with_its_reason_and_text(store: MessageStore) -> None:
    async def story() -> None:
        entry = await store.queue(own("m", content="kept"), ("p2",), NOW_S)
        await store.settle(entry.position, Target("p2", State.REJECTED, "id_conflict"))
        [rejected] = await store.read_rejected(10)
        assert rejected.message.content == "kept"
        assert rejected.targets == (Target("p2", State.REJECTED, "id_conflict"),)
        assert rejected.pending == 0

    run(story)


def test_a_full_outbox_says_so_and_still_knows_repeats(store: MessageStore, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(outbox.insert, "__defaults__", (2,))

    async def story() -> None:
        first = await store.queue(own("m1"), ("p2",), NOW_S)
        await store.queue(own("m2"), ("p2",), NOW_S)
        with pytest.raises(OutboxFullError, match="2 deliveries wait"):
            await store.queue(own("m3"), ("p2",), NOW_S)
        assert (await store.queue(own("m1"), ("p2",), NOW_S)).is_repeat
        await store.settle(first.position, Target("p2", State.DELIVERED))
        await store.queue(own("m3"), ("p2",), NOW_S)

    run(story)


# --- remembered ids ------------------------------------------------------------------------------------------


def test_old_ids_are_forgotten_unless_their_message_is_still_here(store: MessageStore) -> None:
    later_s = NOW_S + remembered.REMEMBER_S + 1

    async def story() -> None:
        await store.receive(message("cleared"), NOW_S)
        await store.clear_inbox()
        await store.receive(message("kept"), NOW_S)
        await store.queue(own("waiting"), ("p2",), NOW_S)
        done = await store.queue(own("done"), ("p2",), NOW_S)
        await store.settle(done.position, Target("p2", State.DELIVERED))
        assert await store.forget_old(NOW_S + 1) == 0
        assert await store.forget_old(later_s) == 2
        assert await store.receive(message("cleared"), later_s) is not None
        assert await store.receive(message("kept"), later_s) is None
        assert (await store.queue(own("waiting"), ("p2",), later_s)).is_repeat
        assert not (await store.queue(own("done"), ("p2",), later_s)).is_repeat

    run(story)


def test_beyond_the_newest_ids_the_oldest_are_forgotten(store: MessageStore, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(remembered, "MAX_REMEMBERED", 3)

    async def story() -> None:
        for number in range(6):
            await store.receive(message(f"m{number}"), NOW_S + number)
        await store.clear_inbox()
        assert await store.forget_old(NOW_S + 10) == 2  # those older than the fourth newest
        assert await store.receive(message("m1"), NOW_S) is not None
        assert await store.receive(message("m2"), NOW_S) is None

    run(story)


# --- commits -------------------------------------------------------------------------------------------------


def test_a_thousand_writes_share_a_few_commits(store: MessageStore) -> None:
    async def story() -> None:
        writes = [store.receive(message(f"m{number}"), NOW_S) for number in range(1000)]
        stored = await asyncio.gather(*writes)
        assert [each.seq for each in stored if each is not None] == list(range(1, 1001))

    run(story)
    assert store.writer.write_count == 1000
    assert store.writer.commit_count < 100


def test_a_job_that_fails_undoes_its_own_writes_and_no_others(store: MessageStore) -> None:
    def half(database: sqlite3.Connection) -> None:
        database.execute("DELETE FROM inbox")
        raise ValueError("half way")

    async def story() -> None:
        before = store.receive(message("m1"), NOW_S)
        bad = store.writer.submit(half)
        after = store.receive(message("m2"), NOW_S)
        with pytest.raises(ValueError, match="half way"):
            await bad
        await before
        await after
        assert (await store.read_inbox(0, 10, 1000)).count == 2

    run(story)


def limit_pages(store: MessageStore, pages: int) -> None:
    """From now on the database can't grow beyond so many pages, as on a full disk."""

    async def story() -> None:
        await store.writer.submit(lambda database: database.execute(f"PRAGMA max_page_count = {pages}").fetchone())

    run(story)


def test_a_full_disk_is_told_and_what_came_before_it_stays(store: MessageStore) -> None:
    limit_pages(store, 40)
    large = "x" * 32_768

    async def story() -> tuple[int, int]:
        writes = [store.receive(message(f"m{number}", large), NOW_S) for number in range(20)]
        outcomes = await asyncio.gather(*writes, return_exceptions=True)
        failed = [each for each in outcomes if isinstance(each, StorageError)]
        assert failed
        assert all(each.is_full and str(each) == "the disk is full" for each in failed)
        return len(outcomes) - len(failed), (await store.read_inbox(0, 100, 10**9)).count

    promised, kept = run(story)
    assert promised == kept > 0
    limit_pages(store, 1_000_000)
    assert run(lambda: store.receive(message("m19", large), NOW_S)) is not None


def test_in_a_lane_nothing_is_stored_behind_a_message_that_could_not_be(store: MessageStore) -> None:
    limit_pages(store, 30)

    async def story() -> None:
        lane = Lane()
        contents = ["small", "x" * 200_000, "small too"]
        writes = [store.receive(message(f"m{i}", text), NOW_S, lane) for i, text in enumerate(contents)]
        other = store.receive(message("m9"), NOW_S, Lane())
        outcomes = await asyncio.gather(*writes, return_exceptions=True)
        assert await other is not None
        assert [isinstance(each, StorageError) for each in outcomes] == [False, True, True]
        page = await store.read_inbox(0, 10, 10**9)
        assert [each.message.id for each in page.messages] == ["m0", "m9"]

    run(story)


def test_a_closed_store_takes_no_more(data_dir: Path) -> None:
    store = open_store(data_dir, "p1")
    store.close()

    async def story() -> None:
        with pytest.raises(StorageError, match="closed"):
            await store.receive(message("m"), NOW_S)

    run(story)


def test_closing_commits_what_was_submitted(data_dir: Path) -> None:
    store = open_store(data_dir, "p1")

    async def story() -> None:
        writes = [store.receive(message(f"m{number}"), NOW_S) for number in range(100)]
        await asyncio.to_thread(store.close)
        await asyncio.gather(*writes)

    run(story)
    again = open_store(data_dir, "p1")
    assert run(lambda: again.read_inbox(0, 1, 1)).count == 100
    again.close()


# --- opening -------------------------------------------------------------------------------------------------


def test_a_database_in_use_is_refused_in_one_line(store: MessageStore, data_dir: Path) -> None:
    with pytest.raises(StartupError, match=r"p1\.db: another peer process is using it$"):
        open_store(data_dir, "p1")
    other = open_store(data_dir, "p2")  # another peer may share the folder
    other.close()


def test_a_file_that_is_no_database_is_refused_and_left_alone(data_dir: Path) -> None:
    data_dir.mkdir()
    path = data_dir / "p1.db"
    path.write_bytes(b"not a database, but precious" * 100)
    with pytest.raises(StartupError, match=r"p1\.db: file is not a database$"):
        open_store(data_dir, "p1")
    assert path.read_bytes() == b"not a database, but precious" * 100


def test_a_damaged_database_is_refused(data_dir: Path) -> None:
    store = open_store(data_dir, "p1")

    async def story() -> None:
        await asyncio.gather(*(store.receive(message(f"m{n}", "x" * 500), NOW_S) for n in range(300)))

    run(story)
    store.close()
    path = data_dir / "p1.db"
    with path.open("r+b") as file:
        file.seek(4096 * 5)
        file.write(os.urandom(4096 * 20))
    with pytest.raises(StartupError, match=r"p1\.db: (the database is damaged|database disk image is malformed)"):
        open_store(data_dir, "p1")


def test_a_database_of_a_newer_version_is_refused(data_dir: Path) -> None:
    open_store(data_dir, "p1").close()
    with sqlite3.connect(data_dir / "p1.db") as database:
        database.execute("PRAGMA user_version = 9")
    with pytest.raises(StartupError, match="written by a newer version: schema 9, this one knows 1"):
        open_store(data_dir, "p1")


def test_a_data_dir_that_is_a_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "data").write_text("")
    with pytest.raises(StartupError, match=r"--data-dir .*: File exists"):
        open_store(tmp_path / "data", "p1")


def test_messages_are_for_their_owner_only(store: MessageStore, data_dir: Path) -> None:
    assert data_dir.stat().st_mode & 0o077 == 0
    assert store.path.stat().st_mode & 0o077 == 0


# --- a kill --------------------------------------------------------------------------------------------------

WRITER = """
import asyncio, sys, pathlib
from services.peer.messages import Message
from services.peer.store import open_store

async def main():
    store = open_store(pathlib.Path(sys.argv[1]), "p1")
    async def one(number):
        stored = await store.receive(Message(f"m{number}", "p2", "p1", None, "x" * 200, 1.0), 1.0)
        print(stored.seq, flush=True)
    for start in range(0, 10_000_000, 50):
        await asyncio.gather(*(one(number) for number in range(start, start + 50)))

asyncio.run(main())
"""


def test_what_was_promised_survives_a_kill(data_dir: Path) -> None:
    for _ in range(3):
        process = subprocess.Popen(
            [sys.executable, "-c", WRITER.replace("m{number}", f"{os.urandom(4).hex()}-{{number}}"), str(data_dir)],
            stdout=subprocess.PIPE,
            cwd=ROOT,
        )
        assert process.stdout is not None
        promised = [process.stdout.readline() for _ in range(300)]
        process.send_signal(signal.SIGKILL)
        promised += process.stdout.readlines()
        process.wait()
        process.stdout.close()
        last_promised = max(int(line) for line in promised if line.endswith(b"\n"))
        store = open_store(data_dir, "p1")
        page = run(lambda store=store: store.read_inbox(0, 10_000_000, 10**9))  # type: ignore[misc]
        assert page.last_seq >= last_promised
        assert [each.seq for each in page.messages] == list(range(1, page.count + 1))
        store.close()
