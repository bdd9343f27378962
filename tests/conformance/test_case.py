"""How an outcome is written, and which outcomes a case allows."""

import pytest

from conformance.case import REFUSED, Case, get


def case(right: str, *also: str, departs: bool = False) -> Case:
    return Case("a case", "9112 §3", get(), "a rule", right, also, departs=departs)


@pytest.mark.parametrize(
    ("right", "count"),
    [("200", 1), ("400 ×", 1), ("— ×", 0), ("100 200", 2), ("20·200", 20), ("416 (bytes */26)", 1), ("3·200 400 ×", 4)],
)
def test_the_right_outcome_tells_how_many_replies_to_wait_for(right: str, count: int) -> None:
    assert case(right).reply_count == count


@pytest.mark.parametrize(
    ("outcome", "is_allowed"),
    [
        ("200", True),
        ("400 ×", True),
        ("501 ×", True),
        ("— ×", True),
        ("400", False),
        ("200 404", False),
        ("413¹ ×", True),
    ],
)
def test_any_refusal_that_closes_is_as_good_as_another(outcome: str, is_allowed: bool) -> None:
    assert case("200", *REFUSED).allows(outcome) is is_allowed


def test_a_departure_is_not_what_the_rfcs_allow() -> None:
    refusal = case("400 ×", "200", departs=True)
    assert refusal.allows("200")
    assert not refusal.allows("400 ×")
