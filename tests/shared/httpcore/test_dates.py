"""HTTP dates in their three forms."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.httpcore.dates import format_http_date, parse_http_date

EXAMPLE = 784111777  # RFC 9110 §5.6.7


def test_the_example_of_the_rfc_is_written() -> None:
    assert format_http_date(EXAMPLE) == "Sun, 06 Nov 1994 08:49:37 GMT"
    assert format_http_date(EXAMPLE + 0.9) == "Sun, 06 Nov 1994 08:49:37 GMT"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Sun, 06 Nov 1994 08:49:37 GMT", EXAMPLE),
        ("Sunday, 06-Nov-94 08:49:37 GMT", EXAMPLE),
        ("Sun Nov  6 08:49:37 1994", EXAMPLE),
        ("Thu, 01 Jan 1970 00:00:00 GMT", 0),
        ("Tue, 29 Feb 2000 23:59:59 GMT", 951868799),
        ("Sat, 31 Dec 2016 23:59:60 GMT", 1483228799),  # a leap second is the second before
        ("Friday, 01-Jan-50 00:00:00 GMT", 2524608000),
        ("Monday, 01-Jan-51 00:00:00 GMT", -599616000),
    ],
)
def test_each_form_is_read(text: str, expected: int) -> None:
    assert parse_http_date(text) == expected


@pytest.mark.parametrize(
    "text",
    [
        "",
        "yesterday",
        "Sun, 6 Nov 1994 08:49:37 GMT",
        "Sun, 06 Nov 1994 08:49:37",
        "Sun, 06 Nov 1994 08:49:37 UTC",
        "sun, 06 nov 1994 08:49:37 gmt",
        "Sun, 06 Nov 1994 08:49:37 GMT ",
        "Sun, 06 Nov 0000 08:49:37 GMT",
        "Sun, 00 Nov 1994 08:49:37 GMT",
        "Sun, 31 Nov 1994 08:49:37 GMT",
        "Mon, 29 Feb 1999 08:49:37 GMT",
        "Sun, 06 Nov 1994 24:49:37 GMT",
        "Sun, 06 Nov 1994 08:60:37 GMT",
        "Sun, 06 Nov ١٩٩٤ 08:49:37 GMT",
        "784111777",
    ],
)
def test_what_is_no_date_is_none(text: str) -> None:
    assert parse_http_date(text) is None


@given(st.integers(-60_000_000_000, 250_000_000_000))
def test_what_is_written_is_read_back(unix_s: int) -> None:
    assert parse_http_date(format_http_date(unix_s)) == unix_s


@given(st.text())
def test_any_text_is_a_date_or_none(text: str) -> None:
    parse_http_date(text)
