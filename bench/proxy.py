"""What a reverse proxy costs: ours beside nginx and HAProxy, in front of one nginx that keeps connections open.

No two requests for a small reply have the same request-target, and no two replies the same head, as with most
applications: a proxy that remembers those gains nothing by it. Beside them the same request again and again.
"""

from functools import partial

from bench import candidates, load, site, table
from bench.machines import fleet, free_port, running
from bench.pace import FULL, Pace, measure_in_rounds

OURS, NGINX, HAPROXY = "weaprous proxy", "nginx, keepalive 64", "HAProxy, 1 thread"
BARE, BROWSER, SAME = "13 B, bare", "13 B, browser", "13 B, the same"
MEDIUM, LARGE = "64 KiB", "100 MiB, s/GB"
TARGETS = {BARE: 2.2, BROWSER: 2.2, SAME: 2.2, MEDIUM: 1.5, LARGE: 0.5}


def run(pace: Pace = FULL) -> str:
    """The table, with the targets."""
    origin = free_port()
    commands = {
        OURS: partial(candidates.our_proxy, origin=origin),
        NGINX: partial(candidates.nginx_proxy, origin=origin),
        HAPROXY: partial(candidates.haproxy, origin=origin),
    }
    small = partial(load.cpu_us_per_request, path="/fresh/", duration_s=pace.duration_s)
    scripts = {
        BARE: load.fresh_requests(load.BARE_HEAD),
        BROWSER: load.fresh_requests(load.BROWSER_HEAD),
    }
    with running(candidates.nginx(origin, site.folder()), origin), fleet(commands) as machines:
        measures = {}
        for kind in TARGETS:
            for name, machine in machines.items():
                measures[name, kind] = {
                    BARE: partial(small, machine, script=scripts[BARE]),
                    BROWSER: partial(small, machine, script=scripts[BROWSER]),
                    SAME: partial(load.cpu_us_per_request, machine, "/hello", pace.duration_s),
                    MEDIUM: partial(load.cpu_us_per_request, machine, "/64k.bin", pace.duration_s),
                    LARGE: partial(load.cpu_s_per_gb, machine, "/100m.bin", pace.downloads),
                }[kind]
        costs = measure_in_rounds(measures, pace.rounds)
    columns, rows = ["proxy"], [[name] for name in commands]
    notes = []
    for kind, bound in TARGETS.items():
        columns += [kind, "÷ nginx"]
        for row in rows:
            key = row[0], kind
            row += [f"{costs[key]:.3g}", f"{costs.ratio(key, (NGINX, kind)):.2f}"]
        notes.append(table.judge(f"{kind}, beside nginx", costs.ratio((OURS, kind), (NGINX, kind)), bound))
    title = f"Reverse proxy: CPU µs per request (100 MiB: s/GB) of the proxy alone, median of {pace.rounds}"
    return table.render(title, columns, rows, notes)
