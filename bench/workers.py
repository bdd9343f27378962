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
FEW = 4  # that last, as those of a proxy's pool or WebSockets
NOTICE_S = 0.2  # until the workers have noticed what their clients did
REQUESTS = 200  # on each of the connections whose CPU time is compared
TARGET, TARGET_SHARE = 1.25, 0.55  # the issue asks for an even split: 55 to 45 counts as one here


def run(pace: Pace = FULL) -> str:
    """The table, with the targets."""
    with fleet({ONE: candidates.ours, TWO: partial(candidates.ours, workers=2)}) as machines:
        measures = {
            name: partial(load.cpu_us_per_request, machine, PATH, pace.duration_s, connections=CONNECTIONS)
            for name, machine in machines.items()
        }
        costs = measure_in_rounds(measures, pace.rounds)
        splits = {
            f"{CONNECTIONS} connections at once": partial(_split_of_burst, duration_s=pace.duration_s),
            f"{ARRIVALS} one by one": partial(_split_of_arrivals, count=ARRIVALS),
            f"{FEW} one by one": partial(_split_of_arrivals, count=FEW),
        }
        shares = {what: max(split(machines[TWO]) for _ in range(pace.rounds)) for what, split in splits.items()}
        shares = {"CPU time": _split_of_work(machines[TWO], pace.rounds), **shares}
    columns = ["backend", "CPU µs per request", "÷ one", *shares]
    rows = [
        [ONE, f"{costs[ONE]:.1f}", "1.00", *("" for _ in shares)],
        [TWO, f"{costs[TWO]:.1f}", f"{costs.ratio(TWO, ONE):.2f}", *(f"{share:.0%}" for share in shares.values())],
    ]
    notes = [table.judge("a request with two workers beside one", costs.ratio(TWO, ONE), TARGET)]
    for what, share in shares.items():
        notes.append(table.judge(f"the busier one's share, {what}", share, TARGET_SHARE, "of all"))
    title = f"Workers, median of {pace.rounds}; then the busier one's share: of CPU time, of connections (worst round)"
    return table.render(title, columns, rows, notes)


def _split_of_work(machine: Machine, rounds: int) -> float:
    """The busier worker's share of the CPU time for connections that all ask equally often, over all rounds.

    In one round, and under full load, it is the system that makes one busier: a worker on the client's processor gets
    less of it, and more requests in a turn.
    """
    workers = machine.pids[1:]
    request = f"GET {PATH} HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n".encode()
    used_s = [0.0 for _ in workers]
    for _ in range(rounds):
        with crowd(machine.port, CONNECTIONS, greet_by_get(PATH)) as sockets:
            before_s = [process_cpu_s(pid) for pid in workers]
            for _ in range(REQUESTS):
                for sock in sockets:
                    sock.sendall(request)
                for sock in sockets:
                    load.read_head(sock)
            used_s = [used + process_cpu_s(pid) - was for used, pid, was in zip(used_s, workers, before_s)]
        time.sleep(NOTICE_S)
    return max(used_s) / sum(used_s)


def _split_of_burst(machine: Machine, duration_s: int) -> float:
    """The busier worker's share of connections that come all at once, under load."""
    idle = _idle_sockets(machine)
    with ThreadPoolExecutor(1) as executor:
        driving = executor.submit(load.drive, machine.url(PATH), duration_s, connections=CONNECTIONS)
        time.sleep(duration_s / 2)
        share = _share_of_connections(machine, idle, CONNECTIONS)
        driving.result()
    return share


def _split_of_arrivals(machine: Machine, count: int) -> float:
    """The busier worker's share of connections when clients come one by one, while nobody else is served."""
    idle = _idle_sockets(machine)
    with crowd(machine.port, count, greet_by_get(PATH)):
        time.sleep(NOTICE_S)  # a worker may have a socket open still that it has given away
        return _share_of_connections(machine, idle, count)


def _idle_sockets(machine: Machine) -> list[int]:
    """How many sockets each worker has without connections, those of earlier clients."""
    time.sleep(NOTICE_S)
    return [socket_count(pid) for pid in machine.pids[1:]]


def _share_of_connections(machine: Machine, idle: list[int], expected: int) -> float:
    """The busier worker's. RuntimeError when they don't have what was opened: the share would mean nothing."""
    connections = [socket_count(pid) - was for pid, was in zip(machine.pids[1:], idle)]
    if sum(connections) != expected:
        raise RuntimeError(f"the workers have {connections} connections, expected {expected}")
    return max(connections) / expected
