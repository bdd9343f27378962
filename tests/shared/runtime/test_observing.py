"""What becomes of replies and of slow handlers."""

import dataclasses
import logging

import pytest

from shared.httpcore.message import Request
from shared.runtime.metrics import MetricsRegistry
from shared.runtime.observing import MAX_WATCHED_NAMES, RequestObserver, SlowHandlerLog
from shared.runtime.settings import CommonSettings


class Lines:
    """Stands where a LineWriter would."""

    def __init__(self):
        self.lines = []

    def render_later(self, render, values):
        line = render([values])
        self.lines.append(line)


def observe(*replies, **settings):
    lines, metrics = Lines(), MetricsRegistry()
    observer = RequestObserver("x", dataclasses.replace(CommonSettings(), **settings), metrics, lines)
    for target, status in replies:
        observer.record(Request("GET", target), status, 2, 0.001)
    return lines.lines, metrics.render()


def test_each_reply_is_counted_and_logged():
    lines, metrics = observe(("/a", 200), ("/b", 404))
    assert [line.split("target=")[1].split()[0] for line in lines] == ["/a", "/b"]
    assert 'weaprous_http_requests_total{method="GET",status="4xx"} 1' in metrics


def test_the_access_log_can_be_off_and_replies_are_still_counted():
    lines, metrics = observe(("/a", 200), access_log=False)
    assert lines == []
    assert 'weaprous_http_requests_total{method="GET",status="2xx"} 1' in metrics


@pytest.mark.parametrize(("level", "count"), [("info", 1), ("debug", 2)])
def test_good_answers_to_probes_are_logged_only_at_debug_and_bad_ones_always(level, count):
    lines, metrics = observe(("/healthz", 200), ("/healthz", 503), log_level=level)
    assert len(lines) == count
    assert 'status="2xx"} 1' in metrics


def test_a_slow_handler_is_named_at_most_once_in_ten_seconds(caplog):
    now_s = [0.0]
    metrics = MetricsRegistry()
    log = SlowHandlerLog(logging.getLogger("weaprous.test"), metrics, lambda: now_s[0])
    for _ in range(3):
        log("handle_slowly", 0.1234)
    log("handle_other", 0.06)
    now_s[0] = 10.0
    log("handle_slowly", 0.2)
    seen = [
        (record.handler, record.held_ms, getattr(record, "more_since_last_warning", 0)) for record in caplog.records
    ]
    assert seen == [("handle_slowly", 123.4, 0), ("handle_other", 60.0, 0), ("handle_slowly", 200.0, 2)]
    assert "weaprous_slow_handlers_total 5" in metrics.render()


def test_many_names_do_not_fill_the_memory():
    log = SlowHandlerLog(logging.getLogger("weaprous.test"), MetricsRegistry(), lambda: 0.0)
    for i in range(MAX_WATCHED_NAMES * 3):
        log(f"handler{i}", 0.1)
    assert len(log._next_warning_s) <= MAX_WATCHED_NAMES
