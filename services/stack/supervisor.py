"""Runs the plans: starts them stage by stage, passes their lines on, restarts who dies, ends all.

Owns the loop and the state of each child. Does not own how a process is made (`launcher`), how long to wait before a
restart (`restarts`), nor what a line looks like (`output`). One thread, one selector, and no wake-up without a cause:
health is asked only until everything is up.
"""

import os
import selectors
import signal
import socket
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from enum import Enum, auto

from services.stack.health import is_healthy
from services.stack.launcher import Launcher, RunningProcess
from services.stack.output import LineCutter
from services.stack.plan import ProcessPlan
from services.stack.restarts import BackOff, describe_end

START_LIMIT_S = 60.0
_TICK_S = 0.05  # between two rounds of health questions while starting
_KILL_AFTER_DRAIN_S = 3.0  # a service that drains in time has ended by then
_READ_BYTES = 64 * 1024
_STOP_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
_BAD_SETTINGS = 2  # the exit status for what a restart can't mend


class Phase(Enum):
    """Where the whole stack is; it only ever moves down this list."""

    STARTING = auto()
    RUNNING = auto()
    STOPPING = auto()


@dataclass(slots=True)
class Child:
    """One plan and the process that carries it out at the moment, if any."""

    plan: ProcessPlan
    process: RunningProcess | None = None
    started_at: float = 0.0
    restart_at: float | None = None  # None: not waiting for a restart
    was_healthy: bool = False
    back_off: BackOff = field(default_factory=BackOff)
    cutter: LineCutter = field(default_factory=LineCutter)


@dataclass(frozen=True, slots=True)
class Reports:
    """Where a supervisor tells what happens."""

    lines: Callable[[str, list[bytes]], None]  # what a process wrote
    event: Callable[[str], None]  # what the supervisor has to say
    pid: Callable[[str, int], None]  # a process has this pid now
    is_complete: Callable[[], bool]  # a last condition, asked when every process is healthy
    ready: Callable[[], None]  # called once, when everything is up


