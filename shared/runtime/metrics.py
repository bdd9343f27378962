"""Counters, gauges and histograms, and their rendering as Prometheus text (exposition format 0.0.4).

Owns the values and the format. Does not own what a service measures: `process_metrics` and `http_metrics` hold
what all have in common. On a hot path keep the child: `count = requests.labels("GET")`, then `count.inc()`.

Values are changed from the loop and from handler threads without a lock: CPython switches threads at calls and
backward jumps, and there is none between reading and writing an attribute in `inc` and `observe`.
"""

import math
import re
from bisect import bisect_left
from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import accumulate
from typing import Generic, Protocol, TypeVar

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"
DEFAULT_BUCKETS_S = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)

_NAME = re.compile(r"[a-zA-Z_:][a-zA-Z0-9_:]*")
_LABEL_NAME = re.compile(r"(?!__)[a-zA-Z_][a-zA-Z0-9_]*")


class CounterChild:
    """A number that only grows."""

    __slots__ = ("value",)

    def __init__(self) -> None:
        self.value: float = 0

    def inc(self, amount: float = 1) -> None:
        """Count `amount` more, which is not negative."""
        if amount < 0:
            raise ValueError(f"got {amount}, expected an amount >= 0: a counter never falls")
        self.value += amount

    def samples(self, name: str, labels: str) -> Iterator[str]:
        """The lines of the exposition."""
        yield f"{name}{_braces(labels)} {format_number(self.value)}"


class GaugeChild:
    """A number that goes up and down, or is asked for when it is rendered."""

    __slots__ = ("_ask", "value")

    def __init__(self) -> None:
        self.value: float = 0
        self._ask: Callable[[], float] | None = None

    def set(self, value: float) -> None:
        """The value is this now."""
        self.value = value

    def inc(self, amount: float = 1) -> None:
        """The value is `amount` higher."""
        self.value += amount

    def dec(self, amount: float = 1) -> None:
        """The value is `amount` lower."""
        self.value -= amount

    def set_function(self, ask: Callable[[], float]) -> None:
        """From now on the value is what `ask` returns at each rendering."""
        self._ask = ask

    def samples(self, name: str, labels: str) -> Iterator[str]:
        """The lines of the exposition."""
        value = self.value if self._ask is None else self._ask()
        yield f"{name}{_braces(labels)} {format_number(value)}"


class HistogramChild:
    """How many observations fell into each bucket, and their sum."""

    __slots__ = ("_bounds", "_counts", "sum")

    def __init__(self, bounds: Sequence[float]) -> None:
        self._bounds = bounds
        self._counts = [0] * (len(bounds) + 1)
        self.sum: float = 0.0

    @property
    def count(self) -> int:
        """How many observations there were."""
        return sum(self._counts)

    def observe(self, value: float) -> None:
        """One more observation; a value equal to a bound belongs to that bucket."""
        bounds = self._bounds
        self._counts[0 if value <= bounds[0] else bisect_left(bounds, value)] += 1  # most are small
        self.sum += value

    def samples(self, name: str, labels: str) -> Iterator[str]:
        """The lines of the exposition: buckets count all that is less or equal (`le`)."""
        totals = list(accumulate(self._counts))
        comma = "," if labels else ""
        for bound, total in zip([*map(format_number, self._bounds), "+Inf"], totals, strict=True):
            yield f'{name}_bucket{{{labels}{comma}le="{bound}"}} {total}'
        yield f"{name}_sum{_braces(labels)} {format_number(self.sum)}"
        yield f"{name}_count{_braces(labels)} {totals[-1]}"


class SummaryChild:
    """Quantiles that somebody else keeps, with count and sum of all observations. A quantile of None has no line."""

    __slots__ = ("count", "quantiles", "sum")

    def __init__(self) -> None:
        self.quantiles: Mapping[float, float | None] = {}
        self.count = 0
        self.sum: float = 0.0

    def samples(self, name: str, labels: str) -> Iterator[str]:
        """The lines of the exposition."""
        comma = "," if labels else ""
        for quantile, value in self.quantiles.items():
            if value is not None:
                yield f'{name}{{{labels}{comma}quantile="{format_number(quantile)}"}} {format_number(value)}'
        yield f"{name}_sum{_braces(labels)} {format_number(self.sum)}"
        yield f"{name}_count{_braces(labels)} {self.count}"


class Sampled(Protocol):
    """What a metric keeps for each combination of label values."""

    def samples(self, name: str, labels: str) -> Iterator[str]:
        """The lines of the exposition."""


Child = TypeVar("Child", bound=Sampled)


