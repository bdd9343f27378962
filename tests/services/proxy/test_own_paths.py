"""The proxy's own paths before a real tracker: sessions, scopes, proofs, and what the tracker's word is worth."""

import json
import socket
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import requests
from websockets.sync.client import connect

from shared.runtime.atomic_file import replace_file
from shared.runtime.keys import load_key, make_keys, verify_proof
from shared.runtime.sessions import LIFETIME_S, issue_session
from shared.runtime.users_file import UsersFile, add_user, remove_user
from tests.processes import Service, find_free_port, service_environment, wait_until
from tests.services.proxy.upstream_servers import Talk, Upstream, echo

OWN_PATHS = [
    "/tracker/peers",
    "/peers/p1/p2p/inbox",
    "/_proxy/status",
    "/_proxy/explain",
    "/_proxy/metrics",
    "/_proxy/events",
    "/_proxy",
    "/_proxy/",
    "/_proxy/page/main.js",
]

FLEETING = ["renewed", "narrowed", "removed", "aged"]  # users whose rights end in a test


class Town:
    """A proxy, a tracker, one backend and two peers that only echo, all with keys."""

    def __init__(self, folder: Path) -> None:
        self.keys_dir, users = folder / "keys", folder / "users.json"
        make_keys(self.keys_dir)
        add_user(users, "admin", "password", ("*",))
        add_user(users, "an", "password", ("p1",))
        for name in FLEETING:
            add_user(users, name, "password", ("p1", "p2"))
        self.users = UsersFile(users)
        keys = ("--keys-dir", str(self.keys_dir))
        self.tracker = Service("services.tracker", keys, service_environment(), folder / "tracker.log")
        self.tracker.wait_healthy()
        self.backend, self.p1, self.p2 = Upstream(name="backend"), Upstream(name="p1"), Upstream(name="p2")
        for name, peer in (("p1", self.p1), ("p2", self.p2)):
            self.register(name, peer.port, roles=["p2p"])
        config = folder / "proxy.conf"
        config.write_text(f'host "*" {{ proxy_pass http://{self.backend.address}; }}')
        flags = ("--config", str(config), "--users-file", str(users), "--tracker", self.tracker.url, *keys)
        self.proxy = Service("services.proxy", flags, service_environment(), folder / "proxy.log")
        self.proxy.wait_healthy()
        self.url = self.proxy.url

    def key(self, name: str) -> bytes:
        return load_key(self.keys_dir, name)

    def register(self, peer_id: str, port: int, **fields: Any) -> None:
        lease = {"peer_id": peer_id, "ip": "127.0.0.1", "port": port, "ttl": 600, **fields}
        headers = {"X-Tracker-Key": self.key("tracker").decode()}
        answer = requests.post(self.tracker.url + "/tracker/register", json=lease, headers=headers, timeout=10)
        assert answer.status_code == 201, answer.text

    def token(self, user: str = "admin", *, age_s: float = 0.0, mark: str | None = None) -> str:
        found = self.users.get(user)
        assert found is not None
        return issue_session(self.key("session"), user, mark or found.password_mark, time.time() - age_s)

    def visit(self, path: str, user: str = "admin", method: str = "GET", **kwargs: Any) -> requests.Response:
        headers = {"Cookie": f"theme=dark; session={self.token(user)}", **kwargs.pop("headers", {})}
        return requests.request(method, self.url + path, headers=headers, timeout=10, **kwargs)

    def close(self) -> None:
        for service in (self.proxy, self.tracker):
            assert "Traceback" not in service.output, service.output
            service.kill()
        for upstream in (self.backend, self.p1, self.p2):
            upstream.close()


@pytest.fixture(scope="module")
def town(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Town]:
    town = Town(tmp_path_factory.mktemp("town"))
    yield town
    town.close()


def code_of(answer: requests.Response) -> tuple[int, str]:
    return answer.status_code, answer.json()["error"]["code"]


