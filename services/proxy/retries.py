"""What went wrong with an upstream, whether the request may go to another, and what the client is told. Pure.

Owns the rule of what may be sent twice. `forward` asks it; the causes are the words of `proxy_next_upstream`.
"""

from collections.abc import Set
from dataclasses import dataclass
from enum import Enum

from services.proxy.config_values import RetryBudgetConfig, RetryCause
from shared.httpcore.methods import IDEMPOTENT_METHODS


class FailureKind(Enum):
    """How an attempt failed before a reply could begin. The value is the code that the client sees."""

    CONNECT_FAILED = "connect_failed"
    CONNECT_TIMED_OUT = "connect_timeout"
    TLS_FAILED = "tls_failed"
    BAD_CERTIFICATE = "bad_certificate"
    CLOSED = "upstream_closed"
    SEND_TIMED_OUT = "send_timeout"
    REPLY_TIMED_OUT = "reply_timeout"
    BAD_REPLY = "bad_reply"
    MARKED_DOWN = "upstream_down"


class Delivery(Enum):
    """Whether the upstream's kernel has taken any byte of the request."""

    NONE = "none"
    SOME = "some"
    UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True)
class Failure:
    """One failed attempt. `detail` is for the log, not for clients.

    `is_stale`: on a connection used before, without a byte of a reply.
    """

    kind: FailureKind
    detail: str
    is_stale: bool = False
    has_reply_begun: bool = False
    delivery: Delivery = Delivery.UNKNOWN

    @property
    def is_unsent(self) -> bool:
        """Whether no connection came about on which the request could have been sent."""
        is_moved_early = self.kind is FailureKind.MARKED_DOWN and self.delivery is Delivery.NONE
        return is_moved_early or self.kind in _NOTHING_SENT


@dataclass(frozen=True, slots=True)
class Resending:
    """What of the request decides whether it may be sent again."""

    method: str
    is_body_at_hand: bool  # nothing of the body was read, or all that was read is still here
    has_body: bool


@dataclass(frozen=True, slots=True)
class Outcome:
    """What the client is told of a failure."""

    status: int
    code: str
    message: str


_TOLD = {
    FailureKind.CONNECT_FAILED: (502, "no connection to the upstream could be made"),
    FailureKind.CONNECT_TIMED_OUT: (504, "no connection to the upstream could be made in time"),
    FailureKind.TLS_FAILED: (502, "TLS could not be agreed on with the upstream"),
    FailureKind.BAD_CERTIFICATE: (502, "the upstream's certificate does not prove that it is the one that is meant"),
    FailureKind.CLOSED: (502, "the upstream closed the connection before it had replied"),
    FailureKind.SEND_TIMED_OUT: (504, "the upstream did not take the request in time"),
    FailureKind.REPLY_TIMED_OUT: (504, "the upstream did not reply in time"),
    FailureKind.BAD_REPLY: (502, "the upstream's reply breaks the rules of HTTP"),
    FailureKind.MARKED_DOWN: (502, "the upstream was found to be down before it had replied"),
}
BUDGET_FLOOR_S = 10.0  # the minimum of so many seconds may be used at once
BUDGET_MAX = 1000.0  # saved up at most, unless that minimum is more
_CONNECTING = frozenset({FailureKind.CONNECT_FAILED, FailureKind.CONNECT_TIMED_OUT})
_NOTHING_SENT = _CONNECTING | {FailureKind.TLS_FAILED, FailureKind.BAD_CERTIFICATE}
_LATE = frozenset({FailureKind.SEND_TIMED_OUT, FailureKind.REPLY_TIMED_OUT})


def may_retry(failure: Failure, resending: Resending, causes: Set[RetryCause]) -> bool:
    """Whether the request may be sent again, here on a new connection or to another upstream.

    Never once a reply has begun. Always when no connection came about, since nothing was sent. Else only
    what is harmless twice, or what demonstrably never arrived.
    """
    if failure.is_unsent:
        return RetryCause.ERROR in causes
    if failure.has_reply_begun or failure.kind is FailureKind.BAD_REPLY or not resending.is_body_at_hand:
        return False
    if failure.is_stale and (failure.delivery is Delivery.NONE or _is_unlikely_sent(failure, resending)):
        return True
    cause = RetryCause.TIMEOUT if failure.kind in _LATE else RetryCause.ERROR
    return cause in causes and (resending.method in IDEMPOTENT_METHODS or RetryCause.NON_IDEMPOTENT in causes)


def _is_unlikely_sent(failure: Failure, resending: Resending) -> bool:
    """Where the system can't say what arrived, a stale connection counts as closed before the request, as in
    browsers; but nothing with a body is risked on it.
    """
    return failure.delivery is Delivery.UNKNOWN and not resending.has_body


class RetryBudget:
    """How often one pool's requests may be sent again: a share of all requests, and a few a second in any case.

    Without it every request to a pool in trouble becomes several, just when it can bear them least.
    """

    def __init__(self, requests: int, now: float) -> None:
        """`requests`: how many the pool has had so far. A new budget has its floor."""
        self._requests = requests
        self._seen_at = now
        self._tokens: float | None = None

    def withdraw(self, config: RetryBudgetConfig, requests: int, now: float) -> bool:
        """Whether one more may be sent again by what is configured now, when the pool has had so many in all."""
        floor = config.min_per_s * BUDGET_FLOOR_S
        if self._tokens is None:
            self._tokens = floor
        earned = max(0, requests - self._requests) * config.percent / 100
        self._tokens = min(max(BUDGET_MAX, floor), self._tokens + earned)
        if self._tokens < floor:
            self._tokens = min(floor, self._tokens + (now - self._seen_at) * config.min_per_s)
        self._requests, self._seen_at = requests, now
        if self._tokens < 1:
            return False
        self._tokens -= 1
        return True


def is_from_connecting(failure: Failure) -> bool:
    """Whether no connection came about, which says that nobody is there; all else says that who is there is
    not well.
    """
    return failure.kind in _CONNECTING


def counts_as_try(failure: Failure) -> bool:
    """Whether the upstream itself failed. A connection that went stale says nothing about who is behind it."""
    return not failure.is_stale


def outcome_of(failure: Failure) -> Outcome:
    """The reply for the client when nothing more is tried."""
    status, message = _TOLD[failure.kind]
    return Outcome(status, failure.kind.value, message)


NO_UPSTREAM = Outcome(503, "no_upstream", "no upstream is known for this request")
ALL_BUSY = Outcome(503, "upstreams_busy", "every upstream has as many requests under way as it may")
WAITED_IN_VAIN = Outcome(503, "queue_timeout", "no upstream had a place for this request in time")
