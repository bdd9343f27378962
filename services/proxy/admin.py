"""What the proxy says of itself: `/_proxy/status` and `/_proxy/explain`, as values for JSON. Reads, changes
nothing.
"""

import copy
from collections.abc import Iterable, Mapping
from typing import Any

from services.proxy.config_values import ForwardSettings, HealthCheckConfig, HealthKind, HostConfig, LocationConfig
from services.proxy.routing import BadPathError, NoRoute, Route, RouteTable, SlashRedirect, upstream_target
from services.proxy.upstreams import Pool, State, Upstream

Json = dict[str, Any]


def describe_host(host: HostConfig) -> Json:
    """One `host` block."""
    return {
        "names": list(host.names),
        "line": host.line,
        "locations": [describe_location(location) for location in host.locations],
    }


def describe_location(location: LocationConfig) -> Json:
    """One `location`, or the `proxy_pass` of a host. Credentials are left out."""
    return {
        "path": location.prefix,
        "is_exact": location.is_exact,
        "pool": location.pool,
        "proxy_pass_path": location.uri,
        "line": location.line,
        "settings": _describe_settings(location.settings),
    }


def _describe_settings(settings: ForwardSettings) -> Json:
    return {
        "proxy_connect_timeout_s": settings.connect_timeout_s,
        "proxy_read_timeout_s": settings.read_timeout_s,
        "proxy_send_timeout_s": settings.send_timeout_s,
        "client_max_body_bytes": settings.max_body_bytes,
        "proxy_next_upstream": sorted(cause.value for cause in settings.retry_on),
        "proxy_next_upstream_tries": settings.max_tries,
    }


def describe_pool(pool: Pool, now: float) -> Json:
    """A pool and its upstreams; `now` is the clock that states are dated by."""
    return {
        "name": pool.name,
        "policy": pool.config.policy.value,
        "health_check": _describe_check(pool.health_check),
        "upstreams": [describe_upstream(upstream, now) for upstream in pool.upstreams],
    }


def _describe_check(check: HealthCheckConfig) -> Json:
    description: Json = {
        "kind": check.kind.value,
        "interval_s": check.interval_s,
        "timeout_s": check.timeout_s,
        "rise": check.rise,
        "fall": check.fall,
    }
    if check.kind is HealthKind.HTTP:
        expected = [str(low) if low == high else f"{low}-{high}" for low, high in check.expected]
        description |= {"path": check.path, "expect": ",".join(expected)}
    return description


def describe_upstream(upstream: Upstream, now: float) -> Json:
    """One upstream: its state, for how long, and its counters since it came."""
    return {
        "upstream": upstream.name,
        "state": upstream.state.value,
        "state_for_s": round(now - upstream.changed_at, 3),
        "draining": upstream.annotation.is_draining,
        "load": upstream.annotation.load,
        "weight": upstream.weight,
        "in_flight": upstream.in_flight,
        "requests": upstream.requests,
        "replies": dict(sorted(upstream.replies.items())),
        "failed_attempts": dict(sorted(upstream.problems.items())),
        "failures_in_a_row": upstream.failures,
        "last_problem": upstream.last_problem or None,
    }


def explain(table: RouteTable, pools: Mapping[str, Pool], host: str, path: str) -> Json:
    """Which rule takes a request for this Host and path, which upstreams it may go to, and which is next
    and why.
    """
    answer: Json = {"host": host, "path": path}
    raw_path, _, query = path.partition("?")
    try:
        decision = table.find(host.lower(), raw_path)
    except BadPathError as error:
        return answer | {"answer": {"status": 400, "code": "bad_path", "why": str(error)}}
    if isinstance(decision, NoRoute):
        return answer | {"answer": _refusal(decision)}
    if isinstance(decision, SlashRedirect):
        why = "a location has this path with a slash at its end"
        return answer | {"answer": {"status": 301, "location": decision.location, "why": why}}
    if decision.location.answer is not None:
        rule = {"rule": _describe_rule(decision)}
        return answer | rule | {"answer": {"status": decision.location.answer.status, "why": "the rule says return"}}
    return answer | _explain_route(decision, pools[decision.location.pool], path, query)


def _refusal(decision: NoRoute) -> Json:
    if decision.is_host_known:
        return {"status": 404, "code": "no_location", "why": "no location of this host takes the path"}
    return {"status": 421, "code": "misdirected_host", "why": "no host block has this name, and none is for the rest"}


def _describe_rule(route: Route) -> Json:
    return {
        "host": route.rule_name,
        "host_line": route.host.line,
        "location": route.location.prefix,
        "is_exact": route.location.is_exact,
        "location_line": route.location.line,
    }


def _explain_route(route: Route, pool: Pool, path: str, query: str) -> Json:
    candidates = pool.candidates()
    # A copy of the policy, so that asking changes nobody's turn.
    chosen = copy.copy(pool.policy).choose(candidates) if candidates else None
    return {
        "rule": _describe_rule(route),
        "upstream_target": upstream_target(path, query, route),
        "pool": pool.name,
        "policy": pool.config.policy.value,
        "candidates": [candidate.name for candidate in candidates],
        "left_out": list(_left_out(pool, candidates)),
        "chosen": chosen.name if chosen is not None else None,
        "why": pool.policy.reason if chosen is not None else "there is no upstream",
    }


def _left_out(pool: Pool, candidates: Iterable[Upstream]) -> Iterable[Json]:
    present = set(candidates)
    for upstream in pool.upstreams:
        if upstream not in present:
            yield {"upstream": upstream.name, "why": _why_left_out(upstream)}


def _why_left_out(upstream: Upstream) -> str:
    if upstream.state is State.UP:
        return "it drains"
    if upstream.state is State.DOWN:
        return f"it is down: {upstream.last_problem}"
    return "it has not passed a check yet" if upstream.state is State.JOINING else "it is gone"
