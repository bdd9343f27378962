"""A keyless backend as a process, asked over the network: every endpoint, and what is refused."""

import socket
from http.client import HTTPResponse

import pytest
import requests
import websockets.sync.client as websocket_client

from tests.conftest import StartService
from tests.processes import ROOT, Service

FORM = {"username": "admin", "password": "password"}
HTML = {"Accept": "text/html,application/xhtml+xml,*/*;q=0.8"}


def error_of(answer: requests.Response) -> tuple[int, str]:
    return answer.status_code, answer.json()["error"]["code"]


# --- login and logout


def test_a_form_login_leads_to_the_application(backend: Service) -> None:
    answer = requests.post(f"{backend.url}/login", data=FORM, allow_redirects=False)
    assert (answer.status_code, answer.headers["Location"]) == (302, "/")
    hint, session = answer.raw.headers.getlist("Set-Cookie")
    assert hint.startswith("auth=true; Path=/")
    assert session.startswith("session=")
    assert "HttpOnly" in session
    assert "SameSite=Lax" in session
    assert "Secure" not in session


def test_a_form_login_goes_where_it_asked_to_on_this_site_only(backend: Service) -> None:
    for wanted, got in [("/#/peers", "/#/peers"), ("https://evil.example/", "/"), ("//evil.example", "/")]:
        answer = requests.post(f"{backend.url}/login", data={**FORM, "next": wanted}, allow_redirects=False)
        assert answer.headers["Location"] == got


def test_behind_tls_the_cookies_are_secure(backend: Service) -> None:
    answer = requests.post(
        f"{backend.url}/login", data=FORM, headers={"X-Forwarded-Proto": "https"}, allow_redirects=False
    )
    assert all("Secure" in cookie for cookie in answer.raw.headers.getlist("Set-Cookie"))


def test_a_program_logs_in_with_json(backend: Service) -> None:
    answer = requests.post(f"{backend.url}/login", json=FORM)
    assert (answer.status_code, answer.json()) == (200, {"user": "admin"})
    assert set(answer.cookies.keys()) == {"auth", "session"}


def test_a_wrong_login_is_a_page_for_a_form_and_json_for_a_program(backend: Service) -> None:
    wrong = {"username": "admin", "password": "wrong"}
    form = requests.post(f"{backend.url}/login", data=wrong, allow_redirects=False)
    assert form.status_code == 401
    assert form.content == (ROOT / "web" / "Unauthorized.html").read_bytes()
    assert "Set-Cookie" not in form.headers
    program = requests.post(f"{backend.url}/login", json={"username": "nobody", "password": "wrong"})
    assert error_of(program) == (401, "bad_credentials")


def test_a_login_from_another_site_is_refused(backend: Service) -> None:
    for header in ({"Origin": "https://evil.example"}, {"Sec-Fetch-Site": "cross-site"}):
        answer = requests.post(f"{backend.url}/login", json=FORM, headers=header)
        assert error_of(answer) == (403, "cross_site")


def test_logout_clears_both_cookies_and_leads_to_the_form(backend: Service, admin: requests.Session) -> None:
    for method in ("GET", "POST"):
        answer = admin.request(method, f"{backend.url}/logout", allow_redirects=False)
        assert (answer.status_code, answer.headers["Location"]) == (302, "/login.html")
        cookies = answer.raw.headers.getlist("Set-Cookie")
        assert [cookie.partition("=")[0] for cookie in cookies] == ["auth", "session"]
        assert all("Max-Age=0" in cookie for cookie in cookies)
    assert admin.get(f"{backend.url}/user").status_code == 401


def test_guessing_is_slowed_down(start_service: StartService) -> None:
    backend = start_service("services.backend")
    guess = {"username": "admin", "password": "guess"}
    statuses = [requests.post(f"{backend.url}/login", json=guess).status_code for _ in range(5)]
    assert statuses == [401] * 5
    answer = requests.post(f"{backend.url}/login", json=guess)
    assert error_of(answer) == (429, "too_many_attempts")
    assert int(answer.headers["Retry-After"]) >= 1
    assert requests.post(f"{backend.url}/login", data=guess).status_code == 429
    # Somebody else, somewhere else, isn't held up.
    other = {"X-Forwarded-For": "192.0.2.7"}
    assert requests.post(f"{backend.url}/login", json=FORM, headers=other).status_code == 200


# --- the gate


def test_without_a_session_the_root_leads_to_the_form_and_the_page_is_refused(backend: Service) -> None:
    root = requests.get(f"{backend.url}/", allow_redirects=False)
    assert (root.status_code, root.headers["Location"]) == (302, "/login.html")
    page = requests.get(f"{backend.url}/index.html", allow_redirects=False)
    assert page.status_code == 401
    assert page.content == (ROOT / "web" / "Unauthorized.html").read_bytes()


