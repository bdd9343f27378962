"""A real proxy that chooses by key, cookie and limit, leaves out who fails its requests, and answers by itself."""

import socket
import threading
from collections import Counter
from collections.abc import Callable
from typing import Any

import pytest
import requests

from tests.processes import Service, wait_until
from tests.services.proxy.conftest import StartProxy
from tests.services.proxy.test_balancing import is_state, pool_conf, served_by, upstream_state
from tests.services.proxy.upstream_servers import Talk, Upstream, echo

StartUpstream = Callable[..., Upstream]


@pytest.fixture
def three(start_upstream: StartUpstream) -> list[Upstream]:
    return [start_upstream(name=name) for name in "abc"]


class Gate:
    """Holds every request until it is opened, and knows how many came."""

    def __init__(self) -> None:
        self.came = threading.Semaphore(0)
        self._open = threading.Event()

    def __call__(self, talk: Talk) -> None:
        self.came.release()
        self._open.wait(20)
        echo(talk)

    def wait_for(self, count: int) -> None:
        for _ in range(count):
            assert self.came.acquire(timeout=10)

    def open(self) -> None:
        self._open.set()


class Askers:
    """Clients that ask at the same time; `statuses()` waits for all replies."""

    def __init__(self, proxy: Service) -> None:
        self._url, self._threads, self._got = proxy.url + "/x", [], []  # type: ignore[var-annotated]

    def ask(self, count: int = 1) -> None:
        for _ in range(count):
            self._threads.append(threading.Thread(target=self._run))
            self._threads[-1].start()

    def _run(self) -> None:
        self._got.append(requests.get(self._url, timeout=20))

    def replies(self) -> list[requests.Response]:
        for thread in self._threads:
            thread.join()
        return self._got


def waiting(proxy: Service) -> int:
    [pool] = requests.get(proxy.url + "/_proxy/status", timeout=10).json()["pools"]
    return int(pool["waiting"])


# --- keys and cookies ----------------------------------------------------------------------------------------


def test_a_key_always_goes_to_the_same_upstream(start_proxy: StartProxy, three: list[Upstream]) -> None:
    proxy = start_proxy(pool_conf(*three, more="hash $http_x_user consistent;"))
    owners = {user: set(served_by(proxy, 3, headers={"X-User": user})) for user in map(str, range(12))}
    assert all(len(served) == 1 for served in owners.values())
    assert len(set.union(*owners.values())) > 1
    assert len(set(served_by(proxy, 6))) == 3, "without the key they go in turn"


def test_when_one_is_down_only_its_own_keys_move(start_proxy: StartProxy, three: list[Upstream]) -> None:
    proxy = start_proxy(pool_conf(*three, more="hash $cookie_user;"))

    def owners() -> dict[str, str]:
        return {user: served_by(proxy, cookies={"user": user})[0] for user in map(str, range(30))}

    before = owners()
    three[1].close()
    three[1].close_connections()
    after = owners()
    assert "b" in before.values()
    assert "b" not in after.values()
    assert [user for user in before if before[user] != after[user]] == [u for u in before if before[u] == "b"]


def test_a_client_keeps_its_upstream_by_a_cookie_that_only_the_proxy_can_make(
    start_proxy: StartProxy, three: list[Upstream]
) -> None:
    proxy = start_proxy(pool_conf(*three, more="sticky cookie route expires=1h;"))
    with requests.Session() as session:
        first = session.get(proxy.url + "/x", timeout=10)
        cookie = first.headers["Set-Cookie"]
        assert cookie.startswith("route=")
        assert cookie.endswith("; Path=/; Max-Age=3600; HttpOnly; SameSite=Lax")
        again = [session.get(proxy.url + "/x", timeout=10) for _ in range(5)]
    assert {answer.json()["served_by"] for answer in again} == {first.json()["served_by"]}
    assert all("Set-Cookie" not in answer.headers for answer in again)
    assert set(served_by(proxy, 3, cookies={"route": "made-up"})) == {"a", "b", "c"}


def test_when_its_upstream_is_gone_the_client_is_bound_to_another(
    start_proxy: StartProxy, three: list[Upstream]
) -> None:
    proxy = start_proxy(pool_conf(*three, more="sticky cookie route;"))
    with requests.Session() as session:
        first = session.get(proxy.url + "/x", timeout=10).json()["served_by"]
        [gone] = [upstream for upstream in three if upstream.name == first]
        gone.close()
        gone.close_connections()
        second = session.get(proxy.url + "/x", timeout=10)
        assert second.json()["served_by"] != first
        assert second.headers["Set-Cookie"].startswith("route=")
        assert session.get(proxy.url + "/x", timeout=10).json()["served_by"] == second.json()["served_by"]


