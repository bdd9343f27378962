"""The tracker as a process, asked over the network: time, keys, many watchers, crashes, garbage."""

import json
import socket
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import pytest
import requests

from shared.runtime.keys import make_keys
from shared.runtime.proofs import PROOF_HEADER, Proof, sign_proof
from tests.processes import wait_until

LEASE = {"peer_id": "p1", "port": 7510, "roles": ["p2p"], "channels": ["chat"], "ttl": 60}


class Asker(requests.Session):
    """A session at one tracker; paths are behind /tracker/."""

    def __init__(self, url):
        super().__init__()
        self.base = f"{url}/tracker/"

    def request(self, method, path, **options):
        return super().request(method, self.base + path, **{"timeout": 30} | options)

    def ids(self, query=""):
        return [peer["peer_id"] for peer in self.get(f"peers{query}").json()["peers"]]


@pytest.fixture
def tracker(start_service):
    return start_service("services.tracker")


@pytest.fixture
def asker(tracker):
    with Asker(tracker.url) as asker:
        yield asker


def code(answer):
    return answer.status_code, answer.json()["error"]["code"]


def test_a_peer_is_registered_listed_renewed_changed_and_removed(asker):
    answer = asker.post("register", json=LEASE)
    assert answer.status_code == 201
    assert answer.json()["ip"] == "127.0.0.1"
    assert answer.headers["Content-Type"] == "application/json; charset=utf-8"
    assert answer.headers["X-Request-Id"]
    assert asker.ids("?role=p2p&channel=chat") == ["p1"]
    assert asker.post("heartbeat", json={"peer_id": "p1", "load": 1}).status_code == 200
    assert asker.post("update", json={"peer_id": "p1", "channels": ["news"]}).json()["channels"] == ["news"]
    assert asker.post("heartbeat_batch", json={"peers": ["p1", "p2"]}).json() == {
        "updated": ["p1"],
        "not_found": ["p2"],
    }
    assert asker.get("stats").json()["heartbeats"] == 2
    assert asker.post("peer/remove", json={"peer_id": "p1"}).status_code == 200
    assert code(asker.post("heartbeat", json={"peer_id": "p1"})) == (404, "peer_not_found")


def test_health_and_metrics_are_there(tracker, asker):
    asker.post("register", json=LEASE)
    assert asker.get("health").json()["ok"] is True
    assert requests.get(f"{tracker.url}/healthz", timeout=30).status_code == 200
    text = requests.get(f"{tracker.url}/metrics", timeout=30).text
    assert "weaprous_tracker_peers 1\n" in text
    assert 'weaprous_tracker_lease_events_total{event="registrations"} 1\n' in text


def test_a_long_list_travels_in_gzip_to_who_takes_it(asker):
    for number in range(10):
        asker.post("register", json={**LEASE, "peer_id": f"p{number}"})
    packed, plain = asker.get("peers"), asker.get("peers", headers={"Accept-Encoding": "identity"})
    assert (packed.headers["Content-Encoding"], packed.headers["Cache-Control"]) == ("gzip", "no-store")
    assert "Content-Encoding" not in plain.headers
    assert {peer["peer_id"] for peer in packed.json()["peers"]} == {peer["peer_id"] for peer in plain.json()["peers"]}
    assert int(packed.headers["Content-Length"]) < int(plain.headers["Content-Length"]) / 3


def test_a_watcher_hears_of_a_peer_whose_ttl_passes_without_anybody_asking(asker):
    asker.post("register", json=LEASE | {"ttl": 1})
    revision = asker.get("peers").json()["revision"]
    answer = asker.get(f"watch?since={revision}&role=p2p&wait=20").json()
    assert answer["peers"] == []
    assert answer["revision"] > revision


def test_a_shortened_lease_ends_when_it_says(asker):
    revision = asker.post("register", json=LEASE | {"ttl": 3600}).json()["revision"]
    asker.post("heartbeat", json={"peer_id": "p1", "ttl": 1})
    assert asker.get(f"watch?since={revision}&wait=20").json()["peers"] == []


def test_two_hundred_long_polls_at_once_are_all_answered_by_one_change(asker, tracker):
    revision = asker.get("peers").json()["revision"]

    def poll(number):
        role = "p2p" if number % 2 else "nobody"
        url = f"{tracker.url}/tracker/watch?since={revision}&role={role}&wait=20"
        return requests.get(url, timeout=60).json()

    with ThreadPoolExecutor(200) as pool:
        polls = [pool.submit(poll, number) for number in range(200)]
        wait_until(lambda: asker.get("stats").json()["watchers"] == 200, why="200 watchers")
        asker.post("register", json=LEASE)
        for number in range(1, 200, 2):
            assert [peer["peer_id"] for peer in polls[number].result(30)["peers"]] == ["p1"]
        assert not any(polls[number].done() for number in range(0, 200, 2))
        asker.post("register", json=LEASE | {"peer_id": "n1", "roles": ["nobody"]})
        for number in range(0, 200, 2):
            assert [peer["peer_id"] for peer in polls[number].result(30)["peers"]] == ["n1"]
    wait_until(lambda: asker.get("stats").json()["watchers"] == 0, why="no watchers")