def test_with_a_session_both_are_the_application(backend: Service, admin: requests.Session) -> None:
    for path in ("/", "/index.html"):
        answer = admin.get(backend.url + path, allow_redirects=False)
        assert answer.status_code == 200
        assert answer.content == (ROOT / "web" / "index.html").read_bytes()
        assert answer.headers["Cache-Control"] == "private, no-cache"


@pytest.mark.parametrize("cookie", ["auth=true", "auth=true; session=forged", "session=v1.e30.00", "session="])
def test_forged_cookies_open_nothing(backend: Service, cookie: str) -> None:
    headers = {"Cookie": cookie}
    assert requests.get(f"{backend.url}/", headers=headers, allow_redirects=False).status_code == 302
    assert requests.get(f"{backend.url}/index.html", headers=headers).status_code == 401
    assert error_of(requests.get(f"{backend.url}/user", headers=headers)) == (401, "login_required")


def test_the_form_and_what_pages_are_made_of_are_open(backend: Service) -> None:
    assert requests.get(f"{backend.url}/login").content == requests.get(f"{backend.url}/login.html").content
    for folder, media_type in [("css", "text/css"), ("js", "text/javascript"), ("images", "image/")]:
        name = next(path.name for path in sorted((ROOT / "web" / folder).iterdir()) if path.is_file())
        answer = requests.get(f"{backend.url}/{folder}/{name}")
        assert answer.status_code == 200
        assert answer.headers["Content-Type"].startswith(media_type)
        again = requests.get(f"{backend.url}/{folder}/{name}", headers={"If-None-Match": answer.headers["ETag"]})
        assert again.status_code == 304


def test_pages_carry_a_policy_that_forbids_inline_scripts(backend: Service) -> None:
    headers = requests.get(f"{backend.url}/login.html").headers
    assert "script-src" not in headers["Content-Security-Policy"]
    assert "default-src 'self'" in headers["Content-Security-Policy"]
    assert "http://127.0.0.1:*" in headers["Content-Security-Policy"]
    assert headers["X-Content-Type-Options"] == "nosniff"
    assert headers["X-Frame-Options"] == "DENY"


@pytest.mark.parametrize(
    "target",
    [
        "/../pyproject.toml",
        "/css/../../pyproject.toml",
        "/%2e%2e/pyproject.toml",
        "/..%2fpyproject.toml",
        "/css/%2e%2e/%2e%2e/pyproject.toml",
        "/....//pyproject.toml",
        "/css\\..\\..\\pyproject.toml",
        "//etc/passwd",
        "/%00/etc/passwd",
        "/.git/config",
    ],
)
def test_no_path_leads_out_of_the_folder(backend: Service, admin: requests.Session, target: str) -> None:
    cookie = "; ".join(f"{name}={value}" for name, value in admin.cookies.items())
    status, body = ask_raw(backend, f"GET {target} HTTP/1.1\r\nHost: localhost\r\nCookie: {cookie}\r\n\r\n".encode())
    assert status in (400, 404)
    assert b"[project]" not in body
    assert b"root:" not in body


# --- who am I, echo


def test_user_tells_who_i_am(backend: Service, admin: requests.Session) -> None:
    answer = admin.get(f"{backend.url}/user")
    assert answer.json() == {"user": "admin", "peers": ["*"], "default_password": True}
    assert answer.headers["Cache-Control"] == "no-store"
    assert error_of(requests.get(f"{backend.url}/user")) == (401, "login_required")


@pytest.mark.parametrize("method", ["GET", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "PURGE"])
def test_echo_tells_what_came_whatever_the_method(backend: Service, method: str) -> None:
    answer = requests.request(
        method,
        f"{backend.url}/echo?a=1&a=2",
        data="chào".encode(),
        headers={"X-Thing": "x", "X-Tracker-Key": "k" * 64, "Authorization": "Basic eDp5", "Cookie": "a=b; session=s"},
    )
    told = answer.json()
    assert answer.status_code == 200
    assert (told["method"], told["path"], told["query"]) == (method, "/echo", {"a": ["1", "2"]})
    assert (told["body"], told["body_encoding"]) == ("chào", "utf-8")
    assert told["headers"]["X-Thing"] == "x"
    assert told["headers"]["X-Tracker-Key"] == told["headers"]["Authorization"] == "***"
    assert told["headers"]["Cookie"] == "a=b; session=***"
    assert told["served_by"] == f"backend-{socket.gethostname()}-{backend.port}"
    assert "X-Request-Id" in answer.headers


