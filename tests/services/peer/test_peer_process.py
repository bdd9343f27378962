"""Peers as real processes: the API, messages between them, and who may ask."""

import contextlib
import json
import os
import signal
import socket
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
import requests
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.sync.client import ClientConnection, connect

from shared.runtime.proofs import PROOF_HEADER, Proof, sign_proof
from tests.conftest import StartService
from tests.processes import wait_until
from tests.services.peer.peer_processes import ChatPeer, Town, make_keys

pytestmark = pytest.mark.stack


@pytest.fixture
def peer(start_service: StartService, tmp_path: Path) -> ChatPeer:
    """One keyless peer without a tracker."""
    service = start_service("services.peer", "--data-dir", str(tmp_path / "data"))
    return ChatPeer(service, "p1")


@pytest.fixture
def town(start_service: StartService, tmp_path: Path) -> Town:
    return Town(start_service, tmp_path)


@contextlib.contextmanager
def listening(peer: ChatPeer, query: str = "", **headers: str) -> Iterator[ClientConnection]:
    url = peer.service.url.replace("http", "ws") + "/p2p/ws" + query
    with connect(url, additional_headers=headers, open_timeout=10, max_size=None, proxy=None) as websocket:
        yield websocket


def receive(websocket: ClientConnection) -> dict[str, Any]:
    event: dict[str, Any] = json.loads(websocket.recv(timeout=20))
    return event


# --- one peer ------------------------------------------------------------------------------------------------


def test_a_message_for_the_peer_itself_is_in_its_inbox(peer: ChatPeer) -> None:
    answer = peer.post(content="first", id="a", **{"from": "someone"}, to="p1")
    assert (answer.status_code, answer.json()) == (
        200,
        {"id": "a", "status": "stored", "targets": [{"peer_id": "p1", "status": "stored"}]},
    )
    made = peer.post(content="second").json()["id"]
    assert made
    first, second = peer.inbox()
    assert (first["seq"], first["from"], first["to"], first["channel"]) == (1, "someone", "p1", None)
    assert (second["seq"], second["id"], second["from"], second["to"]) == (2, made, "p1", "p1")
    assert first.keys() == {"seq", "id", "from", "to", "channel", "content", "received_at", "sent_at"}
    page = peer.ask("GET", "/p2p/inbox?after=1&limit=5").json()
    assert ([each["content"] for each in page["messages"]], page["count"]) == (["second"], 2)


def test_messages_are_never_compressed_and_metrics_are(peer: ChatPeer) -> None:
    # The length of a compressed inbox would tell a stranger how near his message is to another one (BREACH).
    peer.post(content="x" * 5000)
    takes_gzip = {"Accept-Encoding": "gzip"}
    inbox = requests.get(f"{peer.service.url}/p2p/inbox", headers=takes_gzip)
    assert (len(inbox.content) > 5000, inbox.headers.get("Content-Encoding")) == (True, None)
    assert requests.get(f"{peer.service.url}/metrics", headers=takes_gzip).headers["Content-Encoding"] == "gzip"


def test_clearing_keeps_ids_and_seqs(peer: ChatPeer) -> None:
    peer.post(content="x", id="a")
    assert peer.ask("POST", "/p2p/inbox/clear").json() == {"cleared": 1, "count": 0}
    assert peer.post(content="x", id="a").json()["status"] == "stored"
    assert peer.inbox() == []
    peer.post(content="y", id="b")
    assert [each["seq"] for each in peer.inbox()] == [2]


def test_whoami_tells_who_and_how_full(peer: ChatPeer) -> None:
    peer.post(content="x")
    assert peer.whoami() == {
        "peer_id": "p1",
        "ip": "127.0.0.1",
        "api_port": peer.service.port,
        "p2p_port": peer.p2p_port,
        "registered": False,
        "tracker": None,
        "keyed": False,
        "inbox_count": 1,
        "outbox_count": 0,
    }


