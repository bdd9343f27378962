"""When one upstream is left out, and for how long."""

from hypothesis import given
from hypothesis import strategies as st

from services.proxy.config_values import EjectionConfig
from services.proxy.ejection import Record

CONFIG = EjectionConfig(errors_percent=50, window_s=10, requests=4)


def test_so_many_failures_in_a_row_are_enough_and_a_reply_ends_the_row() -> None:
    record = Record()
    assert [record.note_broken("late", 3) for _ in range(2)] == [None, None]
    record.note_reply(200, 1.0, CONFIG)
    assert [record.note_broken("late", 3) for _ in range(3)] == [None, None, "3 requests in a row failed: late"]


def test_with_no_number_of_failures_there_is_never_a_reason() -> None:
    record = Record()
    assert {record.note_broken("late", 0) for _ in range(100)} == {None}


def test_the_share_of_5xx_counts_once_there_are_enough_replies() -> None:
    record = Record()
    assert [record.note_reply(status, 1.0, CONFIG) for status in (500, 500, 200)] == [None] * 3
    assert record.note_reply(503, 1.0, CONFIG) == "3 of 4 replies had a status of 5xx"


def test_a_share_below_the_limit_is_no_reason() -> None:
    record = Record()
    assert {record.note_reply(status, 1.0, CONFIG) for status in (200, 200, 200, 500, 404, 499) * 5} == {None}


def test_replies_before_the_window_are_forgotten() -> None:
    record = Record()
    for status in (500, 500, 500):
        record.note_reply(status, 1.0, CONFIG)
    assert record.note_reply(500, 12.5, CONFIG) is None
    for _ in range(2):
        assert record.note_reply(500, 13.0, CONFIG) is None
    assert record.note_reply(500, 13.0, CONFIG) == "4 of 4 replies had a status of 5xx"


@given(st.lists(st.tuples(st.floats(0, 5), st.sampled_from([200, 500])), max_size=60))
def test_what_is_counted_is_what_came_within_the_window(steps: list[tuple[float, int]]) -> None:
    """To within one of the ten slices that a window is counted in."""
    config = EjectionConfig(errors_percent=100, window_s=10, requests=1)
    record, now = Record(), 100.0
    came: list[tuple[float, int]] = []
    for pause_s, status in steps:
        now += pause_s
        reason = record.note_reply(status, now, config)
        came.append((now, status))
        if all(status == 500 for at, status in came if at > now - 10):
            assert reason is not None
        if any(status == 200 for at, status in came if at > now - 9):
            assert reason is None


def test_each_time_is_twice_as_long_up_to_a_limit_and_starts_anew_after_being_well_for_long() -> None:
    record, now, durations = Record(), 0.0, []
    for _ in range(6):
        now = record.eject(now, 10.0, 60.0) + 1.0
        durations.append(record.duration_s)
    assert durations == [10, 20, 40, 60, 60, 60]
    record.eject(now + 61, 10.0, 60.0)
    assert record.duration_s == 10
