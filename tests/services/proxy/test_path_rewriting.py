"""`rewrite`: paths, queries, redirects, flags; and that what a client writes stays data."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.proxy.path_rewriting import Flag, Rewritten, parse_path_rule, rewrite_path
from services.proxy.routing import BadPathError, normalize_path, tidy_path
from services.proxy.templates import RequestFacts
from shared.httpcore.message import Request


def facts() -> RequestFacts:
    request = Request("GET", "/x", 1, b"Host: shop.example\r\n")
    request.host = "shop.example"
    return RequestFacts(request, "10.0.0.1:8000")


def rewrite(path: str, *rules: tuple[str, ...], query: str = "") -> Rewritten | None:
    return rewrite_path(path, query, [parse_path_rule(*rule) for rule in rules], facts())


@pytest.mark.parametrize(
    ("path", "query", "rule", "expected"),
    [
        ("/api/x", "", ("^/api(/.*)$", "$1"), "/x"),
        ("/api/x", "q=1", ("^/api(/.*)$", "$1"), "/x?q=1"),
        ("/user/42", "q=1", (r"^/user/(\d+)$", "/u?id=$1"), "/u?id=42&q=1"),
        ("/user/42", "q=1", (r"^/user/(\d+)$", "/u?id=$1?"), "/u?id=42"),
        ("/user/42", "q=1", (r"^/user/(\d+)$", "/u?"), "/u"),
        ("/a b/é", "", ("^(.*)$", "/p$1"), "/p/a%20b/%C3%A9"),
        ("/a&x=1#z", "", ("^/(.*)$", "/u?id=$1"), "/u?id=a%26x%3D1%23z"),
        ("/a%41", "", ("^/(.*)$", "/u?id=$1"), "/u?id=a%2541"),
        ("/a", "", ("^/a", "/b/../c//d"), "/c/d"),
        ("/a", "", ("^/a", "/$host"), "/shop.example"),
        ("/A", "", ("~*^/a$", "/b"), "/b"),
        ("/\udcff", "", ("^(.*)$", "/p$1"), "/p/%FF"),
    ],
)
def test_what_a_path_becomes(path: str, query: str, rule: tuple[str, ...], expected: str) -> None:
    result = rewrite(path, rule, query=query)
    assert result is not None
    assert result.target == expected


def test_what_fits_nothing_stays() -> None:
    assert rewrite("/x", ("^/a", "/b"), ("^/c", "/d")) is None


@pytest.mark.parametrize(("flag", "path", "again"), [("", "/c", True), ("last", "/b", True), ("break", "/b", False)])
def test_flags_say_what_comes_next(flag: str, path: str, again: bool) -> None:
    result = rewrite("/a", ("^/a", "/b", flag), ("^/b", "/c"))
    assert result is not None
    assert (result.path, result.searches_again) == (path, again)


def test_after_a_rule_without_a_flag_break_keeps_the_location() -> None:
    result = rewrite("/a", ("^/a", "/b"), ("^/b", "/c", "break"))
    assert result is not None
    assert (result.path, result.searches_again) == ("/c", False)


@pytest.mark.parametrize(
    ("rule", "status", "location"),
    [
        (("^/a(.*)", "/b$1", "redirect"), 302, "/b/x%20y?q=1"),
        (("^/a(.*)", "/b$1", "permanent"), 301, "/b/x%20y?q=1"),
        (("^/a(.*)", "https://new.example$1"), 302, "https://new.example/x%20y?q=1"),
        (("^/a(.*)", "https://new.example$1?", "permanent"), 301, "https://new.example/x%20y"),
        (("^/a(.*)", "$scheme://new.example$1?v=$1"), 302, "http://new.example/x%20y?v=/x%20y&q=1"),
        (("^/a(.*)", "$1", "redirect"), 302, "/x%20y?q=1"),
    ],
)
def test_redirects(rule: tuple[str, ...], status: int, location: str) -> None:
    result = rewrite("/a/x y", rule, query="q=1")
    assert result is not None
    assert (result.redirect_status, result.redirect_location) == (status, location)


def test_a_path_never_becomes_another_site_s_url() -> None:
    for rule in (("^/out/(.*)$", "//$1", "redirect"), ("^/out(.*)$", "/$1", "redirect")):
        result = rewrite("/out//evil.example", rule)
        assert result is not None
        assert result.redirect_location == "/evil.example"


def test_a_line_end_in_a_path_stays_escaped() -> None:
    result = rewrite("/a\r\nSet-Cookie: x=1", ("(?s)^/(.*)$", "https://new.example/$1", "redirect"))
    assert result is not None
    assert result.redirect_location == "https://new.example/a%0D%0ASet-Cookie:%20x=1"


def test_a_path_that_climbs_too_far_is_refused() -> None:
    with pytest.raises(BadPathError):
        rewrite("/a", ("^/a", "/../b"))


@pytest.mark.parametrize(
    ("rule", "message"),
    [
        (("(", "/b"), "regular expression"),
        (("^/a", "b"), "begins with /"),
        (("^/a", "/b$1"), "has 0 groups"),
        (("^/a", "/b?x=$2"), "has 0 groups"),
        (("^/a", "/b", "lats"), "lats"),
        (("^/a", "/$what"), "no variable"),
    ],
)
def test_mistakes_are_named(rule: tuple[str, ...], message: str) -> None:
    with pytest.raises(ValueError, match=re.escape(message)):
        parse_path_rule(*rule)


PATHS = st.text(max_size=30).map(lambda text: "/" + text.encode("utf-8", "ignore").decode("utf-8").replace("\0", ""))


@given(PATHS, st.text(max_size=20), st.sampled_from([flag.value for flag in Flag]))
def test_whatever_comes_in_what_goes_out_can_be_sent_and_is_normal(path: str, query: str, flag: str) -> None:
    try:
        result = rewrite(
            tidy_path(path), ("(?s)^/(.*)$", "/new/$1?v=$1", flag), query=query.encode("utf-8", "ignore").decode()
        )
    except BadPathError:
        return
    assert result is not None
    for text in (result.target, result.redirect_location or "/"):
        assert re.fullmatch(r"/[!-~]*", text)
        assert not text.startswith("//")
    if not result.redirect_status:
        assert normalize_path(result.target.partition("?")[0]) == result.path
