"""What may be sent twice, and what the client is told."""

import itertools

import pytest

from services.proxy.config_values import ForwardSettings, RetryBudgetConfig, RetryCause
from services.proxy.retries import (
    BUDGET_MAX,
    Delivery,
    Failure,
    FailureKind,
    Resending,
    RetryBudget,
    counts_as_try,
    may_retry,
    outcome_of,
)

DEFAULT = ForwardSettings().retry_on
ERROR = frozenset({RetryCause.ERROR})
USUAL = RetryBudgetConfig()
OFF: frozenset[RetryCause] = frozenset()
GET = Resending("GET", is_body_at_hand=True, has_body=False)
POST = Resending("POST", is_body_at_hand=True, has_body=True)
EMPTY_POST = Resending("POST", is_body_at_hand=True, has_body=False)
PUT = Resending("PUT", is_body_at_hand=True, has_body=True)
LONG_PUT = Resending("PUT", is_body_at_hand=False, has_body=True)


def closed(*, stale: bool = False, delivery: Delivery = Delivery.UNKNOWN, begun: bool = False) -> Failure:
    return Failure(FailureKind.CLOSED, "", stale, begun, delivery)


REFUSED = Failure(FailureKind.CONNECT_FAILED, "")
LATE = Failure(FailureKind.REPLY_TIMED_OUT, "")
DOWN = Failure(FailureKind.MARKED_DOWN, "")
DOWN_EARLY = Failure(FailureKind.MARKED_DOWN, "", delivery=Delivery.NONE)

NOTHING_SENT = (
    FailureKind.CONNECT_FAILED,
    FailureKind.CONNECT_TIMED_OUT,
    FailureKind.TLS_FAILED,
    FailureKind.BAD_CERTIFICATE,
)

CASES = [
    ("a refused connection is tried elsewhere, whatever the method", REFUSED, POST, DEFAULT, True),
    ("so is one that took too long", Failure(FailureKind.CONNECT_TIMED_OUT, ""), POST, DEFAULT, True),
    ("or that did not prove itself", Failure(FailureKind.BAD_CERTIFICATE, ""), POST, DEFAULT, True),
    ("unless told not to", REFUSED, GET, OFF, False),
    ("a connection that broke: idempotent methods", closed(), GET, DEFAULT, True),
    ("with a body that is at hand", closed(), PUT, DEFAULT, True),
    ("not with one that is gone", closed(), LONG_PUT, DEFAULT, False),
    ("not other methods", closed(), POST, DEFAULT, False),
    ("not even without a body", closed(), EMPTY_POST, DEFAULT, False),
    ("unless told so", closed(), POST, DEFAULT | {RetryCause.NON_IDEMPOTENT}, True),
    ("never once the reply has begun", closed(begun=True), GET, frozenset(RetryCause), False),
    (
        "never after a reply that breaks the rules",
        Failure(FailureKind.BAD_REPLY, ""),
        GET,
        frozenset(RetryCause),
        False,
    ),
    ("a stale connection: idempotent methods", closed(stale=True), GET, OFF, True),
    ("other methods when nothing arrived", closed(stale=True, delivery=Delivery.NONE), POST, OFF, True),
    ("not when something did", closed(stale=True, delivery=Delivery.SOME), EMPTY_POST, DEFAULT, False),
    ("where the system can't tell: without a body", closed(stale=True), EMPTY_POST, DEFAULT, True),
    ("not with one", closed(stale=True), POST, DEFAULT, False),
    ("too late a reply: idempotent methods", LATE, GET, DEFAULT, True),
    ("and no others", LATE, POST, DEFAULT, False),
    ("nor where only errors count", LATE, GET, ERROR, False),
    ("checks find the upstream down: idempotent methods", DOWN, GET, ERROR, True),
    ("with a body that is at hand", DOWN, PUT, ERROR, True),
    ("not with one that is gone", DOWN, LONG_PUT, DEFAULT, False),
    ("not other methods", DOWN, POST, DEFAULT, False),
    ("any method while it was being connected to", DOWN_EARLY, POST, ERROR, True),
    ("unless told not to", DOWN_EARLY, GET, OFF, False),
]


