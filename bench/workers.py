"""`--workers 2` beside `--workers 1`: CPU time of a request, and who of the two gets how much."""

import time
from concurrent.futures import ThreadPoolExecutor
from functools import partial

from bench import candidates, load, table
from bench.crowd import crowd, greet_by_get
from bench.machines import Machine, fleet, process_cpu_s, socket_count
from bench.pace import FULL, Pace, measure_in_rounds

ONE, TWO = "--workers 1", "--workers 2"
PATH = "/healthz"
CONNECTIONS = 64
ARRIVALS = 400
TARGET, TARGET_SHARE = 1.25, 0.6  # the issue asks for an even split: 60 to 40 counts as one here


def run(pace: Pace = FULL) -> str:
    """The table, with the targets."""
    with fleet({ONE: candidates.ours, TWO: partial(candidates.ours, workers=2)}) as machines:
        measures = {
            name: partial(load.cpu_us_per_request, machine, PATH, pace.duration_s, connections=CONNECTIONS)
            for name, machine in machines.items()
        }
        costs = measure_in_rounds(measures, pace.rounds)
        under_load = [_split_under_load(machines[TWO], pace) for _ in range(pace.rounds)]
        arrivals = [_split_of_arrivals(machines[TWO]) for _ in range(pace.rounds)]
    shares = {
        "CPU time": max(cpu for cpu, _ in under_load),
        f"{CONNECTIONS} connections at once": max(burst for _, burst in under_load),
        f"{ARRIVALS} one by one": max(arrivals),
    }
    columns = ["backend", "CPU µs per request", "÷ one", *shares]
    rows = [
        [ONE, f"{costs[ONE]:.1f}", "1.00", "", "", ""],
        [TWO, f"{costs[TWO]:.1f}", f"{costs.ratio(TWO, ONE):.2f}", *(f"{share:.0%}" for share in shares.values())],
    ]
    notes = [table.judge("a request with two workers beside one", costs.ratio(TWO, ONE), TARGET)]
    for what, share in shares.items():
        notes.append(table.judge(f"the busier one's share, {what}", share, TARGET_SHARE, "of all"))
    title = f"Workers, median of {pace.rounds}; the last three: the busier one's share in the worst round"
    return table.render(title, columns, rows, notes)


def _split_under_load(machine: Machine, pace: Pace) -> tuple[float, float]:
    """The busier worker's share under load: of CPU time, and of the connections, which came all at once."""
    workers = machine.pids[1:]
    before_s, idle = [process_cpu_s(pid) for pid in workers], [socket_count(pid) for pid in workers]
    with ThreadPoolExecutor(1) as executor:
        driving = executor.submit(load.drive, machine.url(PATH), pace.duration_s, connections=CONNECTIONS)
        time.sleep(pace.duration_s / 2)
        connections = [float(socket_count(pid) - was) for pid, was in zip(workers, idle)]
        driving.result()
    cpu_s = [process_cpu_s(pid) - was for pid, was in zip(workers, before_s)]
    time.sleep(0.2)  # until they have noticed that the clients are gone
    return _share(cpu_s), _share(connections)


def _split_of_arrivals(machine: Machine) -> float:
    """The busier worker's share of connections when clients come one by one, while nobody else is served."""
    workers = machine.pids[1:]
    idle = [socket_count(pid) for pid in workers]
    with crowd(machine.port, ARRIVALS, greet_by_get(PATH)):
        share = _share([float(socket_count(pid) - was) for pid, was in zip(workers, idle)])
    time.sleep(0.2)
    return share


def _share(split: list[float]) -> float:
    return max(split) / sum(split)
