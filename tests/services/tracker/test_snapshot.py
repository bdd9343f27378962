"""The table in a file: what is kept, what a broken file does, and when it is written."""

import asyncio
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.tracker.lease import LeasePatch, PeerFilter, Registration
from services.tracker.registry import Registry
from services.tracker.snapshot import (
    SnapshotError,
    SnapshotWriter,
    load_snapshot,
    parse_snapshot,
    serialize_snapshot,
)

EVERYONE = PeerFilter()


def table(count=2):
    registry = Registry(capacity=100, first_revision=100)
    for number in range(count):
        wanted = Registration(
            f"p{number}", "10.0.0.1", 7510, ("p2p",), ("Grüße ✓",), {"p2p_port": 7010, "x": [None, "\n"]}, 0.5, 60
        )
        registry.register(wanted, "user:ann", now=1000.25)
    return registry


def lines_of(registry):
    return [f"{line}\n" for line in serialize_snapshot(registry.select(EVERYONE, 1001), 1001)]


def test_what_is_written_is_read_again():
    registry = table()
    assert list(parse_snapshot(lines_of(registry))) == registry.select(EVERYONE, 1001)


def test_an_empty_table_is_a_snapshot_too():
    assert parse_snapshot(lines_of(table(0))) == ()


def changed(line, **fields):
    return json.dumps({**json.loads(line), **fields}) + "\n"


BROKEN = [
    ("nothing", lambda lines: [], "line 1: got nothing, expected the head"),
    ("no head", lambda lines: lines[1:], "line 1: got no head of the format weaprous-tracker-snapshot-1"),
    ("a lease is missing", lambda lines: lines[:-1], "got 1 leases, expected 2 as the head says"),
    ("the last line is cut", lambda lines: [*lines[:-1], lines[-1][:-1]], "line 3: got no JSON object"),
    ("a line is no JSON", lambda lines: [lines[0], "{\n", lines[2]], "line 2: got no JSON object"),
    ("a line is a list", lambda lines: [lines[0], "[]\n", lines[2]], "line 2: got no JSON object"),
    ("deep JSON", lambda lines: [lines[0], "[" * 100_000 + "\n"], "line 2: got no JSON object"),
    ("a bad port", lambda lines: [lines[0], changed(lines[1], port=0), lines[2]], "line 2: port: got 0"),
    ("a field is missing", lambda lines: [lines[0], lines[1].replace("registered_by", "x"), lines[2]], "line 2: 'reg"),
    ("no time", lambda lines: [lines[0], changed(lines[1], last_heartbeat=float("nan")), lines[2]], "line 2: got the"),
    ("no revision", lambda lines: [lines[0], changed(lines[1], revision=float("inf")), lines[2]], "line 2: "),
]


@pytest.mark.parametrize(("spoil", "words"), [row[1:] for row in BROKEN], ids=[row[0] for row in BROKEN])
def test_a_broken_file_is_named_with_its_line(spoil, words):
    with pytest.raises(SnapshotError) as caught:
        parse_snapshot(spoil(lines_of(table())))
    assert words in str(caught.value)


@given(st.data())
def test_whatever_happened_to_the_file_it_is_read_or_named_as_broken(data):
    content = "".join(lines_of(table()))
    at = data.draw(st.integers(0, len(content)))
    spoilt = content[:at] + data.draw(st.text(max_size=3)) + content[at + data.draw(st.integers(0, 5)) :]
    try:
        parse_snapshot(spoilt.splitlines(keepends=True))
    except SnapshotError:
        pass


def test_no_file_is_an_empty_table(tmp_path):
    assert load_snapshot(tmp_path / "leases") == ()


@pytest.mark.parametrize(
    "content", [b"", b"\xff\xfe", b"{}\n", b"\x00" * 4096], ids=["empty", "no text", "{}", "zeros"]
)
def test_a_broken_file_is_set_aside(tmp_path, content):
    path = tmp_path / "leases"
    path.write_bytes(content)
    assert load_snapshot(path) == ()
    assert not path.exists()
    assert (tmp_path / "leases.bad").read_bytes() == content


def test_a_write_leaves_one_private_file_that_holds_the_table(tmp_path):
    path = tmp_path / "leases"
    registry = table()
    registry_at_start = Registry(100, 1)
    asyncio.run(SnapshotWriter(path, registry_at_start, lambda: 1001).write_if_changed())
    assert not path.exists()
    writer = SnapshotWriter(path, registry, lambda: 1001)
    registry.heartbeat("p0", LeasePatch(), now=1001)
    asyncio.run(writer.write_if_changed())
    assert list(load_snapshot(path)) == registry.select(EVERYONE, 1001)
    assert [file.name for file in tmp_path.iterdir()] == ["leases"]
    assert path.stat().st_mode & 0o777 == 0o600


def test_nothing_is_written_when_nothing_changed(tmp_path):
    path = tmp_path / "leases"
    registry = table()
    writer = SnapshotWriter(path, registry, lambda: 1001)
    registry.remove("p0", now=1001)
    asyncio.run(writer.write_if_changed())
    path.unlink()
    asyncio.run(writer.write_if_changed())
    assert not path.exists()


def test_a_lease_that_ends_changes_the_file(tmp_path):
    path, now = tmp_path / "leases", [1001.0]
    writer = SnapshotWriter(path, table(), lambda: now[0])
    now[0] = 2000.0
    asyncio.run(writer.write_if_changed())
    assert load_snapshot(path) == ()


def test_a_folder_that_is_gone_is_logged_once_and_the_next_write_works(tmp_path, caplog):
    folder = tmp_path / "var"
    registry = table()
    writer = SnapshotWriter(folder / "leases", registry, lambda: 1001)
    registry.heartbeat("p0", LeasePatch(), now=1001)
    asyncio.run(writer.write_if_changed())
    asyncio.run(writer.write_if_changed())
    assert [record.getMessage() for record in caplog.records] == ["can't write the snapshot, trying again"]
    folder.mkdir()
    asyncio.run(writer.write_if_changed())
    assert len(load_snapshot(folder / "leases")) == 2
