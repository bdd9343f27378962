"""Every word that the page asks for is there in both languages. Needs no browser."""

import re
from pathlib import Path

from tests.page_words import faults_of, prose_in, read_words

WEB = Path(__file__).resolve().parents[2] / "web"
# What people see as they would write it, what goes to an error that has a word of its own, and what is no text.
NOT_WORDS = {
    "X-Colour: green",
    "http://127.0.0.1:9000",
    "chat",
    "make run",
    "make user NAME=admin",
    "no answer in ${timeoutMs / 1000} s",
    "the reply is not JSON",
    "not an object",
    "noopener noreferrer",
    "tag tag-accent",
    "tracker-address-error tracker-address-hint",
    "(pointer: coarse)",
}


def sources() -> list[Path]:
    files = [*(WEB / "js").rglob("*.js"), *WEB.glob("*.html")]
    return [path for path in files if path.name != "words.js"]


def test_every_word_is_there_once_in_both_languages() -> None:
    words = read_words(WEB / "js/words.js")
    assert len(words) > 200
    assert faults_of(words) == []


def test_no_text_for_people_is_written_into_a_script() -> None:
    prose = {text for path in sources() if path.suffix == ".js" for text in prose_in(path.read_text("utf-8"))}
    assert prose == NOT_WORDS


def test_every_word_that_is_asked_for_is_known() -> None:
    known = set(read_words(WEB / "js/words.js"))
    families = {word.split(".")[0] for word in known}
    asked = {
        (path.name, word)
        for path in sources()
        for word in re.findall(r"""["'`]([a-z_]+\.[a-z_]+)["'`]""", path.read_text("utf-8"))
        if word.split(".")[0] in families
    }
    assert len(asked) > 150
    assert {(name, word) for name, word in asked if word not in known} == set()


def test_markup_is_never_made_from_text() -> None:
    forbidden = re.compile(r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|\beval\(|new Function|srcdoc")
    assert [path.name for path in sources() if forbidden.search(path.read_text("utf-8"))] == []


def test_pages_hold_no_inline_script_or_style_and_load_nothing_foreign() -> None:
    for page in WEB.glob("*.html"):
        text = page.read_text("utf-8")
        assert not re.search(r"<style|\sstyle=|\son[a-z]+=|<script(?![^>]*\bsrc=)", text), page.name
        assert re.findall(r"""(?:src|href|action)="(?![/#])""", text) == [], page.name
    for sheet in (WEB / "css").glob("*.css"):
        assert not re.search(r"@import|url\(", sheet.read_text("utf-8")), sheet.name
