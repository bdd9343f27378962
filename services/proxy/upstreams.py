"""The upstreams of a pool and what state each is in: a table of transitions, with the time as a parameter.

Owns who may be chosen (`Pool.candidates`), failures in a row, and who belongs to the pool. Choosing among
the candidates is `policies`', finding members `discovery`'s, checking them `health`'s. No sockets, no
clock.
"""

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from enum import Enum, IntEnum

from services.proxy.config_values import HealthCheckConfig, HealthKind, PoolConfig
from services.proxy.policies import POLICIES


class State(Enum):
    """Where an upstream stands. Draining is no state of its own: the tracker may say it of one in any
    state.
    """

    JOINING = "joining"  # came after the start and has not passed a check yet
    UP = "up"
    DOWN = "down"
    GONE = "gone"  # no longer behind its name; requests under way may end


class Event(Enum):
    """What changes a state: passes and failures that have counted far enough, and what discovery finds."""

    ROSE = "rose"
    FELL = "fell"
    LEFT = "left"
    RETURNED = "returned"


TRANSITIONS: Mapping[tuple[State, Event], State] = {
    (State.JOINING, Event.ROSE): State.UP,
    (State.JOINING, Event.LEFT): State.GONE,
    (State.UP, Event.FELL): State.DOWN,
    (State.UP, Event.LEFT): State.GONE,
    (State.DOWN, Event.ROSE): State.UP,
    (State.DOWN, Event.LEFT): State.GONE,
    (State.GONE, Event.RETURNED): State.JOINING,
}


