"""What it costs to find the rule of a request, by how many hosts and locations there are: `python -m bench.routing`.

Prints microseconds of CPU a decision, the best of several runs, and the ratio to the same among one; 500 hosts cost
no more than one. `--json` prints the same for machines.
"""

import argparse
import json
import time
import timeit
from collections.abc import Callable, Iterable
from itertools import cycle, islice

from bench.table import judge, render
from services.proxy.config_file import parse_config
from services.proxy.routing import Route, RouteTable

HOSTS, LOCATIONS = 500, 200
LIMIT = 1.15  # of one host: by how much a run on a shared machine swings
DECISIONS, RUNS = 5_000, 7

Question = tuple[str, str]  # a Host value and a path
Case = tuple[str, list[Question]]  # the text of a configuration, and what is asked, turn by turn


def _block(name: str, inside: str = "proxy_pass http://127.0.0.1:8000;") -> str:
    return f'host "{name}" {{ {inside} }}\n'


def one_host() -> Case:
    """What the others are held against."""
    return _block("service-000.example.com"), [("service-000.example.com", "/index.html")]


def exact_hosts() -> Case:
    """All asked in turn."""
    names = [f"service-{n:03}.example.com" for n in range(HOSTS)]
    return "".join(map(_block, names)), [(name, "/index.html") for name in names]


def one_wildcard() -> Case:
    """What `wildcard_hosts` is held against: a name is looked up once for each of its labels."""
    return _block("*.service-000.example.com"), [("www.service-000.example.com", "/index.html")]


def wildcard_hosts() -> Case:
    """Half of the names exact, half wildcards, and only these are asked."""
    exact = [f"service-{n:03}.example.com" for n in range(HOSTS // 2)]
    wildcards = [f"service-{n:03}.example.com" for n in range(HOSTS // 2, HOSTS)]
    text = "".join(map(_block, exact)) + "".join(_block(f"*.{name}") for name in wildcards)
    return text, [(f"www.{name}", "/index.html") for name in wildcards]


def few_unknown_hosts() -> Case:
    """What `unknown_hosts` is held against: a name falls to `*` after it was no wildcard's at any label."""
    text = "".join(map(_block, ("service-000.example.com", "*.example.org", "*")))
    return text, [("unknown-000.example.net", "/index.html")]


def unknown_hosts() -> Case:
    """500 exact ones and a wildcard, and nobody asks for them: all fall to `*`."""
    text = exact_hosts()[0] + _block("*.example.org") + _block("*")
    return text, [(f"unknown-{n:03}.example.net", "/index.html") for n in range(HOSTS)]


def one_location() -> Case:
    """What `many_locations` is held against."""
    inside = "location /api/v0/collect000/sub/ { proxy_pass http://127.0.0.1:8000; }"
    return _block("service-000.example.com", inside), [("service-000.example.com", "/api/v0/collect000/sub/item/7")]


def many_locations() -> Case:
    """Of 18 lengths, as paths of an API have them, in one host; all asked in turn."""
    paths = [f"/api/v{n % 9}/{'collection'[: 2 + n % 8]}{n:0{3 + n % 3}}/{'sub/' * (n % 4)}" for n in range(LOCATIONS)]
    inside = "".join(f"location {path} {{ proxy_pass http://127.0.0.1:8000; }} " for path in paths)
    return _block("service-000.example.com", inside), [("service-000.example.com", path + "item/7") for path in paths]


SCENARIOS: dict[str, tuple[Callable[[], Case], Callable[[], Case]]] = {
    "1 host": (one_host, one_host),
    f"{HOSTS} hosts": (exact_hosts, one_host),
    "1 wildcard": (one_wildcard, one_wildcard),
    f"{HOSTS} hosts, half of them wildcards": (wildcard_hosts, one_wildcard),
    "1 host, and a name that falls to *": (few_unknown_hosts, few_unknown_hosts),
    f"{HOSTS} hosts, and names that fall to *": (unknown_hosts, few_unknown_hosts),
    "1 location": (one_location, one_location),
    f"{LOCATIONS} locations in one host": (many_locations, one_location),
}
JUDGED = tuple(name for name in SCENARIOS if name.startswith(f"{HOSTS} "))


def microseconds(cases: Iterable[Case]) -> list[float]:
    """CPU time of one decision in each, taken in turns so that what else the machine does falls on all of them."""
    askers = [_asker(case) for case in cases]
    best = [float("inf")] * len(askers)
    for _ in range(RUNS):
        for place, ask in enumerate(askers):
            best[place] = min(best[place], timeit.timeit(ask, timer=time.process_time, number=1))
    return [seconds / DECISIONS * 1e6 for seconds in best]


def _asker(case: Case) -> Callable[[], None]:
    text, questions = case
    find = RouteTable(parse_config(text)).find
    asked = list(islice(cycle(questions), DECISIONS))
    for host, path in questions:
        decision = find(host, path)
        if not isinstance(decision, Route):
            raise AssertionError(f"{host}{path}: no rule")

    def ask() -> None:
        for host, path in asked:
            find(host, path)

    return ask


def main() -> int:
    """Prints the table; the exit status is 1 when 500 hosts cost more than one."""
    parser = argparse.ArgumentParser(description="the cost of finding a rule")
    parser.add_argument("--json", action="store_true", help="print JSON instead of a table")
    arguments = parser.parse_args()
    figures = {}
    for name, (make, make_base) in SCENARIOS.items():
        cost, base = microseconds([make(), make_base()])
        figures[name] = {"us": cost, "ratio": cost / base}
    if arguments.json:
        print(json.dumps(figures))
    else:
        rows = [[name, f"{each['us']:.2f}", f"{each['ratio']:.2f}"] for name, each in figures.items()]
        notes = [judge(name, figures[name]["ratio"], LIMIT) for name in JUDGED]
        print(render("Finding the rule of a request", ["among", "CPU µs", "÷ one"], rows, notes), end="")
    return int(any(figures[name]["ratio"] > LIMIT for name in JUDGED))


if __name__ == "__main__":
    raise SystemExit(main())
