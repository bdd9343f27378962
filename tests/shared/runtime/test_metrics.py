"""The exposition format, and what the three kinds count."""

import pytest

from shared.runtime.metrics import MetricsRegistry, format_number


def test_a_counter_renders_help_type_and_value():
    registry = MetricsRegistry()
    registry.counter("x_total", "Things.").inc()
    assert registry.render() == "# HELP x_total Things.\n# TYPE x_total counter\nx_total 1\n"


def test_children_are_the_same_object_for_the_same_labels_and_render_in_order():
    registry = MetricsRegistry()
    requests = registry.counter("x_total", "Things.", ("method", "status"))
    get = requests.labels("GET", "2xx")
    get.inc()
    get.inc(2)
    requests.labels(method="POST", status="4xx").inc()
    assert requests.labels("GET", status="2xx") is get
    assert registry.render().splitlines()[2:] == [
        'x_total{method="GET",status="2xx"} 3',
        'x_total{method="POST",status="4xx"} 1',
    ]
    requests.remove("POST", "4xx")
    assert "POST" not in registry.render()


def test_a_counter_never_falls():
    with pytest.raises(ValueError, match="got -1, expected an amount >= 0"):
        MetricsRegistry().counter("x_total", "Things.").inc(-1)


def test_a_gauge_goes_up_and_down_or_is_asked():
    registry = MetricsRegistry()
    gauge = registry.gauge("x", "Level.")
    gauge.set(2)
    gauge.inc()
    gauge.dec(0.5)
    registry.gauge("y", "Asked.", ask=lambda: 7)
    lines = registry.render().splitlines()
    assert "x 2.5" in lines
    assert "y 7" in lines


def test_a_histogram_counts_all_that_is_less_or_equal():
    registry = MetricsRegistry()
    histogram = registry.histogram("x_seconds", "Times.", ("kind",), buckets=(0.1, 1))
    for value in (0.05, 0.1, 0.5, 3):
        histogram.labels("a").observe(value)
    assert registry.render().splitlines()[1:] == [
        "# TYPE x_seconds histogram",
        'x_seconds_bucket{kind="a",le="0.1"} 2',
        'x_seconds_bucket{kind="a",le="1"} 3',
        'x_seconds_bucket{kind="a",le="+Inf"} 4',
        'x_seconds_sum{kind="a"} 3.65',
        'x_seconds_count{kind="a"} 4',
    ]
    assert histogram.labels("a").count == 4


def test_a_summary_shows_the_quantiles_that_are_known():
    registry = MetricsRegistry()
    child = registry.summary("x_seconds", "Times.", ("kind",)).labels("a")
    child.quantiles = {0.5: 0.25, 0.99: None}
    child.count, child.sum = 3, 1.5
    assert registry.render().splitlines()[1:] == [
        "# TYPE x_seconds summary",
        'x_seconds{kind="a",quantile="0.5"} 0.25',
        'x_seconds_sum{kind="a"} 1.5',
        'x_seconds_count{kind="a"} 3',
    ]


def test_constant_labels_stand_on_every_sample():
    registry = MetricsRegistry({"worker": "2"})
    registry.counter("x_total", "Things.").inc()
    registry.histogram("y", "Times.", buckets=(1,)).observe(0.5)
    samples = [line for line in registry.render().splitlines() if not line.startswith("#")]
    assert all('worker="2"' in line for line in samples)
    assert 'y_bucket{worker="2",le="1"} 1' in samples


def test_help_and_label_values_are_escaped():
    registry = MetricsRegistry()
    registry.gauge("x", "a\\b\nc", ("name",)).labels('q"\\\n').set(1)
    assert registry.render() == '# HELP x a\\\\b\\nc\n# TYPE x gauge\nx{name="q\\"\\\\\\n"} 1\n'


def test_before_render_is_called_each_time():
    registry = MetricsRegistry()
    gauge = registry.gauge("x", "Level.")
    registry.before_render(gauge.inc)
    registry.render()
    assert "x 2\n" in registry.render()


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda r: r.counter("1x", "."), "expected Prometheus names"),
        (lambda r: r.counter("x", ".", ("a-b",)), "expected Prometheus names"),
        (lambda r: r.counter("x", ".", ("__name__",)), "expected Prometheus names"),
        (lambda r: (r.gauge("x", "."), r.counter("x", ".")), "there is a metric x already"),
        (lambda r: r.histogram("x", ".", buckets=(2, 1)), "expected rising bounds"),
        (lambda r: r.histogram("x", ".", buckets=()), "expected rising bounds"),
        (lambda r: r.counter("x", ".", ("a",)).labels("1", "2"), "got 2 label values"),
        (lambda r: r.counter("x", ".", ("a",)).inc(), "got 0 label values"),
    ],
)
def test_a_mistake_in_a_metric_is_told(make, message):
    with pytest.raises(ValueError, match=message):
        make(MetricsRegistry())


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0, "0"),
        (3.0, "3"),
        (0.25, "0.25"),
        (1e300, str(int(1e300))),
        (float("inf"), "+Inf"),
        (float("-inf"), "-Inf"),
        (float("nan"), "NaN"),
    ],
)
def test_numbers_are_written_as_prometheus_reads_them(value, text):
    assert format_number(value) == text
