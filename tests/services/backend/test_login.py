"""What a login request may hold, and where it comes from."""

import pytest

from services.backend.login import LoginRequest, find_client_address, is_secure, local_path, read_login
from shared.httpcore.errors import HttpError
from tests.services.backend.requests_made import make_request

JSON = (("Content-Type", "application/json"),)
FORM = (("Content-Type", "application/x-www-form-urlencoded; charset=utf-8"),)


def test_a_form_and_json_say_the_same() -> None:
    form = make_request("POST", "/login", headers=FORM, body=b"username=l%C3%AA&password=a+b%26c&next=/%23/chat")
    value = make_request("POST", "/login", headers=JSON, body='{"username":"lê","password":"a b&c"}'.encode())
    assert read_login(form) == LoginRequest("lê", "a b&c", "/#/chat", is_form=True)
    assert read_login(value) == LoginRequest("lê", "a b&c", "/", is_form=False)


def test_a_form_without_fields_is_a_wrong_login() -> None:
    assert read_login(make_request("POST", "/login", headers=FORM)) == LoginRequest("", "", "/", is_form=True)


@pytest.mark.parametrize(
    ("headers", "body", "status", "code"),
    [
        (JSON, b"", 400, "bad_json"),
        (JSON, b"{", 400, "bad_json"),
        (JSON, b"[]", 400, "bad_json"),
        (JSON, b"null", 400, "bad_json"),
        (JSON, b'{"username": "\xff", "password": "x"}', 400, "bad_json"),
        (JSON, b'{"username": "admin"}', 400, "bad_field"),
        (JSON, b'{"username": 1, "password": "x"}', 400, "bad_field"),
        (JSON, b'{"username": "admin", "password": null}', 400, "bad_field"),
        (JSON, b'{"username": "admin", "password": ["x"]}', 400, "bad_field"),
        (JSON, b'{"username": "%s", "password": "x"}' % (b"a" * 65), 400, "too_long"),
        (JSON, b'{"username": "admin", "password": "%s"}' % (b"a" * 1025), 400, "too_long"),
        (FORM, b"username=%FF&password=x", 400, "bad_form"),
        (FORM, b"username=\xff", 400, "bad_form"),
        (FORM, b"&".join(b"a=1" for _ in range(300)), 400, "bad_form"),
        ((), b"username=admin&password=password", 415, "unsupported_media_type"),
        ((("Content-Type", "text/plain"),), b"x", 415, "unsupported_media_type"),
        ((("Content-Type", "multipart/form-data; boundary=x"),), b"x", 415, "unsupported_media_type"),
    ],
)
def test_anything_else_is_refused(headers: tuple[tuple[str, str], ...], body: bytes, status: int, code: str) -> None:
    with pytest.raises(HttpError) as caught:
        read_login(make_request("POST", "/login", headers=headers, body=body))
    assert (caught.value.status, caught.value.code) == (status, code)


@pytest.mark.parametrize("path", ["/", "/index.html", "/#/chat", "/?a=1&b=%20"])
def test_the_client_may_be_sent_to_a_path_of_this_site(path: str) -> None:
    assert local_path(path) == path


@pytest.mark.parametrize(
    "path",
    [
        "", "index.html", "//evil.example", "/\\evil.example", "https://evil.example", "javascript:alert(1)",
        "/a\r\nSet-Cookie: x=y", "/a b", "/\x00", "/é", "\\\\evil.example", "/\t/evil.example",
    ],
)  # fmt: skip
def test_and_nowhere_else(path: str) -> None:
    assert local_path(path) == "/"


@pytest.mark.parametrize(
    ("remote_ip", "forwarded", "expected"),
    [
        ("127.0.0.1", None, "127.0.0.1"),
        ("127.0.0.1", "203.0.113.9", "203.0.113.9"),
        ("172.18.0.5", "198.51.100.1, 203.0.113.9", "203.0.113.9"),
        ("::1", "2001:db8::1", "2001:db8::1"),
        ("8.8.8.8", "203.0.113.9", "8.8.8.8"),
        ("127.0.0.1", "nonsense", "127.0.0.1"),
        ("127.0.0.1", "", "127.0.0.1"),
    ],
)
def test_a_near_proxy_is_believed_about_its_client(remote_ip: str, forwarded: str | None, expected: str) -> None:
    headers = (("X-Forwarded-For", forwarded),) if forwarded is not None else ()
    assert find_client_address(make_request(remote_ip=remote_ip, headers=headers)) == expected


def test_the_cookie_is_secure_when_the_browser_came_by_tls() -> None:
    assert not is_secure(make_request())
    assert is_secure(make_request(headers=(("X-Forwarded-Proto", "https"),)))
    request = make_request()
    request.scheme = "https"
    assert is_secure(request)
