"""The endpoints as functions from request to reply: statuses, shapes and error codes, without a socket."""

import asyncio
import inspect
import json

import pytest

from services.tracker.handlers import CALLER, TrackerApi
from services.tracker.listing import PeerEncoder
from services.tracker.registry import Registry
from services.tracker.watch import WatchHub
from shared.httpcore.errors import HttpError
from shared.httpcore.message import Request
from shared.httpcore.routing import Router
from shared.runtime.key_check import ANYONE, KEY_HOLDER, Caller

ANN = Caller("user", "ann", ("p1",))
LEASE = {"peer_id": "p1", "ip": "10.0.0.1", "port": 7510, "roles": ["p2p"], "channels": ["chat"], "ttl": 60}


class Client:
    """Calls the endpoints as `caller`; the clock is the test's."""

    def __init__(self, max_peers=5, max_watchers=5):
        self.now = 1000.0
        self.caller = ANYONE
        registry, encoder = Registry(max_peers, first_revision=100), PeerEncoder()
        hub = WatchHub(registry, encoder, lambda: self.now, max_watchers)
        self.router = Router()
        TrackerApi(registry, encoder, hub, lambda: self.now).add_to(self.router)
        self.headers = []

    def ask(self, method, target, body=b""):
        request = Request(method, f"/tracker/{target}")
        request.remote_ip = "10.9.9.9"
        request.body = body
        request.state[CALLER] = self.caller
        try:
            reply = self.router.find(request).handler(request)
            if inspect.isawaitable(reply):
                reply = asyncio.run(reply)
        except HttpError as error:
            self.headers = list(error.headers)
            return error.status, error.code, error.message
        self.headers = reply.headers
        assert reply.content_type == "application/json; charset=utf-8"
        return reply.status, json.loads(reply.body)

    def get(self, target):
        return self.ask("GET", target)

    def post(self, target, fields):
        return self.ask("POST", target, fields if isinstance(fields, bytes) else json.dumps(fields).encode())

    def listed(self, query=""):
        return [peer["peer_id"] for peer in self.get(f"peers{query}")[1]["peers"]]


@pytest.fixture
def client():
    return Client()


def test_health_says_for_how_long(client):
    client.now += 12.5
    assert client.get("health") == (200, {"ok": True, "uptime": 12.5})


def test_registering_answers_201_and_the_entry(client):
    assert client.post("register", LEASE) == (
        201,
        {
            "peer_id": "p1",
            "ip": "10.0.0.1",
            "port": 7510,
            "roles": ["p2p"],
            "channels": ["chat"],
            "meta": {},
            "load": 0.0,
            "ttl": 60,
            "registered_at": 1000.0,
            "last_heartbeat": 1000.0,
            "expires_in": 60.0,
            "registered_by": "anyone",
            "revision": 101,
        },
    )
    assert ("Cache-Control", "no-store") in client.headers


def test_without_ip_the_caller_s_address_is_listed(client):
    assert client.post("register", {"peer_id": "p1", "port": 1})[1]["ip"] == "10.9.9.9"


def test_the_ttl_granted_is_told(client):
    assert client.post("register", LEASE | {"ttl": 10**9})[1]["ttl"] == 86_400


@pytest.mark.parametrize("path", ["register", "heartbeat", "update", "peer/remove", "heartbeat_batch"])
@pytest.mark.parametrize(
    "body", [b"", b"{", b"[]", b'"x"', b"null", b"\xff", b'{"peer_id": NaN}', b"[" * 5000, b'{"port":' + b"9" * 5000]
)
def test_what_is_no_json_object_is_refused(client, path, body):
    assert client.post(path, body)[:2] == (400, "bad_json")


@pytest.mark.parametrize("path", ["register", "heartbeat", "update", "peer/remove", "heartbeat_batch"])
def test_an_object_without_fields_is_refused_by_name(client, path):
    status, code, message = client.post(path, {})
    assert (status, code) == (400, "bad_field")
    assert "got nothing, expected" in message


