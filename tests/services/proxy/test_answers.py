"""What a location answers by itself."""

import pytest

from services.proxy.answers import is_allowed, own_answer
from services.proxy.config_file import parse_config
from services.proxy.config_values import LocationConfig
from shared.httpcore.errors import HttpError
from shared.httpcore.message import Request, Response


def location_with(text: str) -> LocationConfig:
    [host] = parse_config(f"host * {{ {text} }}").hosts
    return host.locations[0]


def ask(text: str, remote_ip: str = "192.0.2.1") -> Response | None:
    request = Request("GET", "/a/b?c=d", 1, b"Host: shop.example:81\r\n")
    request.host = "shop.example:81"
    request.remote_ip = remote_ip
    return own_answer(request, location_with(text))


@pytest.mark.parametrize(
    ("text", "status", "body", "to"),
    [
        ("return 204;", 204, b"", None),
        ('return 200 "hello $remote_addr";', 200, b"hello 192.0.2.1", None),
        ("return 200;", 200, b"", None),
        ("return 410 gone;", 410, b"gone", None),
        ("return 301 https://$host$request_uri;", 301, b"", "https://shop.example/a/b?c=d"),
        ("return 308 /new$uri;", 308, b"", "/new/a/b"),
        ("return https://other.example/;", 302, b"", "https://other.example/"),
    ],
)
def test_return(text: str, status: int, body: bytes, to: str | None) -> None:
    answer = ask(text)
    assert answer is not None
    assert (answer.status, answer.body, answer.get_header("location")) == (status, body, to)


def test_an_error_without_a_text_is_the_proxy_s_usual_page() -> None:
    with pytest.raises(HttpError) as caught:
        ask("return 404;")
    assert (caught.value.status, caught.value.code) == (404, "returned")


def test_what_is_passed_on_is_not_answered_here() -> None:
    assert ask("proxy_pass http://a:1;") is None


@pytest.mark.parametrize(
    ("rules", "remote_ip", "expected"),
    [
        ("deny all;", "192.0.2.1", False),
        ("allow 192.0.2.0/24; deny all;", "192.0.2.1", True),
        ("allow 192.0.2.0/24; deny all;", "192.0.3.1", False),
        ("deny 192.0.2.1; allow 192.0.2.0/24;", "192.0.2.1", False),
        ("deny 192.0.2.1; allow 192.0.2.0/24;", "198.51.100.1", True),
        ("allow 192.0.2.0/24; deny all;", "::ffff:192.0.2.9", True),
        ("allow 2001:db8::/32; deny all;", "2001:db8::9", True),
        ("allow 2001:db8::/32; deny all;", "192.0.2.1", False),
        ("allow all; deny all;", "192.0.2.1", True),
        ("deny 192.0.2.1;", "not an address", False),
    ],
)
def test_the_first_rule_that_fits_decides(rules: str, remote_ip: str, expected: bool) -> None:
    location = location_with(f"proxy_pass http://a:1; {rules}")
    assert is_allowed(location.settings.address_rules, remote_ip) is expected
    if not expected:
        with pytest.raises(HttpError) as caught:
            ask(f"return 200 secret; {rules}", remote_ip)
        assert (caught.value.status, caught.value.code) == (403, "address_denied")


def test_rules_are_inherited_until_a_block_has_its_own() -> None:
    [host] = parse_config(
        "deny all; host * { return 204; location /open { allow all; return 204; } location /shut { return 204; } }"
    ).hosts
    allowed = {each.prefix: is_allowed(each.settings.address_rules, "192.0.2.1") for each in host.locations}
    assert allowed == {"/open": True, "/shut": False, "/": False}
