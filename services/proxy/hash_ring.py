"""A ring on which each key belongs to the member whose point comes next: consistent hashing. Pure.

Whoever leaves gives up its own keys and nobody else's; whoever comes takes only what is now its own.
"""

import struct
from bisect import bisect_left
from collections.abc import Collection, Sequence
from hashlib import blake2b
from typing import Generic, Protocol, TypeVar

POINTS = 160  # for each unit of weight, as nginx has it: shares are then true to within a tenth
_POINTS_PER_DIGEST = 8
_DIGEST = struct.Struct(f">{_POINTS_PER_DIGEST}Q")


class Member(Protocol):
    """What the ring looks at: the name decides where the points are, the weight how many."""

    @property
    def name(self) -> str: ...

    weight: int


M = TypeVar("M", bound=Member)


class Ring(Generic[M]):
    """The points of all members seen lately; one that is away for a while keeps its own."""

    def __init__(self, unit: int = 1) -> None:
        self._unit = unit  # the weight that gets POINTS points
        self._weights: dict[M, int] = {}
        self._owners: dict[int, M] = {}
        self._points: list[int] = []
        self._seen: Sequence[M] = ()
        self._present: frozenset[M] = frozenset()

    def find(self, key: bytes, members: Sequence[M]) -> M:
        """The member, of whom there is at least one, that the key belongs to."""
        if members is not self._seen:
            self._take(members)
        points, owners, present = self._points, self._owners, self._present
        at = bisect_left(points, int.from_bytes(blake2b(key, digest_size=8).digest(), "big"))
        while True:
            owner = owners[points[at % len(points)]]
            if owner in present:
                return owner
            at += 1

    def _take(self, members: Sequence[M]) -> None:
        """Points are added for those that have none. All are made anew when most belong to members long gone."""
        self._seen, self._present = members, frozenset(members)
        has_changed = any(self._weights.get(member, member.weight) != member.weight for member in members)
        if has_changed or len(self._weights) > 2 * len(members) + 8:
            self._weights, self._owners = {}, {}
        new = [member for member in members if member not in self._weights]
        for member in new:
            self._weights[member] = member.weight
            self._owners.update(dict.fromkeys(_points_of(member, self._unit), member))
        if new:
            self._points = sorted(self._owners)


def _points_of(member: Member, unit: int) -> list[int]:
    count = max(1, round(POINTS * member.weight / unit))
    points: list[int] = []
    for n in range(-(-count // _POINTS_PER_DIGEST)):
        points += _DIGEST.unpack(blake2b(f"{member.name}#{n}".encode()).digest())
    return points[:count]


def unit_of(weights: Collection[int]) -> int:
    """The weight that gets POINTS points: the least one, unless that would make the others' too many."""
    return max(min(weights), max(weights) // 20) if weights else 1
