"""The names under which Prometheus finds what the proxy counts, and series that come and go with upstreams.

What is counted, and where, is `proxy_metrics`'. docs/operations.md explains each name.
"""

from collections.abc import Iterable, Mapping
from typing import TypeAlias

from services.proxy.intake import Intake
from services.proxy.latency import LatencyWindow
from shared.runtime.metrics import Counter, Gauge, MetricsRegistry

_LABELS = ("pool", "upstream")
_PREFIX = "weaprous_proxy_"

Labels: TypeAlias = tuple[str, ...]


class Series:
    """One metric whose children are exactly those of the last `show`."""

    def __init__(self, metric: Counter | Gauge) -> None:
        self._metric = metric
        self._shown: set[Labels] = set()

    def show(self, values: Mapping[Labels, float]) -> None:
        """These values from now on, by the values of the labels."""
        for labels in self._shown - values.keys():
            self._metric.remove(*labels)
        for labels, value in values.items():
            self._metric.labels(*labels).value = value
        self._shown = set(values)


class Exposition:
    """Every metric of the proxy that has labels of pools and upstreams."""

    def __init__(self, registry: MetricsRegistry) -> None:
        def counter(name: str, help: str, labels: Labels) -> Series:
            return Series(registry.counter(_PREFIX + name, help, labels))

        def gauge(name: str, help: str, labels: Labels) -> Series:
            return Series(registry.gauge(_PREFIX + name, help, labels))

        self.requests = counter("upstream_requests_total", "Attempts begun, checks not counted.", _LABELS)
        self.replies = counter("upstream_replies_total", "Replies by class of status.", (*_LABELS, "status"))
        self.failures = counter("upstream_failures_total", "Attempts without a reply.", (*_LABELS, "cause"))
        self.ejections = counter("upstream_ejections_total", "Times taken out of use, and why.", (*_LABELS, "cause"))
        self.in_flight = gauge("upstream_in_flight", "Requests under way.", _LABELS)
        self.is_up = gauge("upstream_up", "1 when new requests go there, slow starts included.", _LABELS)
        self.state = gauge("upstream_state", "1 for the state it is in.", (*_LABELS, "state"))
        self.retries = counter("retries_total", "Attempts after the first one of a request.", ("pool",))
        self.events = counter("upstream_events_total", "Changes of upstreams.", ("pool", "event"))
        self.candidates = gauge("pool_candidates", "Upstreams that the next request may go to.", ("pool",))
        self.waiting = gauge("pool_waiting", "Requests that wait for a free place.", ("pool",))
        self._latency = registry.summary(
            _PREFIX + "upstream_latency_seconds",
            "From choosing the upstream to the head of its reply; quantiles over the last five minutes.",
            _LABELS,
        )
        self._shown: set[Labels] = set()

    def show_latency(self, values: Mapping[Labels, tuple[LatencyWindow, Mapping[float, float | None]]]) -> None:
        """Count, sum and quantiles from now on, for these upstreams only."""
        for labels in self._shown - values.keys():
            self._latency.remove(*labels)
        for labels, (window, quantiles) in values.items():
            child = self._latency.labels(*labels)
            child.count, child.sum, child.quantiles = window.count, window.sum_s, quantiles
        self._shown = set(values)


def expose_intake(registry: MetricsRegistry, intake: Intake) -> None:
    """What the cache and the rate limits did, under names of their own."""
    verdicts = registry.counter(_PREFIX + "cache_lookups_total", "Requests the cache was asked about.", ("verdict",))
    limited = registry.counter(_PREFIX + "rate_limited_total", "Requests that came too early.", ("result",))
    crowded = Series(
        registry.counter(_PREFIX + "conn_limited_total", "Requests refused: too many of their key at once.", ("zone",))
    )
    held = Series(registry.gauge(_PREFIX + "conn_limit_in_flight", "Requests under way that a zone counts.", ("zone",)))
    registry.gauge(
        _PREFIX + "cache_bytes", "What is stored, names and fields included.", ask=lambda: intake.store.replies.size
    )
    registry.gauge(_PREFIX + "cache_replies", "Replies that are stored.", ask=lambda: len(intake.store.replies))
    registry.gauge(
        _PREFIX + "cache_refreshing", "Stale replies fetched anew for no client.", ask=lambda: intake.store.refreshing
    )

    def refresh() -> None:
        for verdict, count in intake.verdicts.items():
            verdicts.labels(verdict.value).value = count
        limited.labels("delayed").value = intake.delayed_count
        limited.labels("refused").value = intake.refused_count
        zones = {(zone.config.name,): zone for zone in intake.connections.zones}
        crowded.show({labels: zone.refused for labels, zone in zones.items()})
        held.show({labels: zone.in_flight for labels, zone in zones.items()})

    registry.before_render(refresh)


def flatten(counts: Iterable[tuple[Labels, Mapping[str, int]]]) -> dict[Labels, float]:
    """Counts by cause or class, as values by all of their labels."""
    return {(*labels, what): count for labels, by_what in counts for what, count in by_what.items()}
