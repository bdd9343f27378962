"""docs/http-conformance.md against the server it speaks of: every case is sent again, and our column must hold."""

from collections import Counter

import pytest

from conformance import document, matrix
from conformance.case import Case
from conformance.cases import ALL_CASES, SUBJECTS
from conformance.reading import SENTENCES

PLACES = [
    pytest.param((subject, case.name), case, id=f"{subject}: {case.name}")
    for subject, cases in SUBJECTS.items()
    for case in cases
]


@pytest.fixture(scope="module")
def outcomes() -> dict[document.Place, str]:
    """What this server does about every case, in one run of it."""
    return matrix.run_cases(document.OURS, patience_s=10.0)


@pytest.fixture(scope="module")
def page() -> document.Results:
    return document.parse(matrix.DOCUMENT.read_text("utf-8"))


@pytest.mark.parametrize(("place", "case"), PLACES)
def test_the_server_does_what_is_right(place: document.Place, case: Case, outcomes: dict[document.Place, str]) -> None:
    assert outcomes[place] == case.right, case.rule


def test_it_does_so_when_the_bytes_arrive_one_by_one() -> None:
    """Where a case has several right outcomes it may be another one: a 100 that was not left out."""
    outcomes = matrix.run_cases(document.OURS, patience_s=10.0, piece_bytes=1)
    wrong = [
        f"{subject}: {case.name}: {outcome}"
        for subject, cases in SUBJECTS.items()
        for case in cases
        if (outcome := outcomes[subject, case.name]) != case.right and not case.allows(outcome)
    ]
    assert wrong == []


def test_the_page_says_of_us_what_the_server_does(page: document.Results, outcomes: dict[document.Place, str]) -> None:
    assert page.outcomes[document.OURS] == outcomes, "run `make conformance-matrix`"


def test_the_page_is_what_its_tables_make_it(page: document.Results) -> None:
    assert matrix.DOCUMENT.read_text("utf-8") == document.render(page), "run `make conformance-matrix`"


@pytest.mark.parametrize("sentence", SENTENCES, ids=lambda sentence: sentence.text[:40])
def test_what_the_page_reads_out_of_the_tables_stands_there(sentence: object, page: document.Results) -> None:
    assert sentence in [known for known in SENTENCES if known.is_true(page.outcomes)]


def test_a_name_stands_for_one_case_of_its_subject() -> None:
    for subject, cases in SUBJECTS.items():
        assert [name for name, count in Counter(case.name for case in cases).items() if count > 1] == [], subject


def test_what_is_right_is_allowed_unless_it_departs_on_purpose() -> None:
    for case in ALL_CASES:
        assert case.allows(case.right) is not case.departs, case.name
        assert case.also or not case.departs, f"{case.name}: what do the RFCs ask for instead?"
