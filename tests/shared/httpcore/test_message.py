"""Requests and responses as values."""

import asyncio

import pytest

from shared.httpcore.errors import HttpError
from shared.httpcore.message import Request, Response


def request(target: str = "/", *lines: str, body: bytes = b"") -> Request:
    made = Request("POST", target, 1, "".join(f"{line}\r\n" for line in lines).encode("latin-1"))
    made.body = body
    return made


def test_the_path_is_decoded_and_its_dot_segments_left_alone() -> None:
    made = request("/a%20b/%C3%A9/../%2e?x=%20")
    assert (made.raw_path, made.path, made.query) == ("/a%20b/%C3%A9/../%2e", "/a b/é/../.", "x=%20")


@pytest.mark.parametrize("target", ["/%ff", "/%c3", "/%00", "/a%00b", "/%ed%a0%80"])
def test_a_path_that_is_no_text_is_400(target: str) -> None:
    with pytest.raises(HttpError) as refused:
        _ = request(target).path
    assert (refused.value.status, refused.value.code) == (400, "bad_path")


def test_query_parameters_keep_their_values_in_order() -> None:
    made = request("/?a=1&b=&a=2&c&%C3%A9=%C3%A8&d=a+b&e=%ff")
    assert made.query_params == {"a": ["1", "2"], "b": [""], "c": [""], "é": ["è"], "d": ["a b"], "e": ["\ufffd"]}
    assert (made.query_param("a"), made.query_param("z"), made.query_param("z", "y")) == ("1", None, "y")
    assert request("/").query_params == {}


def test_too_many_query_parameters_are_400() -> None:
    with pytest.raises(HttpError) as refused:
        _ = request("/?" + "&".join(f"a{number}=1" for number in range(1001))).query_params
    assert refused.value.code == "bad_query"


def test_cookies_of_all_lines_are_read_and_the_first_wins() -> None:
    assert request("/", "Cookie: a=1; b=2", "cookie: a=3; c=4").cookies == {"a": "1", "b": "2", "c": "4"}
    assert request("/").cookies == {}


@pytest.mark.parametrize(
    ("accept", "expected"),
    [
        (None, False),
        ("*/*", False),
        ("application/json", False),
        ("text/html", True),
        ("TEXT/HTML,application/xhtml+xml,*/*;q=0.8", True),
        ("text/html, application/json", True),
        ("application/json, text/html", False),
    ],
)
def test_what_a_browser_asks_for_is_told_from_what_a_program_asks_for(accept: str | None, expected: bool) -> None:
    assert request("/", *([] if accept is None else [f"Accept: {accept}"])).wants_html is expected


def test_json_bodies_are_read() -> None:
    assert request(body=b'{"a": [1, "\xc3\xa9", null]}').json() == {"a": [1, "é", None]}
    assert request(body=b"[]").json() == []
    assert request(body=b'{"a": 1}').json_object() == {"a": 1}


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{",
        b"nonsense",
        b'{"a": NaN}',
        b"[Infinity]",
        b"-Infinity",
        b'"\xff"',
        b"{} {}",
        b"\xff\xfe{\x00}\x00",
        b"[" * 100_000,
    ],
)
def test_what_is_no_json_is_400(body: bytes) -> None:
    with pytest.raises(HttpError) as refused:
        request(body=body).json()
    assert (refused.value.status, refused.value.code) == (400, "bad_json")


@pytest.mark.parametrize("body", [b"[]", b"1", b"null", b'"x"', b"true"])
def test_json_that_is_no_object_is_400_where_one_is_expected(body: bytes) -> None:
    with pytest.raises(HttpError, match="expected an object") as refused:
        request(body=body).json_object()
    assert (refused.value.status, refused.value.code) == (400, "bad_json")


def test_a_number_of_a_million_digits_is_400_and_no_wait() -> None:
    with pytest.raises(HttpError) as refused:
        request(body=b"1" * 1_000_000).json()
    assert refused.value.code == "bad_json"


def test_forms_are_read_and_the_first_of_a_name_wins() -> None:
    assert request(body=b"username=admin&password=p%C3%A4ss+w%26rd&username=x&empty=").form() == {
        "username": "admin",
        "password": "päss w&rd",
        "empty": "",
    }
    assert request(body=b"").form() == {}


@pytest.mark.parametrize("body", [b"a=\xff", b"a=%ff", b"&".join(b"a%d=" % number for number in range(300))])
def test_what_is_no_form_is_400(body: bytes) -> None:
    with pytest.raises(HttpError) as refused:
        request(body=body).form()
    assert (refused.value.status, refused.value.code) == (400, "bad_form")


def test_the_state_of_a_request_is_its_own() -> None:
    one, other = request(), request()
    one.state["user"] = "admin"
    assert (one.state, other.state) == ({"user": "admin"}, {})


def test_the_stream_of_a_collected_body_is_one_chunk() -> None:
    async def collect(made: Request) -> list[bytes]:
        return [part async for part in made.stream()]

    assert asyncio.run(collect(request(body=b"abc"))) == [b"abc"]
    assert asyncio.run(collect(request())) == []


def test_replies_of_the_usual_kinds() -> None:
    assert Response.json({"é": 1}).body == '{"é":1}'.encode()
    assert Response.json([], 201, [("A", "b")]).headers == [("A", "b")]
    assert Response.text("é").content_type == "text/plain; charset=utf-8"
    assert Response.html("<p>").content_type == "text/html; charset=utf-8"
    redirect = Response.redirect("/login.html", headers=[("A", "b")])
    assert (redirect.status, redirect.headers) == (302, [("Location", "/login.html"), ("A", "b")])
    assert Response.error(404, "gone", "not there").body == b'{"error":{"code":"gone","message":"not there"}}'


def test_json_of_lone_surrogates_is_still_json() -> None:
    assert Response.json("\ud800").body == b'"\\ud800"'


def test_json_without_a_word_for_it_is_a_mistake() -> None:
    with pytest.raises(ValueError, match="JSON compliant"):
        Response.json(float("nan"))
    with pytest.raises(TypeError):
        Response.json({1, 2})


def test_fields_are_added_replaced_and_found() -> None:
    response = Response(headers=[("A", "1"), ("b", "2")])
    response.add_header("a", "3")
    assert response.get_header("A") == "1"
    response.set_header("A", "4")
    assert response.headers == [("b", "2"), ("A", "4")]
    assert response.get_header("c") is None
