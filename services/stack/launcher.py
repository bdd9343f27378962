"""Starts the processes of the stack in one process group, and sees to it that none outlives the runner.

The group's leader is a small shell, the guardian. It waits at a pipe whose other end only the runner holds. When the
runner is gone, whatever the reason, SIGKILL too, the pipe ends and the guardian ends the group. That works wherever
there is a shell, which is why it isn't Linux's PR_SET_PDEATHSIG. A group of their own also keeps the terminal's Ctrl-C
from the services: the runner alone decides how they end. Read `supervisor` next.
"""

import io
import os
import signal
import subprocess
import sys
from typing import Protocol

from services.stack.plan import ProcessPlan

# `kill … 0` reaches the whole group: the services, and at last the guardian itself.
_GUARDIAN_SCRIPT = "trap '' HUP INT TERM; read -r _; kill -TERM 0; sleep {grace_s}; kill -KILL 0"


class RunningProcess(Protocol):
    """What a supervisor needs of a process. Its output and errors come out of `stdout`, which never blocks."""

    pid: int

    @property
    def stdout(self) -> io.FileIO: ...

    def poll(self) -> int | None: ...

    def send_signal(self, number: int, /) -> None: ...


class Launcher:
    """Makes processes out of plans. `grace_s`: what the guardian leaves them to end after the runner was killed.

    `forks`: by fork from this process (`forking`), the default on Linux; else each is a `python -m` of its own, since
    other systems' libraries don't all survive a fork.
    """

    def __init__(self, grace_s: float, *, forks: bool = sys.platform == "linux") -> None:
        self._script = _GUARDIAN_SCRIPT.format(grace_s=max(1, round(grace_s)))
        self._forks = forks
        if forks:
            from services.stack.forking import preload

            preload()
        self._guardian = self._start_guardian()

    def start(self, plan: ProcessPlan) -> RunningProcess:
        """The running process."""
        if self._guardian.poll() is not None:
            self._guardian = self._start_guardian()
        process = self._start(plan, self._guardian.pid)
        os.set_blocking(process.stdout.fileno(), False)
        return process

    def _start(self, plan: ProcessPlan, group: int) -> RunningProcess:
        if self._forks:
            from services.stack.forking import start_forked

            return start_forked(plan, group)
        return _ExecutedProcess(plan, group)

    def kill_all(self) -> None:
        """SIGKILL to whatever is left of the group, the guardian included. May be called again."""
        if self._guardian.returncode is not None:
            return
        try:
            os.killpg(self._guardian.pid, signal.SIGKILL)
        except (ProcessLookupError, PermissionError):  # macOS: only zombies are left
            pass
        self._guardian.wait()

    def _start_guardian(self) -> "subprocess.Popen[bytes]":
        return subprocess.Popen(  # noqa: S603 - no word of it comes from outside
            ["/bin/sh", "-c", self._script],
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            process_group=0,
        )


class _ExecutedProcess:
    """A `python -m` of its own."""

    def __init__(self, plan: ProcessPlan, group: int) -> None:
        # Whatever the runner was told by a variable, the plan passes on by a flag.
        environ = {key: value for key, value in os.environ.items() if not key.startswith("WEAPROUS_")}
        reader, writer = os.pipe()
        self.stdout = io.FileIO(reader, "rb")
        self._process = subprocess.Popen(  # noqa: S603 - our own modules, flags made by `plan`
            [sys.executable, "-m", plan.module, *plan.flags],
            env=environ,
            stdin=subprocess.DEVNULL,
            stdout=writer,
            stderr=writer,
            process_group=group,
        )
        os.close(writer)
        self.pid = self._process.pid

    def poll(self) -> int | None:
        return self._process.poll()

    def send_signal(self, number: int, /) -> None:
        self._process.send_signal(number)
