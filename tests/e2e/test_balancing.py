"""Every replica behind the proxy answers, over HTTP and over WebSocket."""

from urllib.parse import urlsplit

import pytest
import requests
from websockets.sync.client import connect


def _served_by(visitor, requests_count):
    return [visitor.get("/echo").json()["served_by"] for _ in range(requests_count)]


def test_echo_is_answered_by_every_replica(stranger, stack, wait_until):
    replicas = len(stack.replicas())
    wait_until(lambda: len(set(_served_by(stranger, 3 * replicas))) == replicas)


def test_replicas_take_turns(stranger, stack, wait_until):
    replicas = len(stack.replicas())

    def turns_are_even():
        served = _served_by(stranger, 4 * replicas)
        return all(served.count(name) == 4 for name in set(served)) and len(set(served)) == replicas

    wait_until(turns_are_even)


def test_echo_gives_back_what_was_sent_and_masks_secrets(admin):
    token = admin.cookies["session"]
    answer = admin.post("/echo?a=1&a=2", data="chào", headers={"X-Mark": "7"}).json()
    assert (answer["method"], answer["path"], answer["query"]) == ("POST", "/echo", {"a": ["1", "2"]})
    assert {name.lower(): value for name, value in answer["headers"].items()}["x-mark"] == "7"
    assert token not in str(answer)


def test_a_websocket_through_the_proxy_echoes(stack):
    parts = urlsplit(stack.proxy)
    with connect(f"ws://{parts.netloc}/echo", open_timeout=10) as websocket:
        for message in ("hello", b"\x00\xff" * 100_000):
            websocket.send(message)
            assert websocket.recv(timeout=10) == message


def test_a_request_keeps_its_id_on_the_way(stranger):
    answer = stranger.get("/echo", headers={"X-Request-Id": "e2e-0123456789"})
    assert answer.headers["X-Request-Id"] == "e2e-0123456789"


def test_every_replica_is_well_and_measures_itself(stack):
    for address in stack.replicas():
        assert requests.get(f"{address}/healthz", timeout=10).text.strip() == "ok"
        assert "# TYPE" in requests.get(f"{address}/metrics", timeout=10).text


@pytest.mark.parametrize("path", ["/metrics", "/healthz"])
def test_what_a_replica_tells_of_itself_is_not_for_those_outside(stranger, path):
    assert stranger.get(path).status_code == 404


def test_the_proxy_says_that_it_is_well_to_anybody(stranger):
    assert stranger.get("/_proxy/healthz").status_code == 200


def test_the_proxy_shows_its_upstreams_to_a_session(admin, stack):
    status = admin.get("/_proxy/status")
    assert status.status_code == 200
    for address in stack.replicas():
        assert urlsplit(address).netloc in status.text
