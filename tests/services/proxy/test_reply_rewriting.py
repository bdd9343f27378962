"""Location, Refresh and Set-Cookie on their way out."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.proxy.patterns import parse_text_rule
from services.proxy.reply_rewriting import DefaultRedirect, ReplyRules, rewrite_reply_fields
from services.proxy.templates import RequestFacts
from shared.httpcore.message import Request


def facts(upstream: str = "10.0.0.1:8000") -> RequestFacts:
    request = Request("GET", "/", 1, b"Host: shop.example\r\n")
    request.host = "shop.example"
    return RequestFacts(request, upstream)


def changed(name: str, value: str, rules: ReplyRules, upstream: str = "10.0.0.1:8000") -> str:
    [(_, after)] = rewrite_reply_fields([(name, value)], rules, facts(upstream))
    return after


DEFAULT = DefaultRedirect(frozenset({"app", "backend:8000"}), "/two/", "/one/")

LOCATIONS = [
    ("http://10.0.0.1:8000/two/x?y#z", "/one/x?y#z"),
    ("http://backend:8000/two/", "/one/"),
    ("HTTP://App/two/x", "/one/x"),
    ("http://10.0.0.1:8000/three/x", "http://10.0.0.1:8000/three/x"),
    ("http://10.0.0.2:8000/two/x", "http://10.0.0.2:8000/two/x"),
    ("http://10.0.0.1:80001/two/x", "http://10.0.0.1:80001/two/x"),
    ("http://10.0.0.1:8000@evil/two/x", "http://10.0.0.1:8000@evil/two/x"),
    ("https://10.0.0.1:8000/two/x", "https://10.0.0.1:8000/two/x"),
    ("/two/x", "/two/x"),
    ("http://10.0.0.1:8000/two///evil.example", "/one/evil.example"),
    ("", ""),
]


@pytest.mark.parametrize(("value", "expected"), LOCATIONS)
def test_the_upstream_s_own_url_becomes_the_location_s(value: str, expected: str) -> None:
    assert changed("Location", value, ReplyRules((DEFAULT,))) == expected


def test_a_redirect_without_a_path_and_one_without_the_port_80() -> None:
    rules = ReplyRules((DefaultRedirect(frozenset(), "/", "/"),))
    assert changed("Location", "http://10.0.0.1:8000", rules) == "/"
    assert changed("Location", "http://10.0.0.1:8000?x", rules) == "/?x"
    assert changed("Location", "http://10.0.0.1/x", rules, "10.0.0.1:80") == "/x"
    assert changed("Location", "http://10.0.0.1//evil.example", rules, "10.0.0.1:80") == "/evil.example"


def test_of_several_rules_the_first_that_fits_counts() -> None:
    rules = ReplyRules(
        (
            parse_text_rule("http://old.example/", "https://$host/"),
            parse_text_rule("~^http://([a-z]+)\\.internal(/.*)$", "/$1$2"),
            DEFAULT,
        )
    )
    assert changed("location", "http://old.example/a", rules) == "https://shop.example/a"
    assert changed("location", "http://db.internal/a", rules) == "/db/a"
    assert changed("location", "http://app/two/a", rules) == "/one/a"


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("5; url=http://app/two/x", "5; url=/one/x"),
        ("0;URL=http://app/two/", "0;URL=/one/"),
        ("5", "5"),
        ("5; url=http://other/", "5; url=http://other/"),
    ],
)
def test_refresh(value: str, expected: str) -> None:
    assert changed("Refresh", value, ReplyRules((DEFAULT,))) == expected


COOKIES = ReplyRules(
    cookie_paths=(parse_text_rule("/two/", "/one/"), parse_text_rule("~^/$", "/root/")),
    cookie_domains=(
        parse_text_rule("app.internal", "$host", is_whole=True),
        parse_text_rule("~\\.lan$", "lan.example"),
    ),
)


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("a=b; Path=/two/x; HttpOnly", "a=b; Path=/one/x; HttpOnly"),
        ("a=b; path = /two/", "a=b; path =/one/"),
        ("a=b; Path=/", "a=b; Path=/root/"),
        ("a=b; Domain=App.Internal; Secure", "a=b; Domain=shop.example; Secure"),
        ("a=b; Domain=.app.internal", "a=b; Domain=shop.example"),
        ("a=b; Domain=x.lan", "a=b; Domain=lan.example"),
        ("a=b; Domain=.other.example; Path=/x", "a=b; Domain=.other.example; Path=/x"),
        ("path=/two/; HttpOnly", "path=/two/; HttpOnly"),
        ("a=b", "a=b"),
        ("a=b; Path", "a=b; Path"),
        ("", ""),
    ],
)
def test_cookies(value: str, expected: str) -> None:
    assert changed("Set-Cookie", value, COOKIES) == expected


def test_only_what_rules_concern_is_touched() -> None:
    pairs = [("Location", "http://app/two/"), ("Set-Cookie", "a=b; Path=/two/"), ("X", "http://app/two/")]
    assert rewrite_reply_fields(pairs, ReplyRules(), facts()) == pairs
    assert ReplyRules((DEFAULT,)).touched == {"location", "refresh"}
    assert COOKIES.touched == {"set-cookie"}
    assert rewrite_reply_fields(pairs, ReplyRules((DEFAULT,)), facts())[1:] == pairs[1:]


@pytest.mark.parametrize("rest", ["//evil.example/", "/\\evil.example/", "/\t/evil.example/", "/\\\t/evil.example/"])
def test_a_redirect_of_the_upstream_s_never_becomes_one_to_another_host(rest: str) -> None:
    rules = ReplyRules((DefaultRedirect(frozenset({"app"}), "/", "/"),))
    assert changed("Location", "http://app" + rest, rules) == "/evil.example/"


@given(st.text(st.characters(min_codepoint=32, max_codepoint=255), max_size=60))
def test_no_value_raises_and_none_becomes_another_host_s(text: str) -> None:
    rules = ReplyRules((DEFAULT,), COOKIES.cookie_paths, COOKIES.cookie_domains)
    for name in ("Location", "Refresh", "Set-Cookie"):
        changed(name, text, rules)
    after = changed("Location", "http://app/two/" + text, rules)
    assert after.startswith("/one/")
    assert not after.startswith("//")
