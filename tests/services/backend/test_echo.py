"""What `/echo` tells of a request, and what it hides."""

import pytest

from services.backend.echo import MASK, describe_request, mask_headers, mask_value
from tests.services.backend.requests_made import make_request


def test_everything_of_the_request_is_told() -> None:
    request = make_request(
        "PUT",
        "/echo?a=1&a=2&b=%C3%A9",
        headers=(("Host", "localhost:8080"), ("X-Thing", "one")),
        body="xin chào".encode(),
    )
    assert describe_request(request, "backend-here-8000") == {
        "method": "PUT",
        "path": "/echo",
        "query": {"a": ["1", "2"], "b": ["é"]},
        "headers": {"Host": "localhost:8080", "X-Thing": "one"},
        "body": "xin chào",
        "body_encoding": "utf-8",
        "served_by": "backend-here-8000",
    }


def test_a_body_that_is_no_text_is_told_in_base64() -> None:
    told = describe_request(make_request("POST", "/echo", body=b"\xff\x00"), "x")
    assert (told["body"], told["body_encoding"]) == ("/wA=", "base64")


def test_lines_of_one_name_are_joined_under_the_name_that_came_first() -> None:
    pairs = [("Accept", "a"), ("accept", "b"), ("Cookie", "x=1"), ("cookie", "session=abc")]
    assert mask_headers(pairs) == {"Accept": "a, b", "Cookie": f"x=1; session={MASK}"}


@pytest.mark.parametrize(
    ("name", "value", "shown"),
    [
        ("authorization", "Basic YWRtaW46cGFzc3dvcmQ=", MASK),
        ("proxy-authorization", "Bearer x", MASK),
        ("x-tracker-key", "0" * 64, MASK),
        ("x-p2p-key", "0" * 64, MASK),
        ("x-key", "k", MASK),
        ("x-api-key", "k", MASK),
        ("x-weaprous-proof", "v1.abc.def", MASK),
        ("x-keyboard", "qwerty", "qwerty"),
        ("x-monkey-business", "banana", "banana"),
        ("cookie", "auth=true; session=abc.def", f"auth=true; session={MASK}"),
        ("cookie", "session=abc;session=def; a=b", f"session={MASK};session={MASK}; a=b"),
        ("cookie", "session =abc", f"session ={MASK}"),
        ("cookie", "obsession=mine; mysession=2", "obsession=mine; mysession=2"),
    ],
)
def test_secrets_are_masked_and_nothing_else(name: str, value: str, shown: str) -> None:
    assert mask_value(name, value) == shown
