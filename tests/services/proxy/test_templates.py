"""Variables in `proxy_set_header`."""

from ipaddress import ip_network

import pytest

from services.proxy.forwarding_fields import ClientFinder, remember_view
from services.proxy.templates import (
    ELSEWHERE,
    PREFIXES,
    VARIABLES,
    RequestFacts,
    TemplateError,
    host_name,
    parse_template,
)
from services.proxy.trusted_hops import TrustedHops
from shared.httpcore.limits import DEFAULT_LIMITS
from shared.httpcore.message import Request
from shared.httpcore.parsing import parse_request_head

FIELDS = (
    b"Host: Shop.example:8080\r\nX-Forwarded-For: 1.1.1.1\r\nX-Forwarded-For: 2.2.2.2\r\n"
    b"User-Agent: t\r\nCookie: a=1; theme=dark\r\n"
)


@pytest.fixture
def facts() -> RequestFacts:
    request = Request("GET", "/a%20b?x=1&y", 1, FIELDS)
    request.host, request.remote_ip, request.remote_port, request.id = "shop.example:8080", "9.9.9.9", 1234, "id-1"
    return RequestFacts(request, "10.0.0.1:80")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("plain", "plain"),
        ("$host", "shop.example"),
        ("$http_host", "Shop.example:8080"),
        ("$remote_addr:$remote_port", "9.9.9.9:1234"),
        ("$proxy_add_x_forwarded_for", "1.1.1.1, 2.2.2.2, 9.9.9.9"),
        ("$proxy_host", "10.0.0.1:80"),
        ("$scheme://${host}_x", "http://shop.example_x"),
        ("$request_id $request_method", "id-1 GET"),
        ("$request_uri $uri $args", "/a%20b?x=1&y /a%20b x=1&y"),
        ("$http_user_agent|$http_x_none", "t|"),
        ("$cookie_theme$cookie_none", "dark"),
        ("", ""),
    ],
)
def test_each_variable_has_nginx_s_meaning(facts: RequestFacts, text: str, expected: str) -> None:
    assert parse_template(text).render(facts) == expected


def test_the_host_is_that_of_the_target_where_only_the_target_has_one() -> None:
    head = b"GET http://A.example:81/x HTTP/1.0\r\n\r\n"
    request = parse_request_head(head, len(head), DEFAULT_LIMITS)
    assert parse_template("$http_host $host").render(RequestFacts(request, "10.0.0.1:80")) == "a.example:81 a.example"
    assert parse_template("$http_host").render(RequestFacts(Request("GET", "/", 0), "10.0.0.1:80")) == ""


@pytest.mark.parametrize("text", ["$", "a$ b", "$nothing", "${host", "$http_", "$cookie_", "$$host"])
def test_what_begins_no_variable_is_refused(text: str) -> None:
    with pytest.raises(TemplateError):
        parse_template(text)


@pytest.mark.parametrize(
    ("host", "name"),
    [
        ("a", "a"),
        ("a:80", "a"),
        ("a:", "a"),
        ("[::1]", "[::1]"),
        ("[::1]:80", "[::1]"),
        ("", ""),
        ("1.2.3.4:5", "1.2.3.4"),
    ],
)
def test_a_host_s_name_is_without_its_port(host: str, name: str) -> None:
    assert host_name(host) == name


def test_who_the_client_is_behind_a_trusted_hop_is_in_the_variables() -> None:
    request = Request("GET", "/", 1, b"X-Forwarded-For: 9.9.9.9\r\nX-Forwarded-Proto: https\r\n")
    request.host, request.remote_ip = "shop.example", "10.0.0.1"
    text = "$realip_remote_addr|$forwarded_for|$forwarded_proto|$forwarded_port|$forwarded_host|$forwarded"
    template = parse_template(text)
    assert template.render(RequestFacts(request, "u:1")) == (
        "10.0.0.1|10.0.0.1|http|80|shop.example|for=10.0.0.1;host=shop.example;proto=http"
    )
    view = ClientFinder(TrustedHops((ip_network("10.0.0.0/8"),))).view(request)
    remember_view(request, view)
    assert template.render(RequestFacts(request, "u:1")) == (
        "10.0.0.1|9.9.9.9, 10.0.0.1|https|443|shop.example|"
        "for=9.9.9.9;host=shop.example;proto=https, for=10.0.0.1;host=shop.example;proto=http"
    )
    continued = parse_template("$remote_addr $proxy_add_x_forwarded_for")
    assert continued.render(RequestFacts(request, "u:1")) == "9.9.9.9 9.9.9.9, 10.0.0.1"


def test_a_variable_of_nginx_that_is_not_here_says_what_is() -> None:
    for name in ELSEWHERE:
        assert name not in VARIABLES
        assert not name.startswith(PREFIXES)
        with pytest.raises(TemplateError) as caught:
            parse_template(f"${name}")
        assert caught.value.instead == ELSEWHERE[name]
    with pytest.raises(TemplateError) as caught:
        parse_template("$nothing_at_all")
    assert caught.value.instead == ""


@pytest.mark.parametrize(("text", "expected"), [("", True), ("DENY", True), ("$host", False), ("a $arg_b", False)])
def test_a_text_without_variables_is_the_same_for_everybody(text: str, expected: bool) -> None:
    assert parse_template(text).is_constant is expected
