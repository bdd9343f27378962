"""What the tracker hears of a backend."""

import asyncio

import pytest
import requests

from services.backend.load import InFlight
from services.backend.registration import Registration, make_replica_name
from shared.httpcore.net.pool import ConnectionPool
from shared.runtime.tracker_client import TrackerClient
from tests.conftest import StartService
from tests.processes import wait_until


@pytest.mark.parametrize(
    ("hostname", "port", "name"),
    [
        ("vm", 8000, "backend-vm-8000"),
        ("my_host.example", 8000, "backend-my_host-example-8000"),
        ("máy tính", 1, "backend-m-y-t-nh-1"),
        ("x" * 100, 65_535, "backend-" + "x" * 49 + "-65535"),
        ("", 8000, "backend--8000"),
    ],
)
def test_a_replica_has_a_name_that_is_a_peer_id(hostname: str, port: int, name: str) -> None:
    assert make_replica_name(hostname, port) == name
    assert len(name) <= 63


def test_the_lease_tells_load_and_draining_as_they_are_now() -> None:
    async def scenario() -> None:
        in_flight = InFlight()
        client = TrackerClient("http://127.0.0.1:9", None, ConnectionPool())
        registration = Registration(client, "backend-vm-8000", None, 8000, in_flight)
        assert registration.lease() == {
            "peer_id": "backend-vm-8000",
            "port": 8000,
            "roles": ["backend"],
            "channels": [],
            "meta": {"draining": False},
            "load": 0.0,
        }
        with in_flight, in_flight:
            assert registration.lease()["load"] == 2.0
        await registration.begin_drain()
        assert registration.lease()["load"] == 0.0
        assert registration.lease()["meta"] == {"draining": True}

        advertised = Registration(client, "backend-vm-8000", "10.0.0.7", 8000, in_flight).lease()
        assert advertised == {**registration.lease(), "meta": {"draining": False}, "ip": "10.0.0.7"}

    asyncio.run(scenario())


def test_a_backend_is_in_the_table_says_that_it_drains_and_is_gone_at_its_end(start_service: StartService) -> None:
    tracker = start_service("services.tracker")
    backend = start_service("services.backend", "--tracker", tracker.url)

    def found() -> list[dict[str, object]]:
        peers: list[dict[str, object]] = requests.get(f"{tracker.url}/tracker/peers?role=backend", timeout=5).json()[
            "peers"
        ]
        return peers

    [peer] = wait_until(found, why="the backend to be registered")
    assert (peer["port"], peer["ip"], peer["meta"]) == (backend.port, "127.0.0.1", {"draining": False})
    backend.send_signal(15)
    wait_until(lambda: found() and found()[0]["meta"] == {"draining": True}, why="the drain to be told")
    assert backend.wait() == 0
    assert found() == []


def test_several_workers_are_one_replica(start_service: StartService) -> None:
    tracker = start_service("services.tracker")
    backend = start_service("services.backend", "--tracker", tracker.url, "--workers", "2")
    url = f"{tracker.url}/tracker/peers?role=backend"
    wait_until(lambda: requests.get(url, timeout=5).json()["count"] == 1, why="the backend to be registered")
    served_by = {requests.get(f"{backend.url}/echo", timeout=5).json()["served_by"] for _ in range(8)}
    assert served_by == {requests.get(url, timeout=5).json()["peers"][0]["peer_id"]}
