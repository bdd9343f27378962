"""Server processes: started on a free port, measured from the kernel's accounts, ended by id. Linux only."""

import os
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
READY_TIMEOUT_S = 20.0

Command = Callable[[int], Sequence[str]]  # from the port it will listen on


def free_port() -> int:
    """A TCP port on loopback that nobody listens on now."""
    with socket.create_server(("127.0.0.1", 0)) as probe:
        return int(probe.getsockname()[1])


@dataclass(frozen=True, slots=True)
class Machine:
    """A running server: its process, whose children count as well, and its port."""

    process: "subprocess.Popen[bytes]"
    port: int

    def url(self, path: str) -> str:
        """The address of `path` on this server."""
        return f"http://127.0.0.1:{self.port}{path}"

    @property
    def pids(self) -> list[int]:
        """The process and all its descendants, parents first."""
        found = [self.process.pid]
        for pid in found:
            for children in Path(f"/proc/{pid}/task").glob("*/children"):
                found += [int(child) for child in children.read_text().split()]
        return found

    def cpu_s(self) -> float:
        """User and system time so far, in seconds, of all its processes."""
        return sum(map(process_cpu_s, self.pids))

    def memory_kib(self) -> int:
        """Proportional set size of all its processes, in KiB."""
        return sum(map(_pss_kib, self.pids))


def process_cpu_s(pid: int) -> float:
    """User and system time of one process, by its own CPU clock: nanoseconds, where /proc counts 10 ms ticks."""
    cpu_clock = (~pid << 3) | 2  # CPUCLOCK_SCHED, what clock_getcpuclockid(3) returns on Linux
    return time.clock_gettime(cpu_clock)


def socket_count(pid: int) -> int:
    """How many sockets a process holds."""
    return sum(_is_socket(fd) for fd in Path(f"/proc/{pid}/fd").iterdir())


def _is_socket(fd: Path) -> bool:
    try:
        return os.readlink(fd).startswith("socket:")
    except FileNotFoundError:  # closed since it was listed
        return False


def _pss_kib(pid: int) -> int:
    for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines():
        if line.startswith("Pss:"):
            return int(line.split()[1])
    return 0


@contextmanager
def running(command: Sequence[str], port: int) -> Iterator[Machine]:
    """The server is up and accepts on `port`; it is ended afterwards. RuntimeError with its output otherwise."""
    with tempfile.TemporaryFile() as output:  # a file, as in production: a pipe that nobody reads would fill up
        process = subprocess.Popen(command, cwd=ROOT, stdout=output, stderr=subprocess.STDOUT, start_new_session=True)
        machine = Machine(process, port)
        try:
            if not _becomes_ready(process, port):
                output.seek(0)
                said = output.read().decode(errors="replace")[-2000:]
                raise RuntimeError(f"{command!r} does not listen on {port}:\n{said}")
            yield machine
        finally:
            _end(machine)


@contextmanager
def fleet(commands: Mapping[str, Command]) -> Iterator[dict[str, Machine]]:
    """All of them are up, by their names, each on a port of its own."""
    with ExitStack() as stack:
        machines = {}
        for name, command in commands.items():
            port = free_port()
            machines[name] = stack.enter_context(running(command(port), port))
        yield machines


def _end(machine: Machine) -> None:
    """The processes are gone, parents first, for a parent would start its worker again."""
    if machine.process.poll() is None:
        for pid in machine.pids:
            try:
                os.kill(pid, signal.SIGKILL)
            except ProcessLookupError:
                pass
    machine.process.wait()


def _becomes_ready(process: "subprocess.Popen[bytes]", port: int) -> bool:
    deadline = time.monotonic() + READY_TIMEOUT_S
    while time.monotonic() < deadline and process.poll() is None:
        try:
            socket.create_connection(("127.0.0.1", port), 0.5).close()
        except OSError:
            time.sleep(0.05)
        else:
            return True
    return False