REFUSED: list[tuple[str, str, object, int, str]] = [
    ("POST", "/p2p/msg", {}, 400, "bad_content"),
    ("POST", "/p2p/msg", {"content": 5}, 400, "bad_content"),
    ("POST", "/p2p/msg", {"content": "\ud800"}, 400, "bad_content"),
    ("POST", "/p2p/msg", {"content": "é" * 16_384 + "x"}, 413, "content_too_large"),
    ("POST", "/p2p/msg", {"content": "x" * 300_000}, 413, "body_too_large"),
    ("POST", "/p2p/msg", {"content": "x", "to": "no such id!"}, 400, "bad_to"),
    ("POST", "/p2p/msg", {"content": "x", "from": ""}, 400, "bad_from"),
    ("POST", "/p2p/msg", {"content": "x", "id": "a/b"}, 400, "bad_id"),
    ("POST", "/p2p/msg", {"content": "x", "channel": "\n"}, 400, "bad_channel"),
    ("POST", "/p2p/msg", {"content": "x", "from": "p2", "to": "p3"}, 403, "not_your_peer"),
    ("POST", "/p2p/msg", {"content": "x", "from": "p2", "channel": "chat"}, 403, "not_your_peer"),
    ("POST", "/p2p/msg", ["content"], 400, "bad_json"),
    ("POST", "/p2p/outbox/remove", {"id": 5}, 400, "bad_id"),
    ("POST", "/p2p/outbox/remove", {"id": "unknown"}, 404, "message_not_found"),
    ("GET", "/p2p/inbox?after=-1", None, 400, "bad_query"),
    ("GET", "/p2p/inbox?limit=0", None, 400, "bad_query"),
    ("GET", "/p2p/inbox?limit=1001", None, 400, "bad_query"),
    ("GET", "/p2p/outbox?limit=x", None, 400, "bad_query"),
    ("GET", "/p2p/ws", None, 426, "upgrade_required"),
    ("GET", "/p2p/nothing", None, 404, "not_found"),
    ("GET", "/p2p/msg", None, 405, "method_not_allowed"),
]


def test_what_is_wrong_is_told_with_status_and_code(peer: ChatPeer) -> None:
    for method, path, body, status, code in REFUSED:
        answer = peer.ask(method, path, json=body)
        assert (answer.status_code, answer.json()["error"]["code"]) == (status, code), (path, body, answer.text)
        assert answer.headers["X-Request-Id"]
    assert peer.inbox() == []