def test_echo_by_websocket_returns_messages_of_many_sizes(backend: Service) -> None:
    url = backend.url.replace("http", "ws") + "/echo"
    with websocket_client.connect(url, max_size=None) as websocket:
        messages: list[str | bytes] = ["", "chào", b"\x00\xff", b"x" * 70_000, "y" * (4 * 1024 * 1024)]
        for message in messages:
            websocket.send(message)
            assert websocket.recv() == message


def test_echo_by_websocket_takes_16_mib_and_no_byte_more(backend: Service) -> None:
    url = backend.url.replace("http", "ws") + "/echo"
    most = b"z" * (16 * 1024 * 1024)
    with websocket_client.connect(url, max_size=None) as websocket:
        websocket.send(most)
        assert websocket.recv() == most
        websocket.send(most + b"!")
        with pytest.raises(Exception, match="1009"):
            websocket.recv()


# --- what is refused


def ask_raw(backend: Service, request: bytes) -> tuple[int, bytes]:
    """Status and body of the reply to bytes that no client library would send."""
    with socket.create_connection(("127.0.0.1", backend.port), timeout=10) as connection:
        connection.sendall(request)
        reply = HTTPResponse(connection)
        reply.begin()
        return reply.status, reply.read()


@pytest.mark.parametrize(
    "request_bytes",
    [
        b"nonsense\r\n\r\n",
        b"GET / HTTP/1.1\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n",
        b"GET / HTTP/1.1\nHost: localhost\n\n",
        b"GET / HTTP/1.1\r\nHost: localhost\r\n folded: x\r\n\r\n",
        b"POST /login HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        b"POST /login HTTP/1.1\r\nHost: localhost\r\nContent-Length: +5\r\n\r\nhello",
        b"POST /login HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
        b"GET /%ff%fe HTTP/1.1\r\nHost: localhost\r\n\r\n",
        b"GET /\x01 HTTP/1.1\r\nHost: localhost\r\n\r\n",
    ],
)
def test_malformed_requests_get_a_4xx_and_no_traceback(backend: Service, request_bytes: bytes) -> None:
    status, answer = ask_raw(backend, request_bytes)
    assert 400 <= status < 500
    assert b"Traceback" not in answer
    assert b".py" not in answer


@pytest.mark.parametrize("body", [b"", b"{", b"[]", b"nul", b'{"username": NaN}', b"\xff", b"[" * 100_000])
def test_bad_json_is_an_error_object(backend: Service, body: bytes) -> None:
    answer = requests.post(f"{backend.url}/login", data=body, headers={"Content-Type": "application/json"})
    assert answer.status_code in (400, 413)
    assert set(answer.json()["error"]) == {"code", "message"}


def test_oversized_bodies_unknown_paths_and_wrong_methods_are_error_objects(backend: Service) -> None:
    assert requests.post(f"{backend.url}/login", json={"username": "x" * 20_000}).status_code == 413
    assert requests.post(f"{backend.url}/echo", data=b"x" * (1024 * 1024 + 1)).status_code == 413
    assert error_of(requests.get(f"{backend.url}/nothing/here")) == (404, "not_found")
    wrong = requests.delete(f"{backend.url}/user")
    assert error_of(wrong) == (405, "method_not_allowed")
    assert "GET" in wrong.headers["Allow"]


def test_a_browser_sees_a_page_when_something_is_not_there(backend: Service) -> None:
    answer = requests.get(f"{backend.url}/nothing/here", headers=HTML)
    assert answer.status_code == 404
    assert answer.headers["Content-Type"].startswith("text/html")
    assert answer.headers["X-Request-Id"] in answer.text


def test_a_keyless_backend_goes_by_loopback_names_only(backend: Service) -> None:
    assert error_of(requests.get(f"{backend.url}/user", headers={"Host": "evil.example"})) == (421, "misdirected_host")
    assert requests.get(f"{backend.url}/healthz", headers={"Host": "evil.example"}).status_code == 200


def test_metrics_travel_in_gzip_and_what_repeats_the_request_does_not(backend: Service) -> None:
    metrics = requests.get(f"{backend.url}/metrics")
    assert metrics.headers["Content-Encoding"] == "gzip"
    assert "weaprous_backend_in_flight" in metrics.text
    echoed = requests.post(f"{backend.url}/echo", data="x" * 5000)
    assert "Content-Encoding" not in echoed.headers
    assert "Content-Encoding" not in requests.get(f"{backend.url}/metrics", headers={"Accept-Encoding": "br"}).headers