class Metric(Generic[Child]):
    """One name with its help, and a child for each combination of label values."""

    kind = "untyped"

    def __init__(self, name: str, help: str, label_names: Sequence[str], make: Callable[[], Child]) -> None:
        if not _NAME.fullmatch(name) or not all(map(_LABEL_NAME.fullmatch, label_names)):
            raise ValueError(f"got the name {name!r} and labels {label_names!r}, expected Prometheus names")
        self.name = name
        self.help = help
        self.label_names = tuple(label_names)
        self._make = make
        self._children: dict[tuple[str, ...], Child] = {}

    def labels(self, *values: object, **named: object) -> Child:
        """The child of these label values, by position or by name; the same object for the same values."""
        if named:
            values = (*values, *(named[name] for name in self.label_names[len(values) :]))
        key = tuple(map(str, values))
        child = self._children.get(key)
        if child is None:
            if len(key) != len(self.label_names):
                raise ValueError(f"{self.name}: got {len(key)} label values, expected {self.label_names}")
            child = self._children[key] = self._make()
        return child

    def remove(self, *values: object) -> None:
        """The child of these label values is gone; without effect when there is none."""
        self._children.pop(tuple(map(str, values)), None)

    def render(self, constant_labels: Sequence[tuple[str, str]]) -> Iterator[str]:
        """HELP, TYPE and a line for each sample."""
        help_text = self.help.replace("\\", "\\\\").replace("\n", "\\n")
        yield f"# HELP {self.name} {help_text}"
        yield f"# TYPE {self.name} {self.kind}"
        for values, child in list(self._children.items()):
            pairs = [*constant_labels, *zip(self.label_names, values, strict=True)]
            labels = ",".join(f'{name}="{_escape(value)}"' for name, value in pairs)
            yield from child.samples(self.name, labels)


class Counter(Metric[CounterChild]):
    """Counts; its name ends in `_total`. `inc` is for a counter without labels."""

    kind = "counter"

    def inc(self, amount: float = 1) -> None:
        """Count `amount` more."""
        self.labels().inc(amount)


class Gauge(Metric[GaugeChild]):
    """Measures. `set`, `inc`, `dec` and `set_function` are for a gauge without labels."""

    kind = "gauge"

    def set(self, value: float) -> None:
        """The value is this now."""
        self.labels().set(value)

    def inc(self, amount: float = 1) -> None:
        """The value is `amount` higher."""
        self.labels().inc(amount)

    def dec(self, amount: float = 1) -> None:
        """The value is `amount` lower."""
        self.labels().dec(amount)

    def set_function(self, ask: Callable[[], float]) -> None:
        """The value is asked for at each rendering."""
        self.labels().set_function(ask)


class Histogram(Metric[HistogramChild]):
    """Sorts observations into buckets. `observe` is for a histogram without labels."""

    kind = "histogram"

    def observe(self, value: float) -> None:
        """One more observation."""
        self.labels().observe(value)


class Summary(Metric[SummaryChild]):
    """Shows quantiles, which its owner sets before a rendering."""

    kind = "summary"


class MetricsRegistry:
    """All metrics of a process, in the order they were made."""

    def __init__(self, constant_labels: Mapping[str, str] | None = None) -> None:
        self.constant_labels = dict(constant_labels or {})
        self._metrics: dict[str, Counter | Gauge | Histogram | Summary] = {}
        self._refreshers: list[Callable[[], None]] = []

    def counter(self, name: str, help: str, labels: Sequence[str] = ()) -> Counter:
        """A new counter; ValueError when the name is taken."""
        return self._add(Counter(name, help, labels, CounterChild))

    def gauge(self, name: str, help: str, labels: Sequence[str] = (), ask: Callable[[], float] | None = None) -> Gauge:
        """A new gauge; `ask` (only without labels) is called at each rendering."""
        gauge = self._add(Gauge(name, help, labels, GaugeChild))
        if ask is not None:
            gauge.set_function(ask)
        return gauge

    def histogram(
        self, name: str, help: str, labels: Sequence[str] = (), buckets: Sequence[float] = DEFAULT_BUCKETS_S
    ) -> Histogram:
        """A new histogram; `buckets` are the upper bounds, one at least, rising, without infinity."""
        bounds = tuple(buckets)
        if not bounds or list(bounds) != sorted(set(bounds)):
            raise ValueError(f"{name}: got the buckets {bounds}, expected rising bounds")
        return self._add(Histogram(name, help, labels, lambda: HistogramChild(bounds)))

    def summary(self, name: str, help: str, labels: Sequence[str] = ()) -> Summary:
        """A new summary; ValueError when the name is taken."""
        return self._add(Summary(name, help, labels, SummaryChild))

    def before_render(self, refresh: Callable[[], None]) -> None:
        """`refresh` is called before each rendering, to set what is only measured then."""
        self._refreshers.append(refresh)

    def render(self) -> str:
        """Every metric as Prometheus text 0.0.4, ending in a newline."""
        for refresh in self._refreshers:
            refresh()
        constant = list(self.constant_labels.items())
        return "\n".join(line for metric in self._metrics.values() for line in metric.render(constant)) + "\n"

    def _add(self, metric: "AnyMetric") -> "AnyMetric":
        if metric.name in self._metrics:
            raise ValueError(f"there is a metric {metric.name} already")
        if not metric.label_names:
            metric.labels()  # a metric without labels shows its zero from the start
        self._metrics[metric.name] = metric
        return metric


AnyMetric = TypeVar("AnyMetric", Counter, Gauge, Histogram, Summary)


def format_number(value: float) -> str:
    """The number as Prometheus reads it."""
    if math.isnan(value):
        return "NaN"
    if math.isinf(value):
        return "+Inf" if value > 0 else "-Inf"
    return str(int(value)) if value == int(value) else repr(float(value))


def _braces(labels: str) -> str:
    return f"{{{labels}}}" if labels else ""


def _escape(value: str) -> str:
    return value.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
