"""One upstream: its state by a table of transitions, its counters, and how fit it is for a new request. Pure.

What moves it from state to state is `upstreams`' to say, which owns the pool.
"""

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from enum import Enum, IntEnum

from services.proxy.ejection import Record


class State(Enum):
    """Where an upstream stands. Draining is no state of its own: the tracker may say it of one in any
    state.
    """

    JOINING = "joining"  # came after the start and has not passed a check yet
    UP = "up"
    EJECTED = "ejected"  # left out for a time for what requests met there
    TRIAL = "trial"  # that time is over: one request at a time, until one gets a reply
    DOWN = "down"
    GONE = "gone"  # no longer behind its name; requests under way may end


class Event(Enum):
    """What changes a state: passes and failures that have counted far enough, and what discovery finds."""

    ROSE = "rose"
    FELL = "fell"
    BROKE = "broke"
    RESTED = "rested"
    LEFT = "left"
    RETURNED = "returned"


TRANSITIONS: Mapping[tuple[State, Event], State] = {
    (State.JOINING, Event.ROSE): State.UP,
    (State.JOINING, Event.LEFT): State.GONE,
    (State.UP, Event.FELL): State.DOWN,
    (State.UP, Event.BROKE): State.EJECTED,
    (State.UP, Event.LEFT): State.GONE,
    (State.EJECTED, Event.RESTED): State.TRIAL,
    (State.EJECTED, Event.FELL): State.DOWN,
    (State.EJECTED, Event.LEFT): State.GONE,
    (State.TRIAL, Event.ROSE): State.UP,
    (State.TRIAL, Event.BROKE): State.EJECTED,
    (State.TRIAL, Event.FELL): State.DOWN,
    (State.TRIAL, Event.LEFT): State.GONE,
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
    """What a pool's configuration says of one upstream. None where the pool's own word holds."""

    weight: int = 1
    authorization: str | None = None
    max_conns: int = 0  # 0: no limit
    is_backup: bool = False
    slow_start_s: float | None = None
    max_fails: int | None = None
    fail_timeout_s: float | None = None
    tls_name: str = ""  # what it must prove to be, under TLS; "": its address


@dataclass(frozen=True, slots=True)
class Annotation:
    """What the tracker says of a backend at an address: whether it drains, and how busy it says it is."""

    is_draining: bool = False
    load: float | None = None


NO_ANNOTATION = Annotation()
FULL_SHARE = 10  # a share is a multiple of the weight: ten times, less while it starts slowly


class Upstream:
    """One upstream of one pool: its state and its counters. Changed by its pool, `in_flight` by whoever
    forwards.
    """

    __slots__ = (
        "address", "annotation", "authorization", "changed_at", "ejected_until", "ejections", "failures",
        "foreign_load", "in_flight", "is_on_trial", "last_problem", "max_conns", "member", "name", "passes", "problems",
        "record", "replies", "requests", "share", "slow_until", "state", "token", "trial_until", "weight",
    )  # fmt: skip

    def __init__(self, address: Address, member: Member, now: float) -> None:
        self.address = address
        self.name = str(address)
        self.annotation = NO_ANNOTATION
        self.foreign_load: int | None = None  # what it does for others, by its own report
        self.state = State.JOINING
        self.changed_at = now
        self.failures = 0  # in a row
        self.passes = 0  # in a row
        self.in_flight = 0
        self.requests = 0
        self.replies: dict[str, int] = {}  # class of status → how many
        self.problems: dict[str, int] = {}  # cause → failed attempts
        self.ejections: dict[str, int] = {}  # why → how often
        self.last_problem = ""
        self.record = Record()
        self.ejected_until = 0.0
        self.is_on_trial = False  # a request is under way that will show whether it is well again
        self.trial_until: float | None = None
        self.slow_until = 0.0  # when its share is its whole weight
        self.share = 0
        self.token = ""  # what stands for it in a sticky cookie
        self.take(member)

    def take(self, member: Member) -> None:
        """What the configuration says of it from now on."""
        self.member = member
        self.weight = member.weight
        self.authorization = member.authorization
        self.max_conns = member.max_conns
        self.share = self.share or member.weight * FULL_SHARE

    def end_trial(self) -> None:
        """No request is on its way to show whether it is well."""
        self.is_on_trial, self.trial_until = False, None

    @property
    def is_full(self) -> bool:
        """Whether it has as many requests under way as it may."""
        return 0 < self.max_conns <= self.in_flight

    def __repr__(self) -> str:
        return f"<Upstream {self.name} {self.state.value}>"


class Rank(IntEnum):
    """How fit an upstream is for a new request; those of the best rank present are the candidates."""

    FIT = 0
    BACKUP = 1
    DRAINING = 2
    JOINING = 3
    EJECTED = 4
    DOWN = 5
    GONE = 6


_RANKS = {
    State.JOINING: Rank.JOINING,
    State.EJECTED: Rank.EJECTED,
    State.DOWN: Rank.DOWN,
    State.GONE: Rank.GONE,
}


def rank_of(upstream: Upstream) -> Rank:
    """The rank by state, and by what the tracker says. One on trial takes its turn, until it has its request."""
    if upstream.state is State.TRIAL and upstream.is_on_trial:
        return Rank.EJECTED
    if upstream.state in (State.UP, State.TRIAL):
        if upstream.annotation.is_draining:
            return Rank.DRAINING
        return Rank.BACKUP if upstream.member.is_backup else Rank.FIT
    return _RANKS[upstream.state]


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


def with_room(upstreams: Collection[Upstream]) -> tuple[Upstream, ...]:
    """The best that are not full; backups, when all others that are well are full."""
    best = best_of(upstreams)
    room = tuple(upstream for upstream in best if not upstream.is_full)
    if room or not best or any(upstream.member.is_backup for upstream in best):
        return room
    rest = best_of(upstream for upstream in upstreams if upstream not in best)
    return tuple(upstream for upstream in rest if upstream.member.is_backup and not upstream.is_full)


def is_refuge(upstream: Upstream) -> bool:
    """Whether a request that leaves another upstream is better off there: it is known to be well."""
    return upstream.state is State.UP or (upstream.state is State.TRIAL and not upstream.is_on_trial)


def can_spare(upstream: Upstream, upstreams: Iterable[Upstream], max_percent: int) -> bool:
    """Whether it may be ejected: another is well, and no more than `max_percent` of all, or one, would be out."""
    others = [each for each in upstreams if each is not upstream and each.state is not State.GONE]
    out = sum(each.state in (State.EJECTED, State.TRIAL) for each in others)
    allowed = max(1, (len(others) + 1) * max_percent // 100)
    return out < allowed and any(each.state is State.UP and not each.annotation.is_draining for each in others)


def why_left_out(upstream: Upstream) -> str:
    """Why it is not among the candidates, in words for `explain`."""
    if upstream.state is State.EJECTED:
        return f"it is ejected: {upstream.last_problem}"
    if upstream.state is State.TRIAL and upstream.is_on_trial:
        return "it was ejected, and a request is on its way to see whether it is well again"
    if upstream.state is State.DOWN:
        return f"it is down: {upstream.last_problem}"
    if upstream.annotation.is_draining:
        return "it drains"
    if upstream.state is State.JOINING:
        return "it has not passed a check yet"
    return "it is gone" if upstream.state is State.GONE else "it is a backup"
