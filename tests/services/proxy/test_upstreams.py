"""The states of an upstream, and who of a pool may be chosen."""

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from services.proxy.config_values import HealthCheckConfig, HealthKind, PolicyName, PoolConfig
from services.proxy.upstreams import (
    TRANSITIONS,
    Address,
    Annotation,
    Event,
    Member,
    Pool,
    PoolEvent,
    State,
    Upstream,
)

A, B, C = Address("10.0.0.1", 80), Address("10.0.0.2", 80), Address("10.0.0.3", 80)
CHECKED = HealthCheckConfig(HealthKind.HTTP, rise=2, fall=3)


def make_pool(*addresses: Address, check: HealthCheckConfig = CHECKED) -> tuple[Pool, list[PoolEvent]]:
    events: list[PoolEvent] = []
    pool = Pool(PoolConfig("p", (), health_check=check), events.append)
    if addresses:
        pool.set_members(dict.fromkeys(addresses, Member()), 0.0)
    return pool, events


def at(pool: Pool, address: Address) -> Upstream:
    upstream = pool.get(address)
    assert upstream is not None
    return upstream


def fail(pool: Pool, address: Address, times: int, now: float = 1.0) -> None:
    for _ in range(times):
        pool.note_failure(at(pool, address), now, "refused")


def kinds(events: list[PoolEvent]) -> list[str]:
    return [f"{event.kind} {event.upstream.name}" for event in events]


def test_the_table_has_a_way_out_of_every_state() -> None:
    assert {state for state, _ in TRANSITIONS} == set(State)
    assert {event for _, event in TRANSITIONS} == set(Event)


@pytest.mark.parametrize(
    ("state", "event"), [(state, event) for state in State for event in Event if (state, event) not in TRANSITIONS]
)
def test_what_is_not_in_the_table_is_refused(state: State, event: Event) -> None:
    pool, _ = make_pool(A)
    upstream = at(pool, A)
    upstream.state = state
    with pytest.raises(KeyError):
        pool._move(upstream, event, 0.0, "")


def test_whoever_is_there_at_the_start_needs_no_check() -> None:
    pool, events = make_pool(A, B)
    assert [upstream.state for upstream in pool.upstreams] == [State.UP, State.UP]
    assert kinds(events) == ["joined 10.0.0.1:80", "up 10.0.0.1:80", "joined 10.0.0.2:80", "up 10.0.0.2:80"]


def test_a_later_one_is_used_after_one_passed_check() -> None:
    pool, _ = make_pool(A)
    pool.set_members({A: Member(), B: Member()}, 1.0)
    assert (at(pool, B).state, pool.candidates()) == (State.JOINING, (at(pool, A),))
    pool.note_failure(at(pool, B), 1.0, "refused")
    pool.note_pass(at(pool, B), 1.5)
    assert pool.candidates() == (at(pool, A), at(pool, B))


def test_until_every_name_was_looked_up_nobody_is_late() -> None:
    pool, _ = make_pool()
    pool.set_members({A: Member()}, 0.0, is_complete=False)
    pool.set_members({A: Member(), B: Member()}, 0.1)
    assert at(pool, B).state is State.UP


def test_where_nothing_is_checked_a_later_one_is_used_at_once() -> None:
    pool, _ = make_pool(A, check=HealthCheckConfig())
    pool.set_members({A: Member(), B: Member()}, 1.0)
    assert at(pool, B).state is State.UP


def test_fall_failures_in_a_row_take_one_out_and_rise_passes_in_a_row_bring_it_back() -> None:
    pool, events = make_pool(A, B)
    fail(pool, A, 2)
    pool.note_pass(at(pool, A), 1.0)
    fail(pool, A, 2)
    assert at(pool, A).state is State.UP
    fail(pool, A, 1)
    assert (at(pool, A).state, pool.candidates()) == (State.DOWN, (at(pool, B),))
    pool.note_pass(at(pool, A), 2.0)
    fail(pool, A, 1)
    pool.note_pass(at(pool, A), 2.0)
    assert at(pool, A).state is State.DOWN
    pool.note_pass(at(pool, A), 3.0)
    assert at(pool, A).state is State.UP
    assert kinds(events)[4:] == ["down 10.0.0.1:80", "up 10.0.0.1:80"]
    assert events[4].reason == "refused"


def test_health_never_empties_a_pool_the_one_that_was_up_last_is_kept() -> None:
    pool, _ = make_pool(A, B, C)
    fail(pool, B, 3, now=1.0)
    fail(pool, A, 3, now=2.0)
    fail(pool, C, 3, now=3.0)
    assert pool.candidates() == (at(pool, C),)
    assert pool.candidates_without({at(pool, C)}) == (at(pool, A),)
    assert pool.choose({at(pool, A), at(pool, B), at(pool, C)}) is None


