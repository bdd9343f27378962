"""How an upstream stands, in one word, for people and for Prometheus. Pure.

`upstreams` owns states and ranks; here they become what `/_proxy/status`, the metrics and the page call them.
"""

from services.proxy.upstreams import PoolEvent, State, Upstream

STATES = ("up", "draining", "joining", "down", "gone")
TROUBLES = frozenset({"down"})  # a standing that somebody should look into; the others pass by themselves
EJECTIONS = frozenset({"down", "ejected"})  # kinds of events by which an upstream is taken out


def standing_of(upstream: Upstream) -> str:
    """One of `STATES`. Draining is told of an upstream that would otherwise be in use."""
    if upstream.state is State.UP and upstream.annotation.is_draining:
        return "draining"
    return upstream.state.value


def is_in_use(upstream: Upstream) -> bool:
    """Whether new requests go to it."""
    return standing_of(upstream) == "up"


def why_not_in_use(upstream: Upstream) -> str | None:
    """Why no new request goes to it, in words; None when they do."""
    standing = standing_of(upstream)
    return {
        "draining": "it drains: the tracker says so",
        "joining": "it has not passed a check yet",
        "down": f"it is down: {upstream.last_problem}",
        "gone": "it is no longer behind its name",
    }.get(standing)


def ejection_cause(event: PoolEvent) -> str | None:
    """A word for why the upstream was taken out; None for an event that takes none out."""
    if event.kind not in EJECTIONS:
        return None
    return "health_check" if event.reason.startswith("the check ") else "connect_failed"
