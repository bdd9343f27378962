"""Containers of a test's own in the network of the session's stack: a proxy with any configuration, and other servers.

Owns `OwnProxy`. Its configuration goes in through the environment and is replaced from inside the container, so no
file of this machine needs to be seen by the engine.
"""

from collections.abc import Sequence
from typing import Any

import requests
from docker.models.containers import Container

from tests.containers.compose_stack import ComposeStack, find_upstream
from tests.processes import find_free_port, wait_until

CONF = "/tmp/proxy.conf"
START = f'printf %s "$CONF" > {CONF} && exec python -m services.proxy --config {CONF}'
KEYS = ("tracker", "p2p", "session")


class OwnProxy:
    """The stack's proxy once more, beside it, with the same keys and users and another configuration."""

    def __init__(self, stack: ComposeStack, conf: str) -> None:
        self.stack = stack
        self.port = find_free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        project = stack.project
        volumes = {f"{project}_key-{key}": {"bind": f"/keys/{key}", "mode": "ro"} for key in KEYS}
        self.container = stack.engine.containers.run(
            stack.container("proxy").image.id,
            entrypoint=["sh", "-c", START],
            environment={
                "CONF": conf,
                "WEAPROUS_KEYS_DIR": "/keys",
                "WEAPROUS_USERS_FILE": "/users/users.json",
                "WEAPROUS_TRACKER": "http://tracker:9000",
            },
            volumes={**volumes, f"{project}_users": {"bind": "/users", "mode": "ro"}},
            network=f"{project}_default",
            ports={"8080/tcp": ("127.0.0.1", self.port)},
            detach=True,
        )
        self.session = stack.login()  # a cookie knows no port: it is good here, too

    def wait_healthy(self) -> None:
        """Return when it serves."""
        wait_until(lambda: requests.get(f"{self.url}/_proxy/healthz", timeout=2).ok, why="the proxy of the test")

    def status(self) -> dict[str, Any]:
        """What `/_proxy/status` says."""
        answer = self.session.get(f"{self.url}/_proxy/status", timeout=10)
        assert answer.status_code == 200, answer.text
        status: dict[str, Any] = answer.json()
        return status

    def upstream(self, address: str) -> dict[str, Any] | None:
        """What the status says of an upstream; None when it isn't there."""
        return find_upstream(self.status(), address)

    def write_conf(self, conf: str) -> None:
        """This is the file from now on; whoever wants it read says so."""
        command = ["python", "-c", f"import sys; open('{CONF}', 'w').write(sys.argv[1])", conf]
        status, output = self.container.exec_run(command)
        assert status == 0, output

    def reload(self) -> requests.Response:
        """`POST /_proxy/reload`."""
        return self.session.post(f"{self.url}/_proxy/reload", timeout=30)

    def wait_idle(self) -> None:
        """Nothing is under way any more at any upstream, by the proxy's own count."""

        def is_idle() -> bool:
            status = self.status()
            upstreams = [upstream for pool in status["pools"] for upstream in pool["upstreams"]]
            return status["in_flight"] == 0 and not any(upstream["in_flight"] for upstream in upstreams)

        wait_until(is_idle, why="nothing to be under way")

    def log(self) -> str:
        """What it has written."""
        return str(self.container.logs().decode())

    def remove(self) -> None:
        """It is gone."""
        self.container.remove(force=True)


def run_server(stack: ComposeStack, alias: str, command: Sequence[str]) -> Container:
    """A container that runs a command with the backend's image, known as `alias` in the stack's network."""
    network = f"{stack.project}_default"
    container = stack.engine.containers.create(
        stack.containers("backend")[0].image.id,
        entrypoint=list(command),
        network=network,
        networking_config={network: stack.engine.api.create_endpoint_config(aliases=[alias])},
    )
    container.start()
    return container
