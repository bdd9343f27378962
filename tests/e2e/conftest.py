"""Where the running stack is, from the environment, and a user who has logged in there.

The service `test` of compose.yaml sets the addresses; without WEAPROUS_E2E_PROXY nothing here is collected.
The tests are black boxes: nothing of the program is imported, and what was in an inbox before stays there.
"""

import os
import secrets
import socket
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

import pytest
import requests

collect_ignore_glob = [] if "WEAPROUS_E2E_PROXY" in os.environ else ["test_*.py"]

ADMIN = {"username": "admin", "password": os.environ.get("WEAPROUS_E2E_PASSWORD", "password")}
TIMEOUT_S = 10.0


@dataclass(frozen=True, slots=True)
class Addresses:
    """The stack as it is seen from where the tests run; `peers` maps a peer id to its own HTTP API."""

    proxy: str
    backend: str
    tracker: str
    peers: dict[str, str]
    keys_dir: Path

    def key(self, name: str) -> str:
        """The text of the key that is mounted for the tests."""
        return (self.keys_dir / name / "key").read_text().strip()

    def replicas(self) -> set[str]:
        """The addresses of the running backends: one for each that the name stands for."""
        parts = urlsplit(self.backend)
        found = socket.getaddrinfo(parts.hostname, parts.port, socket.AF_INET, socket.SOCK_STREAM)
        return {f"http://{entry[4][0]}:{entry[4][1]}" for entry in found}


@pytest.fixture(scope="session")
def stack() -> Addresses:
    """The addresses that the environment gives."""
    peers = os.environ["WEAPROUS_E2E_PEERS"].split(",")
    return Addresses(
        proxy=os.environ["WEAPROUS_E2E_PROXY"],
        backend=os.environ["WEAPROUS_E2E_BACKEND"],
        tracker=os.environ["WEAPROUS_E2E_TRACKER"],
        peers={peer_id: url for peer_id, _, url in (entry.partition("=") for entry in peers)},
        keys_dir=Path(os.environ["WEAPROUS_E2E_KEYS_DIR"]),
    )


class Visitor(requests.Session):
    """A session that prefixes each path with one base address, follows no redirect and never waits for ever."""

    def __init__(self, base: str) -> None:
        super().__init__()
        self.base = base

    def request(self, method: str, url: str, **options: object) -> requests.Response:  # type: ignore[override]
        options.setdefault("timeout", TIMEOUT_S)
        options["allow_redirects"] = False
        return super().request(method, self.base + url, **options)  # type: ignore[arg-type]


@pytest.fixture
def stranger(stack: Addresses) -> Iterator[Visitor]:
    """Somebody at the proxy without a session."""
    with Visitor(stack.proxy) as visitor:
        yield visitor


@pytest.fixture(scope="session")
def admin_login() -> dict[str, str]:
    """What the first user types."""
    return ADMIN


@pytest.fixture(scope="session")
def admin_cookies(stack: Addresses) -> dict[str, str]:
    """What the browser of the first user holds after the login; made once, for a password costs time to check."""
    with Visitor(stack.proxy) as visitor:
        answer = visitor.post("/login", data=ADMIN)
        assert answer.status_code == 302, answer.text
        return {cookie.name: str(cookie.value) for cookie in visitor.cookies}


@pytest.fixture
def admin(stack: Addresses, admin_cookies: dict[str, str]) -> Iterator[Visitor]:
    """Somebody at the proxy who has logged in as the first user."""
    with Visitor(stack.proxy) as visitor:
        visitor.cookies.update(admin_cookies)
        yield visitor


@pytest.fixture
def keyed_tracker(stack: Addresses) -> Iterator[Visitor]:
    """A service that talks to the tracker directly, with its key."""
    with Visitor(stack.tracker) as visitor:
        visitor.headers["X-Tracker-Key"] = stack.key("tracker")
        yield visitor


@pytest.fixture
def message_id() -> str:
    """An id that no message has yet."""
    return f"e2e-{secrets.token_hex(8)}"


@pytest.fixture
def inboxes_as_found(admin: Visitor, stack: Addresses) -> Iterator[None]:
    """Inboxes that were empty before are empty after."""
    empty = [peer for peer in stack.peers if admin.get(f"/peers/{peer}/p2p/inbox").json()["count"] == 0]
    yield
    for peer in empty:
        admin.post(f"/peers/{peer}/p2p/inbox/clear")


def wait_until(condition: Callable[[], bool], limit_s: float = 20.0) -> None:
    """Returns when the condition holds; fails when it does not within the limit."""
    ends_at = time.monotonic() + limit_s
    while not condition():
        assert time.monotonic() < ends_at, f"not true within {limit_s:g} s"
        time.sleep(0.05)


@pytest.fixture(name="wait_until", scope="session")
def wait_until_fixture() -> Callable[..., None]:
    """The function, without an import between test files."""
    return wait_until
