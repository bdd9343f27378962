"""The upstreams of a pool: who belongs to it, who may be chosen, and what becomes of each, time as a
parameter.

Owns the candidates, failures in a row, ejections and trials, slow starts, and who waits for a place. What an
upstream is stands in `upstream_states`, what is told of it in `pool_events`; choosing among the candidates is
`choice`'s, finding members `discovery`'s, checking them `health`'s. No sockets, no clock.
"""

from collections.abc import Collection, Mapping, Sequence

from services.proxy.choice import Choice
from services.proxy.config_values import HealthCheckConfig, HealthKind, PolicyName, PoolConfig
from services.proxy.policies import Policy
from services.proxy.pool_events import KINDS, PoolEvent, Publish
from services.proxy.upstream_states import (
    FULL_SHARE,
    NO_ANNOTATION,
    TRANSITIONS,
    TRIAL,
    Address,
    Annotation,
    Event,
    Member,
    State,
    Upstream,
    can_spare,
    why_left_out,
)
from services.proxy.waiting import Ticket, WaitingQueue
from shared.httpcore.message import Request

__all__ = [
    "NO_ANNOTATION",
    "TRANSITIONS",
    "Address",
    "Annotation",
    "Event",
    "Member",
    "Pool",
    "State",
    "Ticket",
    "Upstream",
    "why_left_out",
]

TRIAL_S = 10.0  # after that another request is tried, whatever became of the first
REPORTS_LAST_S = 45.0  # the tracker answers every 30 s at least; who stops reporting is gone from its answers


