"""What the proxy counts: per pool and upstream, gone ones left out. Fed by `forward`, shown by `exposition`.

Figures live where they cost least: in the upstreams, and here beside them. The exposition is put together when it is
asked for, so that a request pays for additions only.
"""

import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field

from services.proxy.exposition import Exposition, flatten
from services.proxy.latency import QUANTILES, LatencyWindow
from services.proxy.pool_events import PoolEvent
from services.proxy.standing import IN_USE, STANDINGS, fall_cause, standing_of
from services.proxy.upstreams import Pool, Upstream
from shared.runtime.metrics import MetricsRegistry

_STATUS_CLASSES = tuple(f"{digit}xx" for digit in range(10))


@dataclass(slots=True, eq=False)
class _Figures:
    """What is kept of one upstream besides the counters that it carries itself."""

    latency: LatencyWindow = field(default_factory=LatencyWindow)
    falls: dict[str, int] = field(default_factory=dict)


class ProxyMetrics:
    """The proxy's own metrics. `pools` tells which pools there are whenever the metrics are rendered."""

    def __init__(
        self,
        registry: MetricsRegistry,
        pools: Callable[[], Iterable[Pool]],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._pools = pools
        self._clock = clock
        self._figures: dict[Upstream, _Figures] = {}
        self._retries: dict[str, int] = {}
        self._events: dict[tuple[str, ...], int] = {}
        self._exposition = Exposition(registry)
        self.reloads = registry.counter("weaprous_proxy_reloads_total", "Configurations read.", ("result",))
        registry.before_render(self._refresh)

    def count_reply(self, upstream: Upstream, status: int, duration_s: float, now: float) -> None:
        """An upstream has begun to reply, so long after it was chosen."""
        replies, status_class = upstream.replies, _STATUS_CLASSES[status // 100]
        replies[status_class] = replies.get(status_class, 0) + 1
        figures = self._figures.get(upstream) or self._figures_of(upstream)
        figures.latency.observe(duration_s, now)

    def count_failure(self, upstream: Upstream, pool: Pool, cause: str) -> None:
        """An attempt has failed."""
        del pool
        upstream.problems[cause] = upstream.problems.get(cause, 0) + 1

    def count_retry(self, pool: Pool) -> None:
        """A request is sent once more."""
        self._retries[pool.name] = self._retries.get(pool.name, 0) + 1

    def count_event(self, event: PoolEvent) -> None:
        """An upstream has come, gone, or changed."""
        key = event.pool.name, event.kind
        self._events[key] = self._events.get(key, 0) + 1
        cause = fall_cause(event)
        if cause is not None:
            falls = self._figures_of(event.upstream).falls
            falls[cause] = falls.get(cause, 0) + 1
        if event.kind == "left":
            self._forget(self._pools())

    def retries(self, pool: Pool) -> int:
        """How many requests of the pool were sent once more."""
        return self._retries.get(pool.name, 0)

    def ejections(self, upstream: Upstream) -> Mapping[str, int]:
        """How often the upstream was taken out, by cause: what checks and connections showed, and what requests met."""
        figures = self._figures.get(upstream)
        return {**(figures.falls if figures is not None else {}), **upstream.ejections}

    def latency(self, upstream: Upstream) -> dict[float, float | None]:
        """Quantile → seconds until a reply begins, over the last minutes; None where there was no reply."""
        figures = self._figures.get(upstream)
        if figures is None:
            return dict.fromkeys(QUANTILES)
        return dict(zip(QUANTILES, figures.latency.quantiles(QUANTILES, self._clock()), strict=True))

    def _figures_of(self, upstream: Upstream) -> _Figures:
        return self._figures.setdefault(upstream, _Figures())

    def _refresh(self) -> None:
        pools = list(self._pools())
        self._forget(pools)
        show = self._exposition
        show.retries.show({(name,): count for name, count in self._retries.items()})
        show.events.show(self._events)
        show.candidates.show({(pool.name,): len(pool.candidates()) for pool in pools})
        named = {(pool.name, upstream.name): upstream for pool in pools for upstream in pool.upstreams}
        show.requests.show({labels: upstream.requests for labels, upstream in named.items()})
        show.in_flight.show({labels: upstream.in_flight for labels, upstream in named.items()})
        show.replies.show(flatten((labels, upstream.replies) for labels, upstream in named.items()))
        show.failures.show(flatten((labels, upstream.problems) for labels, upstream in named.items()))
        show.ejections.show(flatten((labels, self.ejections(upstream)) for labels, upstream in named.items()))
        now = self._clock()
        standings = {labels: standing_of(upstream, now) for labels, upstream in named.items()}
        show.is_up.show({labels: int(standing in IN_USE) for labels, standing in standings.items()})
        show.state.show({(*labels, each): int(each == it) for labels, it in standings.items() for each in STANDINGS})
        show.waiting.show({(pool.name,): len(pool.queue) for pool in pools})
        counted = {labels: upstream for labels, upstream in named.items() if upstream in self._figures}
        show.show_latency(
            {labels: (self._figures[upstream].latency, self.latency(upstream)) for labels, upstream in counted.items()}
        )

    def _forget(self, pools: Iterable[Pool]) -> None:
        """What was counted of upstreams and pools that are gone vanishes."""
        present = {upstream for pool in pools for upstream in pool.upstreams}
        for upstream in self._figures.keys() - present:
            del self._figures[upstream]
        names = {pool.name for pool in pools}
        self._retries = {name: count for name, count in self._retries.items() if name in names}
        self._events = {key: count for key, count in self._events.items() if key[0] in names}
