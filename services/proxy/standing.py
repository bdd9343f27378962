"""How an upstream stands, in one word, for people and for Prometheus. Pure.

`upstream_states` owns states and ranks; here they become what `/_proxy/status`, the metrics and the page call them.
"""

from services.proxy.pool_events import PoolEvent
from services.proxy.upstream_states import State, Upstream, why_left_out

# In the order of how fit they are. `full` and `slow start` are ways to be in use, `backup` one to be ready.
STANDINGS = (
    "up", "slow start", "full", "backup", "draining", "joining", "trial", "ejected", "down", "gone",
)  # fmt: skip
IN_USE = frozenset({"up", "slow start", "full"})
FIT = IN_USE | {"backup", "trial"}
TROUBLES = frozenset({"ejected", "trial", "down"})  # somebody should look into it; the others pass by themselves


def standing_of(upstream: Upstream, now: float) -> str:
    """One of `STANDINGS`."""
    if upstream.state is not State.UP:
        name: str = upstream.state.value
        return name
    if upstream.annotation.is_draining:
        return "draining"
    if upstream.member.is_backup:
        return "backup"
    if upstream.is_full:
        return "full"
    return "slow start" if upstream.slow_until > now else "up"


def why_not_in_use(upstream: Upstream, now: float) -> str | None:
    """Why it gets no new requests, in words; None when it does."""
    standing = standing_of(upstream, now)
    if standing in IN_USE:
        return None
    if standing == "trial" and not upstream.is_on_trial:
        return "it was ejected, and the next request will show whether it is well again"
    why = why_left_out(upstream)
    if standing != "ejected":
        return why
    return why.replace("it is ejected:", f"it is ejected for another {max(0.0, upstream.ejected_until - now):.0f} s:")


def fall_cause(event: PoolEvent) -> str | None:
    """A word for why checks or connections took the upstream out; None for other events."""
    if event.kind != "down":
        return None
    return "health_check" if event.reason.startswith("the check ") else "connect_failed"