class Pool:
    """The upstreams that stand for each other, under one configuration at a time.

    `tick` is called every now and then, for what changes by time alone. `sticky_key` is the proxy's own.
    """

    def __init__(self, config: PoolConfig, publish: Publish, sticky_key: bytes = b"") -> None:
        self.config = config
        self.queue = WaitingQueue(config.queue)
        self._publish = publish
        self._upstreams: dict[Address, Upstream] = {}
        self._choice = Choice(self._upstreams, config, sticky_key)
        self._unsettled: set[Upstream] = set()  # those whom time alone will change
        self._has_started = False

    @property
    def name(self) -> str:
        return self.config.name

    @property
    def health_check(self) -> HealthCheckConfig:
        return self.config.health_check

    @property
    def upstreams(self) -> Sequence[Upstream]:
        """All members, and those gone that still have requests under way."""
        return tuple(self._upstreams.values())

    def get(self, address: Address) -> Upstream | None:
        """The upstream at an address, gone or not."""
        return self._upstreams.get(address)

    # --- who belongs to it -------------------------------------------------------------------------------------

    def configure(self, config: PoolConfig, now: float) -> None:
        """Another configuration of the same pool: states and counters stay."""
        self.config = config
        self.queue.config = config.queue
        self._choice.configure(config)
        if config.health_check.kind is HealthKind.ON_FAILURE:
            for upstream in self._upstreams.values():
                if upstream.state is State.JOINING:  # nobody will check it any more
                    self._move(upstream, Event.ROSE, now, "in use without a check")

    def set_members(self, members: Mapping[Address, Member], now: float, *, is_complete: bool = True) -> None:
        """These belong to the pool from now on.

        Until the first complete list whoever comes is up at once, with its whole share; later ones first pass
        a check, if the pool has active checks, and start slowly. `is_complete`: every name has been looked up.
        """
        for address, member in members.items():
            if not self._has(address):
                self._join(address, member, now)
            upstream = self._upstreams[address]
            upstream.take(member)
            self._set_share(upstream, now)
        for address, upstream in list(self._upstreams.items()):
            if upstream.state is not State.GONE and address not in members:
                self._move(upstream, Event.LEFT, now, "no longer behind its name")
        self._has_started = self._has_started or is_complete
        self.forget_gone()
        self._change()

    def _has(self, address: Address) -> bool:
        upstream = self._upstreams.get(address)
        return upstream is not None and upstream.state is not State.GONE

    def _join(self, address: Address, member: Member, now: float) -> None:
        upstream = self._upstreams.get(address)
        if upstream is None:
            upstream = self._upstreams[address] = Upstream(address, member, now)
        else:
            upstream.state = TRANSITIONS[upstream.state, Event.RETURNED]
            upstream.changed_at = now
            upstream.take(member)
        upstream.failures = upstream.passes = 0
        self._tell("joined", upstream, "found")
        if not self._has_started or self.health_check.kind is HealthKind.ON_FAILURE:
            self._move(upstream, Event.ROSE, now, "in use without a check")

    def forget_gone(self) -> None:
        """Those gone whose last request has ended are forgotten."""
        for address, upstream in list(self._upstreams.items()):
            if upstream.state is State.GONE and upstream.in_flight == 0:
                del self._upstreams[address]

    # --- what checks and connections show ------------------------------------------------------------------------

    def note_pass(self, upstream: Upstream, now: float) -> None:
        """A check passed. One is enough for a joiner; one that is down needs `rise` in a row."""
        upstream.failures = 0
        upstream.passes += 1
        needed = 1 if upstream.state is State.JOINING else self.health_check.rise
        if upstream.state in (State.JOINING, State.DOWN) and upstream.passes >= needed:
            self._move(upstream, Event.ROSE, now, f"passed {needed} check{'s' * (needed > 1)}")

    def note_failure(self, upstream: Upstream, now: float, problem: str) -> None:
        """A check failed, or a connection for a request could not be made: both count towards `fall`."""
        upstream.passes = 0
        upstream.failures += 1
        upstream.last_problem = problem
        if (upstream.state, Event.FELL) in TRANSITIONS and upstream.failures >= self.health_check.fall:
            self._move(upstream, Event.FELL, now, problem)

    def note_connected(self, upstream: Upstream, now: float) -> None:
        """A connection for a request was made. Where nothing is checked in between, that is a passed check."""
        if upstream.state is State.DOWN and self.health_check.kind is HealthKind.ON_FAILURE:
            self.note_pass(upstream, now)

    # --- what requests meet --------------------------------------------------------------------------------------

    def note_reply(self, upstream: Upstream, status: int, now: float) -> None:
        """The head of a reply came. `duration_s`: since the request was begun there."""
        config = self.config.ejection
        reason = upstream.record.note_reply(status, now, config)
        if upstream.state is TRIAL:
            if status >= 500 and config.errors_percent:
                self._eject(upstream, now, "trial", f"its trial request got status {status}")
            else:
                self._move(upstream, Event.ROSE, now, "its trial request got a reply")
        elif reason is not None:
            self._eject(upstream, now, "errors", reason)

    def note_broken(self, upstream: Upstream, now: float, problem: str, began_at: float | None = None) -> None:
        """A request got no reply, or not a whole one: too late, cut, or against the rules of HTTP.

        `began_at`: when it was begun there; what began before a trial says nothing about the trial, what began since
        was one, also when it was counted as ended before.
        """
        upstream.last_problem = problem
        max_fails = upstream.member.max_fails
        reason = upstream.record.note_broken(problem, self.config.ejection.fails if max_fails is None else max_fails)
        if upstream.state is TRIAL:
            if upstream.is_on_trial if began_at is None else began_at >= upstream.changed_at:
                self._eject(upstream, now, "trial", f"its trial request failed: {problem}")
        elif reason is not None:
            self._eject(upstream, now, "failures", reason)

    def note_ended(self, upstream: Upstream, now: float) -> None:
        """A request there has ended, and `in_flight` is one less; its place goes to whoever waits."""
        self._choice.policy.note_ended(upstream)
        if upstream.is_on_trial and upstream.in_flight == 0:
            self._free_trial(upstream)
        if self.queue.tickets:
            self.queue.admit(self._choice.has_room)

    def _eject(self, upstream: Upstream, now: float, cause: str, reason: str) -> None:
        """It is left out for a time, unless too many are already, or nobody else is fit."""
        config, own_time_s = self.config.ejection, upstream.member.fail_timeout_s
        is_possible = (upstream.state, Event.BROKE) in TRANSITIONS
        if not is_possible or not can_spare(upstream, self._upstreams.values(), config.max_percent):
            return
        time_s = config.time_s if own_time_s is None else own_time_s
        upstream.ejected_until = upstream.record.eject(now, time_s, config.max_time_s)
        upstream.last_problem = reason
        upstream.ejections[cause] = upstream.ejections.get(cause, 0) + 1
        self._move(upstream, Event.BROKE, now, f"{reason}; for {upstream.record.duration_s:g} s")

    def _free_trial(self, upstream: Upstream) -> None:
        upstream.end_trial()
        self._choice.forget()

    # --- what time and the tracker change ------------------------------------------------------------------------

    def tick(self, now: float, heard_at: float | None = None) -> None:
        """What changes by time alone is as it is `now`; ten times a second is often enough.

        `heard_at`: when the tracker last answered; None: never.
        """
        for upstream in tuple(self._unsettled):
            self._settle(upstream, now)
        if self.config.policy is PolicyName.LEAST_LOAD and (heard_at is None or now - heard_at > REPORTS_LAST_S):
            self._forget_reports()
        if self.queue:
            self.queue.expire(now)
            self.queue.admit(self._choice.has_room)

    def _settle(self, upstream: Upstream, now: float) -> None:
        if upstream.state is State.EJECTED and now >= upstream.ejected_until:
            self._move(upstream, Event.RESTED, now, "its time is over")
        elif upstream.state is TRIAL and upstream.is_on_trial:
            if upstream.trial_until is None:
                upstream.trial_until = now + TRIAL_S
            if upstream.in_flight == 0 or now >= upstream.trial_until:
                self._free_trial(upstream)  # it came to nothing, or nobody knows what became of it
        elif upstream.state is State.UP:
            self._set_share(upstream, now)
        elif upstream.state not in (State.EJECTED, TRIAL):
            self._unsettled.discard(upstream)

    def _set_share(self, upstream: Upstream, now: float) -> None:
        """Its weight, or in a slow start a part of it that grows by tenths."""
        slow_s, left_s = self._slow_start_s(upstream), upstream.slow_until - now
        part = FULL_SHARE
        if slow_s > 0 and left_s > 0:
            part = max(1, min(FULL_SHARE, FULL_SHARE - int(FULL_SHARE * left_s / slow_s)))
        elif upstream.state is State.UP:
            self._unsettled.discard(upstream)
        if upstream.share != upstream.weight * part:
            upstream.share = upstream.weight * part
            self._choice.forget()

    def _slow_start_s(self, upstream: Upstream) -> float:
        own_s = upstream.member.slow_start_s
        return self.config.slow_start_s if own_s is None else own_s

    def annotate(self, upstream: Upstream, annotation: Annotation) -> None:
        """What the tracker says of this upstream from now on.

        Of the load that it reports, what it does for this proxy is known better here, so only the rest counts.
        """
        before, upstream.annotation = upstream.annotation, annotation
        if before.is_draining != annotation.is_draining:
            self._choice.forget()
            self._tell("draining" if annotation.is_draining else "undrained", upstream, "the tracker says so")
        is_news = annotation != before or upstream.foreign_load is None  # else it is the report of before
        if self.config.policy is PolicyName.LEAST_LOAD and is_news:
            load = annotation.load
            upstream.foreign_load = None if load is None else max(0, round(load) - upstream.in_flight)
            self._choice.forget()

    def _forget_reports(self) -> None:
        for upstream in self._upstreams.values():
            if upstream.foreign_load is not None:
                upstream.foreign_load = None
                self._choice.forget()

    def _move(self, upstream: Upstream, event: Event, now: float, reason: str) -> None:
        """KeyError when the table has no such transition."""
        upstream.state = TRANSITIONS[upstream.state, event]
        upstream.changed_at = now
        upstream.end_trial()
        if event is Event.ROSE:
            upstream.record.forget()
            if self._has_started:
                upstream.slow_until = now + self._slow_start_s(upstream)
        if upstream.state is not State.GONE:
            self._unsettled.add(upstream)
        self._settle(upstream, now)
        self._tell(KINDS[event], upstream, reason)
        self._change()

    def _tell(self, kind: str, upstream: Upstream, reason: str) -> None:
        self._publish(PoolEvent(kind, self, upstream, reason))

    def _change(self) -> None:
        """The candidates are others now; perhaps one of them has a place for those who wait."""
        self._choice.forget()
        if self.queue:
            self.queue.admit(self._choice.has_room)

    # --- choice --------------------------------------------------------------------------------------------------

    @property
    def policy(self) -> Policy:
        """What chooses among the candidates."""
        return self._choice.policy

    def choose(self, tried: Collection[Upstream] = (), request: Request | None = None) -> Upstream | None:
        """The upstream for a request that has failed at those `tried`; None when there is none left, or all
        that are left are full (see `is_full`). One that the policy chose and that is full is passed over for
        the least busy.
        """
        return self._choice.choose(tried, request)

    def foresee(self, request: Request) -> tuple[Upstream, str] | None:
        """Whom `choose` would choose for such a request, and why; None when nobody. Asking changes nothing."""
        return self._choice.foresee(request)

    def is_full(self, tried: Collection[Upstream] = ()) -> bool:
        """Whether there is somebody to choose but for the limits on what each may have under way."""
        return bool(self.candidates_without(tried)) and not self._choice.has_room(tried)

    def has_refuge(self, tried: Collection[Upstream]) -> bool:
        """Whether a request that leaves those `tried` finds another that is well and has a place for it at once."""
        return self._choice.has_refuge(tried)

    def candidates(self) -> tuple[Upstream, ...]:
        """Those who may be chosen."""
        return self._choice.candidates()

    def candidates_without(self, tried: Collection[Upstream]) -> tuple[Upstream, ...]:
        """Those who may be chosen when some have failed this request already."""
        return self._choice.candidates_without(tried)

    def sticky_cookie(self, request: Request, upstream: Upstream) -> tuple[str, str] | None:
        """The Set-Cookie field for the reply of this upstream; None when the client has the cookie already,
        or there is no use in it, because the pool has none or the upstream would not be chosen again.
        """
        return self._choice.sticky_cookie(request, upstream)
