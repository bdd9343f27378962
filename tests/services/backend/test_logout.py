"""The question at the way out, in the language that the browser asks for."""

import re
from dataclasses import asdict

import pytest

from services.backend.logout import LANGUAGES, WORDS, answer_logout, render_question
from shared.httpcore.message import Response
from tests.services.backend.requests_made import make_request

FOREIGN = ("Sec-Fetch-Site", "cross-site")


def answer(*fields: tuple[str, str]) -> Response:
    return answer_logout(make_request(headers=fields), "/login.html", [("Set-Cookie", "session=; Max-Age=0")])


@pytest.mark.parametrize(
    ("accept_language", "language"),
    [("vi-VN,vi;q=0.9,en;q=0.8", "vi"), ("en-US,en;q=0.9,vi;q=0.8", "en"), ("vi;q=0.1, en;q=0.2", "en"), ("fr", "en")],
)
def test_the_question_is_in_the_language_that_the_browser_likes_best(accept_language: str, language: str) -> None:
    asked = answer(FOREIGN, ("Accept-Language", accept_language))
    assert asked.status == 200
    page = asked.body.decode("utf-8")
    assert f'<html lang="{language}">' in page
    assert all(text in page for text in asdict(WORDS[language]).values())
    assert (asked.get_header("Content-Language"), asked.get_header("Vary")) == (language, "Accept-Language")
    assert asked.get_header("Set-Cookie") is None


def test_who_names_no_language_is_asked_in_english() -> None:
    assert b'<html lang="en">' in answer(FOREIGN).body


def test_a_way_out_at_once_is_the_same_in_all_languages() -> None:
    gone = answer(("Sec-Fetch-Site", "same-origin"), ("Accept-Language", "vi"))
    assert (gone.status, gone.get_header("Vary")) == (302, None)
    assert gone.get_header("Set-Cookie") == "session=; Max-Age=0"


def test_no_word_is_the_same_in_two_languages_or_outside_of_the_words() -> None:
    assert LANGUAGES == ("en", "vi")
    for one, other in zip(asdict(WORDS["en"]).values(), asdict(WORDS["vi"]).values(), strict=True):
        assert "" not in (one, other)
        assert one != other
    for language in LANGUAGES:
        page = render_question(language)
        for text in sorted(asdict(WORDS[language]).values(), key=len, reverse=True):
            page = page.replace(f">{text}<", "><")
        assert re.sub(r"<[^>]*>", "", page).strip() == ""