# --- who gets in -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("path", OWN_PATHS)
def test_without_a_session_only_health_is_open(town: Town, path: str) -> None:
    assert code_of(requests.get(town.url + path, timeout=10)) == (401, "session_required")
    assert requests.get(town.url + "/_proxy/healthz", timeout=10).text == "ok"


def test_a_session_that_is_forged_old_or_void_opens_nothing(town: Town) -> None:
    token = town.token()
    forged = [
        "auth=true",
        "session=",
        "session=true",
        f"session={token[:-1]}{'0' if token[-1] != '0' else '1'}",
        f"session={town.token(age_s=13 * 3600)}",
        f"session={town.token(mark='0123456789abcdef')}",
        f"session={issue_session(b'x' * 64, 'admin', 'mark', time.time())}",
        f"session={issue_session(town.key('tracker'), 'admin', 'mark', time.time())}",
    ]
    for cookie in forged:
        answer = requests.get(town.url + "/_proxy/status", headers={"Cookie": cookie}, timeout=10)
        assert answer.status_code == 401, cookie


def test_a_key_is_no_session(town: Town) -> None:
    headers = {"X-Tracker-Key": town.key("tracker").decode(), "X-P2P-Key": town.key("p2p").decode()}
    for path in OWN_PATHS:
        assert requests.get(town.url + path, headers=headers, timeout=10).status_code == 401


@pytest.mark.parametrize(
    "path",
    [
        "/%5fproxy/status",
        "/_proxy/%73tatus",
        "/%74racker/peers",
        "/%70eers/p1/x",
        "/peers%2fp1/x",
        "/peers/p1" + "/a" * 70,
        "/peers/p1/%ff",
        "/tracker/%ff%00",
    ],
)
def test_percent_encoding_is_no_way_round_the_gate(town: Town, path: str) -> None:
    with socket.create_connection(("127.0.0.1", town.proxy.port), timeout=10) as sock:
        sock.sendall(f"GET {path} HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n".encode())
        answer = b"".join(iter(lambda: sock.recv(65536), b""))
    assert answer.startswith(b"HTTP/1.1 401 ")


def test_what_is_not_there_below_the_proxy_s_own_paths_goes_to_no_backend(town: Town) -> None:
    before = len(town.backend.requests)
    for path in (
        "/_proxy/nothing",
        "/_proxy/page/none",
        "/_proxy/page/../console.py",
        "/_proxy" + "/a" * 70,
        "/peers",
        "/%5fproxy/x",
    ):
        assert town.visit(path).status_code == 404
    assert len(town.backend.requests) == before


def test_a_browser_without_a_session_gets_a_page(town: Town) -> None:
    answer = requests.get(town.url + "/_proxy/status", headers={"Accept": "text/html"}, timeout=10)
    assert (answer.status_code, answer.headers["Content-Type"]) == (401, "text/html; charset=utf-8")


@pytest.mark.parametrize(
    "headers", [{"Origin": "http://evil.example"}, {"Sec-Fetch-Site": "cross-site"}, {"Origin": "null"}]
)
def test_a_write_or_a_websocket_that_another_site_made_is_refused(town: Town, headers: dict[str, str]) -> None:
    for path in ("/tracker/register", "/peers/p1/p2p/msg", "/_proxy/reload"):
        assert code_of(town.visit(path, method="POST", json={}, headers=headers)) == (403, "cross_site")
    upgrade = {"Connection": "Upgrade", "Upgrade": "websocket"}
    assert town.visit("/peers/p1/p2p/ws", headers={**headers, **upgrade}).status_code == 403


def test_only_who_runs_the_installation_reloads(town: Town) -> None:
    assert requests.post(town.url + "/_proxy/reload", timeout=10).status_code == 401
    assert code_of(town.visit("/_proxy/reload", "an", "POST")) == (403, "admin_only")
    assert town.visit("/_proxy/reload", method="POST").json()["reloaded"] is True
    for user, may in (("an", False), ("admin", True)):
        status = town.visit("/_proxy/status", user).json()
        assert (status["user"], status["may_reload"]) == (user, may)


