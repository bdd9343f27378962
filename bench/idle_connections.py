"""What idle keep-alive connections cost: memory of each, and what they add to an active client's request."""

import time
from dataclasses import dataclass
from functools import partial
from statistics import median

from bench import candidates, load, table
from bench.crowd import crowd, greet_by_get, raise_descriptor_limit
from bench.machines import Command, Machine, fleet
from bench.pace import FULL, Pace

OURS = "weaprous backend"
GRANIAN_BACKLOG = 16_384  # by default it would take 1,024 connections
ACTIVE_CONNECTIONS = 32
SETTLE_S = 2.5  # long enough for a sweep over the connections
TARGET_KIB, TARGET_SLOWDOWN = 4.0, 1.1


@dataclass(slots=True)
class Cost:
    """What was found of one server: per round, CPU µs per request alone and with the crowd."""

    count: int
    kib: float
    alone: list[float]
    crowded: list[float]

    @property
    def slowdown(self) -> float:
        """The crowd's part: the median of the rounds' ratios."""
        return median(with_others / alone for alone, with_others in zip(self.alone, self.crowded))


def run(pace: Pace = FULL) -> str:
    """The table, with the targets."""
    raise_descriptor_limit(pace.idle_connections)
    commands: dict[str, Command] = {
        OURS: candidates.ours,
        "uvicorn, uvloop, httptools": candidates.uvicorn,
        "granian": partial(candidates.granian, backlog=GRANIAN_BACKLOG),
        "nginx return 200": candidates.nginx,
    }
    paths = dict(zip(commands, ("/healthz", "/", "/", "/hello")))
    with fleet(commands) as machines:
        costs = {name: measure(machine, paths[name], pace) for name, machine in machines.items()}
        for _ in range(pace.rounds - 1):
            for name, machine in machines.items():
                measure_again(machine, paths[name], pace, costs[name])
    columns = ["server", "open", "KiB each", "µs, alone", "µs, with them", "ratio"]
    rows = [_show(name, cost) for name, cost in costs.items()]
    notes = [
        f"{name} took {cost.count} of {pace.idle_connections} connections"
        for name, cost in costs.items()
        if cost.count < pace.idle_connections
    ]
    notes.append(table.judge("an idle connection of ours", costs[OURS].kib, TARGET_KIB, "KiB"))
    notes.append(table.judge("an active client of ours beside them", costs[OURS].slowdown, TARGET_SLOWDOWN))
    title = f"{pace.idle_connections} idle keep-alive connections: memory (PSS), and CPU µs per request of active ones"
    return table.render(title, columns, rows, notes)


def _show(name: str, cost: Cost) -> list[str]:
    alone, crowded = median(cost.alone), median(cost.crowded)
    return [name, f"{cost.count}", f"{cost.kib:.1f}", f"{alone:.1f}", f"{crowded:.1f}", f"{cost.slowdown:.2f}"]


def measure(machine: Machine, path: str, pace: Pace) -> Cost:
    """The first round: the only one that sees memory grow, for freed memory stays with the process."""
    alone = _active(machine, path, pace)
    before_kib = machine.memory_kib()
    with crowd(machine.port, pace.idle_connections, greet_by_get(path)) as sockets:
        time.sleep(SETTLE_S)
        grown_kib = machine.memory_kib() - before_kib
        return Cost(len(sockets), grown_kib / len(sockets), [alone], [_active(machine, path, pace)])


def measure_again(machine: Machine, path: str, pace: Pace, cost: Cost) -> None:
    """One more round of CPU time."""
    cost.alone.append(_active(machine, path, pace))
    with crowd(machine.port, cost.count, greet_by_get(path)):
        cost.crowded.append(_active(machine, path, pace))


def _active(machine: Machine, path: str, pace: Pace) -> float:
    return load.cpu_us_per_request(machine, path, pace.duration_s, connections=ACTIVE_CONNECTIONS)