def test_a_watcher_that_hangs_up_leaves_its_place(asker, tracker):
    revision = asker.get("peers").json()["revision"]
    with socket.create_connection(("127.0.0.1", tracker.port)) as sock:
        sock.sendall(f"GET /tracker/watch?since={revision}&wait=60 HTTP/1.1\r\nHost: localhost\r\n\r\n".encode())
        wait_until(lambda: asker.get("stats").json()["watchers"] == 1, why="the watcher")
    wait_until(lambda: asker.get("stats").json()["watchers"] == 0, why="the watcher to be gone")


def test_sigterm_answers_those_who_wait_and_ends_with_0(start_service):
    tracker = start_service("services.tracker", "--drain-s", "5")
    with Asker(tracker.url) as asker, ThreadPoolExecutor(1) as pool:
        revision = asker.post("register", json=LEASE).json()["revision"]
        poll = pool.submit(requests.get, f"{tracker.url}/tracker/watch?since={revision}&wait=60", timeout=60)
        wait_until(lambda: asker.get("stats").json()["watchers"] == 1, why="the watcher")
        assert tracker.stop() == 0
        answer = poll.result(30)
    assert (answer.status_code, answer.json()["count"]) == (200, 1)
    assert answer.headers["Connection"] == "close"


GARBAGE = {
    "no JSON": b"{",
    "a list": b"[]",
    "not UTF-8": b'{"peer_id": "\xff"}',
    "NaN": b'{"peer_id": "p1", "port": 1, "load": NaN}',
    "infinity": b'{"peer_id": "p1", "port": 1, "meta": {"x": Infinity}}',
    "deep": b'{"meta": ' + b"[" * 30_000 + b"]" * 30_000 + b"}",
    "a huge integer": b'{"peer_id": "p1", "port": ' + b"9" * 60_000 + b"}",
    "an integer past 64 bits": b'{"peer_id": "p1", "port": 99999999999999999999999}',
    "half a character": b'{"peer_id": "p1", "port": 1, "roles": ["\\ud800"]}',
    "a name twice, the last one bad": b'{"peer_id": "p1", "port": 1, "port": "x"}',
}


@pytest.mark.parametrize("body", GARBAGE.values(), ids=GARBAGE)
def test_garbage_gets_400_with_words_and_changes_nothing(asker, body):
    answer = asker.post("register", data=body)
    assert answer.status_code == 400
    assert answer.json()["error"]["message"]
    assert asker.ids() == []


def test_a_body_too_large_is_refused(asker):
    assert asker.post("register", data=b'{"x": "' + b"x" * 70_000 + b'"}').status_code == 413


def test_the_table_is_bounded(start_service):
    with Asker(start_service("services.tracker", "--max-peers", "1").url) as asker:
        asker.post("register", json=LEASE)
        answer = asker.post("register", json=LEASE | {"peer_id": "p2"})
        assert code(answer) == (503, "registry_full")
        assert answer.headers["Retry-After"]


def test_without_keys_another_s_page_gets_nothing(tracker, asker):
    assert code(requests.get(f"{tracker.url}/tracker/peers", headers={"Host": "evil.example"}, timeout=30)) == (
        421,
        "misdirected_host",
    )
    page = {"Origin": "https://evil.example", "Content-Type": "text/plain"}
    assert asker.post("register", data=json.dumps(LEASE), headers=page).status_code == 403
    own_page = {"Origin": "http://127.0.0.1:8000"}
    answer = asker.post("register", json=LEASE, headers=own_page)
    assert answer.headers["Access-Control-Allow-Origin"] == own_page["Origin"]


def test_with_keys_only_health_is_open(start_service, tmp_path):
    make_keys(tmp_path)
    tracker = start_service("services.tracker", "--keys-dir", str(tmp_path))
    key = (tmp_path / "tracker").read_text().strip()
    with Asker(tracker.url) as stranger, Asker(tracker.url) as owner:
        assert stranger.get("health").status_code == 200
        assert requests.get(f"{tracker.url}/healthz", timeout=30).status_code == 200
        for path in ("peers", "stats", "watch", "nowhere"):
            assert code(stranger.get(path)) == (401, "key_required")
        assert requests.get(f"{tracker.url}/metrics", timeout=30).status_code == 401
        assert code(stranger.post("register", json=LEASE, headers={"X-Tracker-Key": "0" * 64})) == (401, "key_required")
        owner.headers["X-Tracker-Key"] = key
        assert owner.post("register", json=LEASE).json()["registered_by"] == "key"
        assert owner.ids() == ["p1"]