def test_a_client_that_begins_with_a_websocket_is_bound_by_its_101(
    start_proxy: StartProxy, three: list[Upstream]
) -> None:
    def switch(talk: Talk) -> None:
        fields = "Connection: Upgrade\r\nUpgrade: websocket\r\nSet-Cookie: own=1\r\nSec-WebSocket-Accept: x\r\n"
        talk.send(f"HTTP/1.1 101 Switching Protocols\r\n{fields}\r\n", talk.upstream.name)

    for upstream in three:
        upstream.by_path["/live"] = switch
    proxy = start_proxy(pool_conf(*three, more="sticky cookie route;"))
    head = (
        b"GET /live HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
        b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n"
    )
    for _ in range(2):  # so that being bound is no coincidence of their turns
        with socket.create_connection(("127.0.0.1", proxy.port), timeout=10) as sock, sock.makefile("rb") as reader:
            sock.sendall(head + b"\r\n")
            lines = [line.strip() for line in iter(reader.readline, b"\r\n")]
            name = reader.read(1).decode()
        assert lines[0] == b"HTTP/1.1 101 Switching Protocols"
        assert b"Set-Cookie: own=1" in lines
        [cookie] = [line.split(b"=", 1)[1].split(b";")[0] for line in lines if line.startswith(b"Set-Cookie: route=")]
        assert set(served_by(proxy, 4, cookies={"route": cookie.decode()})) == {name}
    with socket.create_connection(("127.0.0.1", proxy.port), timeout=10) as sock:
        sock.sendall(head + b"Cookie: route=%b\r\n\r\n" % cookie)
        assert b"route=" not in sock.recv(65536), "who is bound already is told nothing"


# --- reports -------------------------------------------------------------------------------------------------


def test_least_load_goes_by_what_replicas_report_to_the_tracker(
    start_service: Any, start_proxy: StartProxy, three: list[Upstream]
) -> None:
    tracker = start_service("services.tracker")

    def report(loads: dict[str, float]) -> None:
        for upstream in three:
            lease = {"peer_id": upstream.name, "ip": upstream.host, "port": upstream.port, "roles": ["backend"]}
            lease |= {"load": loads[upstream.name], "ttl": 60}
            answer = requests.post(tracker.url + "/tracker/register", json=lease, timeout=10)
            assert answer.status_code == 201

    proxy = start_proxy(pool_conf(*three, more="policy least-load;"), "--tracker", tracker.url)
    assert set(served_by(proxy, 6)) == {"a", "b", "c"}, "without reports as least-connection"
    report({"a": 9.0, "b": 1.0, "c": 9.0})
    wait_until(lambda: set(served_by(proxy, 3)) == {"b"}, why="b to be the least loaded")
    report({"a": 9.0, "b": 5.0, "c": 0.0})
    wait_until(lambda: set(served_by(proxy, 3)) == {"c"}, why="c to be the least loaded")
    explained = requests.get(proxy.url + "/_proxy/explain?path=/", timeout=10).json()
    assert "by its report" in explained["why"]


# --- limits --------------------------------------------------------------------------------------------------


def test_no_more_than_max_conns_are_under_way_and_the_rest_waits_in_line(
    start_proxy: StartProxy, start_upstream: StartUpstream
) -> None:
    gate = Gate()
    a = start_upstream(gate, name="a")
    proxy = start_proxy(
        f'pool p {{ server {a.address} max_conns=2; queue 3 timeout=20s; }} host "*" {{ proxy_pass http://p; }}'
    )
    askers = Askers(proxy)
    askers.ask(5)
    gate.wait_for(2)
    wait_until(lambda: waiting(proxy) == 3, why="the line to be full")
    assert upstream_state(proxy, a)["in_flight"] == 2
    refused = requests.get(proxy.url + "/x", timeout=10)
    assert (refused.status_code, refused.headers["Retry-After"]) == (503, "1")
    assert refused.json()["error"]["code"] == "upstreams_busy"
    assert not gate.came.acquire(blocking=False), "nobody else was let in"
    gate.open()
    assert [answer.status_code for answer in askers.replies()] == [200] * 5


def test_a_client_that_leaves_gives_up_its_place_in_the_line(
    start_proxy: StartProxy, start_upstream: StartUpstream
) -> None:
    gate = Gate()
    a = start_upstream(gate, name="a")
    proxy = start_proxy(f'pool p {{ server {a.address} max_conns=1; queue 1; }} host "*" {{ proxy_pass http://p; }}')
    askers = Askers(proxy)
    askers.ask()
    gate.wait_for(1)
    with pytest.raises(requests.Timeout):
        requests.get(proxy.url + "/x", timeout=0.2)
    wait_until(lambda: waiting(proxy) == 0, why="the place in the line to be free")
    askers.ask()
    wait_until(lambda: waiting(proxy) == 1, why="somebody else to stand there")
    gate.open()
    assert [answer.status_code for answer in askers.replies()] == [200, 200]


def test_whoever_waits_too_long_is_told_so(start_proxy: StartProxy, start_upstream: StartUpstream) -> None:
    gate = Gate()
    a = start_upstream(gate, name="a")
    proxy = start_proxy(
        f'pool p {{ server {a.address} max_conns=1; queue 9 timeout=100ms; }} host "*" {{ proxy_pass http://p; }}'
    )
    askers = Askers(proxy)
    askers.ask()
    gate.wait_for(1)
    late = requests.get(proxy.url + "/x", timeout=10)
    assert (late.status_code, late.json()["error"]["code"]) == (503, "queue_timeout")
    gate.open()
    assert [answer.status_code for answer in askers.replies()] == [200]