def test_32_kib_of_anything_is_taken(peer: ChatPeer) -> None:
    for character in ("x", "é", "\x00", '"'):
        content = character * (32_768 // len(character.encode()))
        assert peer.post(content=content).status_code == 200
        assert peer.inbox()[-1]["content"] == content


def test_the_same_id_twice_is_one_message_and_another_under_it_a_conflict(peer: ChatPeer) -> None:
    answers = [peer.post(content="x", id="a").json() for _ in range(2)]
    assert answers[0] == answers[1]
    conflict = peer.post(content="y", id="a")
    assert (conflict.status_code, conflict.json()["error"]["code"]) == (409, "id_conflict")
    assert len(peer.inbox()) == 1


def test_without_a_tracker_messages_for_others_wait(peer: ChatPeer) -> None:
    answer = peer.post(content="x", to="p2", id="a")
    assert (answer.status_code, answer.json()) == (
        202,
        {"id": "a", "status": "queued", "targets": [{"peer_id": "p2", "status": "queued"}]},
    )
    assert peer.post(content="x", channel="chat", id="b").json() == {"id": "b", "status": "queued", "targets": []}
    outbox = peer.ask("GET", "/p2p/outbox").json()
    assert (outbox["count"], outbox["rejected"]) == (2, [])
    assert [(each["id"], each["to"], each["last_error"]) for each in outbox["messages"]] == [
        ("a", "p2", "nobody has told where this peer is"),
        ("b", None, "the channel's members aren't known yet"),
    ]
    assert peer.ask("POST", "/p2p/outbox/remove", json={"id": "a"}).json() == {"id": "a", "removed": True}
    assert peer.post(content="x", to="p2", id="a").status_code == 410
    assert peer.whoami()["outbox_count"] == 1


def test_a_thousand_messages_at_once_share_commits(peer: ChatPeer) -> None:
    with ThreadPoolExecutor(32) as pool:
        statuses = set(pool.map(lambda n: peer.post(content=f"message {n}", id=f"m{n}").status_code, range(1000)))
    assert statuses == {200}
    inbox = peer.inbox()
    assert {each["id"] for each in inbox} == {f"m{n}" for n in range(1000)}
    assert [each["seq"] for each in inbox] == list(range(1, 1001))
    assert peer.metric("weaprous_peer_store_writes_total") >= 1000
    assert peer.metric("weaprous_peer_store_commits_total") < 900


def test_a_keyless_peer_answers_to_its_own_names_only(peer: ChatPeer) -> None:
    evil = peer.ask("GET", "/p2p/inbox", headers={"Host": "evil.example"})
    assert (evil.status_code, evil.json()["error"]["code"]) == (421, "misdirected_host")
    cross = peer.ask("POST", "/p2p/msg", json={"content": "x"}, headers={"Origin": "http://evil.example"})
    assert (cross.status_code, cross.json()["error"]["code"]) == (403, "cross_site")
    with pytest.raises(InvalidStatus) as refused, listening(peer, Origin="http://evil.example"):
        pass
    assert refused.value.response.status_code == 403
    local = peer.ask("GET", "/p2p/inbox", headers={"Origin": "http://localhost:8080"})
    assert local.headers["Access-Control-Allow-Origin"] == "http://localhost:8080"


# --- browsers ------------------------------------------------------------------------------------------------


def test_a_browser_hears_what_happens(peer: ChatPeer) -> None:
    peer.post(content="before", id="m0")
    with listening(peer) as websocket:
        assert receive(websocket) == {"type": "hello", "peer_id": "p1", "count": 1, "last_seq": 1}
        peer.post(content="hi", id="m1")
        assert receive(websocket) == {"type": "message", "message": peer.inbox()[-1]}
        peer.ask("POST", "/p2p/inbox/clear")
        assert receive(websocket) == {"type": "cleared", "count": 0}
        peer.post(content="hi", to="p2", id="m2")
        assert receive(websocket) == {"type": "outbox", "pending": 1, "message_id": "m2", "state": "queued"}


def test_a_browser_posts_and_is_answered(peer: ChatPeer) -> None:
    with listening(peer) as websocket:
        receive(websocket)
        websocket.send('{"type":"ping"}')
        assert receive(websocket) == {"type": "pong"}
        websocket.send(json.dumps({"type": "send", "content": "hi", "id": "m1", "ref": "r1"}))
        events = [receive(websocket), receive(websocket)]
        assert sorted(event["type"] for event in events) == ["message", "result"]
        [result] = [event for event in events if event["type"] == "result"]
        targets = [{"peer_id": "p1", "status": "stored"}]
        assert result == {"type": "result", "ref": "r1", "id": "m1", "status": "stored", "targets": targets}
        websocket.send(json.dumps({"type": "send", "content": "other", "id": "m1", "ref": 7}))
        result = receive(websocket)
        assert (result["ref"], result["status"], result["error"]["code"]) == (7, "error", "id_conflict")
        for text, code in [("nonsense", "bad_json"), ("[1]", "bad_json"), ('{"type":"wave"}', "unknown_type")]:
            websocket.send(text)
            assert receive(websocket)["code"] == code
        websocket.send(b"\x00")
        assert receive(websocket)["code"] == "bad_json"


def test_messages_sent_over_a_websocket_keep_their_order(peer: ChatPeer) -> None:
    with listening(peer) as websocket:
        for number in range(100):
            websocket.send(json.dumps({"type": "send", "content": str(number), "ref": number}))
        events = [receive(websocket) for _ in range(201)]
    assert {event["ref"] for event in events if event["type"] == "result"} == set(range(100))
    assert [each["content"] for each in peer.inbox()] == [str(number) for number in range(100)]


def test_a_browser_that_comes_back_is_told_what_it_missed_and_nothing_twice(peer: ChatPeer) -> None:
    for number in range(450):
        peer.post(content="x", id=f"m{number}")
    with listening(peer, "?after=10") as websocket:
        assert receive(websocket)["last_seq"] == 450
        peer.post(content="x", id="live")
        seqs = [receive(websocket)["message"]["seq"] for _ in range(441)]
        assert seqs == list(range(11, 452))


def test_a_browser_that_does_not_read_is_let_go(peer: ChatPeer) -> None:
    with socket.create_connection(("127.0.0.1", peer.service.port)) as sock:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        key = "Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\nSec-WebSocket-Version: 13"
        head = f"GET /p2p/ws HTTP/1.1\r\nHost: 127.0.0.1\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n{key}\r\n\r\n"
        sock.sendall(head.encode())
        assert sock.recv(12) == b"HTTP/1.1 101"
        deadline = time.monotonic() + 60
        while peer.metric("weaprous_peer_browsers_dropped_total") == 0:
            assert peer.post(content="x" * 32_000).status_code == 200
            assert time.monotonic() < deadline
        wait_until(lambda: peer.metric("weaprous_peer_browsers") == 0, why="the browser to be gone")


# --- between peers -------------------------------------------------------------------------------------------


def test_messages_go_from_peer_to_peer(town: Town) -> None:
    p1, p2, p3 = town.peer("p1"), town.peer("p2"), town.peer("p3")
    town.wait_known(p1, p2, p3)
    content = '"' * 32_768
    answer = p1.post(to="p2", content=content, id="a")
    assert (answer.status_code, answer.json()["status"]) == (200, "delivered")
    [message] = p2.inbox()
    assert (message["id"], message["from"], message["to"], message["content"]) == ("a", "p1", "p2", content)
    answer = p2.post(channel="chat", content="to all", id="b")
    assert answer.json()["targets"] == [
        {"peer_id": "p1", "status": "delivered"},
        {"peer_id": "p3", "status": "delivered"},
    ]
    assert [each["channel"] for each in p1.inbox() + p3.inbox()] == ["chat", "chat"]
    assert [each["id"] for each in p2.inbox()] == ["a"]
    assert p1.whoami()["outbox_count"] == 0


def test_the_same_post_again_is_answered_again_and_not_sent_again(town: Town) -> None:
    p1, p2 = town.peer("p1"), town.peer("p2")
    town.wait_known(p1, p2)
    answers = [p1.post(to="p2", content="x", id="a") for _ in range(3)]
    assert [answer.status_code for answer in answers] == [200] * 3
    assert len({answer.text for answer in answers}) == 1
    assert p1.post(to="p2", content="y", id="a").status_code == 409
    assert len(p2.inbox()) == 1
    assert p2.metric('weaprous_peer_messages_total{event="repeated"}') == 0


def test_two_senders_may_use_the_same_id(town: Town) -> None:
    p1, p2, p3 = town.peer("p1"), town.peer("p2"), town.peer("p3")
    town.wait_known(p1, p2, p3)
    assert p1.post(to="p3", content="from p1", id="a").status_code == 200
    assert p2.post(to="p3", content="from p2", id="a").status_code == 200
    assert {each["content"] for each in p3.inbox()} == {"from p1", "from p2"}


def test_peers_with_the_same_key_talk_and_one_with_another_stays_out(
    start_service: StartService, tmp_path: Path
) -> None:
    town = Town(start_service, tmp_path, make_keys(tmp_path / "keys"))
    p1, p2 = town.peer("p1"), town.peer("p2")
    other_keys = make_keys(tmp_path / "other")
    (other_keys / "tracker").write_text((tmp_path / "keys" / "tracker").read_text())
    p3 = town.peer("p3", "--keys-dir", str(other_keys))
    p3.session.headers["X-P2P-Key"] = (other_keys / "p2p").read_text().strip()
    town.wait_known(p1, p2, p3)
    assert p1.post(to="p2", content="x").status_code == 200
    assert p1.post(to="p3", content="x").status_code == 202
    assert p3.post(to="p1", content="x").status_code == 202
    [waiting] = p1.ask("GET", "/p2p/outbox").json()["messages"]
    assert waiting["last_error"].startswith("bad_auth:")
    assert p3.inbox() == p1.inbox() == []


def test_with_keys_only_proven_callers_get_in(start_service: StartService, tmp_path: Path) -> None:
    keys = make_keys(tmp_path / "keys")
    service = start_service("services.peer", "--keys-dir", str(keys), "--data-dir", str(tmp_path / "data"))
    key = (keys / "p2p").read_bytes().strip()
    stranger = ChatPeer(service, "p1")
    for path in ("/p2p/inbox", "/p2p/outbox", "/metrics", "/p2p/ws", "/nothing"):
        answer = stranger.ask("GET", path)
        assert (answer.status_code, answer.json()["error"]["code"]) == (401, "key_required"), path
    assert stranger.ask("GET", "/p2p/inbox", headers={"X-P2P-Key": "wrong"}).status_code == 401
    assert stranger.whoami()["keyed"] is True
    assert stranger.ask("GET", "/healthz").text == "ok"
    insider = ChatPeer(service, "p1", {"X-P2P-Key": key.decode()})
    assert insider.post(content="x", **{"from": "p2"}).status_code == 200

    def proven(path: str, target: str = "peer:p1", method: str = "GET", *peers: str) -> dict[str, str]:
        proof = Proof(user="ann", peers=peers or ("p1",), target=target, method=method, path=path)
        return {PROOF_HEADER: sign_proof(key, proof, time.time())}

    assert stranger.ask("GET", "/p2p/inbox", headers=proven("/p2p/inbox")).status_code == 200
    assert stranger.ask("GET", "/p2p/inbox", headers=proven("/p2p/outbox")).status_code == 401
    assert stranger.ask("GET", "/p2p/inbox", headers=proven("/p2p/inbox", "peer:p2")).status_code == 401
    others = proven("/p2p/inbox", "peer:p1", "GET", "p2", "p3")
    foreign = stranger.ask("GET", "/p2p/inbox", headers=others)
    assert (foreign.status_code, foreign.json()["error"]["code"]) == (403, "not_your_peer")
    for fields, status in (({"content": "x"}, 200), ({"content": "x", "from": "p2"}, 403)):
        headers = proven("/p2p/msg", "peer:p1", "POST")
        assert stranger.ask("POST", "/p2p/msg", json=fields, headers=headers).status_code == status
    with listening(stranger, **proven("/p2p/ws")) as websocket:
        assert receive(websocket)["type"] == "hello"
        websocket.send(json.dumps({"type": "send", "content": "x", "from": "p2"}))
        assert receive(websocket)["error"]["code"] == "not_your_peer"


# --- start and end -------------------------------------------------------------------------------------------


def test_the_end_is_orderly(town: Town) -> None:
    p1, p2 = town.peer("p1"), town.peer("p2")
    town.wait_known(p1, p2)
    assert p1.post(to="p2", content="x").status_code == 200
    assert p1.post(to="p9", content="waits", id="later").status_code == 202
    with listening(p1) as websocket:
        receive(websocket)
        p1.service.send_signal(signal.SIGTERM)
        with pytest.raises(ConnectionClosed) as closed:
            websocket.recv(timeout=10)
    assert closed.value.rcvd is not None
    assert closed.value.rcvd.code == 1001
    assert p1.service.wait() == 0
    listed = requests.get(f"{town.tracker.url}/tracker/peers", timeout=5).json()["peers"]
    assert [each["peer_id"] for each in listed] == ["p2"]
    assert "this peer is about to stop" in p1.service.output
    p1.service.restart()
    p1.service.wait_healthy()
    [waiting] = p1.ask("GET", "/p2p/outbox").json()["messages"]
    assert waiting["id"] == "later"


CANNOT_START: list[tuple[tuple[str, ...], str]] = [
    (("--workers", "2"), "--workers: a peer is one process"),
    (("--register",), "--register: got no --tracker"),
    (("--peer-id", "p/1"), "--peer-id: got 'p/1'"),
    (("--ttl", "0"), "--ttl: got '0'"),
    (("--keys-dir", "/nonexistent"), "/nonexistent"),
]


@pytest.mark.parametrize(("flags", "words"), CANNOT_START)
def test_what_keeps_it_from_starting_is_told(
    start_service: StartService, tmp_path: Path, flags: tuple[str, ...], words: str
) -> None:
    service = start_service("services.peer", *flags, "--data-dir", str(tmp_path), wait=False)
    assert service.wait() == 2
    assert words in service.output
    assert "Traceback" not in service.output


def test_a_second_process_on_the_same_data_is_refused(start_service: StartService, tmp_path: Path) -> None:
    first = start_service("services.peer", "--data-dir", str(tmp_path / "data"))
    second = start_service("services.peer", "--data-dir", str(tmp_path / "data"), wait=False)
    assert second.wait() == 2
    lines = [line for line in second.output.splitlines() if line]
    assert lines == [f"peer: {tmp_path}/data/p1.db: another peer process is using it"]
    assert first.is_healthy()


def test_a_port_for_links_that_is_taken_is_named(start_service: StartService, tmp_path: Path) -> None:
    first = start_service("services.peer", "--data-dir", str(tmp_path / "data"))
    port = first.flag("--p2p-port")
    second = start_service(
        "services.peer", "--peer-id", "p2", "--p2p-port", port, "--data-dir", str(tmp_path), wait=False
    )
    assert second.wait() == 2
    assert second.output.splitlines()[-1] == f"peer: port {port} on 127.0.0.1 is already in use"


def test_no_room_on_the_disk_is_an_error_and_never_a_promise(peer: ChatPeer, tmp_path: Path) -> None:
    resource = pytest.importorskip("resource")
    if not hasattr(resource, "prlimit"):
        pytest.skip("prlimit is Linux's own")
    for number in range(5):
        assert peer.post(content="x" * 1000, id=f"before{number}").status_code == 200
    largest = max(path.stat().st_size for path in (tmp_path / "data").iterdir())
    limits = resource.prlimit(peer.service.pid, resource.RLIMIT_FSIZE)
    resource.prlimit(peer.service.pid, resource.RLIMIT_FSIZE, (largest + 40_000, limits[1]))
    answers = [peer.post(content="x" * 30_000, id=f"m{number}") for number in range(20)]
    refused = [answer for answer in answers if answer.status_code != 200]
    assert refused
    for answer in refused:
        assert answer.status_code in (503, 507)
        assert answer.json()["error"]["code"] == "storage_failed"
    promised = [answer.json()["id"] for answer in answers if answer.status_code == 200]
    kept = [each["id"] for each in peer.inbox()]
    assert set(kept) == {*promised, *(f"before{number}" for number in range(5))}
    resource.prlimit(peer.service.pid, resource.RLIMIT_FSIZE, limits)
    assert peer.post(content="room again", id="after").status_code == 200
    os.kill(peer.service.pid, signal.SIGKILL)
    peer.service.wait()
    peer.service.restart()
    peer.service.wait_healthy()
    assert [each["id"] for each in peer.inbox()] == [*kept, "after"]