def test_a_browser_without_a_session_is_shown_the_way_in(town: Town) -> None:
    answer = requests.get(town.url + "/_proxy/", headers={"Accept": "text/html"}, timeout=10)
    assert answer.status_code == 401
    assert '<a href="/login.html">Log in</a>' in answer.text


def test_the_page_and_its_files_come_with_a_strict_policy(town: Town) -> None:
    assert town.visit("/_proxy", allow_redirects=False).headers["Location"] == "/_proxy/"
    for path, kind in (("/_proxy/", "text/html"), ("/_proxy/page/main.js", "text/javascript")):
        answer = town.visit(path)
        assert answer.headers["Content-Type"].startswith(kind)
        assert "script-src 'self'" in answer.headers["Content-Security-Policy"]
        assert answer.headers["X-Content-Type-Options"] == "nosniff"
        assert answer.headers["Cache-Control"] == "private, no-cache"
        again = town.visit(path, headers={"If-None-Match": answer.headers["ETag"]})
        assert again.status_code == 304


def test_the_site_s_own_page_may_write(town: Town) -> None:
    for headers in ({"Origin": town.url}, {"Sec-Fetch-Site": "same-origin"}):
        assert town.visit("/peers/p1/p2p/msg", method="POST", data=b"{}", headers=headers).status_code == 200


# --- the way to tracker and peers --------------------------------------------------------------------------


def test_the_tracker_is_reached_in_the_user_s_name(town: Town) -> None:
    peers = town.visit("/tracker/peers?role=p2p").json()["peers"]
    assert {peer["peer_id"] for peer in peers} >= {"p1", "p2"}
    lease = {"peer_id": "p1", "ip": "127.0.0.1", "port": 1, "ttl": 60}
    assert code_of(town.visit("/tracker/register", method="POST", json=lease)) == (409, "registered_by_key")
    assert code_of(town.visit("/tracker/heartbeat", "an", "POST", json={"peer_id": "p2"})) == (403, "not_your_peer")
    assert town.visit("/tracker/heartbeat", "an", "POST", json={"peer_id": "p1"}).status_code == 200


def test_a_peer_gets_the_path_after_its_id_and_a_proof_but_nothing_secret(town: Town) -> None:
    secrets = {
        "X-Tracker-Key": "k1",
        "X-P2P-Key": "k2",
        "X-WeApRous-Proof": "k3",
        "Authorization": "Basic k4",
        "Origin": town.url,
        "X-Plain": "kept",
    }
    got = town.visit("/peers/p1/p2p/msg?x=1&y=%2F", "an", "POST", data=b"hello", headers=secrets).json()
    fields = {name.lower(): value for name, value in got["fields"]}
    assert (got["served_by"], got["method"], got["target"], got["body"]) == (
        "p1",
        "POST",
        "/p2p/msg?x=1&y=%2F",
        "hello",
    )
    assert fields["host"] == town.p1.address
    assert fields["x-plain"] == "kept"
    assert not {"cookie", "authorization", "origin", "x-tracker-key", "x-p2p-key"} & set(fields)
    proof = fields["x-weaprous-proof"]
    for name in ("tracker", "p2p", "session"):
        assert town.key(name).decode() not in json.dumps(got)
    verified = verify_proof(town.key("p2p"), proof, "peer:p1", "POST", "/p2p/msg?x=1&y=%2F", time.time())
    assert verified is not None
    assert (verified.user, verified.peers) == ("an", ("p1",))
    assert verify_proof(town.key("p2p"), proof, "peer:p2", "POST", "/p2p/msg?x=1&y=%2F", time.time()) is None


@pytest.mark.parametrize(
    ("path", "target"), [("/peers/p1", "/"), ("/peers/p1/", "/"), ("/peers/p1?a=1", "/?a=1"), ("/peers/p1//x", "//x")]
)
def test_what_a_peer_s_path_becomes(town: Town, path: str, target: str) -> None:
    assert town.visit(path).json()["target"] == target


