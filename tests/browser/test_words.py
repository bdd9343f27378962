"""Every word that the page asks for is there in both languages. Needs no browser."""

import re
from pathlib import Path

WEB = Path(__file__).resolve().parents[2] / "web"
ENTRY = re.compile(r'^  "([a-z_0-9.]+)": \[', re.MULTILINE)


def known_words() -> list[str]:
    return ENTRY.findall((WEB / "js/words.js").read_text("utf-8"))


def sources() -> list[Path]:
    files = [*(WEB / "js").rglob("*.js"), *WEB.glob("*.html")]
    return [path for path in files if path.name != "words.js"]


def test_no_word_is_written_twice() -> None:
    words = known_words()
    assert len(words) > 200
    assert sorted(words) == sorted(set(words))


def test_every_word_that_is_asked_for_is_known() -> None:
    known = set(known_words())
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
