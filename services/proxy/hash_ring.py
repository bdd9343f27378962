"""A ring on which each key belongs to the member whose point comes next: consistent hashing. Pure.

Whoever leaves gives up its own keys and nobody else's; whoever comes takes only what is now its own.
"""

import random
from bisect import bisect_left
from collections.abc import Sequence
from hashlib import blake2b
from typing import Generic, Protocol, TypeVar

POINTS = 160  # each member's; shares are then true to within a tenth
_LEAST_CHANCE = 0.05  # of the heaviest member's weight; so that no search is long
_KEYS = 2.0**64


class Member(Protocol):
    """What the ring looks at: the name decides where its points are, the weight how often one is passed over."""

    @property
    def name(self) -> str: ...

    weight: int


M = TypeVar("M", bound=Member)


class Ring(Generic[M]):
    """The points of all members seen lately; one that is away for a while keeps its own.

    A key goes on from the first point it comes to, to the next, and so on, with a chance that is the less the
    heavier the member. That depends on key and point alone, so nobody else's keys change when weights differ.
    `heaviest` is the weight at which no key goes on.
    """

    def __init__(self, heaviest: int = 1) -> None:
        self._heaviest = heaviest
        self._known: set[M] = set()
        self._owners: dict[float, M] = {}
        self._points: list[float] = []
        self._seen: Sequence[M] = ()
        self._chances: dict[M, float] = {}  # of those present, that a key stays

    def find(self, key: bytes, members: Sequence[M]) -> M:
        """The member, of whom there is at least one, that the key belongs to."""
        if members is not self._seen:
            self._take(members)
        points, owners, chances = self._points, self._owners, self._chances
        number = int.from_bytes(blake2b(key, digest_size=8).digest(), "big")
        at = bisect_left(points, number / _KEYS) - len(points)
        first: M | None = None
        for point in range(at, at + len(points)):
            owner = owners[points[point]]
            chance = chances.get(owner)
            if chance is None:
                continue
            if chance == 1.0 or hash((number, points[point])) % _KEYS < chance * _KEYS:
                return owner
            first = first or owner
        assert first is not None
        return first

    def _take(self, members: Sequence[M]) -> None:
        """Points are added for those that have none. All are made anew when most belong to members long gone."""
        if len(self._known) > 2 * len(members) + 8:
            self._known, self._owners, self._points = set(), {}, []
        for member in members:
            if member not in self._known:
                draw = random.Random(member.name).random  # the same for a name in every process
                points = [draw() for _ in range(POINTS)]
                self._owners.update(dict.fromkeys(points, member))
                self._points += points
        self._known.update(members)
        self._points.sort()
        self._seen = members
        self._heaviest = max(self._heaviest, *(member.weight for member in members))
        self._chances = {member: max(_LEAST_CHANCE, min(1.0, member.weight / self._heaviest)) for member in members}
