"""Preconditions, in the order of RFC 9110 §13.2.2."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.httpcore.conditional import Validators, Verdict, evaluate_preconditions, is_range_current
from shared.httpcore.dates import format_http_date
from shared.httpcore.headers import Headers

CHANGED = 784111777
NOW = Validators('"abc"', CHANGED)
AT, BEFORE, AFTER = (format_http_date(CHANGED + seconds) for seconds in (0, -1, 1))
PROCEED, NOT_MODIFIED, FAILED = Verdict.PROCEED, Verdict.NOT_MODIFIED, Verdict.PRECONDITION_FAILED

# name, fields, the verdict on GET, the verdict on PUT
CASES: list[tuple[str, dict[str, str], Verdict, Verdict]] = [
    ("no conditions", {}, PROCEED, PROCEED),
    ("If-Match, the same", {"If-Match": '"abc"'}, PROCEED, PROCEED),
    ("If-Match, in a list", {"If-Match": '"x", "abc"'}, PROCEED, PROCEED),
    ("If-Match, anything", {"If-Match": "*"}, PROCEED, PROCEED),
    ("If-Match, another", {"If-Match": '"x"'}, FAILED, FAILED),
    ("If-Match, weak", {"If-Match": 'W/"abc"'}, FAILED, FAILED),
    ("If-Match, malformed", {"If-Match": "abc"}, FAILED, FAILED),
    ("If-Unmodified-Since, then", {"If-Unmodified-Since": AT}, PROCEED, PROCEED),
    ("If-Unmodified-Since, earlier", {"If-Unmodified-Since": BEFORE}, FAILED, FAILED),
    ("If-Unmodified-Since, malformed", {"If-Unmodified-Since": "then"}, PROCEED, PROCEED),
    ("If-Match wins over a date", {"If-Match": '"abc"', "If-Unmodified-Since": BEFORE}, PROCEED, PROCEED),
    ("If-None-Match, the same", {"If-None-Match": '"abc"'}, NOT_MODIFIED, FAILED),
    ("If-None-Match, weak", {"If-None-Match": 'W/"abc"'}, NOT_MODIFIED, FAILED),
    ("If-None-Match, in a list", {"If-None-Match": '"x" , ,W/"abc","y"'}, NOT_MODIFIED, FAILED),
    ("If-None-Match, anything", {"If-None-Match": "*"}, NOT_MODIFIED, FAILED),
    ("If-None-Match, another", {"If-None-Match": '"abcd"'}, PROCEED, PROCEED),
    ("If-None-Match, in another case", {"If-None-Match": '"ABC"'}, PROCEED, PROCEED),
    ("If-None-Match, within a tag", {"If-None-Match": '"x"abc"'}, PROCEED, PROCEED),
    ("If-None-Match, without quotes", {"If-None-Match": "abc"}, PROCEED, PROCEED),
    ("If-None-Match, without a comma", {"If-None-Match": '"x" "abc"'}, PROCEED, PROCEED),
    ("If-None-Match, empty", {"If-None-Match": ""}, PROCEED, PROCEED),
    ("If-Modified-Since, then", {"If-Modified-Since": AT}, NOT_MODIFIED, PROCEED),
    ("If-Modified-Since, later", {"If-Modified-Since": AFTER}, NOT_MODIFIED, PROCEED),
    ("If-Modified-Since, earlier", {"If-Modified-Since": BEFORE}, PROCEED, PROCEED),
    ("If-Modified-Since, malformed", {"If-Modified-Since": "then"}, PROCEED, PROCEED),
    ("If-None-Match wins over a date", {"If-None-Match": '"x"', "If-Modified-Since": AFTER}, PROCEED, PROCEED),
    ("If-Match comes first", {"If-Match": '"x"', "If-None-Match": '"abc"'}, FAILED, FAILED),
]


@pytest.mark.parametrize(("fields", "on_get", "on_put"), [case[1:] for case in CASES], ids=[case[0] for case in CASES])
def test_the_verdict(fields: dict[str, str], on_get: Verdict, on_put: Verdict) -> None:
    headers = Headers(fields.items())
    assert evaluate_preconditions("GET", headers, NOW) is on_get
    assert evaluate_preconditions("HEAD", headers, NOW) is on_get
    assert evaluate_preconditions("PUT", headers, NOW) is on_put


def test_the_lines_of_a_field_are_one_list_but_a_repeated_date_is_ignored() -> None:
    tags = Headers([("If-None-Match", '"x"'), ("If-None-Match", '"abc"')])
    dates = Headers([("If-Modified-Since", AFTER), ("If-Modified-Since", AFTER)])
    assert evaluate_preconditions("GET", tags, NOW) is NOT_MODIFIED
    assert evaluate_preconditions("GET", dates, NOW) is PROCEED


@pytest.mark.parametrize(
    ("condition", "expected"),
    [
        (None, True),
        ('"abc"', True),
        ('W/"abc"', False),
        ('"x"', False),
        ('"abc", "x"', False),
        (AT, False),
        ("", False),
    ],
)
def test_a_range_is_honoured_only_for_exactly_the_same_bytes(condition: str | None, expected: bool) -> None:
    headers = Headers([] if condition is None else [("If-Range", condition)])
    assert is_range_current(headers, NOW) is expected


@given(st.dictionaries(st.sampled_from(["If-Match", "If-None-Match", "If-Modified-Since", "If-Range"]), st.text()))
def test_any_fields_lead_to_a_verdict(fields: dict[str, str]) -> None:
    headers = Headers(fields.items())
    assert evaluate_preconditions("GET", headers, NOW) in Verdict
    assert isinstance(is_range_current(headers, NOW), bool)
