"""How one of several candidates is chosen. Each policy is one method and what it must remember; no clock,
no sockets.

Who the candidates are is `upstreams`' to say. A policy keeps no promise to anyone who is not among them. The
same tuple comes again as long as nothing changes, so that what is worked out from it is kept.
"""

import copy
import random
from abc import ABC, abstractmethod
from collections import deque
from collections.abc import Callable, Hashable, Sequence
from heapq import heapify, heappush, heapreplace
from itertools import accumulate
from typing import Any, Protocol, Self, TypeVar

from services.proxy.config_values import PolicyName, PoolConfig
from services.proxy.hash_ring import Ring, unit_of
from services.proxy.templates import RequestFacts, Template, parse_template
from shared.httpcore.message import Request


class Candidate(Hashable, Protocol):
    """What a policy looks at."""

    @property
    def name(self) -> str: ...

    weight: int
    share: int  # the weight as it counts now: less while it starts slowly; only ratios matter
    in_flight: int
    foreign_load: int | None  # what it does for others, by its own report; None: no fresh report


C = TypeVar("C", bound=Candidate)


class Policy(ABC):
    """Chooses one of the candidates, of which there is at least one."""

    reason = ""  # why the chosen one was chosen, in words for `explain`

    @abstractmethod
    def choose(self, candidates: Sequence[C], request: Request | None = None) -> C:
        """The one to use next; the policy remembers that it was used."""

    def note_ended(self, candidate: Candidate) -> None:  # noqa: B027 (most policies don't care)
        """One of those chosen has one request less under way."""


def _by_share(candidates: Sequence[C]) -> list[tuple[int, list[C]]]:
    """Those that count the same are compared all at once; there are few different shares."""
    groups: dict[int, list[C]] = {}
    for candidate in candidates:
        groups.setdefault(candidate.share, []).append(candidate)
    return list(groups.items())


class RoundRobin(Policy):
    """Each in turn; with weights, nginx's smooth order: 5, 1, 1 gives a a b a c a a, never five in a row.

    Over any stretch in which the candidates stay the same, each gets its share to within one request.
    """

    reason = "next in turn"

    def __init__(self) -> None:
        self._seen: Sequence[Any] = ()
        self._total = 0
        self._round = 0
        # Each gains its share a round, and whoever is richest pays the total. Among equal shares the richest is the
        # one that paid longest ago, so a queue each will do: (credit before the rounds' gains, place, candidate).
        self._queues: list[tuple[int, deque[tuple[int, int, Any]]]] = []

    def __copy__(self) -> "RoundRobin":
        """One that may look ahead without taking anybody's turn."""
        twin = RoundRobin()
        twin._seen, twin._total, twin._round = self._seen, self._total, self._round
        twin._queues = [(share, deque(queue)) for share, queue in self._queues]
        return twin

    def choose(self, candidates: Sequence[C], request: Request | None = None) -> C:
        """The richest; of several, the first."""
        if candidates is not self._seen:
            self._take(candidates)
        self._round += 1
        best, best_key = self._queues[0][1], (0, 0)
        for n, (share, queue) in enumerate(self._queues):
            credit, place, _ = queue[0]
            key = (credit + share * self._round, -place)
            if n == 0 or key > best_key:
                best, best_key = queue, key
        credit, place, chosen = best.popleft()
        best.append((credit - self._total, place, chosen))
        result: C = chosen
        return result

    def _take(self, candidates: Sequence[C]) -> None:
        """Whoever was there keeps its credit."""
        credits = {who: paid + share * self._round for share, queue in self._queues for paid, _, who in queue}
        places = {candidate: place for place, candidate in enumerate(candidates)}
        self._queues = []
        for share, members in _by_share(candidates):
            members.sort(key=lambda who: (-credits.get(who, 0), places[who]))
            self._queues.append((share, deque((credits.get(who, 0), places[who], who) for who in members)))
        self._round, self._seen = 0, candidates
        self._total = sum(candidate.share for candidate in candidates)


