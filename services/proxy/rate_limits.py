"""How often a client may ask: nginx's `limit_req`, by the generic cell rate algorithm. Values in, values out.

Owns what is remembered of each key, which is one number, and how many keys are. What a key is made of (an address, a
cookie, a field) is a template of the configuration; that a refused request gets 429 is `failures`' to write.
"""

import math
from collections import OrderedDict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from ipaddress import IPv6Address, ip_address

# How much of a zone's size one key is taken to cost: a text, a float and their place in a dict.
BYTES_A_KEY = 256
_SLACK_S = 1e-9  # sums of floats must not refuse what comes exactly in time
_EXPIRED_PER_CHECK = 2  # as nginx: whoever adds one takes away up to two


@dataclass(frozen=True, slots=True)
class RateZoneConfig:
    """A `limit_req_zone`: how fast each of its keys may go, and how many keys are remembered."""

    name: str
    key: str  # the source of the key's template; a zone whose key changes begins anew
    rate_per_s: float
    max_keys: int


@dataclass(frozen=True, slots=True)
class RateLimitConfig:
    """A `limit_req`: how many requests may come before their time, and how many of these need not wait.

    `undelayed` None (`nodelay`): none has to wait.
    """

    zone: str
    burst: int = 0
    undelayed: int | None = 0


@dataclass(frozen=True, slots=True)
class Admission:
    """What becomes of a request: it goes on after `delay_s`, or is refused and may come again in `retry_after_s`."""

    is_allowed: bool
    delay_s: float = 0.0
    retry_after_s: int = 0


_AT_ONCE = Admission(True)


class RateZone:
    """The keys of one zone. For each the time at which it would be back at its steady rate; past times say nothing."""

    __slots__ = ("_due", "config")

    def __init__(self, config: RateZoneConfig) -> None:
        self.config = config
        # The key asked longest ago comes first. A plain dict would step over all that were deleted to find it.
        self._due: OrderedDict[str, float] = OrderedDict()

    def __len__(self) -> int:
        return len(self._due)

    def configure(self, config: RateZoneConfig) -> None:
        """Another rate or size, from now on; what is remembered stays true."""
        self.config = config
        while len(self._due) > config.max_keys:
            self._forget_oldest()

    def lateness_s(self, key: str, now: float) -> float:
        """How far ahead of its time a request would come; 0 or less: it is in time."""
        return self._due.get(key, now) - now

    def count(self, key: str, now: float) -> None:
        """The key had a request. The least recently counted key is forgotten when there are too many."""
        due = max(self._due.pop(key, now), now) + 1.0 / self.config.rate_per_s
        self._forget_expired(now)
        if len(self._due) >= self.config.max_keys:
            self._forget_oldest()
        self._due[key] = due

    def _forget_expired(self, now: float) -> None:
        for _ in range(_EXPIRED_PER_CHECK):
            oldest = next(iter(self._due), None)
            if oldest is None or self._due[oldest] > now:
                return
            del self._due[oldest]

    def _forget_oldest(self) -> None:
        self._due.popitem(last=False)


class RateLimits:
    """All zones. A reload keeps what is remembered in those that stay."""

    def __init__(self) -> None:
        self._zones: dict[str, RateZone] = {}

    def apply(self, configs: Iterable[RateZoneConfig]) -> None:
        """These zones are in force; one whose key means something else begins anew."""
        before, self._zones = self._zones, {}
        for config in configs:
            zone = before.get(config.name)
            if zone is None or zone.config.key != config.key:
                zone = RateZone(config)
            zone.configure(config)
            self._zones[config.name] = zone

    def admit(self, limits: Sequence[tuple[RateLimitConfig, str]], now: float) -> Admission:
        """The verdict on a request under these limits, each with the request's key; an empty key is not limited.

        As in nginx the strictest counts. A refused request is counted nowhere, so that one who keeps asking is
        served again as soon as its time has come. `now` is in seconds, of any clock that only goes forward.
        """
        applying = [(limit, self._zones[limit.zone], key) for limit, key in limits if key]
        delay_s, refused_for_s = 0.0, 0.0
        for limit, zone, key in applying:
            interval_s = 1.0 / zone.config.rate_per_s
            late_s = zone.lateness_s(key, now)
            if late_s > limit.burst * interval_s + _SLACK_S:
                refused_for_s = max(refused_for_s, late_s - limit.burst * interval_s)
            elif limit.undelayed is not None:
                delay_s = max(delay_s, late_s - limit.undelayed * interval_s)
        if refused_for_s:
            return Admission(False, retry_after_s=math.ceil(refused_for_s - _SLACK_S))
        for _, zone, key in applying:
            zone.count(key, now)
        return Admission(True, delay_s) if delay_s > _SLACK_S else _AT_ONCE


def address_key(address: str) -> str:
    """The key of a client's address: IPv4 whole, of IPv6 the /64, which is what one customer is given."""
    if ":" not in address:
        return address
    try:
        ip = ip_address(address)
    except ValueError:
        return address
    return f"{ip.packed[:8].hex()}/64" if isinstance(ip, IPv6Address) else address
