"""Who is chosen among the candidates."""

import copy
import random
from collections import Counter

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from services.proxy.config_values import PolicyName
from services.proxy.policies import POLICIES, LeastConnection, RandomOfTwo, RoundRobin


class FakeUpstream:
    def __init__(self, name: str, weight: int = 1, in_flight: int = 0) -> None:
        self.name, self.weight, self.in_flight = name, weight, in_flight

    def __repr__(self) -> str:
        return self.name


def fakes(*weights: int) -> list[FakeUpstream]:
    return [FakeUpstream("abcdefghij"[n], weight) for n, weight in enumerate(weights)]


def names(policy: RoundRobin, candidates: list[FakeUpstream], count: int) -> str:
    return "".join(policy.choose(candidates).name for _ in range(count))


def test_every_policy_of_the_configuration_is_there() -> None:
    assert set(POLICIES) == set(PolicyName)


def test_round_robin_takes_each_in_turn() -> None:
    assert names(RoundRobin(), fakes(1, 1, 1), 7) == "abcabca"


def test_round_robin_with_weights_is_nginx_s_smooth_order() -> None:
    assert names(RoundRobin(), fakes(5, 1, 1), 14) == "aabacaa" * 2


@given(st.lists(st.integers(1, 20), min_size=1, max_size=8), st.integers(0, 50))
def test_round_robin_is_fair_over_each_whole_round(weights: list[int], offset: int) -> None:
    policy, candidates = RoundRobin(), fakes(*weights)
    for _ in range(offset):
        policy.choose(candidates)
    total = sum(weights) if len(set(weights)) > 1 else len(weights)
    counts = Counter(policy.choose(candidates) for _ in range(total))
    expected = weights if len(set(weights)) > 1 else [1] * len(weights)
    assert [counts[candidate] for candidate in candidates] == expected


@given(st.lists(st.integers(1, 9), min_size=2, max_size=6), st.integers(1, 60))
def test_round_robin_is_smooth_no_stretch_strays_far_from_the_shares(weights: list[int], length: int) -> None:
    policy, candidates = RoundRobin(), fakes(*weights)
    counts = Counter(policy.choose(candidates) for _ in range(length))
    for candidate in candidates:
        share = length * candidate.weight / sum(weights)
        assert abs(counts[candidate] - share) < len(weights)


@given(
    st.lists(st.sets(st.integers(0, 4), min_size=1), min_size=1, max_size=30),
    st.lists(st.integers(1, 5), min_size=5, max_size=5),
)
def test_round_robin_takes_changing_candidates_as_they_come(rounds: list[set[int]], weights: list[int]) -> None:
    policy, everyone = RoundRobin(), fakes(*weights)
    for present in rounds:
        candidates = [everyone[n] for n in sorted(present)]
        assert policy.choose(candidates) in candidates


def test_looking_ahead_on_a_copy_takes_nobody_s_turn() -> None:
    policy, candidates = RoundRobin(), fakes(3, 1)
    order = []
    for _ in range(8):
        ahead = copy.copy(policy).choose(candidates)
        assert ahead is copy.copy(policy).choose(candidates)
        order.append(policy.choose(candidates))
        assert order[-1] is ahead
    assert Counter(order)[candidates[0]] == 6


def test_least_connection_takes_the_one_with_the_fewest_for_its_weight() -> None:
    a, b, c = FakeUpstream("a", 1, 2), FakeUpstream("b", 4, 7), FakeUpstream("c", 1, 3)
    assert LeastConnection().choose([a, b, c]) is b


def test_least_connection_goes_round_among_equals() -> None:
    policy, candidates = LeastConnection(), fakes(1, 1, 1)
    assert Counter(policy.choose(candidates).name for _ in range(9)) == {"a": 3, "b": 3, "c": 3}


def test_random_takes_the_less_busy_of_two_so_the_busiest_is_never_taken() -> None:
    candidates = [FakeUpstream("a", in_flight=9), FakeUpstream("b", in_flight=1), FakeUpstream("c", in_flight=2)]
    policy = RandomOfTwo(random.Random(1))
    chosen = Counter(policy.choose(candidates).name for _ in range(300))
    assert chosen["a"] == 0
    assert chosen["b"] > chosen["c"] > 0


def test_random_respects_weights() -> None:
    candidates = fakes(1, 9)
    policy = RandomOfTwo(random.Random(1))
    chosen = Counter(policy.choose(candidates).name for _ in range(2000))
    assert 0.85 < chosen["b"] / 2000 < 0.95


@pytest.mark.parametrize("name", list(PolicyName))
def test_one_candidate_is_chosen_by_every_policy(name: PolicyName) -> None:
    [only] = fakes(3)
    assert POLICIES[name]().choose([only]) is only


@settings(max_examples=50)
@given(
    st.sampled_from(list(PolicyName)),
    st.lists(st.tuples(st.integers(1, 5), st.integers(0, 5)), min_size=1, max_size=10),
)
def test_whoever_is_chosen_is_a_candidate(name: PolicyName, shapes: list[tuple[int, int]]) -> None:
    candidates = [FakeUpstream(str(n), weight, busy) for n, (weight, busy) in enumerate(shapes)]
    policy = POLICIES[name]()
    for _ in range(5):
        assert policy.choose(candidates) in candidates