class LeastConnection(Policy):
    """The one with the fewest requests under way for its weight, counting the one to come; ties in turn.

    A heap, so that many cost no more than few: who has got more to do since it was put there is found out when it
    comes up, who has less is put there once more.
    """

    reason = "fewest requests under way for its weight"

    def __init__(self) -> None:
        self._seen: Sequence[Any] = ()
        self._members: frozenset[Any] = frozenset()
        self._heap: list[tuple[float, int, Any]] = []  # how busy, since when, who
        self._turn = 0

    def __copy__(self) -> Self:
        twin = object.__new__(type(self))
        twin.__dict__.update(self.__dict__, _heap=list(self._heap))
        return twin

    def choose(self, candidates: Sequence[C], request: Request | None = None) -> C:
        """The first in the heap that is as busy as it says there."""
        if candidates is not self._seen or len(self._heap) > 4 * len(candidates) + 64:
            self._take(candidates)
        heap, turn = self._heap, self._turn
        while True:
            busy, _, first = heap[0]
            now, turn = self._load(first) / first.share, turn + 1
            heapreplace(heap, (now, turn, first))
            if now <= busy:
                self._turn = turn
                chosen: C = first
                return chosen

    def _take(self, candidates: Sequence[C]) -> None:
        self._seen, self._members = candidates, frozenset(candidates)
        loads = enumerate(candidates, self._turn + 1)
        self._heap = [(self._load(who) / who.share, turn, who) for turn, who in loads]
        self._turn += len(candidates)
        heapify(self._heap)

    def _load(self, candidate: Candidate) -> int:
        return candidate.in_flight + 1

    def note_ended(self, candidate: Candidate) -> None:
        """It is less busy than the heap says."""
        if candidate in self._members:
            self._turn += 1
            heappush(self._heap, (self._load(candidate) / candidate.share, self._turn, candidate))


class LeastLoad(LeastConnection):
    """The one with the least to do for its weight: what it says it does for others, and what is under way here.

    When one of the candidates has no fresh report, all are compared by what is under way here alone.
    """

    def __init__(self) -> None:
        super().__init__()
        self._has_reports = False

    @property
    def reason(self) -> str:  # type: ignore[override]
        """What was compared."""
        if self._has_reports:
            return "least to do for its weight, by its report and by what is under way here"
        return "no fresh reports from all, so: " + LeastConnection.reason

    def _take(self, candidates: Sequence[C]) -> None:
        """New reports come with a new tuple of candidates."""
        self._has_reports = all(candidate.foreign_load is not None for candidate in candidates)
        super()._take(candidates)

    def _load(self, candidate: Candidate) -> int:
        return candidate.in_flight + 1 + ((candidate.foreign_load or 0) if self._has_reports else 0)


class RandomOfTwo(Policy):
    """Two at random by weight, and of these the one with fewer requests under way for its weight."""

    reason = "the less busy of two drawn at random"

    def __init__(self, generator: random.Random | None = None) -> None:
        self._random = generator or random.Random()
        self._seen: Sequence[Any] = ()
        self._sums: list[int] = []  # of the shares up to each; empty when all are equal

    def choose(self, candidates: Sequence[C], request: Request | None = None) -> C:
        """Draws with replacement when weights differ; one drawn twice is just chosen."""
        if len(candidates) == 1:
            return candidates[0]
        first, second = self._draw(candidates)
        return second if second.in_flight * first.share < first.in_flight * second.share else first

    def _draw(self, candidates: Sequence[C]) -> tuple[C, C]:
        if candidates is not self._seen:
            shares = [candidate.share for candidate in candidates]
            self._sums = list(accumulate(shares)) if min(shares) != max(shares) else []
            self._seen = candidates
        if not self._sums:
            at, other = self._random.randrange(len(candidates)), self._random.randrange(len(candidates) - 1)
            return candidates[at], candidates[other + (other >= at)]
        first, second = self._random.choices(candidates, cum_weights=self._sums, k=2)
        return first, second


class Hash(Policy):
    """The one that the key belongs to: the same as long as it is there, and without it only its own keys move.

    A request without the key goes to the next in turn.
    """

    def __init__(self, key: Template, unit: int = 1) -> None:
        self.reason = f"the hash of {key.source} belongs to it"
        self._key = key
        self._ring: Ring[Any] = Ring(unit)
        self._rest = RoundRobin()

    def __copy__(self) -> "Hash":
        twin = object.__new__(Hash)
        twin.__dict__.update(self.__dict__, _rest=copy.copy(self._rest))
        return twin

    def choose(self, candidates: Sequence[C], request: Request | None = None) -> C:
        """By the key alone; how busy anyone is does not count."""
        key = self._key.render(RequestFacts(request, "")) if request is not None else ""
        if not key:
            return self._rest.choose(candidates)
        chosen: C = self._ring.find(key.encode("utf-8", "surrogateescape"), candidates)
        return chosen


def _hash(config: PoolConfig, key: Template | None) -> Hash:
    assert key is not None
    return Hash(key, unit_of([server.weight for server in config.servers]))


POLICIES: dict[PolicyName, Callable[[PoolConfig], Policy]] = {
    PolicyName.ROUND_ROBIN: lambda _: RoundRobin(),
    PolicyName.LEAST_CONNECTION: lambda _: LeastConnection(),
    PolicyName.RANDOM: lambda _: RandomOfTwo(),
    PolicyName.LEAST_LOAD: lambda _: LeastLoad(),
    PolicyName.IP_HASH: lambda config: _hash(config, parse_template("$remote_addr")),
    PolicyName.HASH: lambda config: _hash(config, config.hash_key),
}


def make_policy(config: PoolConfig) -> Policy:
    """The policy of a pool, with nothing remembered yet."""
    return POLICIES[config.policy](config)
