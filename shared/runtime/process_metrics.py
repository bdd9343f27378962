"""What a process says of itself, under the names every Prometheus client uses (`process_cpu_seconds_total`, …).

From /proc where there is one; elsewhere from `resource`, which knows the highest memory use instead of today's.
"""

import os
import resource
import sys
import time

from shared.runtime.metrics import MetricsRegistry
from shared.runtime.version import VERSION

_IMPORTED_AT_S = time.time()


def add_process_metrics(registry: MetricsRegistry, service: str) -> None:
    """The registry renders build, processor time, memory, open files and start time of this process."""
    python = ".".join(map(str, sys.version_info[:3]))
    info = registry.gauge("weaprous_build_info", "Which program this is; always 1.", ("service", "version", "python"))
    info.labels(service, VERSION, python).set(1)
    cpu = registry.counter("process_cpu_seconds_total", "User and system processor time, seconds.").labels()

    def refresh_cpu() -> None:
        times = os.times()
        cpu.value = times.user + times.system

    registry.before_render(refresh_cpu)
    registry.gauge("process_resident_memory_bytes", "Resident memory, bytes.", ask=resident_memory_bytes)
    registry.gauge("process_open_fds", "Open file descriptors.", ask=count_open_fds)
    registry.gauge(
        "process_max_fds",
        "File descriptors that may be open.",
        ask=lambda: resource.getrlimit(resource.RLIMIT_NOFILE)[0],
    )
    registry.gauge("process_start_time_seconds", "Start of the process, Unix time.").set(start_time_s())


def resident_memory_bytes() -> int:
    """Resident memory now; where there is no /proc, the most there was."""
    try:
        with open("/proc/self/statm", "rb") as statm:
            return int(statm.read().split()[1]) * resource.getpagesize()
    except OSError:
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        return peak if sys.platform == "darwin" else peak * 1024  # bytes on macOS, KiB elsewhere


def count_open_fds() -> int:
    """How many descriptors are open; -1 where the system does not tell."""
    for folder in ("/proc/self/fd", "/dev/fd"):
        try:
            return len(os.listdir(folder)) - 1  # without the one that listing takes
        except OSError:
            continue
    return -1


def start_time_s() -> float:
    """When the process started, Unix time; where there is no /proc, when this module was imported."""
    try:
        with open("/proc/self/stat", "rb") as stat:
            # proc(5): field 22, in clock ticks since boot; the name in field 2 may hold spaces and parentheses.
            ticks = int(stat.read().rpartition(b")")[2].split()[19])
        with open("/proc/stat", "rb") as system:
            boot_s = next(int(line.split()[1]) for line in system if line.startswith(b"btime "))
    except (OSError, StopIteration, ValueError):
        return round(_IMPORTED_AT_S, 2)
    return boot_s + ticks / os.sysconf("SC_CLK_TCK")
