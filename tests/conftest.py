"""Fixtures that more than one folder of tests uses, and what becomes of tests that this machine can't run.

The processes behind `start_service` and `stack` are in `tests/processes.py`. A test marked `docker` or
`browser` is skipped, by name and with the reason, on a machine without an engine or Chromium; with
`REQUIRE=docker,browser` in the environment it fails instead.
"""

import os
import shutil
import subprocess
from collections.abc import Callable, Generator, Iterator
from functools import cache
from pathlib import Path
from typing import Any, Protocol

import pytest

from tests.processes import (
    ChildProcess,
    Service,
    Stack,
    claimed_port_offset,
    find_free_port,
    service_environment,
)

CHROMIUM_NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome")
CHILDREN: pytest.StashKey[list[ChildProcess]] = pytest.StashKey()


# --- what the machine can run -----------------------------------------------------------------------------


@cache
def find_chromium() -> str | None:
    """The browser to drive: `$CHROMIUM` when set, else the first of the usual names on PATH."""
    named = os.environ.get("CHROMIUM")
    if named:
        return shutil.which(named)
    return next((path for name in CHROMIUM_NAMES if (path := shutil.which(name))), None)


@cache
def has_engine() -> bool:
    """A container engine answers `docker info`."""
    if shutil.which("docker") is None:
        return False
    try:
        return subprocess.run(["docker", "info"], capture_output=True, timeout=20).returncode == 0
    except (OSError, subprocess.TimeoutExpired):
        return False


MISSING: dict[str, Callable[[], str | None]] = {
    "docker": lambda: None if has_engine() else "no container engine answers `docker info`",
    "browser": lambda: None if find_chromium() else "no Chromium by $CHROMIUM or the usual names",
}


def required() -> frozenset[str]:
    """The markers that must run here: `REQUIRE=docker,browser`."""
    return frozenset(name.strip() for name in os.environ.get("REQUIRE", "").split(",") if name.strip())


def pytest_configure(config: pytest.Config) -> None:
    unknown = required() - MISSING.keys()
    if unknown:
        raise pytest.UsageError(f"REQUIRE: got {sorted(unknown)}, expected some of {sorted(MISSING)}")


def pytest_runtest_setup(item: pytest.Item) -> None:
    for name, why_missing in MISSING.items():
        if item.get_closest_marker(name) is None:
            continue
        reason = why_missing()
        if reason is not None and name in required():
            pytest.fail(f"REQUIRE={name}, but {reason}", pytrace=False)
        if reason is not None:
            pytest.skip(reason)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """A failed test shows what its processes wrote; a required test that skips itself counts as failed."""
    report = yield
    if report.skipped and any(item.get_closest_marker(name) for name in required()):
        report.outcome = "failed"
        report.longrepr = f"skipped although REQUIRE={','.join(sorted(required()))}: {report.longrepr}"
    if report.failed:
        for child in item.stash.get(CHILDREN, []):
            report.sections.append((f"output of {child.name} (pid {child.pid})", child.output[-20_000:]))
    return report


# --- processes --------------------------------------------------------------------------------------------


class StartService(Protocol):
    """See the fixture `start_service`."""

    def __call__(self, module: str, *flags: str, wait: bool = True, env: dict[str, str] | None = None) -> Service: ...


@pytest.fixture
def free_port() -> Callable[[], int]:
    """`free_port()` returns a TCP port that is free on 127.0.0.1; each call another one."""
    return find_free_port


@pytest.fixture
def start_service(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[StartService]:
    """`start_service("services.tracker", "--ttl", "5")` runs a service and returns it when it is healthy.

    A port that isn't among the flags is chosen (`--server-port`; for a peer `--api-port` and `--p2p-port`).
    What it returns has `.url`, `.port`, `.pid`, `.output`, `.is_running`, `.stop()` → exit status, `.kill()`,
    `.restart()`, `.wait()`, `.wait_healthy()`. `wait=False` returns at once (for a start that is to fail).
    `env` adds variables. What still runs at the end is ended, and a failing test shows the output.
    """
    started: list[Service] = []
    request.node.stash[CHILDREN] = [*request.node.stash.get(CHILDREN, []), *started]

    def start(module: str, *flags: str, wait: bool = True, env: dict[str, str] | None = None) -> Service:
        output_path = tmp_path / f"{module}-{len(started) + 1}.log"
        service = Service(module, flags, service_environment(**(env or {})), output_path)
        started.append(service)
        request.node.stash[CHILDREN].append(service)
        if wait:
            service.wait_healthy()
        return service

    yield start
    for service in reversed(started):
        service.kill()


@pytest.fixture(scope="session")
def running_stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """The one stack of the test run; tests ask for `stack`."""
    folder = tmp_path_factory.mktemp("stack")
    with claimed_port_offset() as offset:
        stack = Stack(folder / "var", offset, folder / "output.log", counts=(3, 3))
        try:
            try:
                stack.wait_healthy()
            except AssertionError as error:
                raise AssertionError(f"{error}\n{stack.output}") from None
            yield stack
        finally:
            stack.stop()


@pytest.fixture
def stack(running_stack: Stack, request: pytest.FixtureRequest) -> Stack:
    """The whole system as local processes, keyed, three backends and three peers; started once a test run.

    Has `.proxy_url`, `.tracker_url`, `.backend_url(i)`, `.peer_url(i)`, `.login()` → `requests.Session`,
    `.key(name)`, `.tracker_headers`, `.peer_headers`, `.pid_of(name)`, `.kill_and_wait_for_return(name)`,
    `.var_dir`, `.output`. Tests share it: leave it healthy, and clear the inboxes that you count in.
    """
    request.node.stash.setdefault(CHILDREN, []).append(running_stack)
    return running_stack


@pytest.fixture(scope="session")
def chromium_path() -> str:
    """The Chromium to drive; only for tests marked `browser`."""
    path = find_chromium()
    assert path is not None
    return path


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """What needs the stack is marked `stack`, and runs after the fast tests."""
    for item in items:
        names: Any = getattr(item, "fixturenames", ())
        if "running_stack" in names and item.get_closest_marker("stack") is None:
            item.add_marker("stack")
    items.sort(key=lambda item: any(item.get_closest_marker(name) for name in ("stack", "docker", "browser")))
