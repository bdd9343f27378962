"""What a pool tells of its upstreams when something becomes of them: to the log, the metrics and `/_proxy/events`.

When it is told is `upstreams`' to say, how it is kept and sent on `events`'.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from services.proxy.upstream_states import Event, Upstream

if TYPE_CHECKING:
    from services.proxy.upstreams import Pool

# A change of state, as it is told. One that returns is told as any that comes: `joined`.
KINDS: Mapping[Event, str] = {
    Event.ROSE: "up",
    Event.FELL: "down",
    Event.BROKE: "ejected",
    Event.RESTED: "trial",
    Event.LEFT: "left",
}


@dataclass(frozen=True, slots=True)
class PoolEvent:
    """What happened to an upstream: it `joined`, `left`, is `up`, `down`, `ejected`, on `trial`, `draining` or
    `undrained`.
    """

    kind: str
    pool: "Pool"
    upstream: Upstream
    reason: str


Publish = Callable[[PoolEvent], None]
