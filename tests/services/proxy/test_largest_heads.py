"""The largest head that the proxy takes, and one more: services behind it take what it makes of them."""

import http.client
from pathlib import Path
from typing import Any

import pytest

from shared.httpcore.limits import DEFAULT_LIMITS, behind_proxy
from tests.processes import Service, wait_until
from tests.services.proxy.conftest import StartProxy

BEHIND = behind_proxy(DEFAULT_LIMITS)


@pytest.fixture
def proxy(start_proxy: StartProxy, start_service: Any, tmp_path: Path) -> Service:
    """A keyless proxy in front of a backend, a tracker and a peer of that tracker, `.peer`."""
    tracker = start_service("services.tracker")
    to_tracker = ("--tracker", tracker.url)
    backend = start_service("services.backend")
    peer = start_service("services.peer", "--register", "--data-dir", str(tmp_path), *to_tracker)
    proxy = start_proxy(f'host "*" {{ proxy_pass {backend.url}; }}', *to_tracker)
    proxy.backend, proxy.tracker, proxy.peer = backend, tracker, peer  # type: ignore[attr-defined]
    wait_until(lambda: status_of(proxy, "/peers/p1/p2p/whoami", 2) == 200, why="the proxy to know the peer")
    return proxy


def status_of(service: Service, path: str, field_count: int, head_bytes: int = 0) -> int:
    """The status of a GET with so many fields; one of them is as long as it takes for so many bytes of head."""
    fields = [("Host", f"127.0.0.1:{service.port}")]
    fields += [(f"X-{number}", "v") for number in range(field_count - 1)]
    size = len(f"GET {path} HTTP/1.1\r\n\r\n") + sum(len(name) + len(value) + 4 for name, value in fields)
    if head_bytes:
        fields[-1] = (fields[-1][0], "v" * (head_bytes - size + 1))
    connection = http.client.HTTPConnection("127.0.0.1", service.port, timeout=20)
    connection.putrequest("GET", path, skip_host=True, skip_accept_encoding=True)
    for name, value in fields:
        connection.putheader(name, value)
    connection.endheaders()
    try:
        return connection.getresponse().status
    finally:
        connection.close()


def test_every_service_behind_the_proxy_takes_what_it_lets_pass(proxy: Any) -> None:
    for path in ("/echo", "/tracker/health", "/peers/p1/p2p/whoami"):
        for count, size, expected in [
            (DEFAULT_LIMITS.max_field_count, 0, 200),
            (DEFAULT_LIMITS.max_field_count, DEFAULT_LIMITS.max_head_bytes, 200),
            (DEFAULT_LIMITS.max_field_count + 1, 0, 431),
            (DEFAULT_LIMITS.max_field_count, DEFAULT_LIMITS.max_head_bytes + 1, 431),
        ]:
            assert status_of(proxy, path, count, size) == expected, (path, count, size)
    longest = "/echo?" + "x" * (DEFAULT_LIMITS.max_request_line_bytes - len("GET /echo? HTTP/1.1"))
    assert (status_of(proxy, longest, 2), status_of(proxy, longest + "x", 2)) == (200, 414)


def test_services_themselves_have_limits_too(proxy: Any) -> None:
    for service, path in [
        (proxy.backend, "/echo"),
        (proxy.tracker, "/tracker/health"),
        (proxy.peer, "/p2p/whoami"),
    ]:
        for count, size, expected in [
            (BEHIND.max_field_count, BEHIND.max_head_bytes, 200),
            (BEHIND.max_field_count + 1, 0, 431),
            (BEHIND.max_field_count, BEHIND.max_head_bytes + 1, 431),
        ]:
            assert status_of(service, path, count, size) == expected, (path, count, size)