def test_a_user_gets_only_the_peers_that_are_his_and_unknown_ones_are_not_found(town: Town) -> None:
    assert town.visit("/peers/p1/x", "an").json()["served_by"] == "p1"
    assert code_of(town.visit("/peers/p2/x", "an")) == (403, "not_your_peer")
    assert code_of(town.visit("/peers/p9/x")) == (404, "peer_not_found")
    assert code_of(town.visit("/peers/p1%2e/x")) == (404, "peer_not_found")


def test_only_who_registered_with_the_key_is_routed_to(town: Town) -> None:
    victim = Upstream(name="victim")
    lease = {"peer_id": "by-user", "ip": "127.0.0.1", "port": victim.port, "roles": ["p2p"], "ttl": 60}
    assert town.visit("/tracker/register", method="POST", json=lease).status_code == 201
    town.register("by-key", victim.port, roles=["p2p"])
    wait_until(lambda: town.visit("/peers/by-key/x").status_code == 200, why="the peer with the key")
    assert code_of(town.visit("/peers/by-user/x")) == (404, "peer_not_found")
    assert len(victim.requests) == 1
    victim.close()


def test_a_backend_is_no_peer(town: Town) -> None:
    town.register("backend-x", town.backend.port, roles=["backend"])
    town.register("after", town.p1.port, roles=["p2p"])
    wait_until(lambda: town.visit("/peers/after/x").status_code == 200, why="the peer that came later")
    assert code_of(town.visit("/peers/backend-x/x")) == (404, "peer_not_found")


def test_a_peer_that_moves_is_found_where_it_is_now(town: Town) -> None:
    town.register("mover", town.p1.port, roles=["p2p"])
    wait_until(lambda: town.visit("/peers/mover/x").status_code == 200, why="the peer")
    town.register("mover", town.p2.port, roles=["p2p"])
    wait_until(lambda: town.visit("/peers/mover/x").json()["served_by"] == "p2", why="the move")


def test_a_websocket_to_a_peer_is_tunnelled(town: Town) -> None:
    def switch(talk: Talk) -> None:
        assert talk.request.get("x-weaprous-proof")
        talk.send("HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\nhello")
        talk.close()

    town.p1.by_path["/p2p/ws"] = switch
    with socket.create_connection(("127.0.0.1", town.proxy.port), timeout=10) as sock:
        cookie = f"Cookie: session={town.token('an')}\r\nOrigin: {town.url}\r\n"
        head = "GET /peers/p1/p2p/ws HTTP/1.1\r\nHost: {}\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n{}\r\n"
        sock.sendall(head.format(town.url.removeprefix("http://"), cookie).encode())
        answer = b"".join(iter(lambda: sock.recv(65536), b""))
    assert answer.startswith(b"HTTP/1.1 101 ")
    assert answer.endswith(b"\r\n\r\nhello")


def test_a_peer_that_is_away_is_a_502_and_back_at_once(town: Town) -> None:
    port = find_free_port()
    town.register("sleeper", port, roles=["p2p"])
    wait_until(lambda: town.visit("/peers/sleeper/x").status_code == 502, why="the peer to be known")
    sleeper = Upstream(name="sleeper", port=port)
    assert town.visit("/peers/sleeper/x").json()["served_by"] == "sleeper"
    sleeper.close()


# --- how long somebody who got in may stay -----------------------------------------------------------------


def speak(talk: Talk) -> None:
    """Another 101, and bytes back for bytes."""
    talk.send("HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n")
    while data := talk.sock.recv(65536):
        talk.send(data)


