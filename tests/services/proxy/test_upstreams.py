"""The states of an upstream, and who of a pool may be chosen."""

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from services.proxy.config_values import (
    EjectionConfig,
    HealthCheckConfig,
    HealthKind,
    PolicyName,
    PoolConfig,
    QueueConfig,
)
from services.proxy.pool_events import PoolEvent
from services.proxy.upstreams import (
    TRANSITIONS,
    Address,
    Annotation,
    Event,
    Member,
    Pool,
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


# --- a place to go for who leaves ----------------------------------------------------------------------------


def test_who_leaves_one_finds_another_only_if_it_is_well_and_has_room() -> None:
    pool, _ = make_pool()
    pool.set_members({A: Member(), B: Member(max_conns=1)}, 0.0)
    a, b = at(pool, A), at(pool, B)
    assert pool.has_refuge({a})
    assert not pool.has_refuge({a, b})
    b.in_flight = 1
    assert not pool.has_refuge({a})
    b.in_flight = 0
    fail(pool, B, 3)
    assert not pool.has_refuge({a}), "one that is down is no better"
    pool.set_members({A: Member(), C: Member()}, 1.0)
    assert not pool.has_refuge({a}), "nor is one that has not passed a check"
    pool.note_pass(at(pool, C), 2.0)
    assert pool.has_refuge({a})


def test_one_that_is_ejected_is_no_place_to_go_until_its_trial() -> None:
    pool, _ = make_ejecting_pool(A, B)
    break_(pool, B)
    assert not pool.has_refuge({at(pool, A)})
    pool.tick(11.0)
    assert pool.has_refuge({at(pool, A)})


# --- ejection and trial --------------------------------------------------------------------------------------

EJECTING = PoolConfig("p", (), health_check=CHECKED, ejection=EjectionConfig(fails=2, time_s=10), slow_start_s=20)


def make_ejecting_pool(*addresses: Address, config: PoolConfig = EJECTING) -> tuple[Pool, list[PoolEvent]]:
    events: list[PoolEvent] = []
    pool = Pool(config, events.append)
    pool.set_members(dict.fromkeys(addresses, Member()), 0.0)
    return pool, events


def break_(pool: Pool, address: Address, times: int = 2, now: float = 1.0) -> None:
    for _ in range(times):
        pool.note_broken(at(pool, address), now, "it did not reply in time")


def begin(pool: Pool) -> Upstream:
    """As whoever forwards does."""
    upstream = pool.choose()
    assert upstream is not None
    upstream.in_flight += 1
    return upstream


def end(pool: Pool, upstream: Upstream, now: float) -> None:
    upstream.in_flight -= 1
    pool.note_ended(upstream, now)


def begin_trial(pool: Pool) -> None:
    """A was left out, its time is over, and the request is under way that will show whether it is well."""
    break_(pool, A)
    pool.tick(11.0)
    while begin(pool) is not at(pool, A):
        pass


def test_one_whose_requests_fail_in_a_row_is_left_out_for_a_time() -> None:
    pool, events = make_ejecting_pool(A, B)
    break_(pool, A)
    assert (at(pool, A).state, pool.candidates()) == (State.EJECTED, (at(pool, B),))
    assert events[-1].kind == "ejected"
    assert events[-1].reason == "2 requests in a row failed: it did not reply in time; for 10 s"
    assert at(pool, A).ejections == {"failures": 1}
    pool.tick(10.9)
    assert at(pool, A).state is State.EJECTED
    pool.tick(11.0)
    assert at(pool, A).state is State.TRIAL


def test_a_trial_is_one_request_at_a_time_and_a_reply_ends_it_well() -> None:
    pool, _ = make_ejecting_pool(A, B)
    break_(pool, A)
    pool.tick(11.0)
    chosen = [begin(pool) for _ in range(6)]
    assert chosen.count(at(pool, A)) == 1
    pool.note_reply(at(pool, A), 200, 12.0)
    end(pool, at(pool, A), 12.1)
    assert at(pool, A).state is State.UP


def test_a_trial_that_nobody_finished_is_free_for_the_next() -> None:
    pool, _ = make_ejecting_pool(A, B)
    begin_trial(pool)
    assert at(pool, A) not in pool.candidates()
    end(pool, at(pool, A), 12.0)  # its client left
    assert at(pool, A) in pool.candidates()
    at(pool, A).is_on_trial = True  # a choice that came to nothing
    pool.tick(12.1)
    assert at(pool, A) in pool.candidates()


def test_a_trial_that_fails_leaves_it_out_for_twice_as_long() -> None:
    pool, events = make_ejecting_pool(A, B)
    begin_trial(pool)
    break_(pool, A, 1, now=11.5)
    assert at(pool, A).state is State.EJECTED
    assert at(pool, A).ejections == {"failures": 1, "trial": 1}
    assert events[-1].reason == "its trial request failed: it did not reply in time; for 20 s"
    pool.tick(31.4)
    assert at(pool, A).state is State.EJECTED
    pool.tick(31.5)
    assert at(pool, A).state is State.TRIAL


def test_a_trial_that_has_ended_before_it_is_said_to_have_failed_leaves_it_out_as_well() -> None:
    pool, _ = make_ejecting_pool(A, B)
    break_(pool, A)
    pool.tick(11.0)
    while begin(pool) is not at(pool, A):
        pass
    end(pool, at(pool, A), 11.5)  # whoever forwards frees the upstream first
    pool.note_broken(at(pool, A), 11.5, "it did not reply in time", began_at=11.1)
    assert (at(pool, A).state, at(pool, A).ejections) == (State.EJECTED, {"failures": 1, "trial": 1})
    assert at(pool, A).ejected_until == 31.5


def test_a_request_from_before_the_trial_that_fails_late_says_nothing_about_it() -> None:
    pool, _ = make_ejecting_pool(A, B)
    break_(pool, A)
    pool.tick(11.0)
    break_(pool, A, 1, now=11.5)
    assert at(pool, A).state is State.TRIAL
    while begin(pool) is not at(pool, A):
        pass
    pool.note_broken(at(pool, A), 12.0, "late", began_at=10.9)
    assert at(pool, A).state is State.TRIAL
    pool.note_broken(at(pool, A), 12.0, "late", began_at=11.1)
    assert at(pool, A).state is State.EJECTED


def test_a_trial_that_never_ends_gives_way_to_another_after_a_time() -> None:
    pool, _ = make_ejecting_pool(A, B)
    begin_trial(pool)
    pool.tick(12.0)
    pool.tick(21.9)
    assert at(pool, A) not in pool.candidates()
    pool.tick(22.0)
    assert at(pool, A) in pool.candidates()


def test_who_comes_back_starts_slowly() -> None:
    pool, _ = make_ejecting_pool(A, B)
    break_(pool, A)
    pool.tick(11.0)
    pool.note_reply(at(pool, A), 200, 12.0)
    shares = []
    for now in (12.0, 14.0, 22.0, 30.0, 32.0):
        pool.tick(now)
        shares.append(at(pool, A).share)
    assert shares == [1, 1, 5, 9, 10]
    assert at(pool, B).share == 10


def test_the_last_one_that_is_well_is_never_ejected() -> None:
    pool, _ = make_ejecting_pool(A)
    break_(pool, A, 9)
    assert at(pool, A).state is State.UP
    pool, _ = make_ejecting_pool(A, B)
    pool.annotate(at(pool, B), Annotation(is_draining=True))
    break_(pool, A, 9)
    assert at(pool, A).state is State.UP


def test_no_more_than_a_share_of_the_pool_is_ejected() -> None:
    addresses = [Address(f"10.0.1.{n}", 80) for n in range(10)]
    config = PoolConfig("p", (), ejection=EjectionConfig(fails=1, max_percent=30))
    pool, _ = make_ejecting_pool(*addresses, config=config)
    for address in addresses:
        break_(pool, address, 1)
    assert sum(upstream.state is State.EJECTED for upstream in pool.upstreams) == 3


def test_replies_with_5xx_count_only_where_told_to() -> None:
    pool, _ = make_ejecting_pool(A, B)
    for _ in range(100):
        pool.note_reply(at(pool, A), 503, 1.0)
    assert at(pool, A).state is State.UP
    config = PoolConfig("p", (), ejection=EjectionConfig(errors_percent=50, requests=10))
    pool, events = make_ejecting_pool(A, B, config=config)
    for _ in range(10):
        pool.note_reply(at(pool, A), 503, 1.0)
    assert events[-1].reason == "10 of 10 replies had a status of 5xx; for 10 s"
    assert at(pool, A).ejections == {"errors": 1}
    pool.tick(20.0)
    pool.note_reply(at(pool, A), 500, 20.0)
    assert (at(pool, A).state, at(pool, A).ejections) == (State.EJECTED, {"errors": 1, "trial": 1})


def test_a_server_s_own_max_fails_and_fail_timeout_hold_for_it() -> None:
    pool = Pool(EJECTING, lambda _: None)
    pool.set_members({A: Member(max_fails=1, fail_timeout_s=3), B: Member(max_fails=0), C: Member()}, 0.0)
    break_(pool, A, 1)
    break_(pool, B, 50)
    assert (at(pool, A).state, at(pool, B).state) == (State.EJECTED, State.UP)
    pool.tick(4.0)
    assert at(pool, A).state is State.TRIAL


def test_one_that_is_ejected_and_fails_its_checks_is_down_and_comes_back_by_them() -> None:
    pool, _ = make_ejecting_pool(A, B)
    break_(pool, A)
    fail(pool, A, 3, now=2.0)
    assert at(pool, A).state is State.DOWN
    pool.tick(60.0)
    assert at(pool, A).state is State.DOWN
    pool.note_pass(at(pool, A), 61.0)
    pool.note_pass(at(pool, A), 62.0)
    assert (at(pool, A).state, at(pool, A).share) == (State.UP, 1)


# --- slow start ----------------------------------------------------------------------------------------------


def test_whoever_is_there_at_the_start_has_its_whole_share_and_later_ones_grow_into_it() -> None:
    pool, _ = make_ejecting_pool(A)
    pool.set_members({A: Member(), B: Member(weight=3, slow_start_s=10), C: Member(slow_start_s=0)}, 1.0)
    pool.note_pass(at(pool, B), 2.0)
    pool.note_pass(at(pool, C), 2.0)
    assert [at(pool, address).share for address in (A, B, C)] == [10, 3, 10]
    pool.tick(7.0)
    assert at(pool, B).share == 15
    pool.tick(12.0)
    assert at(pool, B).share == 30
    assert not pool._unsettled


# --- backups and limits --------------------------------------------------------------------------------------


def test_a_backup_is_asked_when_no_other_is_well_before_one_that_drains() -> None:
    pool, _ = make_pool()
    pool.set_members({A: Member(), B: Member(), C: Member(is_backup=True)}, 0.0)
    assert at(pool, C) not in pool.candidates()
    fail(pool, A, 3)
    pool.annotate(at(pool, B), Annotation(is_draining=True))
    assert pool.candidates() == (at(pool, C),)


def limited_pool(*limits: int, queue: QueueConfig | None = None) -> Pool:
    pool = Pool(PoolConfig("p", (), queue=queue), lambda _: None)
    addresses = [A, B, C][: len(limits)]
    pool.set_members({a: Member(max_conns=limit) for a, limit in zip(addresses, limits, strict=True)}, 0.0)
    return pool


def test_no_upstream_has_more_under_way_than_it_may() -> None:
    pool = limited_pool(1, 3)
    chosen = [begin(pool) for _ in range(4)]
    assert (chosen.count(at(pool, A)), chosen.count(at(pool, B))) == (1, 3)
    assert (pool.choose(), pool.is_full()) == (None, True)
    assert not pool.is_full({at(pool, A), at(pool, B)}), "there is nobody left, full or not"
    end(pool, at(pool, A), 1.0)
    assert pool.choose() is at(pool, A)


def test_backups_help_out_when_all_others_are_full_but_nobody_who_is_unwell() -> None:
    pool, _ = make_pool()
    pool.set_members({A: Member(max_conns=1), B: Member(is_backup=True, max_conns=1), C: Member()}, 0.0)
    fail(pool, C, 3)
    assert [begin(pool), begin(pool)] == [at(pool, A), at(pool, B)]
    assert pool.choose() is None


def test_a_place_that_gets_free_goes_to_whoever_waits_longest() -> None:
    pool = limited_pool(1, queue=QueueConfig(2))
    first, got = begin(pool), []
    for name in "ab":
        ticket = pool.queue.join(0.0)
        assert ticket is not None
        ticket.on_place = lambda name=name: got.append((name, begin(pool)))  # type: ignore[misc]
    assert pool.queue.join(0.0) is None
    end(pool, first, 1.0)
    assert got == [("a", first)]
    pool.set_members({A: Member(max_conns=1), B: Member(max_conns=1)}, 2.0)
    assert got == [("a", first), ("b", at(pool, B))], "one that comes has a place, too"


# --- reports -------------------------------------------------------------------------------------------------


def test_what_a_replica_reports_counts_without_what_it_does_for_this_proxy_until_it_is_stale() -> None:
    pool = Pool(PoolConfig("p", (), PolicyName.LEAST_LOAD), lambda _: None)
    pool.set_members(dict.fromkeys((A, B), Member()), 0.0)
    at(pool, A).in_flight = 4
    pool.annotate(at(pool, A), Annotation(load=5.0))
    pool.annotate(at(pool, B), Annotation(load=3.0))
    at(pool, A).in_flight = 0
    assert (at(pool, A).foreign_load, at(pool, B).foreign_load) == (1, 3)
    pool.annotate(at(pool, A), Annotation(load=5.0))
    assert at(pool, A).foreign_load == 1, "the same report says nothing new"
    assert {pool.choose() for _ in range(4)} == {at(pool, A)}
    pool.tick(55.0, heard_at=10.0)
    assert at(pool, A).foreign_load == 1
    pool.tick(55.1, heard_at=10.0)
    assert (at(pool, A).foreign_load, at(pool, B).foreign_load) == (None, None)
    assert {pool.choose() for _ in range(4)} == {at(pool, A), at(pool, B)}


class AnyStory(RuleBasedStateMachine):
    """Whatever happens, a pool with members always has a candidate, and never one that is gone."""

    def __init__(self) -> None:
        super().__init__()
        self.pool = Pool(PoolConfig("p", (), health_check=CHECKED, ejection=EjectionConfig(fails=2)), lambda _: None)
        self.pool.set_members({A: Member()}, 0.0)
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

    @rule(is_reply=st.booleans(), is_seen=st.booleans())
    def request(self, is_reply: bool, is_seen: bool) -> None:
        self.now += 1
        if (upstream := self.pool.choose()) is None:
            return
        upstream.in_flight += 1
        if is_seen and is_reply:
            self.pool.note_reply(upstream, 200, self.now)
        elif is_seen:
            self.pool.note_broken(upstream, self.now, "cut")
        upstream.in_flight -= 1
        self.pool.note_ended(upstream, self.now)

    @rule(pause_s=st.sampled_from([0.1, 15.0, 400.0]))
    def wait(self, pause_s: float) -> None:
        self.now += pause_s
        self.pool.tick(self.now)

    @invariant()
    def the_trial_of_nobody_blocks_nobody(self) -> None:
        for upstream in self.pool.upstreams:
            assert not upstream.is_on_trial or upstream.state is State.TRIAL

    @invariant()
    def somebody_is_there(self) -> None:
        candidates = self.pool.candidates()
        assert bool(candidates) == bool(self.members)
        assert {upstream.address for upstream in candidates} <= self.members
        fit = {u for u in self.pool.upstreams if u.state is State.UP and not u.annotation.is_draining}
        trying = {u for u in self.pool.upstreams if u.state is State.TRIAL}
        if fit:
            assert fit <= set(candidates) <= fit | trying


TestAnyStory = AnyStory.TestCase
TestAnyStory.settings = settings(max_examples=60, stateful_step_count=30, deadline=None)
