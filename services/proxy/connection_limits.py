"""How much a client may have under way at once: nginx's `limit_conn`. Values in, values out.

Owns the counts of each key. Who holds a place and when it is given back is `shaping`'s; that a refused request gets 429
is `intake`'s to say. How often a client may come is `rate_limits`'.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class ConnZoneConfig:
    """A `limit_conn_zone`: what its keys are made of, and how many are counted at the same time."""

    name: str
    key: str  # the source of the key's template; a zone whose key changes begins anew
    max_keys: int


@dataclass(frozen=True, slots=True)
class ConnLimitConfig:
    """A `limit_conn`: how many requests of one key may be under way."""

    zone: str
    most: int


class ConnZone:
    """What is under way, by key. A key with nothing under way costs nothing."""

    __slots__ = ("config", "counts", "in_flight", "refused")

    def __init__(self, config: ConnZoneConfig) -> None:
        self.config = config
        self.counts: dict[str, int] = {}
        self.in_flight = 0
        self.refused = 0  # since the start

    def has_room(self, key: str, most: int) -> bool:
        """Whether one more of the key may come. As in nginx a full zone has no room for a key that it doesn't have."""
        count = self.counts.get(key)
        return len(self.counts) < self.config.max_keys if count is None else count < most

    def add(self, key: str) -> None:
        """One more of the key is under way."""
        self.counts[key] = self.counts.get(key, 0) + 1
        self.in_flight += 1

    def take_off(self, key: str) -> None:
        """One of the key is over."""
        self.in_flight -= 1
        if self.counts[key] > 1:
            self.counts[key] -= 1
        else:
            del self.counts[key]


class Hold:
    """One request's place in every zone that limits it. To be given back once it was taken, however it ends."""

    __slots__ = ("_is_taken", "_places")

    def __init__(self, places: Sequence[tuple[ConnZone, str, int]]) -> None:
        self._places = places
        self._is_taken = False

    def take(self) -> bool:
        """Whether there is room everywhere. If not, it is counted nowhere."""
        for zone, key, most in self._places:
            if not zone.has_room(key, most):
                zone.refused += 1
                return False
        for zone, key, _ in self._places:
            zone.add(key)
        self._is_taken = True
        return True

    def release(self) -> None:
        """The request is over. Harmless when it has no place, or has given it back."""
        if self._is_taken:
            self._is_taken = False
            for zone, key, _ in self._places:
                zone.take_off(key)


class ConnectionLimits:
    """All zones. A reload keeps what is counted in those that stay."""

    def __init__(self) -> None:
        self._zones: dict[str, ConnZone] = {}

    @property
    def zones(self) -> Iterable[ConnZone]:
        """Those in force."""
        return self._zones.values()

    def zone(self, name: str) -> ConnZone:
        """The one of this name. KeyError when none in force has it."""
        return self._zones[name]

    def apply(self, configs: Iterable[ConnZoneConfig]) -> None:
        """These zones are in force; one whose key means something else begins anew, and what is under way by the old
        one is given back to that.
        """
        before, self._zones = self._zones, {}
        for config in configs:
            zone = before.get(config.name)
            if zone is None or zone.config.key != config.key:
                zone = ConnZone(config)
            zone.config = config
            self._zones[config.name] = zone

    def hold(self, limits: Sequence[tuple[ConnLimitConfig, str]]) -> Hold | None:
        """The places that a request needs under these limits, each with the request's key, not yet taken. An empty key
        is not limited; None: no place is needed.
        """
        places = [(self._zones[limit.zone], key, limit.most) for limit, key in limits if key]
        return Hold(places) if places else None
