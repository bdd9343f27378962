"""The whole system as a test sees it, whether `python -m services` started it or a person did, service by service."""

import socket
from dataclasses import dataclass, field
from functools import cached_property
from http.client import HTTPResponse

import requests

TIMEOUT_S = 15.0


@dataclass
class System:
    """Addresses of a running system. `tracker_headers` and `peer_headers` open those two directly; keyless: empty."""

    proxy_url: str
    tracker_url: str
    peer_urls: dict[str, str]
    backends: int
    tracker_headers: dict[str, str] = field(default_factory=dict)
    peer_headers: dict[str, str] = field(default_factory=dict)

    @property
    def is_keyed(self) -> bool:
        """Whether tracker and peers want a key or a proof."""
        return bool(self.tracker_headers)

    @cached_property
    def admin(self) -> "Visitor":
        """The administrator at the proxy. One login for all tests, for each costs a quarter of a second of CPU."""
        return self.login()

    def visit(self) -> "Visitor":
        """Somebody at the proxy without a session."""
        return Visitor(self.proxy_url)

    def login(self, user: str = "admin", password: str = "password") -> "Visitor":
        """Somebody at the proxy who has logged in."""
        visitor = Visitor(self.proxy_url)
        answer = visitor.post("/login", data={"username": user, "password": password})
        assert answer.status_code == 302, answer.text
        return visitor

    def ask_tracker(self) -> "Visitor":
        """Somebody who asks the tracker directly, with its key if there is one."""
        return Visitor(self.tracker_url, self.tracker_headers)

    def ask_peer(self, peer_id: str) -> "Visitor":
        """Somebody who asks a peer directly, with its key if there is one."""
        return Visitor(self.peer_urls[peer_id], self.peer_headers)

    def ask_raw(self, request: bytes) -> tuple[int, bytes]:
        """Status and body of the proxy's reply to bytes that no client library would send."""
        host, port = self.proxy_url.removeprefix("http://").split(":")
        with socket.create_connection((host, int(port)), timeout=TIMEOUT_S) as connection:
            connection.sendall(request)
            reply = HTTPResponse(connection)
            reply.begin()
            return reply.status, reply.read()


class Visitor(requests.Session):
    """A session at one address: paths instead of URLs, no redirect followed, never waits for ever."""

    def __init__(self, base_url: str, headers: dict[str, str] | None = None) -> None:
        super().__init__()
        self.base_url = base_url
        self.headers.update(headers or {})

    def request(self, method: str, url: str, **options: object) -> requests.Response:  # type: ignore[override]
        options.setdefault("timeout", TIMEOUT_S)
        options["allow_redirects"] = False
        return super().request(method, self.base_url + url, **options)  # type: ignore[arg-type]


def error_of(answer: requests.Response) -> tuple[int, str]:
    """The status and the code of an error object."""
    error = answer.json()["error"]
    assert error["message"]
    return answer.status_code, error["code"]
