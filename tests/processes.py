"""Real service processes for tests: started on ports of their own, awaited, ended by pid.

Owns `Service` (one process of a service), `Stack` (the whole of `python -m services`), the choice of ports,
and `wait_until`. The fixtures that hand these to tests are in `tests/conftest.py`.
"""

import contextlib
import fcntl
import os
import random
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TypeVar

import requests

ROOT = Path(__file__).resolve().parent.parent
ADMIN = ("admin", "password")  # the first login that design §5 promises

Value = TypeVar("Value")


def wait_until(
    condition: Callable[[], Value],
    *,
    timeout_s: float = 20.0,
    why: str = "the condition",
    interval_s: float = 0.03,
) -> Value:
    """Return the condition's first true value; fail when `timeout_s` passes without one.

    A condition may raise `requests.RequestException` or `OSError`: it then counts as not yet true.
    """
    deadline = time.monotonic() + timeout_s
    last: object = None
    while time.monotonic() < deadline:
        try:
            value = condition()
        except (requests.RequestException, OSError) as error:
            last = error
        else:
            if value:
                return value
            last = value
        time.sleep(interval_s)
    raise AssertionError(f"waited {timeout_s:g} s for {why}; the last answer was {last!r}")


def find_free_port() -> int:
    """Return a TCP port that was free on 127.0.0.1 a moment ago, never the same one twice."""
    while True:
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            port: int = probe.getsockname()[1]
        if port not in _handed_out:
            _handed_out.add(port)
            return port


_handed_out: set[int] = set()


def is_port_free(port: int) -> bool:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True


# A stack's ports span 7010 … 9000, so offsets 2,100 apart never overlap. All of them stay below 32768, where
# Linux begins to choose ports for outgoing connections.
_OFFSETS = tuple(range(2_100, 23_500, 2_100))


@contextlib.contextmanager
def claimed_port_offset() -> Iterator[int]:
    """A `--port-offset` that no other test run of this machine uses until the block ends."""
    for offset in random.sample(_OFFSETS, k=len(_OFFSETS)):
        lock_path = Path(tempfile.gettempdir()) / f"weaprous-test-ports-{offset}.lock"
        with lock_path.open("w") as lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError:
                continue
            if all(is_port_free(port + offset) for port in stack_ports()):
                yield offset
                return
    raise AssertionError(f"every port offset of {_OFFSETS} is taken")


def stack_ports(backends: int = 3, peers: int = 3) -> list[int]:
    """The ports that a stack listens on, before the offset."""
    numbers = range(1, peers + 1)
    return [
        8080,
        9000,
        *range(8000, 8000 + backends),
        *(7509 + n for n in numbers),
        *(7009 + n for n in numbers),
    ]