@pytest.mark.parametrize(
    ("failure", "resending", "causes", "expected"), [case[1:] for case in CASES], ids=[case[0] for case in CASES]
)
def test_what_may_be_sent_again(
    failure: Failure, resending: Resending, causes: frozenset[RetryCause], expected: bool
) -> None:
    assert may_retry(failure, resending, causes) is expected


def test_what_may_have_been_executed_is_never_repeated_unless_idempotent_or_told_so() -> None:
    for kind, stale, has_body, delivery in itertools.product(
        FailureKind, (True, False), (True, False), (Delivery.SOME, Delivery.UNKNOWN)
    ):
        failure = Failure(kind, "", stale, delivery=delivery)
        may = may_retry(failure, Resending("POST", True, has_body), frozenset({RetryCause.ERROR, RetryCause.TIMEOUT}))
        if kind not in NOTHING_SENT:
            assert may is (
                stale and not has_body and delivery is Delivery.UNKNOWN and kind is not FailureKind.BAD_REPLY
            )


@pytest.mark.parametrize(
    ("kind", "status"),
    [
        (FailureKind.CONNECT_FAILED, 502),
        (FailureKind.TLS_FAILED, 502),
        (FailureKind.BAD_CERTIFICATE, 502),
        (FailureKind.CLOSED, 502),
        (FailureKind.BAD_REPLY, 502),
        (FailureKind.MARKED_DOWN, 502),
        (FailureKind.CONNECT_TIMED_OUT, 504),
        (FailureKind.SEND_TIMED_OUT, 504),
        (FailureKind.REPLY_TIMED_OUT, 504),
    ],
)
def test_the_client_learns_a_status_and_a_code_but_no_address(kind: FailureKind, status: int) -> None:
    outcome = outcome_of(Failure(kind, "10.0.0.1:80 refused"))
    assert (outcome.status, outcome.code) == (status, kind.value)
    assert "10.0.0.1" not in outcome.message


def test_a_stale_connection_is_no_try() -> None:
    assert not counts_as_try(closed(stale=True))
    assert counts_as_try(closed())


# --- the budget --------------------------------------------------------------------------------------------


def test_with_little_traffic_the_floor_allows_some_and_refills_slowly() -> None:
    budget = RetryBudget(0, 0.0)
    allowed = sum(budget.withdraw(USUAL, 0, 0.0) for _ in range(1000))
    assert allowed == 100
    assert not budget.withdraw(USUAL, 0, 0.05)
    assert budget.withdraw(USUAL, 0, 0.15)
    assert sum(budget.withdraw(USUAL, 0, 1e6) for _ in range(1000)) == 100, "no more is saved up by waiting"


def test_with_much_traffic_a_share_of_it_may_be_sent_again() -> None:
    budget = RetryBudget(0, 0.0)
    while budget.withdraw(USUAL, 0, 0.0):
        pass
    assert sum(budget.withdraw(USUAL, 1000, 0.0) for _ in range(1000)) == 200
    assert sum(budget.withdraw(USUAL, 10**9, 0.0) for _ in range(10_000)) == BUDGET_MAX


def test_share_and_minimum_are_as_configured_and_may_change() -> None:
    budget, strict, loose = RetryBudget(0, 0.0), RetryBudgetConfig(5, 0), RetryBudgetConfig(100, 500)
    assert not budget.withdraw(strict, 19, 0.0)
    assert budget.withdraw(strict, 20, 1e6)
    assert not budget.withdraw(strict, 20, 2e6), "without a minimum waiting gives nothing"
    assert sum(budget.withdraw(loose, 20, 3e6) for _ in range(10_000)) == 5000, "the minimum of ten seconds"


def test_an_outage_under_load_multiplies_requests_by_no_more_than_the_share() -> None:
    budget, requests, again = RetryBudget(0, 0.0), 0, 0
    for tick in range(60_000):  # a minute of 1,000 requests a second that all fail
        requests += 1
        if budget.withdraw(USUAL, requests, tick / 1000):
            again += 1
            requests += 1
    assert again < 0.3 * 60_000 + 100


def test_members_that_leave_with_their_counts_take_nothing_away() -> None:
    budget = RetryBudget(1000, 0.0)
    assert budget.withdraw(USUAL, 10, 0.0)
    assert budget.withdraw(USUAL, 20, 0.0)
