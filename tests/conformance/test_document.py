"""The page as text and as a value: one can be made of the other."""

from conformance import document
from conformance.cases import SUBJECTS


def results() -> document.Results:
    places = [(subject, case) for subject, cases in SUBJECTS.items() for case in cases]
    right = {(subject, case.name): case.right for subject, case in places}
    changed = dict.fromkeys(right, "4·200 | 500 …")
    return document.Results(
        dict.fromkeys(document.SERVERS, "1.2"), {"WeApRous": right, "nginx": changed, "HAProxy": dict(right)}
    )


def test_what_is_rendered_can_be_parsed() -> None:
    assert document.parse(document.render(results())) == results()


def test_what_the_rfcs_are_against_is_bold() -> None:
    assert "**4·200 \\| 500 …**" in document.render(results())