def service_environment(**extra: str) -> dict[str, str]:
    """The environment for a child: this one's without any WEAPROUS_ variable, plus `extra`."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("WEAPROUS_")}
    return {**kept, "PYTHONUNBUFFERED": "1", **extra}


class ChildProcess:
    """A child whose whole output (stdout and stderr together) is kept in a file."""

    def __init__(self, name: str, command: Sequence[str], environment: dict[str, str], output_path: Path) -> None:
        self.name = name
        self.command = list(command)
        self._environment = environment
        self.output_path = output_path
        self.process = self._start()

    def _start(self) -> "subprocess.Popen[bytes]":
        with self.output_path.open("ab") as output:
            return subprocess.Popen(
                self.command,
                cwd=ROOT,
                env=self._environment,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
            )

    @property
    def pid(self) -> int:
        return self.process.pid

    @property
    def output(self) -> str:
        return self.output_path.read_text("utf-8", "replace")

    @property
    def is_running(self) -> bool:
        return self.process.poll() is None

    def wait(self, timeout_s: float = 20.0) -> int:
        """Wait for the process to end; its exit status (minus the signal's number when one killed it)."""
        return self.process.wait(timeout_s)

    def send_signal(self, number: int) -> None:
        self.process.send_signal(number)

    def stop(self, timeout_s: float = 20.0) -> int:
        """SIGTERM, wait, and return the exit status; SIGKILL and fail when it takes longer."""
        if self.is_running:
            self.send_signal(signal.SIGTERM)
        try:
            return self.wait(timeout_s)
        except subprocess.TimeoutExpired:
            self.kill()
            raise AssertionError(f"{self.name} was still there {timeout_s:g} s after SIGTERM:\n{self.output}") from None

    def kill(self) -> None:
        """SIGKILL, and wait until it is gone."""
        if self.is_running:
            self.process.kill()
        self.process.wait()

    def restart(self) -> None:
        """Start the same command again (after `stop` or `kill`)."""
        assert not self.is_running
        self.process = self._start()


class Service(ChildProcess):
    """One service as a process of its own. `url` is its HTTP address, `port` that address's port."""

    def __init__(self, module: str, flags: Sequence[str], environment: dict[str, str], output_path: Path) -> None:
        self.port_flag, self.health_path = _HTTP_SURFACE.get(module, ("--server-port", "/healthz"))
        flags = list(flags)
        if self.port_flag not in flags:
            flags += [self.port_flag, str(find_free_port())]
        if module == "services.peer" and "--p2p-port" not in flags:
            flags += ["--p2p-port", str(find_free_port())]
        self.flags = flags
        self.port = int(self.flag(self.port_flag))
        self.url = f"http://127.0.0.1:{self.port}"
        super().__init__(module, [sys.executable, "-m", module, *flags], environment, output_path)

    def flag(self, name: str) -> str:
        """The value that the process was given for a flag."""
        return self.flags[self.flags.index(name) + 1]

    def is_healthy(self) -> bool:
        return requests.get(self.url + self.health_path, timeout=2).status_code == 200

    def wait_healthy(self, timeout_s: float = 20.0) -> None:
        """Return when the health endpoint says 200; fail with the output when the process ends first."""

        def healthy_or_dead() -> bool:
            if not self.is_running:
                raise AssertionError(f"{self.name} ended with {self.process.returncode}:\n{self.output}")
            return self.is_healthy()

        wait_until(healthy_or_dead, timeout_s=timeout_s, why=f"{self.name} on port {self.port}\n{self.output}")


_HTTP_SURFACE = {
    "services.proxy": ("--server-port", "/_proxy/healthz"),
    "services.peer": ("--api-port", "/healthz"),
}


class Stack(ChildProcess):
    """`python -m services`, with a port offset and a data folder of its own.

    Process names are those of the log's prefixes: `tracker`, `backend1` …, `proxy`, `p1` ….
    """

    def __init__(
        self,
        var_dir: Path,
        port_offset: int,
        output_path: Path,
        *,
        flags: Sequence[str] = (),
        counts: tuple[int, int],
    ) -> None:
        self.var_dir, self.port_offset = var_dir, port_offset
        self.backends, self.peers = counts
        command = [
            sys.executable,
            "-m",
            "services",
            "--backends",
            str(self.backends),
            "--peers",
            str(self.peers),
        ]
        command += ["--port-offset", str(port_offset), "--var-dir", str(var_dir), *flags]
        super().__init__("stack", command, service_environment(), output_path)

    @property
    def proxy_url(self) -> str:
        return f"http://localhost:{8080 + self.port_offset}"

    @property
    def tracker_url(self) -> str:
        return f"http://127.0.0.1:{9000 + self.port_offset}"

    def backend_url(self, number: int) -> str:
        return f"http://127.0.0.1:{7999 + number + self.port_offset}"

    def peer_url(self, number: int) -> str:
        """The HTTP API of peer p<number>, asked directly."""
        return f"http://127.0.0.1:{7509 + number + self.port_offset}"

    def key(self, name: str) -> str:
        """The text of a key file: "tracker", "p2p" or "session"."""
        return (self.var_dir / "keys" / name).read_text().strip()

    @property
    def tracker_headers(self) -> dict[str, str]:
        return {"X-Tracker-Key": self.key("tracker")}

    @property
    def peer_headers(self) -> dict[str, str]:
        return {"X-P2P-Key": self.key("p2p")}

    def login(self, user: str = ADMIN[0], password: str = ADMIN[1]) -> requests.Session:
        """A session that has logged in through the proxy. Use it with `stack.proxy_url + path`."""
        session = requests.Session()
        login = {"username": user, "password": password}
        answer = session.post(f"{self.proxy_url}/login", json=login, timeout=30)
        assert answer.status_code == 200, answer.text
        return session

    def pid_of(self, name: str) -> int:
        """The pid that the process of that name has now (another one after a restart)."""
        return int((self.var_dir / "pids" / name).read_text())

    def kill_and_wait_for_return(self, name: str, number: int = signal.SIGKILL) -> None:
        """Signal a process of the stack by pid, and return when its successor runs and all is healthy."""
        before = self.pid_of(name)
        os.kill(before, number)
        wait_until(lambda: self.pid_of(name) != before, why=f"{name} to be restarted")
        self.wait_healthy()

    def wait_healthy(self, timeout_s: float = 30.0) -> None:
        """Return when every process answers its health endpoint and the tracker knows all of them."""
        wait_until(self._is_whole, timeout_s=timeout_s, why="the stack to be healthy")

    def _is_whole(self) -> bool:
        assert self.is_running, f"the stack ended with {self.process.returncode}:\n{self.output}"
        backends = [self.backend_url(n + 1) + "/healthz" for n in range(self.backends)]
        peers = [self.peer_url(n + 1) + "/healthz" for n in range(self.peers)]
        for url in [f"{self.proxy_url}/_proxy/healthz", f"{self.tracker_url}/healthz", *backends, *peers]:
            if requests.get(url, timeout=2).status_code != 200:
                return False
        known = requests.get(f"{self.tracker_url}/tracker/peers", headers=self.tracker_headers, timeout=2).json()
        names = {peer["peer_id"] for peer in known["peers"]}
        return len([name for name in names if name.startswith("backend-")]) >= self.backends and all(
            f"p{n + 1}" in names for n in range(self.peers)
        )
