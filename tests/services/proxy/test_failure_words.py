"""The words of the proxy's own error pages: none is missing, and none is of a failure that is no more."""

import ast
from collections.abc import Iterator

import pytest

from services.proxy.failure_words import WORDS
from services.proxy.retries import FailureKind
from tests.processes import ROOT

VIETNAMESE = WORDS["vi"]
# With a page of the operator's own alone, or told by its status.
WITHOUT_WORDS = {"upstream_error", "returned"}
FOLDERS = ("services/proxy", "shared/httpcore", "shared/runtime")


def answers_in(folder: str) -> Iterator[tuple[int, str]]:
    """Status and code of every failure that the code makes up."""
    for path in (ROOT / folder).rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            if isinstance(node, ast.Call) and ast.unparse(node.func) in ("HttpError", "Outcome", "ProtocolError"):
                first, second = [*node.args, None, None][:2]
                if isinstance(first, ast.Constant) and isinstance(second, ast.Constant):
                    yield int(first.value), str(second.value)


OWN = set(answers_in("services/proxy"))


def test_every_failure_of_the_proxy_s_own_is_said_in_vietnamese() -> None:
    codes = {code for _, code in OWN} | {kind.value for kind in FailureKind}
    assert len(codes) > 20
    assert codes - WITHOUT_WORDS - VIETNAMESE.messages.keys() == set()


def test_nothing_is_said_of_failures_that_are_no_more() -> None:
    known = {code for folder in FOLDERS for _, code in answers_in(folder)} | {kind.value for kind in FailureKind}
    assert VIETNAMESE.messages.keys() - known == set()


def test_every_status_of_the_proxy_s_own_has_a_title() -> None:
    assert {status for status, _ in OWN} - VIETNAMESE.titles.keys() == set()


@pytest.mark.parametrize("name", ["blame", "hints"])
def test_both_languages_have_the_same(name: str) -> None:
    english, vietnamese = (getattr(words, name) for words in WORDS.values())
    assert english.keys() == vietnamese.keys()
    assert all(english[key] != vietnamese[key] for key in english)
    assert all("{{code}}" in words.foot and "{{request_id}}" in words.foot for words in WORDS.values())