@dataclass(frozen=True, slots=True, order=True)
class Address:
    """Where an upstream listens: a name or an IP address without brackets, and a port; whether it speaks TLS there."""

    host: str
    port: int
    is_tls: bool = False

    def __str__(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


@dataclass(frozen=True, slots=True)
class Member:
    """What a pool's configuration says of one upstream."""

    weight: int = 1
    authorization: str | None = None


@dataclass(frozen=True, slots=True)
class Annotation:
    """What the tracker says of a backend at an address: whether it drains, and how busy it says it is."""

    is_draining: bool = False
    load: float | None = None


NO_ANNOTATION = Annotation()


class Upstream:
    """One upstream of one pool: its state and its counters. Changed by its pool, `in_flight` by whoever
    forwards.
    """

    __slots__ = (
        "address",
        "annotation",
        "authorization",
        "changed_at",
        "failures",
        "in_flight",
        "last_problem",
        "name",
        "passes",
        "problems",
        "replies",
        "requests",
        "state",
        "weight",
    )

    def __init__(self, address: Address, member: Member, now: float) -> None:
        self.address = address
        self.name = str(address)
        self.weight = member.weight
        self.authorization = member.authorization
        self.annotation = NO_ANNOTATION
        self.state = State.JOINING
        self.changed_at = now
        self.failures = 0  # in a row
        self.passes = 0  # in a row
        self.in_flight = 0
        self.requests = 0
        self.replies: dict[str, int] = {}  # class of status → how many
        self.problems: dict[str, int] = {}  # cause → failed attempts
        self.last_problem = ""

    def __repr__(self) -> str:
        return f"<Upstream {self.name} {self.state.value}>"


@dataclass(frozen=True, slots=True)
class PoolEvent:
    """What happened to an upstream: it `joined`, `left`, is `up`, `down`, `draining` or `undrained`."""

    kind: str
    pool: "Pool"
    upstream: Upstream
    reason: str


Publish = Callable[[PoolEvent], None]


class Pool:
    """The upstreams that stand for each other, under one configuration at a time."""

    def __init__(self, config: PoolConfig, publish: Publish) -> None:
        self.config = config
        self._publish = publish
        self._upstreams: dict[Address, Upstream] = {}
        self._candidates: tuple[Upstream, ...] | None = None
        self._has_started = False
        self.policy = POLICIES[config.policy]()

    @property
    def name(self) -> str:
        return self.config.name

    @property
    def health_check(self) -> HealthCheckConfig:
        return self.config.health_check

    def configure(self, config: PoolConfig, now: float) -> None:
        """Another configuration of the same pool: states and counters stay."""
        if config.policy is not self.config.policy:
            self.policy = POLICIES[config.policy]()
        self.config = config
        if config.health_check.kind is HealthKind.ON_FAILURE:
            for upstream in self._upstreams.values():
                if upstream.state is State.JOINING:  # nobody will check it any more
                    self._move(upstream, Event.ROSE, now, "in use without a check")

    @property
    def upstreams(self) -> Sequence[Upstream]:
        """All members, and those gone that still have requests under way."""
        return tuple(self._upstreams.values())

    def get(self, address: Address) -> Upstream | None:
        """The upstream at an address, gone or not."""
        return self._upstreams.get(address)

    def set_members(self, members: Mapping[Address, Member], now: float, *, is_complete: bool = True) -> None:
        """These belong to the pool from now on.

        Until the first complete list whoever comes is up at once; later ones first pass a check, if the pool
        has active checks. `is_complete`: every name has been looked up.
        """
        for address, member in members.items():
            if not self._has(address):
                self._join(address, member, now)
            upstream = self._upstreams[address]
            upstream.weight, upstream.authorization = member.weight, member.authorization
        for address, upstream in list(self._upstreams.items()):
            if upstream.state is not State.GONE and address not in members:
                self._move(upstream, Event.LEFT, now, "no longer behind its name")
        self._has_started = self._has_started or is_complete
        self.forget_gone()
        self._candidates = None

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
        upstream.failures = upstream.passes = 0
        self._tell("joined", upstream, "found")
        if not self._has_started or self.health_check.kind is HealthKind.ON_FAILURE:
            self._move(upstream, Event.ROSE, now, "in use without a check")

    def forget_gone(self) -> None:
        """Those gone whose last request has ended are forgotten."""
        for address, upstream in list(self._upstreams.items()):
            if upstream.state is State.GONE and upstream.in_flight == 0:
                del self._upstreams[address]

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
        if upstream.state is State.UP and upstream.failures >= self.health_check.fall:
            self._move(upstream, Event.FELL, now, problem)

    def note_connected(self, upstream: Upstream, now: float) -> None:
        """A connection for a request was made. Where nothing is checked in between, that is a passed check."""
        if upstream.state is State.DOWN and self.health_check.kind is HealthKind.ON_FAILURE:
            self.note_pass(upstream, now)

    def annotate(self, upstream: Upstream, annotation: Annotation) -> None:
        """What the tracker says of this upstream from now on."""
        before, upstream.annotation = upstream.annotation, annotation
        if before.is_draining != annotation.is_draining:
            self._candidates = None
            self._tell("draining" if annotation.is_draining else "undrained", upstream, "the tracker says so")

    def _move(self, upstream: Upstream, event: Event, now: float, reason: str) -> None:
        """KeyError when the table has no such transition."""
        upstream.state = TRANSITIONS[upstream.state, event]
        upstream.changed_at = now
        self._candidates = None
        self._tell({Event.ROSE: "up", Event.FELL: "down", Event.LEFT: "left"}[event], upstream, reason)

    def _tell(self, kind: str, upstream: Upstream, reason: str) -> None:
        self._publish(PoolEvent(kind, self, upstream, reason))

    def choose(self, tried: Collection[Upstream] = ()) -> Upstream | None:
        """The upstream for a request that has failed at those `tried`; None when there is none left."""
        candidates = self.candidates_without(tried) if tried else self.candidates()
        if len(candidates) > 1:
            return self.policy.choose(candidates)
        return candidates[0] if candidates else None

    def candidates(self) -> tuple[Upstream, ...]:
        """Those who may be chosen. Kept until something changes, so that asking costs nothing."""
        if self._candidates is None:
            self._candidates = best_of(self._upstreams.values())
        return self._candidates

    def candidates_without(self, tried: Collection[Upstream]) -> tuple[Upstream, ...]:
        """Those who may be chosen when some have failed this request already."""
        return best_of([upstream for upstream in self._upstreams.values() if upstream not in tried])


class Rank(IntEnum):
    """How fit an upstream is for a new request; those of the best rank present are the candidates."""

    FIT = 0
    DRAINING = 1
    JOINING = 2
    DOWN = 3
    GONE = 4


def rank_of(upstream: Upstream) -> Rank:
    """The rank by state, and by what the tracker says."""
    if upstream.state is State.UP:
        return Rank.DRAINING if upstream.annotation.is_draining else Rank.FIT
    return {State.JOINING: Rank.JOINING, State.DOWN: Rank.DOWN, State.GONE: Rank.GONE}[upstream.state]


def best_of(upstreams: Iterable[Upstream]) -> tuple[Upstream, ...]:
    """All of the best rank there is. When all are down, the one that was up last: health never empties a
    pool.
    """
    by_rank: dict[Rank, list[Upstream]] = {}
    for upstream in upstreams:
        by_rank.setdefault(rank_of(upstream), []).append(upstream)
    best = min(by_rank, default=Rank.GONE)
    if best is Rank.GONE:
        return ()
    if best is Rank.DOWN:
        return (max(by_rank[best], key=lambda upstream: upstream.changed_at),)
    return tuple(by_rank[best])
