"""What is counted, and forgotten with those it was counted of."""

from services.proxy.config_values import PoolConfig
from services.proxy.proxy_metrics import ProxyMetrics
from services.proxy.upstreams import Address, Annotation, Member, Pool
from shared.runtime.metrics import MetricsRegistry

A, B = Address("10.0.0.1", 80), Address("10.0.0.2", 80)


def test_metrics_of_an_upstream_that_is_gone_vanish() -> None:
    registry = MetricsRegistry()
    pool = Pool(PoolConfig("p", ()), lambda _: None)
    pool.set_members({A: Member(), B: Member()}, 0.0)
    metrics = ProxyMetrics(registry, lambda: [pool])
    a, b = pool.upstreams
    for upstream in (a, b):
        metrics.count_reply(upstream, pool, 200)
        metrics.count_reply(upstream, pool, 204)
        metrics.count_failure(upstream, pool, "connect_failed")
    pool.annotate(b, Annotation(is_draining=True))
    text = registry.render()
    assert 'weaprous_proxy_upstream_replies_total{pool="p",upstream="10.0.0.1:80",status="2xx"} 2' in text
    assert 'weaprous_proxy_upstream_failures_total{pool="p",upstream="10.0.0.2:80",cause="connect_failed"} 1' in text
    assert 'weaprous_proxy_upstream_up{pool="p",upstream="10.0.0.2:80"} 0' in text
    pool.set_members({B: Member()}, 1.0)
    text = registry.render()
    assert "10.0.0.1" not in text
    assert 'upstream="10.0.0.2:80",status="2xx"} 2' in text
