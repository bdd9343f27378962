"""The tracker, through the proxy with a session and directly with its key."""

import secrets

import pytest
import requests


def _ids(answer):
    return {peer["peer_id"] for peer in answer.json()["peers"]}


@pytest.fixture
def lease(admin):
    """A peer that nobody else has registered, and that is gone afterwards."""
    peer_id = f"e2e-{secrets.token_hex(4)}"
    yield {
        "peer_id": peer_id,
        "ip": "192.0.2.1",
        "port": 7999,
        "roles": ["e2e"],
        "channels": ["chat"],
        "ttl": 60,
    }
    admin.post("/tracker/peer/remove", json={"peer_id": peer_id})


def test_the_peers_of_the_stack_are_alive(admin, stack, wait_until):
    wait_until(lambda: set(stack.peers) <= _ids(admin.get("/tracker/peers?role=p2p&channel=chat")))


def test_the_backends_are_registered(admin, stack, wait_until):
    wait_until(lambda: len(_ids(admin.get("/tracker/peers?role=backend"))) >= len(stack.replicas()))


def test_registering_through_the_page(admin, lease):
    answer = admin.post("/tracker/register", json=lease)
    assert answer.status_code == 201
    assert _ids(admin.get("/tracker/peers?role=e2e")) >= {lease["peer_id"]}
    assert admin.post("/tracker/heartbeat", json={"peer_id": lease["peer_id"]}).status_code == 200
    assert admin.post("/tracker/peer/remove", json={"peer_id": lease["peer_id"]}).status_code == 200
    assert lease["peer_id"] not in _ids(admin.get("/tracker/peers"))
    assert admin.post("/tracker/heartbeat", json={"peer_id": lease["peer_id"]}).status_code == 404


def test_a_batch_names_those_that_are_not_there(admin, lease):
    admin.post("/tracker/register", json=lease)
    answer = admin.post("/tracker/heartbeat_batch", json={"peers": [lease["peer_id"], "e2e-nobody"]}).json()
    assert answer["not_found"] == ["e2e-nobody"]


def test_a_lease_that_is_not_renewed_ends(keyed_tracker, lease, wait_until):
    assert keyed_tracker.post("/tracker/register", json=lease | {"ttl": 1}).status_code == 201
    wait_until(lambda: lease["peer_id"] not in _ids(keyed_tracker.get("/tracker/peers")))


def test_a_watch_answers_when_something_changes(keyed_tracker, admin, lease):
    revision = keyed_tracker.get("/tracker/peers?role=e2e").json()["revision"]
    admin.post("/tracker/register", json=lease)
    answer = keyed_tracker.get(f"/tracker/watch?since={revision}&role=e2e&wait=10", timeout=20)
    assert lease["peer_id"] in _ids(answer)


def test_a_user_cannot_take_over_what_a_service_registered(admin):
    answer = admin.post("/tracker/register", json={"peer_id": "p1", "ip": "192.0.2.1", "port": 1})
    assert (answer.status_code, answer.json()["error"]["code"]) == (409, "registered_by_key")


def test_a_stranger_gets_the_tracker_s_health_only(stack):
    assert requests.get(f"{stack.tracker}/healthz", timeout=10).status_code == 200
    assert requests.get(f"{stack.tracker}/tracker/peers", timeout=10).status_code == 401
    wrong = {"X-Tracker-Key": "0" * 64}
    assert requests.get(f"{stack.tracker}/tracker/peers", headers=wrong, timeout=10).status_code == 401


@pytest.mark.parametrize("body", [b"{", b"[]", b'"x"', b'{"peer_id": 7, "port": "x"}', b"\xff"])
def test_bad_input_gets_an_error_that_says_so(keyed_tracker, body):
    answer = keyed_tracker.post("/tracker/register", data=body, headers={"Content-Type": "application/json"})
    assert 400 <= answer.status_code < 500
    assert set(answer.json()["error"]) >= {"code", "message"}
