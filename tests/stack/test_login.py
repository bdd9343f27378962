"""Through the proxy: who gets in, what the page and the echo say, and what a stranger or a forger gets."""

import socket

import pytest
import requests

from shared.runtime.users_file import add_user, remove_user
from tests.processes import Stack, wait_until
from tests.stack.system import System, Visitor, error_of

pytestmark = pytest.mark.stack
HTML = {"Accept": "text/html,application/xhtml+xml,*/*;q=0.8"}


def test_a_login_opens_the_page_and_tells_who_i_am(system: System) -> None:
    stranger = system.visit()
    assert stranger.get("/", headers=HTML).headers["Location"] == "/login.html"
    assert stranger.get("/index.html").status_code == 401
    assert stranger.get("/login.html").status_code == 200
    admin = system.login()
    assert admin.cookies["auth"] == "true"
    assert admin.get("/").status_code == 200
    assert admin.get("/user").json() == {"user": "admin", "peers": ["*"], "default_password": True}


def test_json_is_answered_with_json(system: System) -> None:
    visitor = system.visit()
    answer = visitor.post("/login", json={"username": "admin", "password": "password"})
    assert (answer.status_code, answer.json()) == (200, {"user": "admin"})
    wrong = visitor.post("/login", json={"username": "admin", "password": "Password"})
    assert error_of(wrong) == (401, "bad_credentials")


def test_a_wrong_form_gets_the_page_that_says_so_and_no_cookie(system: System) -> None:
    answer = system.visit().post("/login", data={"username": "admin", "password": "wrong"}, headers=HTML)
    assert answer.status_code == 401
    assert answer.headers["Content-Type"].startswith("text/html")
    assert "Set-Cookie" not in answer.headers


def test_logout_ends_it(system: System) -> None:
    admin = system.login()
    assert admin.get("/logout").status_code == 302
    assert admin.get("/user").status_code == 401


@pytest.mark.parametrize("cookie", ["auth=true", "auth=true; session=admin", "auth=true; session=v1.e30.aaaa"])
def test_forged_cookies_open_nothing(system: System, cookie: str) -> None:
    visitor = system.visit()
    paths = ["/user", "/index.html"]
    if system.is_keyed:
        paths += ["/tracker/peers", "/peers/p1/p2p/inbox", "/peers/p1/p2p/whoami", "/_proxy/status"]
    for path in paths:
        assert visitor.get(path, headers={"Cookie": cookie}).status_code == 401, path


