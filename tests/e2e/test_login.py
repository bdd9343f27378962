"""Who gets in, and what a stranger gets."""

import socket
from urllib.parse import urlsplit

import pytest

OPEN_TO_SESSIONS_ONLY = ["/user", "/tracker/peers", "/peers/p1/p2p/inbox", "/_proxy/status"]


def test_a_browser_without_a_session_is_sent_to_the_login_page(stranger):
    answer = stranger.get("/", headers={"Accept": "text/html"})
    assert (answer.status_code, answer.headers["Location"]) == (302, "/login.html")
    page = stranger.get("/login.html")
    assert (page.status_code, page.headers["Content-Type"].partition(";")[0]) == (200, "text/html")


def test_the_right_password_opens_the_page(admin):
    assert admin.cookies["auth"] == "true"
    assert admin.get("/").status_code == 200
    assert admin.get("/user").json()["user"] == "admin"


def test_a_wrong_password_gets_401_and_no_cookie(stranger):
    answer = stranger.post("/login", data={"username": "admin", "password": "wrong"})
    assert answer.status_code == 401
    assert not stranger.cookies


def test_logging_out_ends_it(stranger, admin_login):
    stranger.post("/login", data=admin_login)
    assert stranger.get("/user").status_code == 200
    assert stranger.get("/logout").status_code == 302
    assert not stranger.cookies
    assert stranger.get("/user").status_code == 401


@pytest.mark.parametrize("path", OPEN_TO_SESSIONS_ONLY)
def test_a_stranger_gets_401(stranger, path):
    assert stranger.get(path).status_code == 401


@pytest.mark.parametrize("path", OPEN_TO_SESSIONS_ONLY)
def test_forged_cookies_open_nothing(stranger, admin, path):
    token = admin.cookies["session"]
    for forged in ("true", token[:-2] + ("AA" if token[-2:] != "AA" else "BB"), token.replace(".", "")):
        answer = stranger.get(path, headers={"Cookie": f"auth=true; session={forged}"})
        assert answer.status_code == 401


def test_each_replica_accepts_the_session_of_another(admin, stack):
    for _ in range(2 * len(stack.replicas())):
        assert admin.get("/user").status_code == 200


@pytest.mark.parametrize("target", ["/../../etc/passwd", "/%2e%2e/%2e%2e/etc/passwd", "/css/..%2f..%2f..%2fetc/passwd"])
def test_no_path_leads_out_of_the_site(stack, target):
    parts = urlsplit(stack.proxy)
    with socket.create_connection((parts.hostname, parts.port or 80), timeout=10) as connection:
        connection.sendall(f"GET {target} HTTP/1.1\r\nHost: {parts.netloc}\r\nConnection: close\r\n\r\n".encode())
        answer = b"".join(iter(lambda: connection.recv(65536), b""))
    assert answer.split(b" ")[1] in (b"302", b"400", b"401", b"403", b"404")
    assert b"root:" not in answer


def test_a_write_from_another_site_is_refused(admin):
    answer = admin.post("/tracker/register", json={}, headers={"Origin": "http://evil.example"})
    assert answer.status_code == 403
