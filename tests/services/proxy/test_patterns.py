"""Prefixes and expressions, what stands in their place, and which expressions are dangerous."""

import re

import pytest

from services.proxy.patterns import is_risky, parse_regex, parse_replacement, parse_text_rule
from services.proxy.templates import RequestFacts
from shared.httpcore.message import Request


def facts() -> RequestFacts:
    request = Request("GET", "/x?y=1", 1, b"Host: shop.example\r\nX-Mode: dark\r\n")
    request.host, request.remote_ip = "shop.example", "9.9.9.9"
    return RequestFacts(request, "10.0.0.1:8000")


@pytest.mark.parametrize(
    ("pattern", "replacement", "text", "expected"),
    [
        ("/two/", "/one/", "/two/x", "/one/x"),
        ("/two/", "/one/", "/a/two/x", None),
        ("http://$proxy_host/", "http://$host/", "http://10.0.0.1:8000/x", "http://shop.example/x"),
        ("", "/prefix", "/x", "/prefix/x"),
        ("~^/(a)(b)?/(.*)$", "/$1-$2-${3}", "/a/rest", "/a--rest"),
        ("~ ^/user/([0-9]+)", "/u/$1", "/user/42/all", "/u/42"),
        ("~*^/USER/(.)", "/u/$1", "/user/4", "/u/4"),
        ("~^/USER", "/u", "/user", None),
        ("~x(.)", "$1$1$host", "axbc", "bbshop.example"),
        ("~x(.)", "$15", "axb", "b5"),
    ],
)
def test_a_rule(pattern: str, replacement: str, text: str, expected: str | None) -> None:
    assert parse_text_rule(pattern, replacement).apply(text, facts()) == expected


def test_a_whole_rule_takes_the_whole_text_in_any_case() -> None:
    rule = parse_text_rule("app.internal", "$host", is_whole=True)
    assert rule.apply("APP.internal", facts()) == "shop.example"
    assert rule.apply("app.internal.example", facts()) is None


@pytest.mark.parametrize(
    ("pattern", "replacement", "message"),
    [
        ("~(", "/x", "regular expression"),
        ("~a", "/$1", "has 0 groups"),
        ("~(a)(b)", "/$3", "has 2 groups"),
        ("/a", "/$1", "a text has no groups"),
        ("/a", "/$nonsense", "no variable"),
        ("/a$", "/b", "begins no variable"),
        ("~a{99999999999}", "/b", "regular expression"),
    ],
)
def test_mistakes_are_named(pattern: str, replacement: str, message: str) -> None:
    with pytest.raises(ValueError, match=re.escape(message)):
        parse_text_rule(pattern, replacement)


def test_what_groups_matched_is_escaped_and_nothing_else() -> None:
    match = re.fullmatch("/(.*)", "/a&b")
    assert parse_replacement("x=$1&y=$args").render(facts(), match, lambda text: text.replace("&", "%26")) == (
        "x=a%26b&y=y=1"
    )


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("(a+)+b", True),
        ("(?:a*)*", True),
        ("(?:[a-z]+/)*", True),
        ("(?:x(?:y|z+))*?", True),
        ("(?=(a+)+)", True),
        ("(a)?(?(1)(b+)+|c)", True),
        ("^/old/(.*)$", False),
        ("a+b+c*", False),
        ("(?:a{1,3})+", False),
        ("(?:a++)+", False),
        ("(?:a+)++", False),
        ("(?>a+)+", False),
        ("(?:a+){3}", False),
        ("(?:ab?)+", False),
    ],
)
def test_nested_repetitions_are_found(text: str, expected: bool) -> None:
    assert is_risky(parse_regex(text)) is expected