def test_one_that_drains_is_used_only_when_nobody_else_is_fit() -> None:
    pool, events = make_pool(A, B)
    pool.annotate(at(pool, A), Annotation(is_draining=True, load=0.5))
    assert pool.candidates() == (at(pool, B),)
    fail(pool, B, 3)
    assert pool.candidates() == (at(pool, A),)
    pool.annotate(at(pool, A), Annotation(load=0.1))
    assert kinds(events)[-3:] == ["draining 10.0.0.1:80", "down 10.0.0.2:80", "undrained 10.0.0.1:80"]


def test_one_that_left_gets_nothing_new_and_is_forgotten_when_its_last_request_has_ended() -> None:
    pool, events = make_pool(A, B)
    upstream = at(pool, A)
    upstream.in_flight = 1
    pool.set_members({B: Member()}, 1.0)
    assert (upstream.state, pool.get(A), pool.candidates()) == (State.GONE, upstream, (at(pool, B),))
    upstream.in_flight = 0
    pool.forget_gone()
    assert pool.get(A) is None
    assert kinds(events)[-1] == "left 10.0.0.1:80"


def test_one_that_comes_back_keeps_its_counters_and_is_checked_again() -> None:
    pool, _ = make_pool(A, B)
    upstream = at(pool, A)
    upstream.in_flight = upstream.requests = 1
    pool.set_members({B: Member()}, 1.0)
    pool.set_members({A: Member(), B: Member()}, 2.0)
    assert (at(pool, A), upstream.state, upstream.requests) == (upstream, State.JOINING, 1)


def test_a_pool_without_anybody_has_nobody_to_choose() -> None:
    pool, _ = make_pool()
    assert (pool.candidates(), pool.choose()) == ((), None)


def test_where_nothing_is_checked_a_connection_that_works_brings_one_back() -> None:
    pool, _ = make_pool(A, check=HealthCheckConfig())
    fail(pool, A, 1)
    assert at(pool, A).state is State.DOWN
    pool.note_connected(at(pool, A), 2.0)
    assert at(pool, A).state is State.UP


def test_where_checks_are_made_only_they_bring_one_back() -> None:
    pool, _ = make_pool(A)
    fail(pool, A, 3)
    pool.note_connected(at(pool, A), 2.0)
    assert at(pool, A).state is State.DOWN


def test_another_configuration_keeps_states_and_changes_weights_and_policy() -> None:
    pool, _ = make_pool(A, B)
    fail(pool, A, 3)
    policy = pool.policy
    pool.configure(PoolConfig("p", (), PolicyName.ROUND_ROBIN, CHECKED), 2.0)
    assert pool.policy is policy
    pool.configure(PoolConfig("p", (), PolicyName.RANDOM, CHECKED), 2.0)
    pool.set_members({A: Member(weight=7), B: Member()}, 2.0)
    assert pool.policy is not policy
    assert (at(pool, A).state, at(pool, A).weight) == (State.DOWN, 7)


def test_without_checks_from_now_on_nobody_waits_for_one() -> None:
    pool, _ = make_pool(A)
    pool.set_members({A: Member(), B: Member()}, 1.0)
    pool.configure(PoolConfig("p", ()), 2.0)
    assert at(pool, B).state is State.UP


class AnyStory(RuleBasedStateMachine):
    """Whatever happens, a pool with members always has a candidate, and never one that is gone."""

    def __init__(self) -> None:
        super().__init__()
        self.pool, _ = make_pool(A)
        self.members = {A}
        self.now = 1.0

    @rule(members=st.sets(st.sampled_from([A, B, C])))
    def discover(self, members: set[Address]) -> None:
        self.members = members
        self.now += 1
        self.pool.set_members(dict.fromkeys(members, Member()), self.now)

    @rule(address=st.sampled_from([A, B, C]), passed=st.booleans(), times=st.integers(1, 4))
    def check(self, address: Address, passed: bool, times: int) -> None:
        self.now += 1
        upstream = self.pool.get(address)
        for _ in range(times):
            if upstream is not None and passed:
                self.pool.note_pass(upstream, self.now)
            elif upstream is not None:
                self.pool.note_failure(upstream, self.now, "x")

    @rule(address=st.sampled_from([A, B, C]), draining=st.booleans())
    def annotate(self, address: Address, draining: bool) -> None:
        if (upstream := self.pool.get(address)) is not None:
            self.pool.annotate(upstream, Annotation(is_draining=draining))

    @rule(address=st.sampled_from([A, B, C]), count=st.integers(0, 2))
    def forward(self, address: Address, count: int) -> None:
        if (upstream := self.pool.get(address)) is not None:
            upstream.in_flight = count

    @invariant()
    def somebody_is_there(self) -> None:
        candidates = self.pool.candidates()
        assert bool(candidates) == bool(self.members)
        assert {upstream.address for upstream in candidates} <= self.members
        fit = [u for u in self.pool.upstreams if u.state is State.UP and not u.annotation.is_draining]
        if fit:
            assert set(candidates) == set(fit)


TestAnyStory = AnyStory.TestCase
TestAnyStory.settings = settings(max_examples=60, stateful_step_count=30, deadline=None)
