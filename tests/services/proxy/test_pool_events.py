"""What is told of upstreams: every change of state, by a word of its own."""

import pytest

from services.proxy.config_values import HealthCheckConfig, HealthKind, PoolConfig
from services.proxy.pool_events import KINDS, PoolEvent
from services.proxy.upstream_states import TRANSITIONS, Address, Event, Member, State
from services.proxy.upstreams import Pool

HOME = Address("10.0.0.1", 80)


@pytest.mark.parametrize("event", Event)
def test_every_change_has_a_word_of_its_own(event: Event) -> None:
    if event is Event.RETURNED:  # told as any that comes
        assert event not in KINDS
    else:
        assert list(KINDS.values()).count(KINDS[event]) == 1


def test_what_is_told_names_pool_upstream_and_reason_in_the_order_of_what_happened() -> None:
    told: list[PoolEvent] = []
    pool = Pool(PoolConfig("app", (), health_check=HealthCheckConfig(HealthKind.TCP, fall=1, rise=1)), told.append)
    pool.set_members({HOME: Member()}, 0.0)
    upstream = pool.upstreams[0]
    pool.note_failure(upstream, 1.0, "refused")
    pool.note_pass(upstream, 2.0)
    pool.set_members({}, 3.0)
    assert [(event.kind, event.reason) for event in told] == [
        ("joined", "found"),
        ("up", "in use without a check"),
        ("down", "refused"),
        ("up", "passed 1 check"),
        ("left", "no longer behind its name"),
    ]
    assert {(event.pool.name, event.upstream) for event in told} == {("app", upstream)}
    assert upstream.state is State.GONE
    assert (State.GONE, Event.RETURNED) in TRANSITIONS
