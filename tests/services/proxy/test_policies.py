"""Who is chosen among the candidates."""

import copy
import random
from collections import Counter
from dataclasses import dataclass, field

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from services.proxy.config_values import PolicyName, PoolConfig
from services.proxy.policies import (
    POLICIES,
    Hash,
    LeastConnection,
    LeastLoad,
    Policy,
    RandomOfTwo,
    RoundRobin,
    make_policy,
)
from services.proxy.templates import parse_template
from shared.httpcore.message import Request


@dataclass(eq=False)
class FakeUpstream:
    name: str
    weight: int = 1
    in_flight: int = 0
    foreign_load: int | None = None
    share: int = field(init=False)

    def __post_init__(self) -> None:
        self.share = self.weight

    def __repr__(self) -> str:
        return self.name


def policy_named(name: PolicyName) -> Policy:
    return make_policy(PoolConfig("p", (), name, hash_key=parse_template("$http_x")))


def request_with(field_lines: str = "", remote_ip: str = "") -> Request:
    request = Request("GET", "/a?u=7", 1, field_lines.encode())
    request.remote_ip = remote_ip
    return request


def fakes(*weights: int) -> list[FakeUpstream]:
    return [FakeUpstream("abcdefghij"[n], weight) for n, weight in enumerate(weights)]


def names(policy: Policy, candidates: list[FakeUpstream], count: int) -> str:
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


@given(st.lists(st.integers(1, 4), min_size=1, max_size=8), st.lists(st.integers(-20, 3), max_size=80))
def test_least_connection_never_overlooks_a_less_busy_one(weights: list[int], steps: list[int]) -> None:
    """A negative step ends one of the requests under way, any other begins one."""
    policy, candidates = LeastConnection(), fakes(*weights)
    under_way: list[FakeUpstream] = []
    for step in steps:
        if step < 0 and under_way:
            ended = under_way.pop(step % len(under_way))
            ended.in_flight -= 1
            policy.note_ended(ended)
        else:
            chosen = policy.choose(candidates)
            assert (chosen.in_flight + 1) / chosen.weight == min((c.in_flight + 1) / c.weight for c in candidates)
            chosen.in_flight += 1
            under_way.append(chosen)


def test_least_connection_forgets_repetitions_and_those_who_are_no_candidates() -> None:
    policy, candidates = LeastConnection(), fakes(1, 1, 1)
    for _ in range(1000):
        policy.choose(candidates)
        policy.note_ended(candidates[0])
        policy.note_ended(FakeUpstream("gone"))
    assert len(policy._heap) < 100
    assert policy.choose(candidates[:1]) is candidates[0]


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
    assert policy_named(name).choose([only]) is only


@settings(max_examples=50)
@given(
    st.sampled_from(list(PolicyName)),
    st.lists(st.tuples(st.integers(1, 5), st.integers(0, 5)), min_size=1, max_size=10),
)
def test_whoever_is_chosen_is_a_candidate(name: PolicyName, shapes: list[tuple[int, int]]) -> None:
    candidates = [FakeUpstream(str(n), weight, busy) for n, (weight, busy) in enumerate(shapes)]
    policy = policy_named(name)
    for _ in range(5):
        assert policy.choose(candidates) in candidates


# --- hashes ------------------------------------------------------------------------------------------------

KEYS = [f"user-{n}" for n in range(400)]


def owners(policy: Hash, candidates: list[FakeUpstream]) -> dict[str, FakeUpstream]:
    return {key: policy.choose(candidates, request_with(f"X: {key}\r\n")) for key in KEYS}


@settings(max_examples=30, deadline=None)
@given(st.lists(st.integers(1, 5), min_size=2, max_size=12), st.data())
def test_one_that_leaves_gives_up_its_own_keys_and_nobody_else_s(weights: list[int], data: st.DataObject) -> None:
    candidates = [FakeUpstream(f"10.0.0.{n}:80", weight) for n, weight in enumerate(weights)]
    leaving = data.draw(st.sampled_from(candidates))
    policy = Hash(parse_template("$http_x"))
    before = owners(policy, candidates)
    remaining = [each for each in candidates if each is not leaving]
    after = owners(policy, remaining)
    assert all(after[key] is before[key] for key in KEYS if before[key] is not leaving)
    assert leaving not in after.values()
    assert owners(policy, candidates) == before, "whoever comes back has its keys again"
    assert owners(Hash(parse_template("$http_x")), remaining) == after, "it makes no difference who was there"


