"""`docker compose up --scale backend=3` as it is typed, and Ctrl-C."""

import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path

import docker
import pytest
import requests

from tests.containers.compose_stack import SERVICES, ComposeStack
from tests.processes import ROOT, wait_until


@pytest.fixture
def by_hand(engine: docker.DockerClient, tmp_path: Path) -> Iterator[ComposeStack]:
    """A stack of its own, not even built yet."""
    stack = ComposeStack(tmp_path, engine)
    yield stack
    stack.remove()


def test_it_builds_and_starts_and_ends_every_process_with_status_0(by_hand: ComposeStack, tmp_path: Path) -> None:
    with (tmp_path / "output.log").open("wb") as output:
        typed = subprocess.Popen(
            ["docker", "compose", "up", "--scale", "backend=3"],
            cwd=ROOT,
            env=by_hand.environment,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
        )
    try:
        wait_until(
            lambda: requests.get(f"{by_hand.url}/_proxy/healthz", timeout=2).ok,
            why="the proxy",
            timeout_s=300,
        )
        wait_until(by_hand.is_settled, why="everything to be healthy", timeout_s=60)
        by_hand.wait_for_replicas(3)
    finally:
        typed.send_signal(signal.SIGINT)
        typed.wait(60)
    states = {container.name: container.attrs["State"] for container in by_hand.containers(every=True)}
    assert len(states) == len(SERVICES) + 2 + 1  # two more backends, and keys
    assert {name: state["ExitCode"] for name, state in states.items()} == dict.fromkeys(states, 0)
    assert not any(state["OOMKilled"] for state in states.values())
