"""CPU time of a keep-alive GET of a small body: ours beside granian, uvicorn and nginx, bare and browser's head."""

from functools import partial

from bench import candidates, load, site, table
from bench.machines import Command, fleet
from bench.pace import FULL, Figures, Pace, measure_in_rounds

HEALTH, FILE, FILE_LOGGED = "weaprous /healthz", "weaprous 13-byte file", "weaprous file, access log on"
GRANIAN, UVICORN, NGINX = "granian", "uvicorn, uvloop, httptools", "nginx return 200"
# /healthz is a handler with a small text, like the others' application. Its good answers are never logged, so that
# the access log is measured on a file, with and without.
PATHS = {HEALTH: "/healthz", FILE: "/hello.txt", FILE_LOGGED: "/hello.txt", GRANIAN: "/", UVICORN: "/", NGINX: "/hello"}
TARGETS = ((GRANIAN, 0.6), (UVICORN, 0.5))
LOG_TARGET = 1.15


def run(pace: Pace = FULL) -> str:
    """The table, with the targets."""
    commands: dict[str, Command] = {
        HEALTH: candidates.ours,
        FILE: partial(candidates.ours, web_dir=site.folder()),
        FILE_LOGGED: partial(candidates.ours, web_dir=site.folder(), access_log="on"),
        GRANIAN: candidates.granian,
        UVICORN: candidates.uvicorn,
        NGINX: candidates.nginx,
    }
    with fleet(commands) as machines:
        measures = {
            (name, head): partial(load.cpu_us_per_request, machines[name], PATHS[name], pace.duration_s, fields)
            for head, fields in load.HEADS.items()
            for name in commands
        }
        costs = measure_in_rounds(measures, pace.rounds)
    columns, rows = ["server"], [[name] for name in commands]
    for head in load.HEADS:
        columns += [head, "÷ granian", "÷ uvicorn"]
        for row in rows:
            key = row[0], head
            row += [f"{costs[key]:.1f}", *(f"{costs.ratio(key, (other, head)):.2f}" for other, _ in TARGETS)]
    title = f"GET of a small body, keep-alive: CPU µs per request, median of {pace.rounds}"
    return table.render(title, columns, rows, _judge(costs))


def _judge(costs: Figures[tuple[str, str]]) -> list[str]:
    notes = []
    for head in load.HEADS:
        for other, bound in TARGETS:
            notes.append(table.judge(f"{head}, beside {other}", costs.ratio((HEALTH, head), (other, head)), bound))
        ratio = costs.ratio((FILE_LOGGED, head), (FILE, head))
        notes.append(table.judge(f"{head}, file, access log on beside off", ratio, LOG_TARGET))
        line_us = (ratio - 1) * costs[FILE, head]
        on_health = 1 + line_us / costs[HEALTH, head]
        notes.append(table.judge(f"{head}, the same {line_us:.1f} µs on top of /healthz", on_health, LOG_TARGET))
    return notes
