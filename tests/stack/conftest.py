"""The system in two ways: keyed, from `python -m services`; and keyless, each service started by hand."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Protocol

import pytest

from tests.conftest import CHILDREN
from tests.processes import Service, Stack, claimed_port_offset, find_free_port, service_environment, wait_until
from tests.stack.system import System


class StartStack(Protocol):
    """See the fixture `start_stack`."""

    def __call__(self, *flags: str, wait: bool = True) -> Stack: ...


@pytest.fixture(scope="session")
def system_of_stack(running_stack: Stack) -> System:
    """The stack of the test run."""
    return System(
        running_stack.proxy_url,
        running_stack.tracker_url,
        {f"p{number}": running_stack.peer_url(number) for number in range(1, running_stack.peers + 1)},
        running_stack.backends,
        running_stack.tracker_headers,
        running_stack.peer_headers,
    )


@pytest.fixture
def keyed(system_of_stack: System, stack: Stack) -> System:
    """The stack; a failing test shows its output."""
    assert stack.is_running
    return system_of_stack


@pytest.fixture(scope="session")
def services_by_hand(tmp_path_factory: pytest.TempPathFactory) -> Iterator[System]:
    """The services with the flags of design §4 and nothing else, on ports of their own: one backend, two peers."""
    folder = tmp_path_factory.mktemp("by-hand")
    started: list[Service] = []

    def start(module: str, *flags: str) -> Service:
        service = Service(module, flags, service_environment(), folder / f"{len(started)}.log")
        started.append(service)
        return service

    try:
        tracker = start("services.tracker")
        backend = start("services.backend")
        proxy = start("services.proxy", "--config", str(write_smallest_conf(folder, backend)), "--tracker", tracker.url)
        peers = {peer_id: start_peer(start, peer_id, tracker, folder) for peer_id in ("p1", "p2")}
        for service in started:
            service.wait_healthy()
        system = System(proxy.url, tracker.url, {name: peer.url for name, peer in peers.items()}, backends=1)
        wait_until(lambda: all(system.visit().get(f"/peers/{each}/p2p/whoami").ok for each in peers), why="both peers")
        yield system
    finally:
        for service in reversed(started):
            service.kill()


def write_smallest_conf(folder: Path, backend: Service) -> Path:
    """The smallest file of design §6, with this backend's port."""
    path = folder / "proxy.conf"
    path.write_text(f'host "localhost" {{\n    proxy_pass {backend.url};\n}}\n')
    return path


def start_peer(start: Callable[..., Service], peer_id: str, tracker: Service, folder: Path) -> Service:
    ports = ("--p2p-port", str(find_free_port()), "--api-port", str(find_free_port()))
    flags = ("--peer-id", peer_id, *ports, "--register", "--tracker", tracker.url, "--ttl", "180")
    return start("services.peer", *flags, "--data-dir", str(folder))


@pytest.fixture
def start_stack(tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[StartStack]:
    """`start_stack("--drain-s", "1")` runs a stack of its own: one backend, two peers, data in `tmp_path/var`.

    Each call in a test is on the same ports with the same folder, so one at a time is up.
    """
    started: list[Stack] = []
    with claimed_port_offset() as offset:

        def start(*flags: str, wait: bool = True) -> Stack:
            output_path = tmp_path / f"stack-{len(started) + 1}.log"
            stack = Stack(tmp_path / "var", offset, output_path, flags=flags, counts=(1, 2))
            started.append(stack)
            request.node.stash.setdefault(CHILDREN, []).append(stack)
            if wait:
                stack.wait_healthy()
            return stack

        yield start
        for stack in started:
            stack.stop()


@pytest.fixture
def keyless(services_by_hand: System) -> System:
    """The services by hand."""
    return services_by_hand


@pytest.fixture(params=["keyed", "keyless"])
def system(request: pytest.FixtureRequest) -> System:
    """Both systems, one after the other."""
    found: System = request.getfixturevalue(request.param)
    return found
