"""Who serves the next connection, and what workers see of each other."""

import os

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.runtime.worker_load import LoadBoard, choose_worker


@pytest.mark.parametrize(
    ("own", "counts", "chosen"),
    [
        (0, [5], None),
        (0, [5, 5], None),
        (0, [6, 5], 1),
        (0, [5, 6], None),
        (1, [0, 1], 0),
        (0, [1, None], None),
        (0, [9, None, 8], 2),
        (0, [9, 7, 8], 1),
        (0, [9, 8, 8, 8], 1),
        (2, [8, 8, 9, 8], 3),
        (3, [8, 8, 8, 9], 0),
        (0, [None, 1000, 999], 2),
        (0, [None, None], None),
        (1, [3, None, 3], 2),
        (0, [0, 0, 0, 0], None),
        (15, [1] * 14 + [0, 1], 14),
    ],
)
def test_the_one_with_fewest_connections_serves_and_among_equals_the_next(own, counts, chosen):
    assert choose_worker(own, counts) == chosen


COUNTS = st.lists(st.none() | st.integers(0, 20), min_size=1, max_size=16)


@given(COUNTS, st.data())
def test_a_connection_is_handed_only_to_one_that_takes_it_and_has_the_fewest(counts, data):
    own = data.draw(st.integers(0, len(counts) - 1))
    chosen = choose_worker(own, counts)
    others = [count for worker, count in enumerate(counts) if worker != own and count is not None]
    if chosen is None:
        assert not others or (counts[own] is not None and counts[own] <= min(others))
    else:
        assert chosen != own
        assert counts[chosen] == min(others)
        assert counts[own] is None or counts[chosen] < counts[own]


@given(st.integers(1, 16), st.lists(st.integers(0, 15), max_size=200))
def test_whoever_accepts_no_two_ever_differ_by_more_than_one(workers, accepting):
    counts = [0] * workers
    for number in accepting:
        own = number % workers
        chosen = choose_worker(own, counts)
        counts[own if chosen is None else chosen] += 1
        assert max(counts) - min(counts) <= 1
    assert sum(counts) == len(accepting)


@given(st.lists(st.integers(0, 30), min_size=2, max_size=16), st.data())
def test_what_closings_made_uneven_the_next_arrivals_make_good(counts, data):
    missing = sum(max(counts) - count for count in counts)
    for _ in range(missing):
        own = data.draw(st.integers(0, len(counts) - 1))
        chosen = choose_worker(own, counts)
        counts[own if chosen is None else chosen] += 1
    assert max(counts) == min(counts)


def test_a_worker_takes_connections_from_its_first_report_until_it_withdraws():
    board = LoadBoard(3)
    assert [board.count(worker) for worker in range(3)] == [None] * 3
    board.publish(1, 0)
    board.publish(2, 7)
    assert [board.count(worker) for worker in range(3)] == [None, 0, 7]
    board.withdraw(2)
    assert [board.count(worker) for worker in range(3)] == [None, 0, None]


def test_a_worker_that_is_held_takes_none_until_it_gives_a_sign():
    board = LoadBoard(2)
    board.publish(0, 3)
    board.mark_held(0, board.signs(0) - 1)
    assert board.count(0) == 3, "it has given one since"
    board.mark_held(0, board.signs(0))
    assert board.count(0) is None
    board.give_sign(0)
    assert board.count(0) == 3


def test_other_processes_see_what_one_writes():
    board = LoadBoard(2)
    pid = os.fork()
    if pid == 0:
        board.publish(1, 42)
        os._exit(0)
    os.waitpid(pid, 0)
    assert board.count(1) == 42
    assert board.signs(1) == 1
