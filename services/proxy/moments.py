"""Now, as whoever has clocks tells those who have none."""

from dataclasses import dataclass
from time import monotonic, time


@dataclass(frozen=True, slots=True)
class Moment:
    """Now by the clock that only goes forward, for waiting and rates, and as Unix seconds, for dates."""

    steady_s: float
    unix_s: float


def now() -> Moment:
    """Now, by both clocks: for those who have sockets."""
    return Moment(monotonic(), time())
