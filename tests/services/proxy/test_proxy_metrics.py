"""What is counted, shown to Prometheus, and forgotten with those it was counted of."""

import re

import pytest

from services.proxy.config_values import PoolConfig
from services.proxy.proxy_metrics import ProxyMetrics
from services.proxy.upstreams import Address, Annotation, Member, Pool
from shared.runtime.metrics import MetricsRegistry
from tests.processes import ROOT

OPERATIONS = ROOT / "docs/operations.md"
A, B = Address("10.0.0.1", 80), Address("10.0.0.2", 80)
NOW = 100.0
PREFIX = "weaprous_proxy_"
SAMPLE = re.compile(r'([a-z_]+)(?:\{((?:[a-z_]+="(?:[^"\\\n]|\\.)*",?)*)\})? (-?[0-9.e+-]+|NaN|\+Inf)')


class Shop:
    """One pool of two upstreams, and what is counted of them."""

    def __init__(self) -> None:
        self.registry = MetricsRegistry()
        self.pools: list[Pool] = []
        self.metrics = ProxyMetrics(self.registry, lambda: self.pools, lambda: NOW)
        self.pool = Pool(PoolConfig("p", ()), self.metrics.count_event)
        self.pools.append(self.pool)
        self.pool.set_members({A: Member(), B: Member()}, 0.0)
        self.a, self.b = self.pool.upstreams

    def value(self, sample: str) -> float | None:
        """The value of `name{labels}` without the prefix; None when it is not shown."""
        found = re.search(rf"^{re.escape(PREFIX + sample)} (\S+)$", self.registry.render(), re.MULTILINE)
        return float(found[1]) if found else None


@pytest.fixture
def shop() -> Shop:
    return Shop()


def test_replies_and_failures_are_counted_by_class_and_cause(shop: Shop) -> None:
    for status in (200, 204, 503):
        shop.metrics.count_reply(shop.a, status, 0.1, NOW)
    shop.metrics.count_failure(shop.b, shop.pool, "connect_failed")
    shop.metrics.count_retry(shop.pool)
    shop.a.requests = 3
    assert shop.value('upstream_requests_total{pool="p",upstream="10.0.0.1:80"}') == 3
    assert shop.value('upstream_replies_total{pool="p",upstream="10.0.0.1:80",status="2xx"}') == 2
    assert shop.value('upstream_replies_total{pool="p",upstream="10.0.0.1:80",status="5xx"}') == 1
    assert shop.value('upstream_failures_total{pool="p",upstream="10.0.0.2:80",cause="connect_failed"}') == 1
    assert shop.value('retries_total{pool="p"}') == 1
    assert shop.metrics.retries(shop.pool) == 1


def test_latency_is_a_summary_with_quantiles_count_and_sum(shop: Shop) -> None:
    for _ in range(99):
        shop.metrics.count_reply(shop.a, 200, 0.01, NOW)
    shop.metrics.count_reply(shop.a, 200, 3.0, NOW)
    labels = 'pool="p",upstream="10.0.0.1:80"'
    assert shop.value(f'upstream_latency_seconds{{{labels},quantile="0.5"}}') == pytest.approx(0.01, rel=0.05)
    assert shop.value(f'upstream_latency_seconds{{{labels},quantile="0.9"}}') == pytest.approx(0.01, rel=0.05)
    assert shop.value(f"upstream_latency_seconds_count{{{labels}}}") == 100
    assert shop.value(f"upstream_latency_seconds_sum{{{labels}}}") == pytest.approx(3.99)
    assert shop.value('upstream_latency_seconds_count{pool="p",upstream="10.0.0.2:80"}') is None
    assert shop.metrics.latency(shop.b) == {0.5: None, 0.9: None, 0.99: None}


def test_states_and_who_may_be_chosen_are_gauges(shop: Shop) -> None:
    shop.pool.annotate(shop.b, Annotation(is_draining=True))
    shop.a.in_flight = 4
    assert shop.value('upstream_in_flight{pool="p",upstream="10.0.0.1:80"}') == 4
    assert shop.value('upstream_up{pool="p",upstream="10.0.0.2:80"}') == 0
    assert shop.value('upstream_state{pool="p",upstream="10.0.0.2:80",state="draining"}') == 1
    assert shop.value('upstream_state{pool="p",upstream="10.0.0.2:80",state="up"}') == 0
    assert shop.value('pool_candidates{pool="p"}') == 1