@pytest.mark.parametrize("path", ["heartbeat", "update", "peer/remove"])
def test_an_unknown_peer_is_404(client, path):
    assert client.post(path, {"peer_id": "p1"})[:2] == (404, "peer_not_found")


def test_a_heartbeat_renews_and_may_change_ttl_and_load(client):
    client.post("register", LEASE)
    client.now += 30
    status, peer = client.post("heartbeat", {"peer_id": "p1", "ttl": 90, "load": 2, "port": "ignored"})
    assert (status, peer["expires_in"], peer["ttl"], peer["load"], peer["port"]) == (200, 90.0, 90, 2.0, 7510)


def test_an_update_changes_any_field(client):
    client.post("register", LEASE)
    fields = {"ip": "peer.example", "port": 1, "roles": [], "channels": ["a"], "meta": {"x": 1}, "load": 1.5, "ttl": 5}
    status, peer = client.post("update", {"peer_id": "p1", **fields})
    assert status == 200
    assert {name: peer[name] for name in fields} == fields


def test_a_removed_peer_is_gone(client):
    client.post("register", LEASE)
    assert client.post("peer/remove", {"peer_id": "p1"}) == (200, {"peer_id": "p1", "removed": True})
    assert client.listed() == []


def test_a_batch_renews_the_known_and_names_the_others_in_order(client):
    for peer_id in ("a", "b"):
        client.post("register", LEASE | {"peer_id": peer_id})
    client.now += 59
    assert client.post("heartbeat_batch", {"peers": ["z", "b", "y", "a", "z"], "ttl": 100}) == (
        200,
        {"updated": ["b", "a"], "not_found": ["z", "y"]},
    )
    client.now += 99
    assert client.listed() == ["a", "b"]


def test_a_batch_with_one_bad_id_renews_nobody(client):
    client.post("register", LEASE)
    client.now += 59
    assert client.post("heartbeat_batch", {"peers": ["p1", "no id"]})[:2] == (400, "bad_field")
    client.now += 1
    assert client.listed() == []


def test_a_full_table_says_so_and_when_to_try_again():
    client = Client(max_peers=1)
    client.post("register", LEASE)
    assert client.post("register", LEASE | {"peer_id": "p2"})[:2] == (503, "registry_full")
    assert ("Retry-After", "5") in client.headers


def test_lists_are_filtered_and_come_in_pages(client):
    for peer_id, role in (("a", "p2p"), ("b", "backend"), ("c", "p2p"), ("d", "p2p")):
        client.post("register", LEASE | {"peer_id": peer_id, "roles": [role]})
    assert client.listed("?role=backend") == ["b"]
    assert client.listed("?role=p2p&channel=nowhere") == []
    first = client.get("peers?role=p2p&limit=2")[1]
    assert (first["count"], [peer["peer_id"] for peer in first["peers"]], first["next"]) == (2, ["a", "c"], "c")
    second = client.get("peers?role=p2p&limit=2&after=c")[1]
    assert ([peer["peer_id"] for peer in second["peers"]], "next" in second) == (["d"], False)


def test_a_limit_that_fits_exactly_has_no_next_page(client):
    client.post("register", LEASE)
    assert "next" not in client.get("peers?limit=1")[1]


@pytest.mark.parametrize("target", ["peers?limit=x", "peers?after=a.b", "watch?since=x", "watch?wait=x"])
def test_a_bad_query_is_refused(client, target):
    assert client.get(target)[:2] == (400, "bad_field")


def test_a_watch_has_the_shape_of_a_list(client):
    client.post("register", LEASE)
    assert client.get("watch?since=100") == client.get("peers")
    assert client.get("watch?since=101&wait=0") == client.get("peers")


def test_a_watch_too_many_is_refused():
    assert Client(max_watchers=0).get("watch")[:2] == (503, "too_many_watchers")


