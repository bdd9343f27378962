"""Field lines that pass, and those that don't."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.proxy.field_lines import field_pairs, field_values, make_drop_rule, without
from shared.httpcore.grammar import make_field_finder

RULE = make_drop_rule(["connection", "x-gone", "te"])

CASES = [
    ("nothing to drop", b"A: 1\r\nB: 2\r\n", b"A: 1\r\nB: 2\r\n"),
    ("no lines", b"", b""),
    ("the first", b"X-Gone: 1\r\nB: 2\r\n", b"B: 2\r\n"),
    ("the last", b"A: 1\r\nX-Gone: 2\r\n", b"A: 1\r\n"),
    ("two in a row", b"X-Gone: 1\r\nTE: x\r\nB: 2\r\n", b"B: 2\r\n"),
    ("repeated", b"TE: 1\r\nA: 1\r\nte: 2\r\n", b"A: 1\r\n"),
    ("all", b"TE: 1\r\n", b""),
    ("in any case", b"x-GONE:1\r\nA: 1\r\n", b"A: 1\r\n"),
    ("an empty value", b"TE:\r\nA:\r\n", b"A:\r\n"),
    (
        "only whole names",
        b"X-Gone-Not: 1\r\nNot-X-Gone: 2\r\nX-Gon: 3\r\n",
        b"X-Gone-Not: 1\r\nNot-X-Gone: 2\r\nX-Gon: 3\r\n",
    ),
    ("a name in a value", b"A: te: x\r\n", b"A: te: x\r\n"),
    ("octets as they came", b"A:  \xe9 \t\r\nTE: \xff\r\n", b"A:  \xe9 \t\r\n"),
    ("what Connection names", b"Connection: close, X-Hop\r\nX-Hop: 1\r\nA: 1\r\nx-hop: 2\r\n", b"A: 1\r\n"),
    ("by several lines", b"Connection: B\r\nA: 1\r\nB: 1\r\nconnection:A\r\n", b""),
    ("what it names is nothing", b"Connection: ,, \r\nA: 1\r\n", b"A: 1\r\n"),
    ("what it names is dropped anyway", b"Connection: TE\r\nTE: x\r\nA: 1\r\n", b"A: 1\r\n"),
]


@pytest.mark.parametrize(("lines", "expected"), [case[1:] for case in CASES], ids=[case[0] for case in CASES])
def test_lines_go_by_their_names_and_the_others_stay_as_they_came(lines: bytes, expected: bytes) -> None:
    assert without(lines, RULE) == (expected, b"")
    assert without(expected, RULE) == (expected, b"")


def test_a_name_is_no_pattern() -> None:
    rule = make_drop_rule(["x.y", "a+b", "*"])
    assert without(b"Xzy: 1\r\nx.Y: 2\r\naab: 3\r\nA+B: 4\r\n*: 5\r\n", rule)[0] == b"Xzy: 1\r\naab: 3\r\n"


def test_lines_as_pairs() -> None:
    assert field_pairs(b"A: 1\r\nB:  x \r\na:\r\n") == [("A", "1"), ("B", "x"), ("a", "")]


def test_the_host_line_is_told_and_does_not_pass() -> None:
    assert without(b"A: 1\r\nhOST:  X:1 \r\nConnection: a\r\n", RULE) == (b"", b"hOST:  X:1 ")


NAMES = st.sampled_from(["Connection", "X-Gone", "x-gone", "TE", "T", "TEA", "Host", "A", "Close", "X-A"])
VALUES = st.sampled_from(["", "1", " close", "X-A, a", ", ,", "te", "host", "X-Gone: 1"])


@given(st.lists(st.tuples(NAMES, VALUES), max_size=8))
def test_what_passes_is_what_a_plain_reading_lets_pass(pairs: list[tuple[str, str]]) -> None:
    options = {option.strip().lower() for name, value in pairs if name == "Connection" for option in value.split(",")}
    dropped = {"connection", "host", "x-gone", "te"} | options
    kept = [f"{name}:{value}\r\n" for name, value in pairs if name.lower() not in dropped]
    lines = "".join(f"{name}:{value}\r\n" for name, value in pairs)
    assert without(lines.encode(), RULE)[0].decode() == "".join(kept)


@pytest.mark.parametrize(
    ("name", "expected"), [("a", ["1", "", "x: y"]), ("X-B", ["\xe9"]), ("ab", []), ("b", [])]
)  # fmt: skip
def test_the_values_of_one_field(name: str, expected: list[str]) -> None:
    lines = b"A: 1\r\nx-b:\xe9 \r\nAb-c: 2\r\na:\r\nA:\tx: y\r\n"
    assert field_values(lines, make_field_finder([name])) == expected
