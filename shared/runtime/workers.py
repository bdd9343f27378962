"""Several processes behind one port: started, started again when one dies, ended together (`--workers N`).

Owns the parent, which serves nothing: it forks, waits, passes signals on and collects. What a worker does is
`lifecycle.run_process`. Each worker is in a process group of its own, so that Ctrl-C reaches it once, through the
parent, and holds the end of a pipe by which it notices when the parent is gone.
"""

import os
import select
import signal
import sys
import time
import traceback
from collections.abc import Callable
from dataclasses import dataclass

from shared.runtime.hangup import is_terminal_gone, may_lose_terminal
from shared.runtime.logs import get_logger
from shared.runtime.worker_balance import WorkerBalance

FIRST_DELAY_S = 0.1
MAX_DELAY_S = 10.0
HEALTHY_AFTER_S = 10.0
EXIT_STARTUP = 2
KILL_AFTER_S = 2.0  # after the time to drain, and the second that a worker takes to end itself

_PASSED_ON = (signal.SIGTERM, signal.SIGINT)
_WATCHED = (*_PASSED_ON, signal.SIGHUP, signal.SIGCHLD)

RunChild = Callable[[int, int], int]


def restart_delay_s(deaths_in_a_row: int) -> float:
    """How long to wait before a worker is started again: twice as long after each early death."""
    return float(min(MAX_DELAY_S, FIRST_DELAY_S * 2 ** min(deaths_in_a_row - 1, 20)))


@dataclass(slots=True)
class Worker:
    """One place for a process: empty (`pid` 0) until `start_at_s`, or taken since `started_at_s` (monotonic)."""

    number: int
    pid: int = 0
    started_at_s: float = 0.0
    start_at_s: float = 0.0
    deaths_in_a_row: int = 0


