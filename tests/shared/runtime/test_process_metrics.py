"""What a process says of itself."""

import os
import re
import time

from shared.runtime.metrics import MetricsRegistry
from shared.runtime.process_metrics import add_process_metrics, count_open_fds, resident_memory_bytes, start_time_s
from shared.runtime.version import VERSION


def test_the_usual_names_are_there_with_sensible_values():
    registry = MetricsRegistry()
    add_process_metrics(registry, "tracker")
    text = registry.render()
    values = {name: float(value) for name, value in re.findall(r"^(\w+) (\S+)$", text, re.MULTILINE)}
    assert f'weaprous_build_info{{service="tracker",version="{VERSION}",python="' in text
    assert values["process_cpu_seconds_total"] > 0
    assert values["process_resident_memory_bytes"] > 1_000_000
    assert values["process_open_fds"] >= 3
    assert values["process_max_fds"] > 0
    assert time.time() - 86_400 < values["process_start_time_seconds"] <= time.time() + 1


def test_processor_time_is_measured_at_each_rendering():
    registry = MetricsRegistry()
    add_process_metrics(registry, "tracker")

    def cpu_s():
        return float(re.search(r"^process_cpu_seconds_total (\S+)$", registry.render(), re.MULTILINE)[1])

    before = cpu_s()
    while sum(os.times()[:2]) < before + 0.02:
        sum(range(1000))
    assert cpu_s() > before


def test_an_opened_file_is_counted(tmp_path):
    before = count_open_fds()
    with (tmp_path / "x").open("w"):
        assert count_open_fds() == before + 1


def test_memory_and_start_are_known():
    assert resident_memory_bytes() > 1_000_000
    assert start_time_s() > 1_000_000_000
