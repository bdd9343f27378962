"""How fit an upstream is, and what is said of one that is left out."""

import pytest

from services.proxy.upstream_states import (
    Address,
    Annotation,
    Member,
    Rank,
    State,
    Upstream,
    best_of,
    can_spare,
    rank_of,
    why_left_out,
    with_room,
)


def make(
    state: State, number: int = 1, *, draining: bool = False, trying: bool = False, member: Member | None = None
) -> Upstream:
    upstream = Upstream(Address(f"10.0.0.{number}", 80), member or Member(), 0.0)
    upstream.state, upstream.is_on_trial, upstream.last_problem = state, trying, "refused"
    upstream.annotation = Annotation(is_draining=draining)
    return upstream


BACKUP = Member(is_backup=True)
CASES = [
    (make(State.UP), Rank.FIT, None),
    (make(State.TRIAL), Rank.FIT, None),
    (make(State.UP, member=BACKUP), Rank.BACKUP, "it is a backup"),
    (make(State.UP, draining=True), Rank.DRAINING, "it drains"),
    (make(State.UP, draining=True, member=BACKUP), Rank.DRAINING, "it drains"),
    (make(State.JOINING), Rank.JOINING, "it has not passed a check yet"),
    (make(State.EJECTED), Rank.EJECTED, "it is ejected: refused"),
    (
        make(State.TRIAL, trying=True),
        Rank.EJECTED,
        "it was ejected, and a request is on its way to see whether it is well again",
    ),
    (make(State.DOWN), Rank.DOWN, "it is down: refused"),
    (make(State.GONE), Rank.GONE, "it is gone"),
]


@pytest.mark.parametrize(("upstream", "rank", "why"), CASES, ids=repr)
def test_the_rank_of_each_and_why_it_is_left_out(upstream: Upstream, rank: Rank, why: str | None) -> None:
    assert rank_of(upstream) is rank
    if why is not None:
        assert why_left_out(upstream) == why


def test_the_best_rank_there_is_is_taken_and_nobody_of_those_gone() -> None:
    everyone = [upstream for upstream, _, _ in CASES]
    while everyone:
        best = best_of(everyone)
        if not best:
            assert {upstream.state for upstream in everyone} == {State.GONE}
            break
        assert {rank_of(upstream) for upstream in best} == {min(map(rank_of, everyone))}
        everyone = [upstream for upstream in everyone if upstream not in best]


@pytest.mark.parametrize(
    ("ejected", "total", "percent", "expected"),
    [(0, 2, 50, True), (1, 3, 50, False), (1, 4, 50, True), (2, 4, 50, False), (0, 9, 1, True), (1, 9, 1, False)],
)
def test_how_many_may_be_out_at_once(ejected: int, total: int, percent: int, expected: bool) -> None:
    everyone = [make(State.EJECTED if n < ejected else State.UP, n) for n in range(total)]
    assert can_spare(everyone[-1], everyone, percent) is expected


def test_room_is_sought_among_the_best_then_among_backups() -> None:
    full, free = make(State.UP, 1, member=Member(max_conns=1)), make(State.UP, 2)
    full.in_flight = 1
    backup, draining = make(State.UP, 3, member=BACKUP), make(State.UP, 4, draining=True)
    assert with_room([full, free, backup]) == (free,)
    assert with_room([full, backup, draining]) == (backup,)
    assert with_room([full, draining]) == ()
    assert with_room([draining]) == (draining,)