def test_a_backup_serves_only_while_nobody_else_can(start_proxy: StartProxy, start_upstream: StartUpstream) -> None:
    a, b = start_upstream(name="a"), start_upstream(name="b")
    proxy = start_proxy(
        f'pool p {{ server {a.address}; server {b.address} backup; }} host "*" {{ proxy_pass http://p; }}'
    )
    assert served_by(proxy, 4) == ["a"] * 4
    a.close()
    a.close_connections()
    assert served_by(proxy, 4) == ["b"] * 4


# --- ejection ------------------------------------------------------------------------------------------------


def test_one_that_hangs_is_left_out_tried_once_and_comes_back_slowly(
    start_proxy: StartProxy, start_upstream: StartUpstream
) -> None:
    well = threading.Event()

    def hang(talk: Talk) -> None:
        echo(talk) if well.is_set() else talk.wait_end()

    a, b = start_upstream(hang, name="a"), start_upstream(name="b")
    more = "ejection fails=2 time=300ms; slow_start 1h;"
    proxy = start_proxy(pool_conf(a, b, more=more) + "proxy_read_timeout 300ms; proxy_next_upstream timeout error;")
    assert served_by(proxy, 6) == ["b"] * 6
    wait_until(lambda: "upstream ejected" in proxy.output, why="a to be left out")
    assert "requests in a row failed" in proxy.output

    def has_failed_its_trial() -> bool:
        served_by(proxy, 1)
        return bool(upstream_state(proxy, a)["ejections"].get("trial"))

    wait_until(has_failed_its_trial, why="a to be left out for its trial")
    well.set()

    def is_back() -> bool:
        served_by(proxy, 2)
        return bool(upstream_state(proxy, a)["state"] == "up")

    wait_until(is_back, why="a to be back")
    counts = Counter(served_by(proxy, 33))
    assert 1 <= counts["a"] <= 4, "a tenth of its share"


def test_one_that_answers_with_errors_is_left_out(start_proxy: StartProxy, start_upstream: StartUpstream) -> None:
    a = start_upstream(lambda talk: talk.reply(b"{}", "500 Broken"), name="a")
    b = start_upstream(name="b")
    proxy = start_proxy(pool_conf(a, b, more="ejection errors=50% requests=4 time=1h;"))
    served_by(proxy, 8)
    assert upstream_state(proxy, a)["state"] == "ejected"
    assert served_by(proxy, 5) == ["b"] * 5
    events = requests.get(proxy.url + "/_proxy/status", timeout=10).json()["events"]
    assert next(event for event in events if event["type"] == "ejected")["reason"].startswith("4 of 4 replies")


def test_the_last_one_is_kept_however_it_fails(start_proxy: StartProxy, start_upstream: StartUpstream) -> None:
    a = start_upstream(lambda talk: talk.reset(), name="a")
    proxy = start_proxy(pool_conf(a, more="ejection fails=1;"))
    assert served_by(proxy, 3) == ["502"] * 3
    assert is_state(proxy, a, "up")()


# --- answers -------------------------------------------------------------------------------------------------


def test_the_proxy_answers_by_itself_and_lets_in_whom_it_may(
    start_proxy: StartProxy, start_upstream: StartUpstream
) -> None:
    a = start_upstream(name="a")
    proxy = start_proxy(f"""
    host "*" {{
        proxy_pass http://{a.address};
        location /old/ {{ return 301 http://$host/new$request_uri; }}
        location = /hello {{ return 200 "hello $remote_addr"; }}
        location /gone/ {{ return 410; }}
        location /inner/ {{ deny all; }}
        location /here/ {{ allow 127.0.0.0/8; deny all; }}
    }}
    """)

    def get(path: str, **kwargs: Any) -> requests.Response:
        return requests.get(proxy.url + path, timeout=10, allow_redirects=False, **kwargs)

    moved = get("/old/x?y=1")
    assert (moved.status_code, moved.headers["Location"]) == (301, "http://127.0.0.1/new/old/x?y=1")
    hello = get("/hello")
    assert (hello.status_code, hello.text, hello.headers["Content-Type"][:10]) == (200, "hello 127.0.0.1", "text/plain")
    gone = get("/gone/x")
    assert (gone.status_code, gone.json()["error"]["source"]) == (410, "proxy")
    assert "<h1>410 Gone</h1>" in get("/gone/x", headers={"Accept": "text/html"}).text
    denied = get("/inner/x")
    assert (denied.status_code, denied.json()["error"]["code"]) == (403, "address_denied")
    assert get("/here/x").json()["served_by"] == "a"
    assert get("/").json()["served_by"] == "a"
    explained = get("/_proxy/explain?path=/old/x").json()
    assert (explained["rule"]["location"], explained["answer"]["status"]) == ("/old/", 301)