def test_keys_are_spread_by_weight() -> None:
    candidates = [FakeUpstream(f"10.0.0.{n}:80", weight) for n, weight in enumerate((1, 1, 2))]
    policy = Hash(parse_template("$http_x"))
    counts = Counter(policy.choose(candidates, request_with(f"X: {n}\r\n")).name for n in range(4000))
    assert [round(counts[each.name] / 1000) for each in candidates] == [1, 1, 2]


def test_members_that_never_come_back_are_forgotten() -> None:
    policy = Hash(parse_template("$http_x"))
    for generation in range(50):
        candidates = [FakeUpstream(f"10.0.{generation}.{n}:80") for n in range(3)]
        owners(policy, candidates)
    assert len(policy._ring._weights) <= 2 * 3 + 8 + 3


@pytest.mark.parametrize(
    ("key", "lines"),
    [("$http_x", "X: a\r\n"), ("$cookie_user", "Cookie: user=a\r\n"), ("$arg_u", ""), ("$http_x$arg_u", "X: a\r\n")],
)
def test_any_variable_may_be_the_key(key: str, lines: str) -> None:
    candidates = [FakeUpstream(f"10.0.0.{n}:80") for n in range(8)]
    policy = Hash(parse_template(key))
    assert len({policy.choose(candidates, request_with(lines)) for _ in range(8)}) == 1


def test_without_the_key_a_request_goes_to_the_next_in_turn() -> None:
    policy, candidates = Hash(parse_template("$http_x")), fakes(1, 1, 1)
    assert "".join(policy.choose(candidates, request_with("Y: 1\r\n")).name for _ in range(6)) == "abcabc"


def test_ip_hash_goes_by_the_client_s_address() -> None:
    policy = policy_named(PolicyName.IP_HASH)
    candidates = [FakeUpstream(f"10.0.0.{n}:80") for n in range(8)]
    chosen = {ip: {policy.choose(candidates, request_with("", ip)) for _ in range(3)} for ip in ("::1", "192.0.2.1")}
    assert all(len(each) == 1 for each in chosen.values())
    everyone = {policy.choose(candidates, request_with("", f"192.0.2.{n}")) for n in range(100)}
    assert len(everyone) == 8


# --- least-load --------------------------------------------------------------------------------------------


def loaded(*loads: tuple[int | None, int]) -> tuple[FakeUpstream, ...]:
    """(what it reports to do for others, what is under way here) of each."""
    return tuple(FakeUpstream("abcdef"[n], 1, here, there) for n, (there, here) in enumerate(loads))


def test_least_load_adds_what_is_reported_to_what_is_under_way_here() -> None:
    policy = LeastLoad()
    assert policy.choose(loaded((5, 0), (0, 4), (2, 3))).name == "b"
    assert "by its report" in policy.reason


def test_without_fresh_reports_from_all_least_load_is_least_connection() -> None:
    policy = LeastLoad()
    assert policy.choose(loaded((9, 0), (0, 4), (None, 3))).name == "a"
    assert "no fresh reports" in policy.reason


def test_least_load_sees_at_once_what_is_sent_from_here() -> None:
    policy, candidates = LeastLoad(), loaded((3, 0), (0, 0))
    for _ in range(5):
        policy.choose(candidates).in_flight += 1
    assert [each.in_flight for each in candidates] == [1, 4]


# --- slow start --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("make", [RoundRobin, LeastConnection, RandomOfTwo])
def test_a_share_counts_less_than_a_weight_while_it_grows(make: type[Policy]) -> None:
    slow, well = FakeUpstream("a"), FakeUpstream("b")
    slow.share, well.share = 1, 10
    policy, candidates, chosen = make(), (slow, well), Counter[str]()
    for _ in range(220):
        upstream = policy.choose(candidates)
        chosen[upstream.name] += 1
        upstream.in_flight += make is LeastConnection
    assert 0 < chosen["a"] < 60
