"""Quantiles over a window that slides."""

import random
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.proxy.latency import CEILING_S, FLOOR_S, QUANTILES, SLOTS, WINDOW_S, LatencyWindow

durations = st.lists(st.floats(FLOOR_S, CEILING_S / 1.1), min_size=1, max_size=300)


@given(durations)
def test_a_quantile_is_within_five_percent_of_an_observed_value_of_that_rank(values: list[float]) -> None:
    window = LatencyWindow()
    for value in values:
        window.observe(value, 1000.0)
    ordered = sorted(values)
    for share, told in zip(QUANTILES, window.quantiles(QUANTILES, 1000.0), strict=True):
        exact = ordered[int(share * (len(ordered) - 1))]
        assert told == pytest.approx(exact, rel=0.05)
    assert (window.count, window.sum_s) == (len(values), pytest.approx(sum(values)))


def test_quantiles_of_a_long_tail_rise() -> None:
    generator = random.Random(7)
    window = LatencyWindow()
    values = sorted(generator.lognormvariate(-4, 1.5) for _ in range(20_000))
    for value in values:
        window.observe(value, 5.0)
    told = window.quantiles((0.01, *QUANTILES, 1.0), 5.0)
    assert all(low is not None and high is not None and low <= high for low, high in pairwise(told))
    assert told[3] == pytest.approx(values[19_799], rel=0.05)


def test_what_is_older_than_the_window_counts_no_more() -> None:
    window = LatencyWindow()
    slot_s = WINDOW_S / SLOTS
    assert window.quantiles((0.5,), 0.0) == [None]
    for slot in range(3 * SLOTS):
        window.observe(float(slot + 1), slot * slot_s)
        oldest = max(1, slot + 2 - SLOTS)
        low, high = window.quantiles((0.0, 1.0), slot * slot_s)
        assert low == pytest.approx(oldest, rel=0.05)
        assert high == pytest.approx(slot + 1, rel=0.05)
    assert window.quantiles((0.5,), 5 * WINDOW_S) == [None]
    window.observe(2.0, 5 * WINDOW_S)
    assert window.quantiles((0.5,), 5 * WINDOW_S) == [pytest.approx(2.0, rel=0.05)]
    assert window.count == 3 * SLOTS + 1


def test_an_observation_after_a_quiet_hour_that_somebody_asked_about_counts() -> None:
    window = LatencyWindow()
    window.observe(1.0, 0.0)
    assert window.quantiles((0.5,), 3600.0) == [None]
    window.observe(1.0, 3600.0)
    assert window.quantiles((0.5,), 3600.0) == [pytest.approx(1.0, rel=0.05)]


@pytest.mark.parametrize("duration_s", [0.0, -0.001, FLOOR_S / 2, CEILING_S * 10])
def test_what_is_beyond_the_buckets_falls_into_the_outermost(duration_s: float) -> None:
    window = LatencyWindow()
    window.observe(duration_s, 0.0)
    (told,) = window.quantiles((0.5,), 0.0)
    assert told == pytest.approx(CEILING_S if duration_s > 1 else FLOOR_S, rel=0.1)