class Tunnel:
    """A raw upgrade through the proxy."""

    def __init__(self, town: Town, path: str, token: str) -> None:
        self.sock = socket.create_connection(("127.0.0.1", town.proxy.port), timeout=10)
        fields = f"Connection: Upgrade\r\nUpgrade: websocket\r\nCookie: session={token}\r\n"
        handshake = "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"
        self.sock.sendall(f"GET {path} HTTP/1.1\r\nHost: 127.0.0.1\r\n{fields}{handshake}\r\n".encode())
        answer = b""
        while b"\r\n\r\n" not in answer:
            answer += self.sock.recv(1)
        assert answer.startswith(b"HTTP/1.1 101 "), answer

    def echoes(self) -> bool:
        self.sock.sendall(b"ping")
        return self.sock.recv(4) == b"ping"

    def wait_end(self, timeout_s: float) -> None:
        """Returns when the proxy has closed; TimeoutError when it has not."""
        deadline = time.monotonic() + timeout_s
        while (left_s := deadline - time.monotonic()) > 0:
            self.sock.settimeout(left_s)
            try:
                if not self.sock.recv(65536):
                    return
            except ConnectionError:
                return
        raise TimeoutError("the tunnel is still open")


def give_peers(path: Path, user: str, peers: list[str]) -> None:
    """Other peers, the password as it is."""
    content = json.loads(path.read_text())
    content["users"][user]["peers"] = peers
    replace_file(path, json.dumps(content).encode())


LIVE_PATHS = ["/peers/p1/live", "/tracker/watch", "/_proxy/events"]
CHANGES: dict[str, Callable[[Path], object]] = {
    "renewed": lambda path: add_user(path, "renewed", "another one"),
    "narrowed": lambda path: give_peers(path, "narrowed", ["p2"]),
    "removed": lambda path: remove_user(path, "removed"),
}


@pytest.mark.parametrize("user", CHANGES)
def test_a_tunnel_ends_soon_after_its_user_s_rights_and_those_of_others_stay(town: Town, user: str) -> None:
    town.p1.by_path["/live"] = town.p2.by_path["/live"] = speak
    theirs = [Tunnel(town, path, town.token(user)) for path in LIVE_PATHS]
    own_yet = Tunnel(town, "/peers/p2/live", town.token(user))
    others = Tunnel(town, "/peers/p1/live", town.token("an"))
    assert theirs[0].echoes()
    CHANGES[user](town.users.path)
    for tunnel, path in zip(theirs, LIVE_PATHS, strict=True):
        if (user, path) != ("narrowed", "/_proxy/events"):
            tunnel.wait_end(4.0)
    if user == "narrowed":
        assert own_yet.echoes()
    else:
        own_yet.wait_end(4.0)
    assert others.echoes()
    for tunnel in (*theirs, own_yet, others):
        tunnel.sock.close()


def test_a_tunnel_ends_with_its_session_on_the_peer_s_side_too(town: Town) -> None:
    has_ended = threading.Event()

    def speak_and_tell(talk: Talk) -> None:
        speak(talk)
        has_ended.set()

    town.p1.by_path["/live"] = speak_and_tell
    tunnel = Tunnel(town, "/peers/p1/live", town.token("aged", age_s=LIFETIME_S - 2))
    fresh = Tunnel(town, "/peers/p1/live", town.token("aged"))
    assert tunnel.echoes()
    tunnel.wait_end(4.0)
    assert has_ended.wait(4.0)
    assert fresh.echoes()
    for each in (tunnel, fresh):
        each.sock.close()


def test_a_stream_is_cut_before_what_comes_after_the_session(town: Town) -> None:
    is_over = threading.Event()

    def stream(talk: Talk) -> None:
        talk.send("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nfirst\r\n")
        assert is_over.wait(10)
        talk.send("6\r\nsecond\r\n0\r\n\r\n")

    town.p1.by_path["/stream"] = stream
    cookie = {"Cookie": f"session={town.token('aged', age_s=LIFETIME_S - 2)}"}
    ends_at = time.time() + 2
    with requests.get(town.url + "/peers/p1/stream", headers=cookie, stream=True, timeout=10) as answer:
        chunks = answer.iter_content(None)
        assert next(chunks) == b"first"
        wait_until(lambda: time.time() > ends_at, why="the session's end")
        is_over.set()
        with pytest.raises(requests.exceptions.ChunkedEncodingError):
            next(chunks)


