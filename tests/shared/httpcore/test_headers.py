"""Fields as an ordered multi-map, and which of them a proxy drops."""

import pytest

from shared.httpcore.headers import HOP_BY_HOP, Headers, without_hop_by_hop

FIELDS = Headers.parse(b"Host: x\r\nAccept:a, b\r\nX-A: \t 1 \r\naccept: C\r\nEmpty:\r\nUrl: http://x:1\r\n")


def test_fields_are_parsed_in_order_as_they_came_without_the_space_around() -> None:
    assert FIELDS.items() == list(FIELDS) == [
        ("Host", "x"),
        ("Accept", "a, b"),
        ("X-A", "1"),
        ("accept", "C"),
        ("Empty", ""),
        ("Url", "http://x:1"),
    ]  # fmt: skip
    assert len(FIELDS) == 6


def test_names_are_matched_without_regard_to_case() -> None:
    assert FIELDS.get("HOST") == "x"
    assert FIELDS.get("accept") == "a, b"
    assert FIELDS.get_all("ACCEPT") == ["a, b", "C"]
    assert "x-a" in FIELDS
    assert "x-b" not in FIELDS
    assert 1 not in FIELDS


def test_a_missing_field_has_the_default_and_an_empty_one_is_not_missing() -> None:
    assert FIELDS.get("x-b") is None
    assert FIELDS.get("x-b", "d") == "d"
    assert FIELDS.get("empty", "d") == ""
    assert FIELDS.get_all("x-b") == []


def test_tokens_are_the_elements_of_all_lines_in_lower_case() -> None:
    assert FIELDS.tokens("accept") == ["a", "b", "c"]
    assert Headers([("A", " , x ,,\tY\t,")]).tokens("a") == ["x", "y"]
    assert FIELDS.tokens("missing") == []


def test_what_get_all_gives_is_the_callers_own() -> None:
    FIELDS.get_all("accept").clear()
    assert FIELDS.get_all("accept") == ["a, b", "C"]


def test_every_octet_survives() -> None:
    value = bytes(range(0x80, 0x100))
    assert Headers.parse(b"A: " + value + b"\r\n").get("a") == value.decode("latin-1")


def test_only_spaces_and_tabs_are_taken_from_the_ends() -> None:
    # NEL and NO-BREAK SPACE are white space to str.strip, and data to HTTP.
    assert Headers.parse(b"A: \x85\xa0 \r\n").get("a") == "\x85\xa0"


def test_equal_fields_are_equal() -> None:
    assert Headers([("A", "b")]) == Headers.parse(b"A: b\r\n")
    assert hash(Headers([("A", "b")])) == hash(Headers([("A", "b")]))
    assert Headers([("A", "b")]) != Headers([("a", "b")])
    assert Headers([]) != []


@pytest.mark.parametrize(
    "name", ["Connection", "Keep-Alive", "Proxy-Connection", "TE", "Trailer", "Transfer-Encoding", "Upgrade"]
)
def test_hop_by_hop_fields_are_dropped(name: str) -> None:
    assert name.lower() in HOP_BY_HOP
    assert without_hop_by_hop(Headers([("A", "b"), (name, "x")])) == [("A", "b")]


def test_fields_that_connection_names_are_dropped_with_it() -> None:
    headers = Headers(
        [("X-Secret", "1"), ("Connection", "x-secret"), ("X-Kept", "2"), ("connection", "close, X-Too"), ("x-too", "3")]
    )
    assert without_hop_by_hop(headers) == [("X-Kept", "2")]


def test_whether_any_of_several_fields_is_there() -> None:
    headers = Headers([("Host", "x"), ("If-None-Match", '"a"')])
    assert headers.has_any(frozenset({"range", "if-none-match"}))
    assert not headers.has_any(frozenset({"range", "if-range"}))
    assert not headers.has_any(frozenset())
