"""Rates: who may go on, who waits, who is refused and for how long, and that memory stays bounded."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.proxy.rate_limits import Admission, RateLimitConfig, RateLimits, RateZone, RateZoneConfig, address_key

GO = Admission(True)


def limits_of(rate_per_s: float = 10.0, max_keys: int = 100) -> RateLimits:
    limits = RateLimits()
    limits.apply([RateZoneConfig("one", "$remote_addr", rate_per_s, max_keys)])
    return limits


def ask(limits: RateLimits, now: float, burst: int = 0, undelayed: int | None = 0, key: str = "a") -> Admission:
    return limits.admit([(RateLimitConfig("one", burst, undelayed), key)], now)


def test_without_burst_one_request_an_interval() -> None:
    limits = limits_of()
    assert ask(limits, 0.0) == GO
    assert ask(limits, 0.05) == Admission(False, retry_after_s=1)
    assert ask(limits, 0.1) == GO
    assert ask(limits, 0.19).is_allowed is False
    assert ask(limits, 0.19, key="b") == GO


def test_a_burst_waits_its_turn() -> None:
    limits = limits_of()
    delays = [ask(limits, 0.0, burst=3).delay_s for _ in range(4)]
    assert delays == pytest.approx([0.0, 0.1, 0.2, 0.3])
    assert ask(limits, 0.0, burst=3).is_allowed is False
    assert ask(limits, 0.1, burst=3).delay_s == pytest.approx(0.3)


def test_nodelay_lets_the_burst_through_and_its_places_come_back_with_time() -> None:
    limits = limits_of()
    assert [ask(limits, 0.0, 3, None) for _ in range(5)] == [GO] * 4 + [Admission(False, retry_after_s=1)]
    assert [ask(limits, 0.25, 3, None).is_allowed for _ in range(3)] == [True, True, False]


def test_delay_n_lets_the_first_n_of_the_burst_through() -> None:
    limits = limits_of()
    delays = [ask(limits, 0.0, burst=4, undelayed=2).delay_s for _ in range(5)]
    assert delays == pytest.approx([0.0, 0.0, 0.0, 0.1, 0.2])


@pytest.mark.parametrize(("rate_per_s", "asked_at", "expected"), [(1.0, 0.0, 1), (0.1, 0.0, 10), (0.1, 9.5, 1)])
def test_a_refusal_says_in_whole_seconds_when_to_come_again(rate_per_s: float, asked_at: float, expected: int) -> None:
    limits = limits_of(rate_per_s)
    ask(limits, 0.0)
    refusal = ask(limits, asked_at)
    assert refusal == Admission(False, retry_after_s=expected)
    assert ask(limits, asked_at + expected) == GO


def test_asking_again_and_again_while_refused_costs_no_more_time() -> None:
    limits = limits_of(1.0)
    assert ask(limits, 0.0) == GO
    assert not any(ask(limits, 0.01 * turn).is_allowed for turn in range(1, 100))
    assert ask(limits, 1.0) == GO


def test_an_empty_key_is_not_limited() -> None:
    limits = limits_of(0.001)
    assert [ask(limits, 0.0, key="") for _ in range(3)] == [GO] * 3


def test_of_several_limits_the_strictest_counts_and_a_refusal_is_counted_nowhere() -> None:
    limits = RateLimits()
    limits.apply([RateZoneConfig("address", "a", 1.0, 9), RateZoneConfig("session", "s", 10.0, 9)])
    by_address, by_session = RateLimitConfig("address", 1), RateLimitConfig("session", 5)

    def both(now: float) -> Admission:
        return limits.admit([(by_address, "ip"), (by_session, "id")], now)

    assert both(0.0) == GO
    assert both(0.0).delay_s == pytest.approx(1.0)
    assert both(0.0) == Admission(False, retry_after_s=1)
    assert limits.admit([(by_session, "id")], 0.0).delay_s == pytest.approx(0.2)


def test_a_zone_forgets_who_is_back_in_time_and_else_the_one_not_seen_for_longest() -> None:
    zone = RateZone(RateZoneConfig("z", "k", 1.0, 3))
    for key in "abc":
        zone.count(key, 0.0)
    zone.count("a", 0.5)
    zone.count("d", 0.5)
    assert len(zone) == 3
    assert zone.lateness_s("b", 0.5) == 0  # forgotten; "a" was seen since
    assert zone.lateness_s("a", 0.5) == pytest.approx(1.5)
    zone.count("e", 10.0)
    assert len(zone) == 2  # two that were in time went as one came
    zone.count("f", 10.0)
    assert len(zone) == 2


@given(st.lists(st.tuples(st.text("abcdefgh", min_size=1, max_size=2), st.floats(0, 5)), max_size=60))
def test_memory_is_bounded_whoever_asks(steps: list[tuple[str, float]]) -> None:
    zone, now = RateZone(RateZoneConfig("z", "k", 3.0, 4)), 0.0
    for key, passed in steps:
        now += passed
        zone.count(key, now)
        assert len(zone) <= 4


@given(st.floats(0.5, 50), st.integers(0, 20), st.lists(st.floats(0, 0.3), max_size=80))
def test_no_pattern_gets_more_than_its_rate_and_burst(rate: float, burst: int, pauses: list[float]) -> None:
    limits, now, allowed = limits_of(rate), 0.0, 0
    for pause in pauses:
        now += pause
        allowed += ask(limits, now, burst, None).is_allowed
    assert allowed <= rate * now + burst + 1 + 1e-6


@given(st.lists(st.floats(0, 0.5), max_size=60), st.integers(0, 5))
def test_delayed_requests_leave_in_order_at_the_steady_rate(pauses: list[float], burst: int) -> None:
    limits, now, last = limits_of(4.0), 0.0, -1.0
    for pause in pauses:
        now += pause
        admission = ask(limits, now, burst)
        if admission.is_allowed:
            assert now + admission.delay_s >= last + 0.25 - 1e-6
            last = now + admission.delay_s


def test_a_reload_keeps_what_is_remembered_unless_the_key_means_something_else() -> None:
    limits = limits_of(1.0)
    ask(limits, 0.0)
    limits.apply([RateZoneConfig("one", "$remote_addr", 2.0, 100)])
    assert ask(limits, 0.5).is_allowed is False  # what it owes was counted at the old rate
    limits.apply([RateZoneConfig("one", "$cookie_session", 2.0, 100)])
    assert ask(limits, 0.5) == GO


def test_a_zone_that_shrinks_forgets_the_oldest() -> None:
    zone = RateZone(RateZoneConfig("z", "k", 1.0, 10))
    for key in "abcdef":
        zone.count(key, 0.0)
    zone.configure(RateZoneConfig("z", "k", 1.0, 2))
    assert len(zone) == 2
    assert zone.lateness_s("f", 0.0) == 1.0


def test_addresses_of_one_ipv6_network_share_a_key() -> None:
    assert address_key("192.0.2.1") == "192.0.2.1"
    assert address_key("2001:db8:0:1::1") == address_key("2001:db8:0:1:ffff::2") != address_key("2001:db8:0:2::1")
    assert address_key("not:an:address") == "not:an:address"
