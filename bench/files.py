"""What files cost: ours (`shared/httpcore/static` in the backend) beside nginx with sendfile.

`FLOOR` is what is left of the cost in Python when nothing is parsed, checked, counted or logged.
"""

from functools import partial

from bench import candidates, load, site, table
from bench.machines import Command, fleet
from bench.pace import FULL, Pace, measure_in_rounds

OURS, NGINX, FLOOR = "weaprous backend", "nginx, sendfile", "bare epoll loop in Python, sendfile"
LARGE, MEDIUM = "100 MiB, CPU s/GB", "64 KiB, CPU µs per request"
TARGETS = {LARGE: 1.0, MEDIUM: 1.5}


def run(pace: Pace = FULL) -> str:
    """The table, with the targets."""
    root = site.folder()
    commands: dict[str, Command] = {
        OURS: partial(candidates.ours, web_dir=root),
        NGINX: partial(candidates.nginx, root=root),
        FLOOR: lambda port: candidates.app("bare_epoll", port, str(root)),
    }
    with fleet(commands) as machines:
        measures = {}
        for name, machine in machines.items():
            measures[name, LARGE] = partial(load.cpu_s_per_gb, machine, "/100m.bin", pace.downloads)
            measures[name, MEDIUM] = partial(load.cpu_us_per_request, machine, "/64k.bin", pace.duration_s)
        costs = measure_in_rounds(measures, pace.rounds)
    columns, rows = ["server"], [[name] for name in commands]
    notes = []
    for kind, bound in TARGETS.items():
        columns += [kind, "÷ nginx"]
        for row in rows:
            key = row[0], kind
            row += [f"{costs[key]:.3g}", f"{costs.ratio(key, (NGINX, kind)):.2f}"]
        notes.append(table.judge(f"{kind}, beside nginx", costs.ratio((OURS, kind), (NGINX, kind)), bound))
    return table.render(f"Files, median of {pace.rounds}", columns, rows, notes)
