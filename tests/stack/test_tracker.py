"""The tracker of a running system: through the proxy with a session, and directly with its key."""

import secrets
from collections.abc import Iterator

import pytest

from tests.processes import wait_until
from tests.stack.system import System, Visitor, error_of

pytestmark = pytest.mark.stack


@pytest.fixture(params=["through the proxy", "directly"])
def tracker(system: System, request: pytest.FixtureRequest) -> Visitor:
    """Somebody who may ask the tracker, in both ways."""
    return system.admin if request.param == "through the proxy" else system.ask_tracker()


@pytest.fixture
def peer_id(system: System) -> Iterator[str]:
    """An id that nobody has, and that is gone afterwards."""
    name = f"test-{secrets.token_hex(4)}"
    yield name
    system.ask_tracker().post("/tracker/peer/remove", json={"peer_id": name})


def ids(visitor: Visitor, query: str = "") -> set[str]:
    return {peer["peer_id"] for peer in visitor.get(f"/tracker/peers{query}").json()["peers"]}


def test_the_peers_of_the_system_are_known_by_role_and_channel(tracker: Visitor, system: System) -> None:
    assert set(system.peer_urls) <= ids(tracker, "?role=p2p&channel=chat")
    assert len(ids(tracker, "?role=backend")) == (system.backends if system.is_keyed else 0)


def test_register_heartbeat_update_batch_and_remove(tracker: Visitor, peer_id: str) -> None:
    lease = {"peer_id": peer_id, "port": 7999, "roles": ["test"], "channels": ["chat"], "ttl": 30}
    answer = tracker.post("/tracker/register", json=lease)
    assert answer.status_code == 201
    registered = answer.json()
    registered = registered.get("peer", registered)
    assert (registered["peer_id"], registered["port"], registered["ttl"]) == (peer_id, 7999, 30)
    assert {"registered_at", "last_heartbeat", "expires_in"} <= registered.keys()
    assert peer_id in ids(tracker, "?role=test&channel=chat")
    assert tracker.post("/tracker/heartbeat", json={"peer_id": peer_id, "load": 0.5}).status_code == 200
    assert tracker.post("/tracker/update", json={"peer_id": peer_id, "channels": ["other"]}).status_code == 200
    assert peer_id not in ids(tracker, "?channel=chat")
    batch = tracker.post("/tracker/heartbeat_batch", json={"peers": [peer_id, "nobody"], "ttl": 30}).json()
    assert batch["updated"] in (1, [peer_id])
    assert batch["not_found"] == ["nobody"]
    assert tracker.post("/tracker/peer/remove", json={"peer_id": peer_id}).status_code == 200
    assert error_of(tracker.post("/tracker/heartbeat", json={"peer_id": peer_id})) == (404, "peer_not_found")


def test_a_peer_is_gone_when_its_ttl_is_over(tracker: Visitor, peer_id: str) -> None:
    assert tracker.post("/tracker/register", json={"peer_id": peer_id, "port": 1, "ttl": 1}).status_code == 201
    assert peer_id in ids(tracker)
    wait_until(lambda: peer_id not in ids(tracker), timeout_s=10, why="the lease to end")


@pytest.mark.parametrize("path", ["register", "heartbeat", "update", "peer/remove", "heartbeat_batch"])
@pytest.mark.parametrize("body", [b"", b"{", b"[]", b'"x"', b"null", b'{"peer_id": 7, "port": "x"}', b"\xff"])
def test_bad_input_is_an_error_object(tracker: Visitor, path: str, body: bytes) -> None:
    answer = tracker.post(f"/tracker/{path}", data=body, headers={"Content-Type": "application/json"})
    assert 400 <= answer.status_code < 500
    assert set(answer.json()["error"]) >= {"code", "message"}


def test_health_is_open_and_stats_are_told(tracker: Visitor) -> None:
    assert tracker.get("/tracker/health").json()["ok"] is True
    assert tracker.get("/tracker/stats").status_code == 200


def test_a_wrong_key_opens_nothing(keyed: System) -> None:
    wrong = Visitor(keyed.tracker_url, {"X-Tracker-Key": "0" * 64})
    assert error_of(wrong.get("/tracker/peers")) == (401, "key_required")


def test_a_user_can_not_take_over_what_a_service_registered(keyed: System) -> None:
    answer = keyed.admin.post("/tracker/register", json={"peer_id": "p1", "ip": "192.0.2.1", "port": 1})
    assert error_of(answer) == (409, "registered_by_key")
