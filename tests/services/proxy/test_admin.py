"""What the proxy says of itself, as values."""

import json
from collections.abc import Callable

import pytest

from services.proxy.admin import describe_host, describe_pool, find_problems
from services.proxy.config_file import parse_config
from services.proxy.discovery import members_of
from services.proxy.proxy_metrics import ProxyMetrics
from services.proxy.upstreams import Annotation, Member, Pool, Upstream
from shared.runtime.metrics import MetricsRegistry

TEXT = """
pool app { server 10.0.0.1:80; server 10.0.0.2:80; server 10.0.0.3:80; server 10.0.0.4:80;
           health_check http path=/up fall=1; }
host shop.example {
    proxy_pass http://app;
    location /api/ { proxy_pass http://user:secret@10.0.0.9:81/v1/; }
}
"""


@pytest.fixture
def pools() -> dict[str, Pool]:
    made = {}
    for config in parse_config(TEXT).pools:
        made[config.name] = Pool(config, lambda _: None)
        made[config.name].set_members(members_of(config, {})[0], 0.0)
    return made


@pytest.fixture
def metrics(pools: dict[str, Pool]) -> ProxyMetrics:
    return ProxyMetrics(MetricsRegistry(), pools.values, lambda: 0.0)


def test_descriptions_are_json_without_credentials(pools: dict[str, Pool], metrics: ProxyMetrics) -> None:
    config = parse_config(TEXT)
    described = [describe_pool(pool, metrics, 5.0) for pool in pools.values()]
    text = json.dumps([describe_host(host) for host in config.hosts] + described)
    assert "secret" not in text
    assert "dXNlcjpz" not in text
    assert described[0]["health_check"]["path"] == "/up"
    assert described[0]["upstreams"][0]["state_for_s"] == 5.0


def test_an_upstream_shows_its_figures(pools: dict[str, Pool], metrics: ProxyMetrics) -> None:
    pool = pools["app"]
    for status in (200, 204, 503):
        metrics.count_reply(pool.upstreams[0], status, 0.02, 0.0)
    metrics.count_retry(pool)
    described = describe_pool(pool, metrics, 0.0)
    assert described["retries"] == 1
    first, second = described["upstreams"][:2]
    assert first["replies"] == {"2xx": 2, "5xx": 1}
    assert first["latency_s"]["p50"] == pytest.approx(0.02, rel=0.05)
    assert second["latency_s"] == {"p50": None, "p90": None, "p99": None}
    assert (first["in_use"], first["why_not_in_use"]) == (True, None)


def test_an_ejected_one_shows_for_how_long_yet_and_why(pools: dict[str, Pool], metrics: ProxyMetrics) -> None:
    app = pools["app"]
    first = app.upstreams[0]
    for _ in range(5):
        app.note_broken(first, 10.0, "cut off")
    described = describe_pool(app, metrics, 14.0)["upstreams"][0]
    assert (described["state"], described["standing"], described["in_use"]) == ("ejected", "ejected", False)
    assert described["ejected_for_s"] == 6.0
    assert described["ejections"] == {"failures": 1}
    (problem,) = find_problems(pools.values(), 14.0)
    assert (problem["severity"], problem["upstream"]) == ("warning", first.name)
    assert "cut off" in problem["message"]


def make_slow(upstream: Upstream) -> None:
    upstream.slow_until = 99.0


def make_full(upstream: Upstream) -> None:
    upstream.max_conns = upstream.in_flight = 1


def make_draining(upstream: Upstream) -> None:
    upstream.annotation = Annotation(is_draining=True)


def make_backup(upstream: Upstream) -> None:
    upstream.member = Member(is_backup=True)


@pytest.mark.parametrize(
    ("change", "standing"),
    [
        (lambda _: None, "up"),
        (make_slow, "slow start"),
        (make_full, "full"),
        (make_draining, "draining"),
        (make_backup, "backup"),
    ],
)
def test_a_standing_is_one_word(
    pools: dict[str, Pool], metrics: ProxyMetrics, change: Callable[[Upstream], None], standing: str
) -> None:
    app = pools["app"]
    change(app.upstreams[0])
    assert describe_pool(app, metrics, 50.0)["upstreams"][0]["standing"] == standing
    assert find_problems(pools.values(), 50.0) == []


def test_problems_are_told_the_worst_first(pools: dict[str, Pool]) -> None:
    app = pools["app"]
    first, second, *others = app.upstreams
    assert find_problems(pools.values(), 9.0) == []
    app.note_failure(first, 1.0, "refused")
    app.annotate(second, Annotation(is_draining=True))
    assert find_problems(pools.values(), 9.0) == [
        {"severity": "warning", "pool": "app", "upstream": first.name, "message": "it is down: refused", "for_s": 8.0}
    ]
    for other in others:
        app.note_failure(other, 2.0, "refused")
    found = find_problems(pools.values(), 9.0)
    assert found[0] == {
        "severity": "critical",
        "pool": "app",
        "upstream": None,
        "message": "none of its 4 upstreams is fit for new requests",
    }
    assert [problem["severity"] for problem in found] == ["critical"] * 4