def test_a_session_that_was_changed_opens_nothing(system: System) -> None:
    token = system.admin.cookies["session"]
    for at in (0, len(token) // 2, len(token) - 1):
        changed = token[:at] + ("A" if token[at] != "A" else "B") + token[at + 1 :]
        assert system.visit().get("/user", headers={"Cookie": f"session={changed}"}).status_code == 401


def test_echo_is_answered_by_every_replica_in_turn(system: System) -> None:
    visitor = system.visit()
    served = [visitor.get("/echo").json()["served_by"] for _ in range(3 * system.backends)]
    assert len(set(served)) == system.backends
    assert served[: system.backends] * 3 == served
    assert all(name.startswith(f"backend-{socket.gethostname()}-") for name in served)


def test_echo_shows_what_came_but_no_secret(system: System) -> None:
    admin = system.admin
    answer = admin.post("/echo?a=1&a=2", data="chào".encode(), headers={"X-Tracker-Key": "s3cret", "X-Mark": "7"})
    told = answer.json()
    assert (told["method"], told["query"], told["body"]) == ("POST", {"a": ["1", "2"]}, "chào")
    assert told["headers"]["X-Mark"] == "7"
    assert admin.cookies["session"] not in answer.text
    assert "s3cret" not in answer.text


def test_every_reply_has_the_request_id_that_was_sent_along(system: System) -> None:
    for path in ("/echo", "/user", "/nothing", "/_proxy/healthz"):
        answer = system.visit().get(path, headers={"X-Request-Id": "test-0123456789"})
        assert answer.headers["X-Request-Id"] == "test-0123456789"


@pytest.mark.parametrize(
    "target",
    ["/../../etc/passwd", "/%2e%2e/%2e%2e/etc/passwd", "/css/..%2f..%2f..%2fetc/passwd", "/peers/../../etc/passwd"],
)
def test_no_path_leads_out_of_the_site(system: System, target: str) -> None:
    host = system.proxy_url.removeprefix("http://")
    status, answer = system.ask_raw(f"GET {target} HTTP/1.1\r\nHost: {host}\r\n\r\n".encode())
    assert status in (302, 400, 401, 403, 404)
    assert b"root:" not in answer


@pytest.mark.parametrize(
    "request_bytes",
    [
        b"nonsense\r\n\r\n",
        b"GET / HTTP/1.1\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: localhost\r\nHost: localhost\r\n\r\n",
        b"GET / HTTP/1.1\nHost: localhost\n\n",
        b"GET / HTTP/9.9\r\nHost: localhost\r\n\r\n",
        b"POST /echo HTTP/1.1\r\nHost: localhost\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        b"POST /echo HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1, 1\r\n\r\nx",
        b"POST /echo HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n-1\r\n\r\n",
        b"GET /echo HTTP/1.1\r\nHost: localhost\r\nX: a\x00b\r\n\r\n",
        b"GET /echo HTTP/1.1\r\nHost: localhost\r\nX: " + b"a" * 40_000 + b"\r\n\r\n",
        b"GET /" + b"a" * 10_000 + b" HTTP/1.1\r\nHost: localhost\r\n\r\n",
    ],
)
def test_malformed_requests_get_a_4xx_and_no_traceback(system: System, request_bytes: bytes) -> None:
    status, answer = system.ask_raw(request_bytes)
    assert 400 <= status < 500 or status == 505
    assert b"Traceback" not in answer


def test_a_write_from_another_site_is_refused(system: System) -> None:
    admin = system.admin
    for path in ("/logout", "/tracker/register", "/peers/p1/p2p/msg", "/peers/p1/p2p/inbox/clear"):
        for header in ({"Origin": "https://evil.example"}, {"Sec-Fetch-Site": "cross-site"}):
            assert admin.post(path, json={}, headers=header).status_code == 403, path


def test_a_host_that_nobody_serves_is_misdirected(system: System) -> None:
    answer = system.visit().get("/echo", headers={"Host": "evil.example"})
    assert answer.status_code == 421


def test_nothing_is_open_to_a_stranger_when_there_are_keys(keyed: System) -> None:
    for path in ("/tracker/peers", "/peers/p1/p2p/inbox", "/_proxy/status", "/_proxy/explain", "/_proxy/metrics"):
        assert keyed.visit().get(path).status_code == 401, path
    assert keyed.visit().get("/_proxy/healthz").status_code == 200
    assert requests.get(f"{keyed.tracker_url}/tracker/peers", timeout=10).status_code == 401
    assert requests.get(f"{keyed.peer_urls['p1']}/p2p/inbox", timeout=10).status_code == 401


def test_a_user_gets_only_his_own_peers(keyed: System, stack: Stack) -> None:
    users = stack.var_dir / "users.json"
    add_user(users, "linh", "xoài chín", ["p2"])
    try:
        linh = keyed.visit()
        login = {"username": "linh", "password": "xoài chín"}
        wait_until(lambda: linh.post("/login", json=login).ok, why="a replica to know linh")
        wait_until(lambda: knows_linh(keyed, linh), why="every replica and the proxy to know linh")
        assert linh.get("/peers/p1/p2p/inbox").status_code == 403
        assert linh.post("/tracker/peer/remove", json={"peer_id": "p1"}).status_code == 403
    finally:
        remove_user(users, "linh")
    wait_until(lambda: linh.get("/user").status_code == 401, why="the session to be void")


def knows_linh(system: System, linh: Visitor) -> bool:
    told = [linh.get("/user") for _ in range(system.backends)]
    expected = {"user": "linh", "peers": ["p2"], "default_password": False}
    return all(each.ok and each.json() == expected for each in told) and linh.get("/peers/p2/p2p/inbox").ok