# --- what the tracker says of backends ---------------------------------------------------------------------


def test_a_backend_that_drains_gets_nothing_new_and_what_it_reports_is_shown(town: Town, tmp_path: Path) -> None:
    a, b = Upstream(name="a"), Upstream(name="b")
    config = tmp_path / "proxy.conf"
    config.write_text(f'host "*" {{ proxy_pass http://{a.address}; proxy_pass http://{b.address}; }}')
    flags = ("--config", str(config), "--tracker", town.tracker.url, "--keys-dir", str(town.keys_dir))
    users = ("--users-file", str(town.users.path))
    proxy = Service("services.proxy", (*flags, *users), service_environment(), tmp_path / "log")
    try:
        proxy.wait_healthy()

        def names(count: int) -> set[str]:
            return {requests.get(proxy.url, timeout=10).json()["served_by"] for _ in range(count)}

        def state_of(upstream: Upstream) -> dict[str, Any]:
            status = requests.get(
                proxy.url + "/_proxy/status", headers={"Cookie": f"session={town.token()}"}, timeout=10
            ).json()
            return next(each for each in status["pools"][0]["upstreams"] if each["upstream"] == upstream.address)

        assert names(4) == {"a", "b"}
        town.register("backend-a", a.port, roles=["backend"], meta={"draining": True}, load=3.5)
        wait_until(lambda: state_of(a)["draining"], timeout_s=5, why="the annotation")
        assert names(6) == {"b"}
        assert (state_of(a)["load"], state_of(a)["state"]) == (3.5, "up")
        town.register("backend-a", a.port, roles=["backend"], meta={"draining": False})
        wait_until(lambda: not state_of(a)["draining"], timeout_s=5, why="the annotation's end")
        assert names(4) == {"a", "b"}
        town.register("backend-z", town.p1.port, roles=["backend"])
        town.register("marker", town.p1.port, roles=["p2p"])
        wait_until(lambda: town.visit("/peers/marker/x").status_code == 200, why="the tracker's news")
        assert names(4) == {"a", "b"}
    finally:
        proxy.kill()
        a.close()
        b.close()


# --- what the proxy says of itself -------------------------------------------------------------------------


def test_status(town: Town) -> None:
    status = town.visit("/_proxy/status").json()
    assert (status["keyed"], status["draining"]) == (True, False)
    assert status["hosts"][0]["names"] == ["*"]
    pools = {pool["name"]: pool for pool in status["pools"]}
    assert pools["*/"]["upstreams"][0]["upstream"] == town.backend.address
    assert "tracker" in pools
    assert status["peers"]["p1"] == town.p1.address


def test_explain(town: Town) -> None:
    answer = town.visit("/_proxy/explain?host=any.example&path=/a/b").json()
    assert answer["rule"] == {"host": "*", "host_line": 1, "location": "/", "is_exact": False, "location_line": 1}
    assert (answer["candidates"], answer["chosen"]) == ([town.backend.address], town.backend.address)
    assert answer["why"] == "next in turn"
    assert code_of(town.visit("/_proxy/explain?path=x")) == (400, "bad_query")
    assert town.visit("/_proxy/explain?path=/../x").json()["answer"]["code"] == "bad_path"


def test_metrics_count_by_upstream(town: Town) -> None:
    requests.get(town.url + "/count", timeout=10)
    text = town.visit("/_proxy/metrics").text
    assert f'weaprous_proxy_upstream_replies_total{{pool="*/",upstream="{town.backend.address}",status="2xx"}}' in text
    assert f'weaprous_proxy_upstream_up{{pool="*/",upstream="{town.backend.address}"}} 1' in text


