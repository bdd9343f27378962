"""What the proxy says of itself in `/_proxy/status`: hosts, pools and upstreams as values for JSON. Reads, changes
nothing.
"""

from collections.abc import Iterable, Iterator
from typing import Any

from services.proxy.config_values import (
    ForwardSettings,
    HealthCheckConfig,
    HealthKind,
    HostConfig,
    LocationConfig,
    RetryBudgetConfig,
)
from services.proxy.proxy_metrics import ProxyMetrics
from services.proxy.standing import FIT, IN_USE, TROUBLES, standing_of, why_not_in_use
from services.proxy.upstream_states import FULL_SHARE
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
        "pool": location.pool or None,
        "answer": location.answer.status if location.answer is not None else None,
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


def describe_pool(pool: Pool, metrics: ProxyMetrics, now: float) -> Json:
    """A pool and its upstreams; `now` is the clock that states are dated by."""
    return {
        "name": pool.name,
        "policy": pool.config.policy.value,
        "health_check": _describe_check(pool.health_check),
        "candidates": [upstream.name for upstream in pool.candidates()],
        "retries": metrics.retries(pool),
        "retry_budget": _describe_budget(pool.config.retry_budget),
        "waiting": len(pool.queue),
        "max_waiting": pool.config.queue.size if pool.config.queue is not None else 0,
        "upstreams": [describe_upstream(upstream, metrics, now) for upstream in pool.upstreams],
    }


def _describe_budget(budget: RetryBudgetConfig | None) -> Json | None:
    return None if budget is None else {"percent": budget.percent, "min_per_s": budget.min_per_s}


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


def describe_upstream(upstream: Upstream, metrics: ProxyMetrics, now: float) -> Json:
    """One upstream: its state, for how long, and its counters since it came. Latencies are those of the last five
    minutes, from the choice to the head of the reply; None where there was none.
    """
    return {
        "upstream": upstream.name,
        "state": upstream.state.value,
        "standing": standing_of(upstream, now),
        "in_use": standing_of(upstream, now) in IN_USE,
        "why_not_in_use": why_not_in_use(upstream, now),
        "state_for_s": round(now - upstream.changed_at, 3),
        "draining": upstream.annotation.is_draining,
        "load": upstream.annotation.load,
        "weight": upstream.weight,
        "share_now": upstream.share / FULL_SHARE,
        "max_conns": upstream.max_conns or None,
        "backup": upstream.member.is_backup,
        "ejected_for_s": round(max(0.0, upstream.ejected_until - now), 3) if upstream.state is State.EJECTED else None,
        "in_flight": upstream.in_flight,
        "requests": upstream.requests,
        "replies": dict(sorted(upstream.replies.items())),
        "failed_attempts": dict(sorted(upstream.problems.items())),
        "failures_in_a_row": upstream.failures,
        "last_problem": upstream.last_problem or None,
        "ejections": dict(sorted(metrics.ejections(upstream).items())),
        "latency_s": {f"p{quantile * 100:g}": _rounded(value) for quantile, value in metrics.latency(upstream).items()},
    }


def _rounded(value: float | None) -> float | None:
    return None if value is None else float(f"{value:.3g}")


def find_problems(pools: Iterable[Pool], now: float) -> list[Json]:
    """What is wrong with upstreams, the worst first: a `critical` one has nobody fit left, a `warning` has others."""
    found = [problem for pool in pools for problem in _problems_of(pool, now)]
    return sorted(found, key=lambda problem: problem["severity"] != "critical")


def _problems_of(pool: Pool, now: float) -> Iterator[Json]:
    fit = [upstream for upstream in pool.upstreams if standing_of(upstream, now) in FIT]
    if not fit:
        count = len(pool.upstreams)
        message = "no upstream is known" if not count else f"none of its {count} upstreams is fit for new requests"
        yield {"severity": "critical", "pool": pool.name, "upstream": None, "message": message}
    if pool.queue:
        message = f"{len(pool.queue)} requests wait for a free place: all upstreams are full"
        yield {"severity": "warning", "pool": pool.name, "upstream": None, "message": message}
    for upstream in pool.upstreams:
        if standing_of(upstream, now) in TROUBLES:
            yield {
                "severity": "warning" if fit else "critical",
                "pool": pool.name,
                "upstream": upstream.name,
                "message": why_not_in_use(upstream, now),
                "for_s": round(now - upstream.changed_at, 3),
            }
