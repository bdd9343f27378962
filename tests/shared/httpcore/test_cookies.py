"""Cookie fields read tolerantly, Set-Cookie fields written strictly."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.httpcore.cookies import (
    MAX_COOKIES,
    SetCookie,
    expired_cookie,
    parse_cookie_header,
    serialize_set_cookie,
)

# name, the Cookie field, its cookies
COOKIES: list[tuple[str, str, dict[str, str]]] = [
    ("none", "", {}),
    ("one", "auth=true", {"auth": "true"}),
    ("two", "auth=true; session=abc.def", {"auth": "true", "session": "abc.def"}),
    ("no space", "a=1;b=2", {"a": "1", "b": "2"}),
    ("much space", "  a = 1 \t;\tb=2  ", {"a": "1", "b": "2"}),
    ("the first of a name wins", "a=1; a=2", {"a": "1"}),
    ("names have case", "a=1; A=2", {"a": "1", "A": "2"}),
    ("equals signs in a value", "a=b=c==", {"a": "b=c=="}),
    ("an empty value", "a=; b=2", {"a": "", "b": "2"}),
    ("quotes stay", 'a="1"', {"a": '"1"'}),
    ("percent escapes stay", "a=%20", {"a": "%20"}),
    ("spaces and commas in a value", "a=1, 2 3", {"a": "1, 2 3"}),
    ("no equals sign", "secure; a=1", {"a": "1"}),
    ("no name", "=1; a=1", {"a": "1"}),
    ("a name that is no token", "a b=1; c(=2; d=3", {"d": "3"}),
    ("control characters", "a=\x01; b=\x7f; c=3", {"c": "3"}),
    ("a bad pair does not shadow a good one", "a=\x00; a=2", {"a": "2"}),
    ("only separators", ";;; ;", {}),
    ("octets above ASCII", "a=\xe9", {"a": "\xe9"}),
]


@pytest.mark.parametrize(("field", "expected"), [case[1:] for case in COOKIES], ids=[case[0] for case in COOKIES])
def test_a_cookie_field_is_read(field: str, expected: dict[str, str]) -> None:
    assert parse_cookie_header(field) == expected


def test_a_flood_of_cookies_is_cut() -> None:
    field = "; ".join(f"c{number}={number}" for number in range(MAX_COOKIES + 50))
    assert len(parse_cookie_header(field)) == MAX_COOKIES


@given(st.text(st.characters(max_codepoint=255)))
def test_any_field_is_read_without_an_error(field: str) -> None:
    for name in parse_cookie_header(field):
        assert name


# the cookie, its Set-Cookie field
FIELDS = [
    (SetCookie("auth", "true"), "auth=true; Path=/; HttpOnly; SameSite=Lax"),
    (SetCookie("auth", "true", http_only=False), "auth=true; Path=/; SameSite=Lax"),
    (
        SetCookie("session", "v1.abc-_=", max_age_s=43200, secure=True),
        "session=v1.abc-_=; Path=/; Max-Age=43200; HttpOnly; Secure; SameSite=Lax",
    ),
    (
        SetCookie("a", "b", path="/chat", same_site="None", secure=True),
        "a=b; Path=/chat; HttpOnly; Secure; SameSite=None",
    ),
    (SetCookie("a", '"b"', same_site="Strict"), 'a="b"; Path=/; HttpOnly; SameSite=Strict'),
    (expired_cookie("session"), "session=; Path=/; Max-Age=0; HttpOnly; SameSite=Lax"),
]


@pytest.mark.parametrize(("cookie", "expected"), FIELDS)
def test_a_cookie_is_written(cookie: SetCookie, expected: str) -> None:
    assert serialize_set_cookie(cookie) == expected


@pytest.mark.parametrize("name", ["", "a b", "a=b", "a;b", "é", "a\r\n"])
def test_a_name_that_is_no_token_is_refused(name: str) -> None:
    with pytest.raises(ValueError, match="expected a token"):
        serialize_set_cookie(SetCookie(name, "x"))


@pytest.mark.parametrize("value", ["a b", "a;b", "a,b", "a\\b", '"', '"a', "a\r\nSet-Cookie: x=y", "\x00", "é"])
def test_a_value_that_would_break_out_is_refused(value: str) -> None:
    with pytest.raises(ValueError, match="the value of cookie 'a'"):
        serialize_set_cookie(SetCookie("a", value))


@pytest.mark.parametrize("path", ["", "chat", "/a;b", "/\r\n", "/é"])
def test_a_path_that_would_break_out_is_refused(path: str) -> None:
    with pytest.raises(ValueError, match="cookie path"):
        serialize_set_cookie(SetCookie("a", "b", path=path))


def test_what_browsers_would_refuse_is_refused_here() -> None:
    with pytest.raises(ValueError, match="SameSite=None must be secure"):
        serialize_set_cookie(SetCookie("a", "b", same_site="None"))
    with pytest.raises(ValueError, match="max_age_s -1"):
        serialize_set_cookie(SetCookie("a", "b", max_age_s=-1))