def test_an_ejection_for_what_requests_met_is_counted_beside_what_checks_found(shop: Shop) -> None:
    for at in range(5):
        shop.pool.note_broken(shop.a, float(at), "cut off")
    assert shop.value('upstream_ejections_total{pool="p",upstream="10.0.0.1:80",cause="failures"}') == 1
    assert shop.value('upstream_state{pool="p",upstream="10.0.0.1:80",state="ejected"}') == 1
    assert shop.value('upstream_up{pool="p",upstream="10.0.0.1:80"}') == 0


def test_being_taken_out_is_counted_with_its_cause(shop: Shop) -> None:
    shop.pool.note_failure(shop.a, 1.0, "the check got status 500")
    shop.pool.note_pass(shop.a, 2.0)
    shop.pool.note_failure(shop.a, 3.0, "connection refused")
    for cause in ("health_check", "connect_failed"):
        assert shop.value(f'upstream_ejections_total{{pool="p",upstream="10.0.0.1:80",cause="{cause}"}}') == 1
    assert shop.metrics.ejections(shop.a) == {"health_check": 1, "connect_failed": 1}
    assert shop.value('upstream_events_total{pool="p",event="down"}') == 2


def test_series_of_an_upstream_that_is_gone_vanish(shop: Shop) -> None:
    for upstream in (shop.a, shop.b):
        shop.metrics.count_reply(upstream, 200, 0.1, NOW)
        shop.metrics.count_failure(upstream, shop.pool, "connect_failed")
        shop.pool.note_failure(upstream, 1.0, "refused")
    assert "10.0.0.1" in shop.registry.render()
    shop.pool.set_members({B: Member()}, 1.0)
    text = shop.registry.render()
    assert "10.0.0.1" not in text
    assert 'upstream="10.0.0.2:80",status="2xx"} 1' in text


def test_series_of_a_pool_that_is_gone_vanish(shop: Shop) -> None:
    shop.metrics.count_retry(shop.pool)
    shop.pools.clear()
    shop.pool.set_members({}, 1.0)
    assert 'pool="p"' not in shop.registry.render()


def test_what_was_counted_is_forgotten_when_nobody_asks_for_it_too(shop: Shop) -> None:
    for number in range(10, 20):
        shop.pool.set_members({Address(f"10.0.0.{number}", 80): Member(), B: Member()}, 1.0)
        shop.metrics.count_reply(shop.pool.upstreams[-1], 200, 0.1, NOW)
    gone = shop.pool.upstreams[-1]
    for number in (20, 21):
        shop.pool.set_members({Address(f"10.0.0.{number}", 80): Member(), B: Member()}, 2.0)
    assert shop.metrics.latency(gone) == {0.5: None, 0.9: None, 0.99: None}


def test_an_upstream_that_comes_again_begins_at_zero(shop: Shop) -> None:
    shop.metrics.count_reply(shop.a, 200, 0.1, NOW)
    shop.pool.set_members({B: Member()}, 1.0)
    shop.pool.set_members({A: Member(), B: Member()}, 2.0)
    a = shop.pool.get(A)
    assert a is not None
    shop.metrics.count_reply(a, 200, 0.1, NOW)
    assert shop.value('upstream_replies_total{pool="p",upstream="10.0.0.1:80",status="2xx"}') == 1


def test_the_text_is_what_prometheus_reads(shop: Shop) -> None:
    shop.metrics.count_reply(shop.a, 200, 0.1, NOW)
    shop.pool.note_failure(shop.a, 1.0, 'a "quoted"\nproblem')
    shop.metrics.reloads.labels("done").inc()
    families: dict[str, str] = {}
    seen: set[str] = set()
    for line in shop.registry.render().splitlines():
        if line.startswith("# TYPE "):
            name, kind = line.split()[2:]
            assert name not in families, line
            families[name] = kind
        elif not line.startswith("# HELP "):
            match = SAMPLE.fullmatch(line)
            assert match, line
            name, current = match[1], list(families)[-1]
            assert name == current or (
                families[current] == "summary" and name in (f"{current}_sum", f"{current}_count")
            )
            assert families[current] != "counter" or name.endswith("_total")
            assert line.rpartition(" ")[0] not in seen, line
            seen.add(line.rpartition(" ")[0])
    documented = set(re.findall(r"`(weaprous_proxy_\w+)`", OPERATIONS.read_text("utf-8")))
    assert set(families) <= documented
