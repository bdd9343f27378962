"""How one of several candidates is chosen. Each policy is one method and what it must remember; no clock,
no sockets.

Who the candidates are is `upstreams`' to say. A policy keeps no promise to anyone who is not among them.
"""

import random
from collections.abc import Callable, Sequence
from typing import Any, Protocol, TypeVar

from services.proxy.config_values import PolicyName


class Candidate(Protocol):
    """What a policy looks at."""

    weight: int
    in_flight: int


C = TypeVar("C", bound=Candidate)


class Policy(Protocol):
    """Chooses one of the candidates, of which there is at least one."""

    reason: str  # why the chosen one was chosen, in words for `explain`

    def choose(self, candidates: Sequence[C]) -> C:
        """The one to use next; the policy remembers that it was used."""
        ...


class RoundRobin:
    """Each in turn; with weights, nginx's smooth order: 5, 1, 1 gives a a b a c a a, never five in a row.

    Over any stretch in which the candidates stay the same, each gets its share to within one request.
    """

    reason = "next in turn"

    def __init__(self) -> None:
        self._turn = 0
        self._credits: dict[Any, int] = {}

    def choose(self, candidates: Sequence[C]) -> C:
        """With equal weights a counter does; else each gains its weight and the richest pays the sum."""
        weight = candidates[0].weight
        if all(candidate.weight == weight for candidate in candidates):
            chosen = candidates[self._turn % len(candidates)]
            self._turn += 1
            return chosen
        credits = {candidate: self._credits.get(candidate, 0) + candidate.weight for candidate in candidates}
        chosen = max(candidates, key=credits.__getitem__)
        credits[chosen] -= sum(candidate.weight for candidate in candidates)
        self._credits = credits  # a new dict each time: a copy of the policy can look ahead
        return chosen


class LeastConnection:
    """The one with the fewest requests under way for its weight; ties in turn."""

    reason = "fewest requests under way for its weight"

    def __init__(self) -> None:
        self._turn = 0

    def choose(self, candidates: Sequence[C]) -> C:
        """Starts looking one further each time, so that ties go round."""
        start = self._turn % len(candidates)
        self._turn += 1
        chosen = candidates[start]
        for candidate in (*candidates[start + 1 :], *candidates[:start]):
            if candidate.in_flight * chosen.weight < chosen.in_flight * candidate.weight:
                chosen = candidate
        return chosen


class RandomOfTwo:
    """Two at random by weight, and of these the one with fewer requests under way for its weight."""

    reason = "the less busy of two drawn at random"

    def __init__(self, generator: random.Random | None = None) -> None:
        self._random = generator or random.Random()

    def choose(self, candidates: Sequence[C]) -> C:
        """Draws with replacement when weights differ; one drawn twice is just chosen."""
        if len(candidates) == 1:
            return candidates[0]
        first, second = self._draw(candidates)
        return second if second.in_flight * first.weight < first.in_flight * second.weight else first

    def _draw(self, candidates: Sequence[C]) -> tuple[C, C]:
        weights = [candidate.weight for candidate in candidates]
        if min(weights) == max(weights):
            at, other = self._random.randrange(len(candidates)), self._random.randrange(len(candidates) - 1)
            return candidates[at], candidates[other + (other >= at)]
        first, second = self._random.choices(candidates, weights, k=2)
        return first, second


POLICIES: dict[PolicyName, Callable[[], Policy]] = {
    PolicyName.ROUND_ROBIN: RoundRobin,
    PolicyName.LEAST_CONNECTION: LeastConnection,
    PolicyName.RANDOM: RandomOfTwo,
}