def test_a_proof_lets_a_user_write_about_his_peers_only(start_service, tmp_path):
    make_keys(tmp_path)
    tracker = start_service("services.tracker", "--keys-dir", str(tmp_path))
    key = (tmp_path / "tracker").read_text().strip().encode()

    def post_as_ann(path, fields):
        proof = Proof("ann", ("p1",), "tracker", "POST", f"/tracker/{path}")
        headers = {PROOF_HEADER: sign_proof(key, proof, time.time())}
        return requests.post(f"{tracker.url}/tracker/{path}", json=fields, headers=headers, timeout=30)

    assert post_as_ann("register", LEASE).json()["registered_by"] == "user:ann"
    assert code(post_as_ann("register", LEASE | {"peer_id": "p2"})) == (403, "not_your_peer")
    with Asker(tracker.url) as owner:
        owner.headers["X-Tracker-Key"] = key.decode()
        owner.post("register", json=LEASE)
    assert code(post_as_ann("register", LEASE)) == (409, "registered_by_key")
    assert post_as_ann("heartbeat", {"peer_id": "p1"}).status_code == 200


def test_a_restart_without_snapshot_starts_empty_with_higher_revisions(start_service):
    tracker = start_service("services.tracker")
    with Asker(tracker.url) as asker:
        revision = asker.post("register", json=LEASE).json()["revision"]
        tracker.kill()
        tracker.restart()
        tracker.wait_healthy()
        answer = asker.get(f"watch?since={revision}&wait=60").json()
    assert (answer["peers"], answer["revision"] > revision) == ([], True)


def test_a_killed_tracker_has_its_table_again_from_the_snapshot(start_service, tmp_path):
    path = tmp_path / "leases.jsonl"
    tracker = start_service("services.tracker", "--snapshot", str(path))
    with Asker(tracker.url) as asker:
        before = asker.post("register", json=LEASE | {"meta": {"p2p_port": 7010}}).json()
        asker.post("register", json=LEASE | {"peer_id": "short", "ttl": 1})
        wait_until(lambda: path.exists() and '"p1"' in path.read_text(), why="the snapshot")
        tracker.kill()
        wait_until(lambda: time.time() > before["registered_at"] + 1.1, why="the short lease to end")
        tracker.restart()
        tracker.wait_healthy()
        (after,) = asker.get("peers").json()["peers"]
    lasting = before.keys() - {"expires_in", "last_heartbeat"}
    assert {name: after[name] for name in lasting} == {name: before[name] for name in lasting}
    assert 0 < after["expires_in"] < 60


def test_a_stopped_tracker_writes_its_last_state(start_service, tmp_path):
    path = tmp_path / "leases.jsonl"
    tracker = start_service("services.tracker", "--snapshot", str(path), "--drain-s", "1")
    with Asker(tracker.url) as asker:
        asker.post("register", json=LEASE)
    assert tracker.stop() == 0
    assert '"p1"' in path.read_text()


def test_a_spoilt_snapshot_is_set_aside_and_the_tracker_starts(start_service, tmp_path):
    path = tmp_path / "leases.jsonl"
    path.write_bytes(b"\x00" * 1000)
    tracker = start_service("services.tracker", "--snapshot", str(path))
    assert "the snapshot makes no sense, starting without it" in tracker.output
    assert (tmp_path / "leases.jsonl.bad").exists()


@pytest.mark.parametrize(
    ("flags", "words"),
    [
        (["--workers", "2"], "--workers: the tracker is one process"),
        (["--max-peers", "0"], "--max-peers: got '0', expected a whole number 1–1000000"),
        (["--snapshot", "/nonexistent/leases"], "--snapshot: can't write into the folder /nonexistent"),
        (["--snapshot", "/"], "--snapshot: can't read /: Is a directory"),
        (["--keys-dir", "/nonexistent"], "key file /nonexistent/tracker: can't be read"),
    ],
)
def test_what_keeps_it_from_starting_is_named_and_exits_2(start_service, flags, words):
    tracker = start_service("services.tracker", *flags, wait=False)
    assert tracker.wait() == 2
    assert words in tracker.output
    assert "Traceback" not in tracker.output


def test_a_port_in_use_is_named(tracker, start_service):
    second = start_service("services.tracker", "--server-port", str(tracker.port), wait=False)
    assert second.wait() == 2
    assert f"port {tracker.port} on 127.0.0.1 is already in use" in second.output


def test_many_writers_at_once_leave_a_whole_table(tracker, asker):
    failures = []

    def write(name):
        with Asker(tracker.url) as own:
            for number in range(20):
                peer_id = f"{name}-{number}"
                statuses = [
                    own.post("register", json=LEASE | {"peer_id": peer_id}).status_code,
                    own.post("heartbeat", json={"peer_id": peer_id, "load": number}).status_code,
                ]
                if number % 2:
                    statuses.append(own.post("peer/remove", json={"peer_id": peer_id}).status_code)
                failures.extend(status for status in statuses if status not in (200, 201))

    writers = [threading.Thread(target=write, args=(f"w{number}",)) for number in range(8)]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join()
    assert failures == []
    assert asker.ids() == sorted(f"w{writer}-{number}" for writer in range(8) for number in range(0, 20, 2))
