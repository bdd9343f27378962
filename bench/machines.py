"""Server processes: started on a free port, measured from /proc, ended by id. Linux only."""

import os
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

TICKS_PER_S = os.sysconf("SC_CLK_TCK")
READY_TIMEOUT_S = 20.0


def free_port() -> int:
    """A TCP port on loopback that nobody listens on now."""
    with socket.create_server(("127.0.0.1", 0)) as probe:
        return int(probe.getsockname()[1])


@dataclass(frozen=True, slots=True)
class Machine:
    """A running server: its process, whose children count as well, and its port."""

    process: "subprocess.Popen[bytes]"
    port: int

    @property
    def pids(self) -> list[int]:
        """The process and all its descendants."""
        found, queue = [], [self.process.pid]
        while queue:
            pid = queue.pop()
            found.append(pid)
            for children in Path(f"/proc/{pid}/task").glob("*/children"):
                queue += [int(child) for child in children.read_text().split()]
        return found

    def cpu_s(self) -> float:
        """User and system time so far, in seconds, of all its processes."""
        return sum(_cpu_ticks(pid) for pid in self.pids) / TICKS_PER_S

    def memory_kib(self) -> int:
        """Proportional set size of all its processes, in KiB."""
        return sum(_pss_kib(pid) for pid in self.pids)


def _cpu_ticks(pid: int) -> int:
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return int(fields[11]) + int(fields[12])


def _pss_kib(pid: int) -> int:
    for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines():
        if line.startswith("Pss:"):
            return int(line.split()[1])
    return 0


@contextmanager
def running(command: Sequence[str], port: int, env: dict[str, str] | None = None) -> Iterator[Machine]:
    """The server is up and accepts on `port`; it is ended afterwards. RuntimeError with its output otherwise."""
    with tempfile.TemporaryFile() as output:  # a file, as in production: a pipe that nobody reads would fill up
        process = subprocess.Popen(
            command, stdout=output, stderr=subprocess.STDOUT, env={**os.environ, **(env or {})}, start_new_session=True
        )
        try:
            if not _becomes_ready(process, port):
                output.seek(0)
                said = output.read().decode(errors="replace")[-2000:]
                raise RuntimeError(f"{command!r} does not listen on {port}:\n{said}")
            yield Machine(process, port)
        finally:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()


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