class WorkerPool:
    """The parent. `run_child(number, parent_fd)` runs in each worker and returns its exit status.

    The balance hears of each death, and is closed when no worker will be started any more.
    """

    def __init__(self, name: str, count: int, run_child: RunChild, drain_s: float, balance: WorkerBalance) -> None:
        self._name = name
        self._run_child = run_child
        self._drain_s = drain_s
        self._balance = balance
        self._workers = [Worker(number) for number in range(1, count + 1)]
        self._logger = get_logger(name)
        self._wake_read, self._wake_write = os.pipe()
        self._life_read, self._life_write = os.pipe()  # nothing is ever written: its end says that the parent is gone
        self._kill_at_s: float | None = None
        self._is_stopping = False
        self._has_terminal = may_lose_terminal()
        self._status = 0

    def run(self) -> int:
        """Returns when a signal has ended all workers: 0, or 128 and its number after a second signal, or 2."""
        for fd in (self._wake_read, self._wake_write):
            os.set_blocking(fd, False)
        signal.set_wakeup_fd(self._wake_write, warn_on_full_buffer=False)
        for number in _WATCHED:
            signal.signal(number, _ignore)
        self._logger.info("starting workers", extra={"count": len(self._workers), "pid": os.getpid()})
        while not self._is_stopping or any(worker.pid for worker in self._workers):
            self._start_due()
            self._wait()
            self._reap()
            self._kill_late()
        return self._status

    # --- starting ----------------------------------------------------------------------------------------------

    def _start_due(self) -> None:
        now_s = time.monotonic()
        for worker in self._workers:
            if not self._is_stopping and not worker.pid and worker.start_at_s <= now_s:
                self._fork(worker)

    def _fork(self, worker: Worker) -> None:
        signal.pthread_sigmask(signal.SIG_BLOCK, _WATCHED)  # none may meet the child with the parent's handlers
        try:
            worker.pid = os.fork()
            if worker.pid == 0:
                self._become_worker(worker.number)
        finally:
            signal.pthread_sigmask(signal.SIG_UNBLOCK, _WATCHED)
        worker.started_at_s = time.monotonic()

    def _become_worker(self, number: int) -> None:
        """Never returns: the child must not run what its parent would do next."""
        status = 1
        try:
            signal.set_wakeup_fd(-1)
            for each in _WATCHED:
                signal.signal(each, signal.SIG_DFL)
            signal.signal(signal.SIGHUP, signal.SIG_IGN)  # until `lifecycle` knows what to read again
            for fd in (self._wake_read, self._wake_write, self._life_write):
                os.close(fd)
            os.setpgid(0, 0)
            signal.pthread_sigmask(signal.SIG_UNBLOCK, _WATCHED)
            status = self._run_child(number, self._life_read)
        except SystemExit as error:
            status = error.code if isinstance(error.code, int) else 1
        except BaseException:
            traceback.print_exc()
        finally:
            sys.stdout.flush()
            sys.stderr.flush()
            os._exit(status)

    # --- waiting -----------------------------------------------------------------------------------------------

    def _wait(self) -> None:
        """Returns when a signal came, or something is due."""
        due = [worker.start_at_s for worker in self._workers if not worker.pid and not self._is_stopping]
        if self._kill_at_s is not None:
            due.append(self._kill_at_s)
        timeout_s = max(0.0, min(due) - time.monotonic()) if due else None
        readable, _, _ = select.select([self._wake_read], [], [], timeout_s)
        if readable:
            for number in os.read(self._wake_read, 4096):
                if number in _PASSED_ON:
                    self._pass_on(number)
                elif number == signal.SIGHUP:
                    self._on_hangup()

    def _pass_on(self, number: int) -> None:
        if self._is_stopping:
            self._status = 128 + number
            self._kill_at_s = time.monotonic() + KILL_AFTER_S
        self._stop(number)

    def _on_hangup(self) -> None:
        """The workers read again what they can, or end, when it was the terminal that hung up."""
        if self._has_terminal and is_terminal_gone():
            self._stop(signal.SIGTERM)
        else:
            self._signal_all(signal.SIGHUP)

    def _stop(self, number: int) -> None:
        if not self._is_stopping:
            self._is_stopping = True
            self._kill_at_s = time.monotonic() + self._drain_s + KILL_AFTER_S
            self._logger.info("draining the workers", extra={"signal": signal.Signals(number).name})
            self._balance.close()
        self._signal_all(number)

    def _signal_all(self, number: int) -> None:
        for worker in self._workers:
            if worker.pid:
                os.kill(worker.pid, number)

    def _kill_late(self) -> None:
        if self._kill_at_s is not None and time.monotonic() >= self._kill_at_s:
            self._logger.warning("workers did not end in time and are killed")
            self._kill_at_s = time.monotonic() + KILL_AFTER_S
            self._signal_all(signal.SIGKILL)
            self._status = self._status or 1

    # --- collecting --------------------------------------------------------------------------------------------

    def _reap(self) -> None:
        for worker in self._workers:
            if not worker.pid:
                continue
            pid, wait_status = os.waitpid(worker.pid, os.WNOHANG)
            if pid:
                worker.pid = 0
                self._balance.forget(worker.number)
                self._on_death(worker, os.waitstatus_to_exitcode(wait_status))

    def _on_death(self, worker: Worker, code: int) -> None:
        """`code`: the exit status, or minus the signal that killed it."""
        if self._is_stopping:
            if code not in (0, -signal.SIGTERM, -signal.SIGINT) and self._status == 0:
                self._status = 1
            return
        if code == EXIT_STARTUP:  # it has said why, and would only say it again
            self._status = EXIT_STARTUP
            self._stop(signal.SIGTERM)
            return
        now_s = time.monotonic()
        lived_s = now_s - worker.started_at_s
        worker.deaths_in_a_row = worker.deaths_in_a_row + 1 if lived_s < HEALTHY_AFTER_S else 1
        delay_s = restart_delay_s(worker.deaths_in_a_row)
        worker.start_at_s = now_s + delay_s
        extra = {"worker": worker.number, "status": code, "lived_s": round(lived_s, 1), "restart_in_s": delay_s}
        self._logger.error("a worker died and is started again", extra=extra)


def _ignore(_number: int, _frame: object) -> None:
    """The wake-up pipe tells of the signal; without a handler there would be no byte in it."""
