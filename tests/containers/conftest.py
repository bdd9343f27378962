"""One stack of containers for all tests of this folder, built and started once by `make up`."""

from collections.abc import Callable, Iterator
from pathlib import Path

import docker
import pytest

from tests.containers.compose_stack import ComposeStack
from tests.containers.own_proxy import OwnProxy
from tests.processes import wait_until


@pytest.hookimpl(tryfirst=True)  # before anyone sorts or deselects by marker
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Everything in this folder needs an engine; the first test may have to build the images."""
    folder = Path(__file__).parent
    for item in items:
        if folder in item.path.parents:
            item.add_marker(pytest.mark.docker)
            item.add_marker(pytest.mark.timeout(600))


@pytest.fixture(scope="session")
def engine() -> Iterator[docker.DockerClient]:
    """The container engine."""
    client = docker.from_env()
    yield client
    client.close()


@pytest.fixture(scope="session")
def started(
    engine: docker.DockerClient, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[ComposeStack, str]]:
    """The stack of the session, and what `make up` printed when it started it."""
    stack = ComposeStack(tmp_path_factory.mktemp("containers"), engine)
    try:
        ended = stack.run(["make", "up"], timeout_s=550)
        assert ended.returncode == 0, f"make up:\n{ended.stdout}\n{ended.stderr}"
        yield stack, ended.stdout
    finally:
        stack.remove()


@pytest.fixture
def containers(started: tuple[ComposeStack, str]) -> ComposeStack:
    """The session's stack, whole again whatever the test before did to it."""
    stack = started[0]
    if not stack.is_settled():
        stack.scale(3)
        wait_until(stack.is_settled, why="the stack to be whole again")
    return stack


@pytest.fixture
def start_own_proxy(containers: ComposeStack) -> Iterator[Callable[[str], OwnProxy]]:
    """`start_own_proxy(text)` runs one more proxy in the stack's network, with this proxy.conf."""
    started: list[OwnProxy] = []

    def start(conf: str) -> OwnProxy:
        proxy = OwnProxy(containers, conf)
        started.append(proxy)
        proxy.wait_healthy()
        return proxy

    try:
        yield start
        for proxy in started:
            assert "Traceback" not in proxy.log(), proxy.log()
    finally:
        for proxy in started:
            proxy.remove()