def test_events_as_server_sent_events_and_over_a_websocket(town: Town) -> None:
    cookie = {"Cookie": f"session={town.token()}"}
    live: list[dict[str, Any]] = []
    ready = threading.Event()

    def listen() -> None:
        with connect(f"ws://127.0.0.1:{town.proxy.port}/_proxy/events?after=0", additional_headers=cookie) as websocket:
            while not live or live[-1].get("upstream") != "127.0.0.1:9":
                live.append(json.loads(websocket.recv(timeout=20)))
                ready.set()

    listener = threading.Thread(target=listen)
    listener.start()
    assert ready.wait(10)
    town.register("event", 9, roles=["p2p"])
    wait_until(lambda: town.visit("/peers/event/x").status_code == 502, why="the peer's first request")
    listener.join(20)
    assert {"joined", "up"} <= {event["type"] for event in live}
    with requests.get(town.url + "/_proxy/events?after=0", headers=cookie, stream=True, timeout=10) as answer:
        assert answer.headers["Content-Type"] == "text/event-stream; charset=utf-8"
        lines = answer.iter_lines()
        while not (line := next(lines)).startswith(b"data: "):
            pass
        assert json.loads(line[6:])["seq"] == 1


# --- keyless -----------------------------------------------------------------------------------------------


@pytest.fixture
def keyless(
    start_service: Any, start_upstream: Callable[..., Upstream], tmp_path: Path
) -> tuple[Service, Service, Upstream]:
    tracker = start_service("services.tracker")
    peer = start_upstream(echo, name="p1")
    config = tmp_path / "proxy.conf"
    config.write_text(f'host "*" {{ proxy_pass http://{peer.address}; }}')
    flags = ("--config", str(config), "--tracker", tracker.url, "--server-ip", "0.0.0.0")
    return start_service("services.proxy", *flags), tracker, peer


def test_a_keyless_proxy_leaves_its_paths_open_on_this_machine_only(keyless: tuple[Service, Service, Upstream]) -> None:
    proxy, _, peer = keyless
    lease = {"peer_id": "p1", "ip": "127.0.0.1", "port": peer.port, "roles": ["p2p"], "ttl": 60}
    assert requests.post(proxy.url + "/tracker/register", json=lease, timeout=10).status_code == 201
    wait_until(lambda: requests.get(proxy.url + "/peers/p1/x", timeout=10).status_code == 200, why="the peer")
    got = requests.get(proxy.url + "/peers/p1/x", headers={"Cookie": "session=x"}, timeout=10).json()
    assert not {"cookie", "x-weaprous-proof"} & {name.lower() for name, _ in got["fields"]}
    outside = own_address()
    if outside is None:
        pytest.skip("this machine has no address but loopback")
    url = f"http://{outside}:{proxy.port}"
    assert requests.get(url + "/x", timeout=10).status_code == 200
    for path in OWN_PATHS:
        assert code_of(requests.get(url + path, timeout=10)) == (403, "loopback_only")


def test_a_keyless_proxy_s_own_paths_are_not_for_a_rebound_name(keyless: tuple[Service, Service, Upstream]) -> None:
    proxy, _, _ = keyless
    answer = requests.get(proxy.url + "/_proxy/status", headers={"Host": "evil.example"}, timeout=10)
    assert code_of(answer) == (421, "misdirected_host")
    headers = {"Origin": "http://evil.example"}
    assert code_of(requests.post(proxy.url + "/tracker/register", json={}, headers=headers, timeout=10)) == (
        403,
        "cross_site",
    )


def test_without_a_tracker_its_paths_are_the_configuration_s(
    start_service: Any, start_upstream: Callable[..., Upstream], tmp_path: Path
) -> None:
    config = tmp_path / "proxy.conf"
    config.write_text(f'host "*" {{ proxy_pass http://{start_upstream(name="site").address}; }}')
    proxy = start_service("services.proxy", "--config", str(config))
    assert requests.get(proxy.url + "/tracker/peers", timeout=10).json()["served_by"] == "site"


def own_address() -> str | None:
    """An address of this machine that is not loopback."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            probe.connect(("192.0.2.1", 9))
        except OSError:
            return None
        address: str = probe.getsockname()[0]
    return None if address.startswith("127.") else address
