"""Peers as JSON: what a reader gets, and that what is remembered of a peer never outlives its revision."""

import json

from services.tracker.lease import LeasePatch, PeerFilter, Registration
from services.tracker.listing import PeerEncoder
from services.tracker.registry import Registry


def make(capacity=10):
    registry, encoder = Registry(capacity, first_revision=100), PeerEncoder()
    registry.observers.append(encoder.forget)
    return registry, encoder


def lease(peer_id="p1", **fields):
    return Registration(**{"peer_id": peer_id, "ip": "10.0.0.1", "port": 7510, "ttl_s": 60} | fields)


def test_a_peer_is_shown_with_all_its_fields():
    registry, encoder = make()
    wanted = lease(roles=("p2p",), channels=("chat",), meta={"api_port": 7510, "name": 'Zoë "Z"'}, load=0.5)
    peer = registry.register(wanted, "user:ann", now=1000.1234)
    assert json.loads(encoder.peer_json(peer, now=1010.1234)) == {
        "peer_id": "p1",
        "ip": "10.0.0.1",
        "port": 7510,
        "roles": ["p2p"],
        "channels": ["chat"],
        "meta": {"api_port": 7510, "name": 'Zoë "Z"'},
        "load": 0.5,
        "ttl": 60,
        "registered_at": 1000.123,
        "last_heartbeat": 1000.123,
        "expires_in": 50.0,
        "registered_by": "user:ann",
        "revision": 101,
    }


def test_a_list_counts_its_peers_and_names_the_next_page():
    registry, encoder = make()
    registry.register(lease("a"), "key", now=1000)
    peers = registry.select(PeerFilter(), now=1000)
    whole = json.loads(encoder.list_json(peers, 101, now=1000))
    assert (whole["count"], whole["revision"], [peer["peer_id"] for peer in whole["peers"]]) == (1, 101, ["a"])
    assert "next" not in whole
    assert json.loads(encoder.list_json(peers, 101, now=1000, next_after="a"))["next"] == "a"
    assert json.loads(encoder.list_json([], 101, now=1000)) == {"count": 0, "revision": 101, "peers": []}


def test_a_change_shows_at_once():
    registry, encoder = make()
    first = registry.register(lease(), "key", now=1000)
    encoder.peer_json(first, now=1000)
    registry.heartbeat("p1", LeasePatch(ttl_s=90), now=1030)
    registry.update("p1", LeasePatch(load=4.0), now=1030)
    shown = json.loads(encoder.peer_json(registry.get("p1", now=1031), now=1031))
    assert (shown["load"], shown["ttl"], shown["last_heartbeat"], shown["expires_in"]) == (4.0, 90, 1030.0, 89.0)


def test_a_peer_that_is_gone_and_back_is_shown_as_it_is_now():
    registry, encoder = make()
    encoder.peer_json(registry.register(lease(port=1), "key", now=1000), now=1000)
    registry.remove("p1", now=1000)
    assert encoder._lasting == {}
    assert json.loads(encoder.peer_json(registry.register(lease(port=2), "key", now=1000), now=1000))["port"] == 2


def test_a_listed_peer_never_looks_ended():
    registry, encoder = make()
    peer = registry.register(lease(ttl_s=1), "key", now=1000)
    assert json.loads(encoder.peer_json(peer, now=1000.9999))["expires_in"] > 0
