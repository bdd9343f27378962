"""Replies by method and class of status."""

from shared.runtime.http_metrics import HttpMetrics
from shared.runtime.metrics import MetricsRegistry


def render(*replies):
    registry = MetricsRegistry()
    metrics = HttpMetrics(registry)
    for reply in replies:
        metrics.record(*reply)
    return registry.render().splitlines()


def test_replies_are_counted_by_method_and_class_of_status():
    lines = render(("GET", 200, 13, 0.001), ("GET", 204, 0, 0.001), ("POST", 404, 7, 0.2))
    assert 'weaprous_http_requests_total{method="GET",status="2xx"} 2' in lines
    assert 'weaprous_http_requests_total{method="POST",status="4xx"} 1' in lines
    assert "weaprous_http_response_body_bytes_total 20" in lines
    assert "weaprous_http_request_duration_seconds_count 3" in lines
    assert 'weaprous_http_request_duration_seconds_bucket{le="0.001"} 2' in lines


def test_made_up_methods_make_one_series_only():
    lines = render(*((f"BREW{i}", 405, 0, 0.1) for i in range(1000)))
    assert [line for line in lines if line.startswith("weaprous_http_requests_total")] == [
        'weaprous_http_requests_total{method="other",status="4xx"} 1000'
    ]


def test_the_life_of_an_upgraded_connection_is_no_duration_of_a_request():
    assert "weaprous_http_request_duration_seconds_count 0" in render(("GET", 101, 0, 3600.0))
