"""What the proxy counts, for Prometheus: per pool and upstream, gone upstreams left out. Fed by `forward`."""

from collections.abc import Callable, Iterable

from services.proxy.upstreams import Pool, PoolEvent, State, Upstream
from shared.runtime.metrics import Counter, MetricsRegistry

_LABELS = ("pool", "upstream")
_CLASSES = ("0xx", "1xx", "2xx", "3xx", "4xx", "5xx")


class ProxyMetrics:
    """The proxy's own metrics. `pools` tells which pools there are whenever the metrics are rendered."""

    def __init__(self, registry: MetricsRegistry, pools: Callable[[], Iterable[Pool]]) -> None:
        self._pools = pools
        self._replies = registry.counter(
            "weaprous_proxy_upstream_replies_total", "Replies by class of status.", (*_LABELS, "status")
        )
        self._failures = registry.counter(
            "weaprous_proxy_upstream_failures_total", "Attempts without a reply.", (*_LABELS, "cause")
        )
        self._retries = registry.counter(
            "weaprous_proxy_retries_total", "Attempts after the first one of a request.", ("pool",)
        )
        self._events = registry.counter(
            "weaprous_proxy_upstream_events_total", "Changes of upstreams.", ("pool", "event")
        )
        self._in_flight = registry.gauge("weaprous_proxy_upstream_in_flight", "Requests under way.", _LABELS)
        self._is_up = registry.gauge("weaprous_proxy_upstream_up", "1 when up and not draining.", _LABELS)
        self.reloads = registry.counter("weaprous_proxy_reloads_total", "Configurations read.", ("result",))
        self._shown: set[tuple[str, str]] = set()
        self._counted: dict[tuple[str, str], set[tuple[Counter, str]]] = {}
        registry.before_render(self._refresh)

    def count_reply(self, upstream: Upstream, pool: Pool, status: int) -> None:
        """An upstream has begun to reply."""
        replies, status_class = upstream.replies, _CLASSES[status // 100]
        replies[status_class] = replies.get(status_class, 0) + 1  # `_refresh` makes metrics of it

    def count_failure(self, upstream: Upstream, pool: Pool, cause: str) -> None:
        """An attempt has failed."""
        upstream.problems[cause] = upstream.problems.get(cause, 0) + 1

    def count_retry(self, pool: Pool) -> None:
        """A request is sent once more."""
        self._retries.labels(pool.name).value += 1

    def count_event(self, event: PoolEvent) -> None:
        """An upstream has come, gone, or changed."""
        self._events.labels(event.pool.name, event.kind).value += 1

    def _refresh(self) -> None:
        """All are set when they are asked for; what was counted of upstreams that are gone vanishes."""
        shown = set()
        for pool in self._pools():
            for upstream in pool.upstreams:
                labels = (pool.name, upstream.name)
                shown.add(labels)
                self._in_flight.labels(*labels).set(upstream.in_flight)
                is_up = upstream.state is State.UP and not upstream.annotation.is_draining
                self._is_up.labels(*labels).set(int(is_up))
                for counter, counts in ((self._replies, upstream.replies), (self._failures, upstream.problems)):
                    for what, count in counts.items():
                        counter.labels(*labels, what).value = count
                        self._counted.setdefault(labels, set()).add((counter, what))
        for labels in self._shown - shown:
            self._in_flight.remove(*labels)
            self._is_up.remove(*labels)
        for labels in self._counted.keys() - shown:
            for counter, what in self._counted.pop(labels):
                counter.remove(*labels, what)
        self._shown = shown
