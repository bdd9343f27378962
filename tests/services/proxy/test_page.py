"""The files of the page: nothing foreign, nothing inline, and the same dress as the other pages."""

import re
from html.parser import HTMLParser

import pytest

from services.proxy.console import PAGE_DIR
from tests.processes import ROOT

SCRIPTS = sorted(PAGE_DIR.glob("*.js"))
_TOKEN = re.compile(r"(--[a-z0-9-]+): ([^;]+);")


def tokens(text: str) -> list[tuple[str, str]]:
    return _TOKEN.findall(text)


@pytest.mark.parametrize("scheme", [0, 1])
def test_colours_and_sizes_are_those_of_the_other_pages(scheme: int) -> None:
    ours, theirs = (
        dict(tokens(path.read_text("utf-8").split("@media (prefers-color-scheme: dark)")[scheme]))
        for path in (PAGE_DIR / "tokens.css", ROOT / "web/css/tokens.css")
    )
    assert ours
    assert ours == {name: theirs.get(name) for name in ours}


def test_every_token_that_is_used_is_there() -> None:
    known = {name for name, _ in tokens((PAGE_DIR / "tokens.css").read_text("utf-8"))}
    for style in PAGE_DIR.glob("*.css"):
        assert set(re.findall(r"var\((--[a-z0-9-]+)\)", style.read_text("utf-8"))) <= known, style.name


class Inline(HTMLParser):
    """Collects what a strict content policy would stop, and what the page refers to."""

    def __init__(self) -> None:
        super().__init__()
        self.stopped: list[str] = []
        self.files: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        for name, value in attrs:
            if name == "style" or name.startswith("on"):
                self.stopped.append(f"{tag} {name}")
            if name == "src" or (tag == "link" and name == "href"):
                self.files.append(value or "")
        if tag in ("script", "style") and not any(name == "src" for name, _ in attrs):
            self.stopped.append(tag)


def test_nothing_is_inline_and_every_file_is_here() -> None:
    page = Inline()
    page.feed((PAGE_DIR / "index.html").read_text("utf-8"))
    assert page.stopped == []
    assert page.files
    for name in page.files:
        assert name.startswith("page/"), name
        assert (PAGE_DIR.parent / name).is_file(), name


@pytest.mark.parametrize("path", SCRIPTS, ids=lambda path: path.name)
def test_scripts_never_make_markup_and_import_what_is_here(path: object) -> None:
    text = path.read_text("utf-8")  # type: ignore[attr-defined]
    assert not re.search(r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|eval\(|new Function", text)
    for name in re.findall(r'from "([^"]+)"', text):
        assert (PAGE_DIR / name).is_file(), name
