"""What WebSockets cost: memory of an idle one, and CPU time of a message to many; beside the `websockets` library."""

import json
import time
from contextlib import ExitStack
from functools import partial

from bench import candidates, table
from bench.crowd import crowd, raise_descriptor_limit
from bench.listeners import Listeners, greet_by_echo, open_websocket
from bench.machines import Machine, fleet
from bench.pace import FULL, Pace, measure_in_rounds

OURS, DEFLATE, PLAIN = "weaprous", "websockets", "websockets, no compression"
SETTLE_S = 1.5
WARM_UP = 50
TARGET_KIB = 8.0
# What a chat sends: about 400 bytes, worth compressing.
WORDS = "The quick brown fox jumps over the lazy dog, and then it sits down to think about what it has done. "
MESSAGE = json.dumps({"type": "message", "message": {"id": "p1:42", "channel": "general", "content": WORDS * 3}})


def run(pace: Pace = FULL) -> str:
    """The table, with the targets."""
    raise_descriptor_limit(max(pace.idle_websockets, 3 * pace.receivers))
    library = {
        DEFLATE: lambda port: candidates.app("websockets_server", port, "deflate"),
        PLAIN: lambda port: candidates.app("websockets_server", port, "plain"),
    }
    with fleet({OURS: candidates.ours, **library}) as machines:
        memory_kib = {name: idle_kib(machine, pace) for name, machine in machines.items()}
    with fleet({OURS: partial(candidates.app, "broadcast"), **library}) as machines, ExitStack() as stack:
        measures = {name: _broadcasting(machine, pace, stack) for name, machine in machines.items()}
        costs = measure_in_rounds(measures, pace.rounds)
    rows = [
        [name, f"{memory_kib[name]:.1f}", f"{costs[name]:.2f}", f"{costs.ratio(name, OURS):.2f}"] for name in machines
    ]
    columns = ["server", f"KiB each, {pace.idle_websockets} idle", "CPU µs per delivery", "÷ ours"]
    title = (
        f"WebSockets: memory (PSS) after one echo each; a message of {len(MESSAGE)} bytes to {pace.receivers},"
        f" median of {pace.rounds}"
    )
    notes = [table.judge("an idle WebSocket of ours", memory_kib[OURS], TARGET_KIB, "KiB")]
    return table.render(title, columns, rows, notes)


def idle_kib(machine: Machine, pace: Pace) -> float:
    """KiB that each open WebSocket adds."""
    with crowd(machine.port, WARM_UP, greet_by_echo):
        pass
    before_kib = machine.memory_kib()
    with crowd(machine.port, pace.idle_websockets, greet_by_echo) as sockets:
        if len(sockets) < pace.idle_websockets:
            raise RuntimeError(f"only {len(sockets)} of {pace.idle_websockets} WebSockets were opened")
        time.sleep(SETTLE_S)
        return (machine.memory_kib() - before_kib) / len(sockets)


def _broadcasting(machine: Machine, pace: Pace, stack: ExitStack) -> "partial[float]":
    """The receivers are there until the stack ends; calling this is one round."""
    sockets = stack.enter_context(crowd(machine.port, pace.receivers, partial(open_websocket, path="/broadcast")))
    listeners = Listeners(sockets)
    stack.callback(listeners.close)
    return partial(cpu_us_per_delivery, machine, listeners, pace.broadcasts)


def cpu_us_per_delivery(machine: Machine, listeners: Listeners, broadcasts: int) -> float:
    """User and system microseconds of the server for one receiver's copy of a message."""
    before_s = machine.cpu_s()
    delivered = sum(listeners.broadcast(MESSAGE.encode()) for _ in range(broadcasts))
    return (machine.cpu_s() - before_s) / delivered * 1e6
