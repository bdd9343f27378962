"""Heads that are written: what they hold, and that nothing breaks out of its line."""

import pytest

from shared.httpcore.message import Request, Response
from shared.httpcore.serializing import CHUNKED, serialize_fields, serialize_reply_head, serialize_request_head

DATE = "Sun, 06 Nov 1994 08:49:37 GMT"


def request(version_minor: int = 1) -> Request:
    made = Request("GET", "/", version_minor)
    made.id = "id-1"
    return made


def lines(head: bytes) -> list[str]:
    assert head.endswith(b"\r\n\r\n")
    return head.decode("latin-1").split("\r\n")[:-2]


def test_a_reply_says_what_it_is_when_it_was_and_how_long() -> None:
    response = Response(200, b"hello", "text/plain", [("A", "b"), ("A", "c")])
    assert lines(serialize_reply_head(request(), response, 5, True, DATE)) == [
        "HTTP/1.1 200 OK",
        f"Date: {DATE}",
        "Content-Type: text/plain",
        "A: b",
        "A: c",
        "Content-Length: 5",
        "X-Request-Id: id-1",
    ]


def test_a_reply_that_was_kept_has_its_own_date() -> None:
    response = Response(200, b"", None, [("A", "b"), ("date", "Mon, 07 Nov 1994 08:49:37 GMT")])
    head = lines(serialize_reply_head(request(), response, 0, True, DATE))
    assert head[1:3] == ["Date: Mon, 07 Nov 1994 08:49:37 GMT", "A: b"]
    assert sum(line.lower().startswith("date:") for line in head) == 1


# status, length, chunked, persists, minor version of the request; the lines about framing and the connection
FRAMINGS = [
    (200, 0, False, True, 1, ["Content-Length: 0"]),
    (200, 5, False, False, 1, ["Content-Length: 5", "Connection: close"]),
    (200, 5, False, True, 0, ["Content-Length: 5", "Connection: keep-alive"]),
    (200, None, True, True, 1, ["Transfer-Encoding: chunked"]),
    (200, None, False, False, 0, ["Connection: close"]),
    (204, 0, False, True, 1, []),
    (304, 0, False, True, 1, []),
    (101, 0, False, True, 1, ["Connection: Upgrade"]),
]


@pytest.mark.parametrize(("status", "length", "chunked", "persists", "minor", "expected"), FRAMINGS)
def test_the_framing_of_a_reply(
    status: int, length: int | None, chunked: bool, persists: bool, minor: int, expected: list[str]
) -> None:
    head = serialize_reply_head(request(minor), Response(status), CHUNKED if chunked else length, persists, DATE)
    about_framing = [line for line in lines(head) if line.startswith(("Content-L", "Transfer", "Connection"))]
    assert sorted(about_framing) == sorted(expected)


def test_an_unknown_status_has_a_reason_all_the_same() -> None:
    assert serialize_reply_head(request(), Response(299), 0, True, DATE).startswith(b"HTTP/1.1 299 Unknown\r\n")


BREAKING = ["a\r\nSet-Cookie: b", "a\nb", "a\rb", "\x00", "\x7f", "\x1b[31m", "đ", "\u2028"]


@pytest.mark.parametrize("value", BREAKING)
def test_a_value_can_not_break_out_of_its_line(value: str) -> None:
    with pytest.raises(ValueError, match="can't be written"):
        serialize_fields([("Location", value)])
    with pytest.raises(ValueError, match="can't be written"):
        serialize_reply_head(request(), Response(200, headers=[("Location", value)]), 0, True, DATE)


@pytest.mark.parametrize("content_type", ["text/html\r\nA: b", "text/html\nA: b"])
def test_a_content_type_can_not_break_out_of_its_line(content_type: str) -> None:
    with pytest.raises(ValueError, match="can't be written"):
        serialize_reply_head(request(), Response(200, b"", content_type), 0, True, DATE)


@pytest.mark.parametrize("name", ["", "a b", "a:", "a\r\n", "é"])
def test_a_name_can_not_break_out_of_its_line(name: str) -> None:
    with pytest.raises(ValueError, match="can't be written"):
        serialize_fields([(name, "x")])


def test_a_request_is_written() -> None:
    head = serialize_request_head("POST", "/a?b=c", [("Host", "x"), ("Content-Length", "0")])
    assert head == b"POST /a?b=c HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n\r\n"


@pytest.mark.parametrize(
    ("method", "target"),
    [
        ("GE T", "/"),
        ("", "/"),
        ("GET", ""),
        ("GET", "/a b"),
        ("GET", "/\r\n"),
        ("GET", "/é"),
        ("GET", "/\x00"),
        ("GET", "/\t"),
    ],
)
def test_a_request_line_can_not_be_broken(method: str, target: str) -> None:
    with pytest.raises(ValueError, match="can't be written"):
        serialize_request_head(method, target, [])
