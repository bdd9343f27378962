"""What a reverse proxy costs: ours beside nginx and HAProxy, in front of one nginx that keeps connections open.

Small replies twice: the same request and reply again and again, as wrk has it and as others measure, so the targets
are for that; and *all new*, where no two requests have the same target and no two replies the same head, as with most
applications: a proxy that remembers those gains nothing by it.
"""

from functools import partial

from bench import candidates, load, site, table
from bench.machines import fleet, free_port, running
from bench.pace import FULL, Pace, measure_in_rounds

OURS, NGINX, HAPROXY = "weaprous proxy", "nginx, keepalive 64", "HAProxy, 1 thread"
BARE, BROWSER = "13 B, bare", "13 B, browser"
NEW_BARE, NEW_BROWSER = "bare, all new", "browser, all new"
MEDIUM, LARGE = "64 KiB", "100 MiB, s/GB"
TARGETS = {BARE: 2.2, BROWSER: 2.2, NEW_BARE: None, NEW_BROWSER: None, MEDIUM: 1.5, LARGE: 0.5}


def run(pace: Pace = FULL) -> str:
    """The table, with the targets."""
    origin = free_port()
    commands = {
        OURS: partial(candidates.our_proxy, origin=origin),
        NGINX: partial(candidates.nginx_proxy, origin=origin),
        HAPROXY: partial(candidates.haproxy, origin=origin),
    }
    cost = partial(load.cpu_us_per_request, duration_s=pace.duration_s)
    new_bare, new_browser = load.fresh_requests(load.BARE_HEAD), load.fresh_requests(load.BROWSER_HEAD)
    with running(candidates.nginx(origin, site.folder()), origin), fleet(commands) as machines:
        measures = {}
        for kind in TARGETS:
            for name, machine in machines.items():
                measures[name, kind] = {
                    BARE: partial(cost, machine, "/hello"),
                    BROWSER: partial(cost, machine, "/hello", head=load.BROWSER_HEAD),
                    NEW_BARE: partial(cost, machine, "/fresh/", script=new_bare),
                    NEW_BROWSER: partial(cost, machine, "/fresh/", script=new_browser),
                    MEDIUM: partial(cost, machine, "/64k.bin"),
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
        if bound is not None:
            notes.append(table.judge(f"{kind}, beside nginx", costs.ratio((OURS, kind), (NGINX, kind)), bound))
    title = f"Reverse proxy: CPU µs per request (100 MiB: s/GB) of the proxy alone, median of {pace.rounds}"
    return table.render(title, columns, rows, notes)
