"""What is made of the testsuite's report."""

import json

import pytest

from conformance.autobahn import parse_index, summarize


def index(**said: tuple[str, str]) -> str:
    cases = {
        name.removeprefix("c").replace("_", "."): {"behavior": behavior, "behaviorClose": close}
        for name, (behavior, close) in said.items()
    }
    return json.dumps({"WeApRous": cases})


def test_cases_come_in_the_order_of_their_numbers() -> None:
    report = index(c10_1=("OK", "OK"), c2_1=("OK", "OK"), c1_1_10=("OK", "OK"), c1_1_9=("OK", "OK"))
    assert [verdict.case for verdict in parse_index(report)] == ["1.1.9", "1.1.10", "2.1", "10.1"]


def test_the_report_must_be_on_us() -> None:
    with pytest.raises(ValueError, match="expected WeApRous"):
        parse_index('{"other": {}}')


@pytest.mark.parametrize(
    ("behavior", "close", "has_passed"),
    [
        ("OK", "OK", True),
        ("OK", "INFORMATIONAL", True),
        ("NON-STRICT", "OK", True),
        ("FAILED", "OK", False),
        ("OK", "UNCLEAN", False),
        ("OK", "WRONG CODE", False),
        ("UNIMPLEMENTED", "OK", False),
    ],
)
def test_a_case_passes_when_neither_its_messages_nor_its_end_were_wrong(
    behavior: str, close: str, has_passed: bool
) -> None:
    assert parse_index(index(c1=(behavior, close)))[0].has_passed is has_passed


def test_the_summary_counts_all_and_names_what_is_not_simply_right() -> None:
    report = index(
        c1=("OK", "OK"), c6_4_1=("NON-STRICT", "OK"), c7_1_6=("INFORMATIONAL", "INFORMATIONAL"), c9=("OK", "UNCLEAN")
    )
    assert summarize("server", parse_index(report)).splitlines() == [
        "server: 4 cases: 1 passed, 1 non-strict, 1 informational, 1 failed",
        "  INFORMATIONAL: 7.1.6",
        "  NON-STRICT: 6.4.1",
        "  UNCLEAN: 9",
    ]


def test_the_summary_of_a_whole_pass_is_one_line() -> None:
    assert summarize("client", parse_index(index(c1=("OK", "OK")))) == (
        "client: 1 cases: 1 passed, 0 non-strict, 0 informational, 0 failed"
    )
