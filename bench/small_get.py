"""CPU time per keep-alive GET of a small body: ours beside granian, uvicorn and nginx, bare and browser's head."""

import statistics
from collections.abc import Mapping
from contextlib import ExitStack

from bench import candidates, load, table
from bench.machines import Machine, free_port, running

DURATION_S = 2.0
ROUNDS = 3
HEADS: Mapping[str, Mapping[str, str]] = {"bare head": load.BARE_HEAD, "browser head": load.BROWSER_HEAD}
BASE = "granian"


def cpu_us_per_request(machine: Machine, path: str, head: Mapping[str, str]) -> float:
    """User and system microseconds of the server for one request."""
    before = machine.cpu_s()
    answered = load.drive(f"http://127.0.0.1:{machine.port}{path}", DURATION_S, head)
    return (machine.cpu_s() - before) / answered * 1e6


def run() -> str:
    """The table. Every round visits all servers, so that a busy neighbour troubles all alike."""
    commands = {
        "weaprous backend": (candidates.ours, "/healthz"),
        "weaprous, access log on": (lambda port: candidates.ours(port, "--access-log", "on"), "/healthz"),
        "granian": (candidates.granian, "/"),
        "uvicorn, uvloop, httptools": (candidates.uvicorn, "/"),
        "nginx return 200": (candidates.nginx, "/hello"),
    }
    figures: dict[tuple[str, str], list[float]] = {}
    with ExitStack() as stack:
        machines = {}
        for name, (command, path) in commands.items():
            port = free_port()
            machines[name] = stack.enter_context(running(command(port), port)), path
        for _ in range(ROUNDS):
            for head_name, head in HEADS.items():
                for name, (machine, path) in machines.items():
                    figures.setdefault((name, head_name), []).append(cpu_us_per_request(machine, path, head))
    medians = {key: statistics.median(values) for key, values in figures.items()}
    rows = []
    for name in commands:
        row = [name]
        for head_name in HEADS:
            value, base = medians[name, head_name], medians[BASE, head_name]
            row += [f"{value:.1f}", f"{value / base:.2f}"]
        rows.append(row)
    columns = ["server", *(cell for head_name in HEADS for cell in (head_name, f"÷ {BASE}"))]
    return table.render("GET of a small body, keep-alive: CPU µs per request, median of 3", columns, rows)
