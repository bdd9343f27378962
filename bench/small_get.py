"""CPU time of a keep-alive GET of a small body: ours beside granian, uvicorn and nginx, bare and browser's head."""

from functools import partial

from bench import candidates, load, site, table
from bench.machines import Command, fleet
from bench.pace import FULL, Figures, Pace, measure_in_rounds

HEALTH, HEALTH_LOGGED, FILE = "weaprous /healthz", "weaprous /healthz, access log on", "weaprous 13-byte file"
GRANIAN, UVICORN, NGINX = "granian", "uvicorn, uvloop, httptools", "nginx return 200"
# /healthz is a handler with a small text, like the others' application; its good answers are logged at `debug` only.
PATHS = {
    HEALTH: "/healthz", HEALTH_LOGGED: "/healthz", FILE: "/hello.txt", GRANIAN: "/", UVICORN: "/", NGINX: "/hello",
}  # fmt: skip
TARGETS = ((GRANIAN, 0.6), (UVICORN, 0.5))
LOG_TARGET = 1.15


def run(pace: Pace = FULL) -> str:
    """The table, with the targets."""
    commands: dict[str, Command] = {
        HEALTH: candidates.ours,
        HEALTH_LOGGED: partial(candidates.ours, access_log="on", log_level="debug"),
        FILE: partial(candidates.ours, web_dir=site.folder()),
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
        ratio = costs.ratio((HEALTH_LOGGED, head), (HEALTH, head))
        notes.append(table.judge(f"{head}, access log on beside off", ratio, LOG_TARGET))
    return notes