def test_stats_count_the_table_and_its_life(client):
    client.post("register", LEASE)
    client.post("register", LEASE | {"peer_id": "b1", "roles": ["backend"], "channels": [], "ttl": 1})
    client.post("heartbeat", {"peer_id": "p1"})
    client.post("update", {"peer_id": "p1", "channels": ["chat", "news"]})
    client.now += 2
    assert client.get("stats") == (
        200,
        {
            "count": 1,
            "max_peers": 5,
            "roles": {"p2p": 1},
            "channels": {"chat": 1, "news": 1},
            "watchers": 0,
            "revision": 104,
            "uptime": 2.0,
            "registrations": 2,
            "heartbeats": 1,
            "updates": 1,
            "removals": 0,
            "expirations": 1,
        },
    )


def test_a_user_registers_his_own_peer_only(client):
    client.caller = ANN
    assert client.post("register", LEASE)[1]["registered_by"] == "user:ann"
    assert client.post("register", LEASE | {"peer_id": "p2"})[:2] == (403, "not_your_peer")


def test_a_user_takes_over_nothing_that_the_key_registered(client):
    client.caller = KEY_HOLDER
    assert client.post("register", LEASE)[1]["registered_by"] == "key"
    client.caller = ANN
    assert client.post("register", LEASE)[:2] == (409, "registered_by_key")
    assert client.post("update", {"peer_id": "p1", "port": 1})[:2] == (409, "registered_by_key")
    assert client.post("update", {"peer_id": "p1", "channels": []})[0] == 200
    client.caller = KEY_HOLDER
    assert client.post("register", LEASE)[0] == 201


def test_a_peer_that_finds_a_user_s_entry_in_its_place_registers_again(client):
    # It used to renew that entry for ever, which the proxy doesn't route to.
    client.caller = ANN
    client.post("register", LEASE)
    client.now += 30
    client.caller = KEY_HOLDER
    assert client.post("heartbeat", {"peer_id": "p1"})[:2] == (404, "peer_not_found")
    assert client.post("update", {"peer_id": "p1", "load": 1})[:2] == (404, "peer_not_found")
    assert client.post("heartbeat_batch", {"peers": ["p1"]}) == (200, {"updated": [], "not_found": ["p1"]})
    assert client.get("peers")[1]["peers"][0]["expires_in"] == 30.0, "nothing renewed it"
    status, peer = client.post("register", LEASE)
    assert (status, peer["registered_by"]) == (201, "key")
    assert client.post("heartbeat", {"peer_id": "p1"})[0] == 200
    assert client.post("update", {"peer_id": "p1", "load": 1})[0] == 200


def test_the_key_replaces_a_user_s_entry_in_a_full_table():
    client = Client(max_peers=1)
    client.caller = ANN
    client.post("register", LEASE)
    client.caller = KEY_HOLDER
    assert client.post("register", LEASE)[1]["registered_by"] == "key"


@pytest.mark.parametrize("caller", [ANN, ANYONE])
def test_others_than_the_key_renew_a_user_s_entry(client, caller):
    client.caller = ANN
    client.post("register", LEASE)
    client.caller = caller
    assert client.post("heartbeat", {"peer_id": "p1"})[0] == 200
    assert client.post("update", {"peer_id": "p1", "port": 1})[0] == 200
    assert client.post("heartbeat_batch", {"peers": ["p1"]})[1]["updated"] == ["p1"]


@pytest.mark.parametrize("path", ["heartbeat", "update", "peer/remove"])
def test_a_user_does_not_learn_whether_another_s_peer_is_there(client, path):
    client.caller = ANN
    assert client.post(path, {"peer_id": "p2"})[:2] == (403, "not_your_peer")


def test_a_user_s_batch_with_another_s_peer_renews_nobody(client):
    client.caller = KEY_HOLDER
    client.post("register", LEASE)
    client.now += 59
    client.caller = ANN
    assert client.post("heartbeat_batch", {"peers": ["p1", "p2"]})[:2] == (403, "not_your_peer")
    client.now += 1
    assert client.listed() == []
