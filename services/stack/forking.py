"""Processes forked from a runner that has imported already what they all need. Linux; `launcher` says when.

A forked process shares with its siblings every page that neither writes: nine processes cost a third of the memory
that nine of `python -m …` do, and start in a third of the time. The runner must have no threads and no event loop. A
restarted process runs the `shared/` code that the runner was started with.
"""

import gc
import io
import os
import runpy
import signal
import sys
import traceback
from importlib import import_module

from services.stack.plan import ProcessPlan

# What every service imports anyway, and what `ps` would show if it were a process of its own.
_PRELOADED = (
    "asyncio",
    "sqlite3",
    "shared.httpcore.net.pool",
    "shared.httpcore.net.websocket",
    "shared.httpcore.static",
    "shared.runtime.service_process",
    "shared.runtime.tracker_client",
)
_ALL_SIGNALS = signal.valid_signals()
_HANDLED_BY_RUNNER = (signal.SIGTERM, signal.SIGHUP, signal.SIGCHLD)
_MAX_NAME_BYTES = 15


def preload() -> None:
    """The modules are imported, and the collector leaves them alone, so that their pages stay shared."""
    for name in _PRELOADED:
        import_module(name)
    gc.collect()
    gc.freeze()


class ForkedProcess:
    """A child of this process, with the part of `subprocess.Popen` that a supervisor needs."""

    def __init__(self, pid: int, stdout: io.FileIO) -> None:
        self.pid = pid
        self.stdout = stdout
        self.returncode: int | None = None

    def poll(self) -> int | None:
        """The exit status, minus the signal's number when one ended it; None while it runs."""
        if self.returncode is None:
            pid, status = os.waitpid(self.pid, os.WNOHANG)
            if pid:
                self.returncode = os.waitstatus_to_exitcode(status)
        return self.returncode

    def send_signal(self, number: int) -> None:
        """Nothing happens to a process that has ended."""
        if self.poll() is None:
            os.kill(self.pid, number)


def start_forked(plan: ProcessPlan, group: int) -> ForkedProcess:
    """The process runs `plan.module` as `python -m` would, in that process group, its output in a pipe."""
    reader, writer = os.pipe()
    sys.stdout.flush()
    sys.stderr.flush()
    # A signal that comes between the fork and the child's first steps waits until the child is its own.
    mask = signal.pthread_sigmask(signal.SIG_BLOCK, _ALL_SIGNALS)
    pid = os.fork()
    if pid == 0:
        _live(plan, group, writer)
    signal.pthread_sigmask(signal.SIG_SETMASK, mask)
    os.close(writer)
    return ForkedProcess(pid, io.FileIO(reader, "rb"))


def _live(plan: ProcessPlan, group: int, output_fd: int) -> None:
    """The child's whole life; it never returns into the runner's frames."""
    status = 1
    try:
        _leave_runner(plan.name, group, output_fd)
        sys.argv = [plan.module, *plan.flags]
        runpy.run_module(plan.module, run_name="__main__", alter_sys=True)
        status = 0
    except SystemExit as end:
        status = _exit_status(end)
    except BaseException:
        traceback.print_exc()
    finally:
        try:
            sys.stdout.flush()
            sys.stderr.flush()
        finally:
            os._exit(status)


def _exit_status(end: SystemExit) -> int:
    if end.code is None or isinstance(end.code, int):
        return end.code or 0
    print(end.code, file=sys.stderr)
    return 1


def _leave_runner(name: str, group: int, output_fd: int) -> None:
    """Nothing of the runner is left: its group, handlers, descriptors, variables."""
    os.setpgid(0, group)
    signal.set_wakeup_fd(-1)
    for number in _HANDLED_BY_RUNNER:
        signal.signal(number, signal.SIG_DFL)
    signal.signal(signal.SIGINT, signal.default_int_handler)
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    os.dup2(output_fd, 1)
    os.dup2(output_fd, 2)
    for fd in [int(entry) for entry in os.listdir("/proc/self/fd")]:
        if fd > 2:
            _close(fd)
    for variable in [each for each in os.environ if each.startswith("WEAPROUS_")]:
        del os.environ[variable]
    with open("/proc/self/comm", "w", encoding="ascii") as comm:  # what `ps -e` and `top` show
        comm.write(name[:_MAX_NAME_BYTES])
    sys.stdin, sys.stdout, sys.stderr = open(0), open(1, "w", buffering=1), open(2, "w", buffering=1)  # noqa: SIM115
    signal.pthread_sigmask(signal.SIG_SETMASK, ())


def _close(fd: int) -> None:
    try:
        os.close(fd)
    except OSError:
        pass  # the one that listed the folder
