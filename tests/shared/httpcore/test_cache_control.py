"""Cache-Control as it is written, and as it is miswritten: never laxer than what was meant."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.httpcore.cache_control import MAX_SECONDS, parse_cache_control


@pytest.mark.parametrize(
    ("lines", "name", "expected"),
    [
        (["max-age=60"], "max-age", 60),
        (["public, Max-Age=60 , x"], "max-age", 60),
        (['max-age="60"'], "max-age", 60),
        (["public", "max-age=60"], "max-age", 60),
        (["max-age=0"], "max-age", 0),
        (["max-age=99999999999999999999"], "max-age", MAX_SECONDS),
        (["max-age=-1"], "max-age", 0),
        (["max-age=1.5"], "max-age", 0),
        (["max-age=٣"], "max-age", 0),
        (["max-age"], "max-age", 0),
        (["max-age=60, max-age=60"], "max-age", 60),
        (["max-age=60, max-age=61"], "max-age", 0),
        (["max-age=60", "max-age"], "max-age", 0),
        (["s-maxage=60"], "max-age", None),
        (['private="max-age=5, x"'], "max-age", None),
        (["max-age = 5"], "max-age", 0),
        ([], "max-age", None),
    ],
)
def test_seconds(lines: list[str], name: str, expected: int | None) -> None:
    assert parse_cache_control(lines).seconds(name) == expected


@pytest.mark.parametrize(
    "text",
    [
        "no-store", "No-Store", "a,no-store", " ,, no-store ", "no-store x", 'no-store="', 'private="x, no-store',
        "@@, no-store", "x=, no-store", 'x="a\\"b", no-store', "=, no-store",
    ],
)  # fmt: skip
def test_what_forbids_storing_is_found_among_whatever_else(text: str) -> None:
    assert "no-store" in parse_cache_control([text])


def test_a_quoted_argument_holds_no_directive() -> None:
    assert "no-store" not in parse_cache_control(['ext="a, no-store"'])
    assert not parse_cache_control([" , ,"])
    assert parse_cache_control(["max-stale"]).is_plain("max-stale")
    assert not parse_cache_control(["max-stale=5"]).is_plain("max-stale")


@given(st.lists(st.text(st.characters(max_codepoint=255), max_size=50), max_size=3))
def test_no_text_raises(lines: list[str]) -> None:
    seconds = parse_cache_control(lines).seconds("max-age")
    assert seconds is None or 0 <= seconds <= MAX_SECONDS
