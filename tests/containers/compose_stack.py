"""A stack of containers for tests, with a project name, ports and images of its own; nothing of it stays.

Owns `ComposeStack`: the `docker compose` command line for what a person would type, the SDK for what happens
to single containers. The fixtures that hand it to tests are in `conftest.py`.
"""

import os
import secrets
import signal
import subprocess
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import docker
import requests
from docker.models.containers import Container

from tests.processes import ADMIN, ROOT, find_free_port, wait_until

PEERS = {"peer1": 7510, "peer2": 7511, "peer3": 7512}  # service → port of its HTTP API inside the network
SERVICES = ("tracker", "backend", "proxy", *PEERS)
REPLICAS = 3


class ComposeStack:
    """`compose.yaml` under a project of its own; nothing of it exists until a command creates it."""

    def __init__(self, folder: Path, engine: docker.DockerClient) -> None:
        self.engine = engine
        self.project = f"weaprous-test-{secrets.token_hex(4)}"
        self.port = find_free_port()
        self.ports = {"tracker": find_free_port(), **{peer: find_free_port() for peer in PEERS}}
        self.url = f"http://127.0.0.1:{self.port}"
        ports_file = folder / f"{self.project}.yaml"
        ports_file.write_text(self._render_ports())
        # MAKE…: a make that runs these tests would have its children tell of the folders they enter.
        left_out = ("COMPOSE_", "WEAPROUS_", "MAKE")
        kept = {name: value for name, value in os.environ.items() if not name.startswith(left_out)}
        self.environment = {
            **kept,
            "COMPOSE_PROJECT_NAME": self.project,
            "COMPOSE_FILE": os.pathsep.join([str(ROOT / "compose.yaml"), str(ports_file)]),
            "BIND": "127.0.0.1",
            "PORT": str(self.port),
        }

    def _render_ports(self) -> str:
        inside = {"tracker": 9000, **PEERS}
        lines = [
            f'  {service}: {{ports: !override ["127.0.0.1:{port}:{inside[service]}"]}}'
            for service, port in self.ports.items()
        ]
        return "\n".join(["services:", *lines, ""])

    # --- the command line ---------------------------------------------------------------------------------

    def run(self, command: Sequence[str], timeout_s: float = 300) -> "subprocess.CompletedProcess[str]":
        """Run a command at the root of the repository, as if it were typed there, for this project."""
        return subprocess.run(
            command,
            cwd=ROOT,
            env=self.environment,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=timeout_s,
            check=False,
        )

    def compose(self, *arguments: str) -> str:
        """Run `docker compose …`, fail with its words when it fails, and give back what it printed."""
        ended = self.run(["docker", "compose", *arguments])
        assert ended.returncode == 0, f"docker compose {' '.join(arguments)}:\n{ended.stdout}\n{ended.stderr}"
        return ended.stdout

    def scale(self, replicas: int) -> None:
        """So many backends run and are healthy afterwards."""
        self.compose("up", "-d", "--no-build", "--no-recreate", "--wait", "--scale", f"backend={replicas}")

    def remove(self) -> None:
        """Containers, networks, volumes and images of the project are gone afterwards."""
        self.compose("--profile", "test", "down", "--volumes", "--rmi", "local", "--remove-orphans")

    # --- single containers --------------------------------------------------------------------------------

    def containers(self, service: str | None = None, *, every: bool = False) -> list[Container]:
        """The running containers (with `every`: the ended ones too) of a service, or of all."""
        labels = [f"com.docker.compose.project={self.project}"]
        if service is not None:
            labels.append(f"com.docker.compose.service={service}")
        found: list[Container] = self.engine.containers.list(all=every, filters={"label": labels})
        return found

    def container(self, service: str) -> Container:
        """The only running container of a service."""
        [found] = self.containers(service)
        return found

    def execute(self, service: str, *command: str) -> tuple[int, str]:
        """Run a command in a service's container; its exit status and output."""
        status, output = self.containers(service)[0].exec_run(list(command))
        return int(status), output.decode()

    def signal_from_outside(self, container: Container, number: int) -> None:
        """Signal the container's first process as nobody inside could: the engine doesn't know who did it.

        `docker kill` counts as a wish to stop, after which no restart policy acts; a signal from inside can neither
        kill nor stop process 1. So a helper that shares the engine's process ids sends it.
        """
        container.reload()
        self.engine.containers.run(
            container.image.id,
            entrypoint=["python", "-c"],
            command=[f"import os; os.kill({container.attrs['State']['Pid']}, {int(number)})"],
            pid_mode="host",
            user="0",
            network_mode="none",
            remove=True,
        )

    def kill_from_outside(self, container: Container) -> None:
        """SIGKILL the container's first process as a crash would."""
        self.signal_from_outside(container, signal.SIGKILL)

    @contextmanager
    def stopped(self, container: Container) -> Iterator[None]:
        """The container's process hangs until the block ends: its connections stay open, and nothing is answered."""
        self.signal_from_outside(container, signal.SIGSTOP)
        try:
            yield
        finally:
            self.signal_from_outside(container, signal.SIGCONT)

    def is_settled(self) -> bool:
        """Three replicas and one container of everything else, all healthy."""
        found = Counter(container.labels["com.docker.compose.service"] for container in self.containers())
        wanted = Counter({service: REPLICAS if service == "backend" else 1 for service in SERVICES})
        return found == wanted and all(health_of(container) == "healthy" for container in self.containers())

    # --- over HTTP ----------------------------------------------------------------------------------------

    def login(self) -> requests.Session:
        """A session that has logged in through the proxy."""
        session = requests.Session()
        form = {"username": ADMIN[0], "password": ADMIN[1]}
        answer = session.post(f"{self.url}/login", data=form, allow_redirects=False, timeout=10)
        assert answer.status_code == 302, answer.text
        return session

    def upstream(self, session: requests.Session, address: str) -> dict[str, Any] | None:
        """What `/_proxy/status` says of an upstream; None when it isn't there."""
        return find_upstream(session.get(f"{self.url}/_proxy/status", timeout=10).json(), address)

    def served_by(self, requests_count: int) -> set[str]:
        """Who answers that many requests through the proxy."""
        return {requests.get(f"{self.url}/echo", timeout=10).json()["served_by"] for _ in range(requests_count)}

    def wait_for_replicas(self, replicas: int) -> None:
        """Return when exactly so many replicas take part."""
        answered: set[str] = set()

        def are_all_there() -> bool:
            answered.clear()
            answered.update(self.served_by(3 * replicas))
            return len(answered) == replicas

        try:
            wait_until(are_all_there, why=f"{replicas} replicas to answer, and no other")
        except AssertionError as error:
            log = self.container("proxy").logs(tail=40).decode()
            raise AssertionError(f"{error}; those who answered were {answered}\n{log}") from None


def health_of(container: Container) -> str:
    """healthy, unhealthy, starting, or none."""
    state: dict[str, Any] = container.attrs["State"]
    return str(state.get("Health", {}).get("Status", "none"))


def find_upstream(status: dict[str, Any], address: str) -> dict[str, Any] | None:
    """The upstream at an address in a status, of whatever pool."""
    found = [each for pool in status["pools"] for each in pool["upstreams"] if each["upstream"] == address]
    return found[0] if found else None


def address_of(container: Container, port: int) -> str:
    """Where the proxy finds the container: `172.18.0.5:8000`."""
    container.reload()
    [network] = container.attrs["NetworkSettings"]["Networks"].values()
    return f"{network['IPAddress']}:{port}"


def wait_healthy(container: Container) -> None:
    """The engine's own check of the container passes."""

    def is_healthy() -> bool:
        container.reload()
        return health_of(container) == "healthy"

    wait_until(is_healthy, why=f"{container.name} to be healthy", timeout_s=60)