class Supervisor:
    """`run()` returns the exit status when every process has ended."""

    def __init__(self, plans: Sequence[ProcessPlan], launcher: Launcher, reports: Reports, drain_s: float) -> None:
        self._children = [Child(plan) for plan in plans]
        self._launcher = launcher
        self._reports = reports
        self._drain_s = drain_s
        self._phase = Phase.STARTING
        self._exit_status = 0
        self._stop_requests = 0
        self._stop_deadline: float | None = None
        self._selector = selectors.DefaultSelector()

    def request_stop(self) -> None:
        """The first time asks every process to drain, the second time ends them at once. Safe in a signal handler."""
        self._stop_requests += 1

    def run(self) -> int:
        """Start, watch and end the processes."""
        deadline = time.monotonic() + START_LIMIT_S
        with _signals_wake(self._selector, self.request_stop):
            while self._phase is not Phase.STOPPING or self._living():
                self._wait_for_events()
                now = time.monotonic()
                self._reap(now)
                self._obey_stop(now)
                self._start_due(now)
                if self._phase is Phase.STARTING:
                    self._advance_start(now, deadline)
        self._launcher.kill_all()
        return self._exit_status

    def _living(self) -> list[Child]:
        return [child for child in self._children if child.process is not None]

    def _wait_for_events(self) -> None:
        for key, _ in self._selector.select(self._timeout_s()):
            key.data()

    def _timeout_s(self) -> float | None:
        """Until the next thing that is due by the clock; None: only an event can bring work."""
        if self._phase is Phase.STARTING:
            return _TICK_S
        times = [child.restart_at for child in self._children if child.restart_at is not None]
        if self._stop_deadline is not None:
            times.append(self._stop_deadline)
        return max(0.0, min(times) - time.monotonic()) if times else None

    # Starting

    def _start_due(self, now: float) -> None:
        for child in self._children:
            if child.restart_at is not None and child.restart_at <= now:
                child.restart_at = None
                self._start(child)

    def _start(self, child: Child) -> None:
        process = self._launcher.start(child.plan)
        child.process, child.started_at = process, time.monotonic()
        self._selector.register(process.stdout, selectors.EVENT_READ, lambda: self._read(child))
        self._reports.pid(child.plan.name, process.pid)

    def _advance_start(self, now: float, deadline: float) -> None:
        """Ask who isn't healthy yet, and start the next stage when all of this one are."""
        for stage in sorted({child.plan.stage for child in self._children}):
            members = [child for child in self._children if child.plan.stage == stage]
            for child in members:
                if child.process is None and child.restart_at is None:
                    self._start(child)
                child.was_healthy = child.was_healthy or (child.process is not None and is_healthy(child.plan))
            if not all(child.was_healthy for child in members):
                break
        else:
            if self._reports.is_complete():
                self._phase = Phase.RUNNING
                self._reports.ready()
                return
        if now > deadline:
            missing = ", ".join(child.plan.name for child in self._children if not child.was_healthy)
            self._give_up(f"not healthy after {START_LIMIT_S:g} s: {missing or 'the tracker lacks some'}", 1)

    # Output and ends

    def _read(self, child: Child) -> None:
        """Pass on what the pipe holds now; at its end, forget the pipe."""
        assert child.process is not None
        try:
            data = os.read(child.process.stdout.fileno(), _READ_BYTES)
        except BlockingIOError:
            return
        if data:
            self._reports.lines(child.plan.name, child.cutter.feed(data))
        else:
            self._selector.unregister(child.process.stdout)

    def _reap(self, now: float) -> None:
        for child in self._living():
            assert child.process is not None
            status = child.process.poll()
            if status is not None:
                self._drop_process(child)
                self._after_end(child, status, now)

    def _drop_process(self, child: Child) -> None:
        """Read the last words, then let the process go."""
        assert child.process is not None
        with child.process.stdout as pipe:
            while pipe in self._selector.get_map() and select_now(pipe.fileno()):
                self._read(child)
            if pipe in self._selector.get_map():
                self._selector.unregister(pipe)
        self._reports.lines(child.plan.name, child.cutter.finish())
        child.process = None

    def _after_end(self, child: Child, status: int, now: float) -> None:
        name = child.plan.name
        if self._phase is Phase.STOPPING:
            return
        if self._phase is Phase.STARTING and status == _BAD_SETTINGS:
            self._give_up(f"{name} can't start", _BAD_SETTINGS)
            return
        delay_s = child.back_off.delay_after(now - child.started_at)
        child.restart_at = now + delay_s
        self._reports.event(f"{name} {describe_end(status)}; starting it again in {delay_s:g} s")

    def _give_up(self, why: str, exit_status: int) -> None:
        self._reports.event(f"{why}; ending the others")
        self._exit_status = exit_status
        if not self._stop_requests:  # several may fail at once; only a person asks a second time
            self.request_stop()

    # Stopping

    def _obey_stop(self, now: float) -> None:
        if self._stop_requests and self._phase is not Phase.STOPPING:
            self._phase = Phase.STOPPING
            self._stop_deadline = now + self._drain_s + _KILL_AFTER_DRAIN_S
            self._reports.event(f"ending within {self._drain_s:g} s; a second signal ends all at once")
            self._signal_all(signal.SIGTERM)
        elif self._stop_deadline is not None and (self._stop_requests > 1 or now >= self._stop_deadline):
            late = ", ".join(child.plan.name for child in self._living())
            if late:
                self._reports.event(f"killing {late}")
            self._signal_all(signal.SIGKILL)
            self._stop_deadline = None

    def _signal_all(self, number: int) -> None:
        for child in self._children:
            child.restart_at = None
            if child.process is not None:
                child.process.send_signal(number)


def select_now(fd: int) -> bool:
    """Whether a read of the descriptor would return at once."""
    with selectors.DefaultSelector() as selector:
        selector.register(fd, selectors.EVENT_READ)
        return bool(selector.select(0))


@contextmanager
def _signals_wake(selector: selectors.BaseSelector, request_stop: Callable[[], None]) -> Iterator[None]:
    """While inside: SIGINT, SIGTERM and SIGHUP call `request_stop`, and they and SIGCHLD wake the selector."""
    reader, writer = socket.socketpair()
    reader.setblocking(False)
    writer.setblocking(False)

    def empty() -> None:
        try:
            while reader.recv(4096):
                pass
        except BlockingIOError:
            pass

    selector.register(reader, selectors.EVENT_READ, empty)
    previous_fd = signal.set_wakeup_fd(writer.fileno(), warn_on_full_buffer=False)
    wanted = [number for number in _STOP_SIGNALS if not _is_ignored_hangup(number)]
    previous = {number: signal.signal(number, lambda *_: request_stop()) for number in wanted}
    previous[signal.SIGCHLD] = signal.signal(signal.SIGCHLD, lambda *_: None)
    try:
        yield
    finally:
        for number, handler in previous.items():
            signal.signal(number, handler)
        signal.set_wakeup_fd(previous_fd)
        selector.unregister(reader)
        reader.close()
        writer.close()


def _is_ignored_hangup(number: int) -> bool:
    """Started by nohup: closing the terminal is not to end the stack."""
    return number == signal.SIGHUP and signal.getsignal(number) is signal.SIG_IGN
