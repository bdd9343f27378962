"""The words of the proxy's page: all in both languages, none beside them, and the proxy's sentences as its code says
them. Needs no browser.
"""

import ast
import re
from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path

import pytest

from services.proxy.console import PAGE_DIR
from services.proxy.standing import STANDINGS
from tests.page_words import faults_of, forms_of, prose_in, read_words
from tests.processes import ROOT

SENTENCES = read_words(PAGE_DIR / "sentences.js")
WORDS = read_words(PAGE_DIR / "words.js")
SCRIPTS = [path for path in sorted(PAGE_DIR.glob("*.js")) if path.name not in ("words.js", "sentences.js")]
PAGE = (PAGE_DIR / "index.html").read_text("utf-8")
# Families whose keys are put together from what the proxy says.
FAMILIES = ("standing.", "cause.", "event.", "column.", "change.host_", "change.pool_", "shell.title_")
VOID = {"meta", "link", "input", "img", "br"}


def test_every_word_is_there_once_in_both_languages() -> None:
    assert len(WORDS) > 150
    assert not WORDS.keys() & SENTENCES.keys()
    assert faults_of(WORDS | SENTENCES) == []


def test_every_word_that_is_asked_for_is_known_and_every_known_word_is_asked_for() -> None:
    families = {word.split(".")[0] for word in WORDS}
    asked = {
        word
        for text in [PAGE, *(path.read_text("utf-8") for path in SCRIPTS)]
        for word in re.findall(r"""["'`]([a-z_]+\.[a-z_0-9]+)["'`]""", text)
        if word.split(".")[0] in families
    }
    assert asked - WORDS.keys() == set()
    assert {word for word in WORDS.keys() - asked if not word.startswith(FAMILIES)} == set()


def test_what_the_proxy_calls_things_has_a_word() -> None:
    for standing in STANDINGS:
        assert f"standing.{standing.replace(' ', '_')}" in WORDS
    kinds = re.search(r"const KINDS = \{(.*?)\};", (PAGE_DIR / "events.js").read_text("utf-8"), re.DOTALL)
    assert kinds is not None
    assert {f"event.{kind}" for kind in re.findall(r"(\w+):", kinds[1])} == {
        word for word in WORDS if word.startswith("event.")
    }
    causes = re.findall(r'(?:_eject\(upstream, now, |return |else )"(\w+)"', sources("upstreams", "standing"))
    assert {f"cause.{cause}" for cause in causes} >= {word for word in WORDS if word.startswith("cause.")}


@pytest.mark.parametrize("path", SCRIPTS, ids=lambda path: path.name)
def test_no_text_for_people_is_written_into_a_script(path: Path) -> None:
    assert set(prose_in(path.read_text("utf-8"))) <= {"slow start"}  # the proxy's own name of a standing


class Texts(HTMLParser):
    """Texts and named attributes of the page, each with the key of its word: (text, key or None). What the browser or
    the reader is told not to translate, and what is there in both languages, is left out.
    """

    def __init__(self) -> None:
        super().__init__()
        self.found: list[tuple[str, str | None]] = []
        self._open: list[dict[str, str | None]] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        own = {**dict(attrs), "tag": tag}
        if tag not in VOID:
            self._open.append(own)
        for name in ("aria-label", "placeholder", "title"):
            if own.get(name) and not self._is_as_it_is(own):
                self.found.append((str(own[name]), own.get(f"data-word-{name}")))

    def handle_endtag(self, tag: str) -> None:
        self._open.pop()

    def handle_data(self, data: str) -> None:
        if data.strip() and not any(self._is_as_it_is(each) for each in self._open):
            self.found.append((data.strip(), self._open[-1].get("data-word") if self._open else None))

    @staticmethod
    def _is_as_it_is(own: dict[str, str | None]) -> bool:
        is_said_in_both = own["tag"] == "noscript" or "data-language" in own
        return is_said_in_both or own["tag"] == "option" or own.get("translate") == "no"


def test_every_text_of_the_page_has_a_word_and_is_that_words_english() -> None:
    texts = Texts()
    texts.feed(PAGE)
    assert len(texts.found) > 25
    for text, word in texts.found:
        if text != "Proxy":  # a name
            assert word is not None, text
            assert text == WORDS[word][0].strip(), word  # type: ignore[union-attr]
    assert re.search(r'<noscript>.*needs JavaScript.*lang="vi".*cần JavaScript.*</noscript>', PAGE, re.DOTALL)


def test_language_is_chosen_as_in_the_chat_and_holds_there_too() -> None:
    ours, theirs = (path.read_text("utf-8") for path in (PAGE_DIR / "language.js", ROOT / "web/js/language.js"))
    assert ours == theirs
    switch = re.compile(r'<div class="segmented".*?</div>', re.DOTALL)
    mine, chats = (
        switch.search(re.sub(r"\s+", " ", text)) for text in (PAGE, (ROOT / "web/index.html").read_text("utf-8"))
    )
    assert mine is not None
    assert chats is not None
    assert mine[0] == chats[0]


# --- the proxy's own sentences -------------------------------------------------------------------------------------


def sources(*names: str) -> str:
    return "\n".join((ROOT / f"services/proxy/{name}.py").read_text("utf-8") for name in names)


def constants(tree: ast.AST) -> Iterator[str]:
    return (node.value for node in ast.walk(tree) if isinstance(node, ast.Constant) and isinstance(node.value, str))


def said(tree: ast.AST) -> Iterator[str]:
    """The texts in the code, with 7 in their gaps; docstrings left out."""
    docstrings = {id(node.value) for node in ast.walk(tree) if isinstance(node, ast.Expr)}
    inner = {id(part) for node in ast.walk(tree) if isinstance(node, ast.JoinedStr) for part in ast.walk(node)}
    for node in ast.walk(tree):
        if id(node) in docstrings:
            continue
        if isinstance(node, ast.JoinedStr):
            parts = (part.value if isinstance(part, ast.Constant) else "7" for part in node.values)
            yield "".join(str(part) for part in parts)
        elif isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in inner:
            yield node.value


def test_every_sentence_is_one_that_the_code_can_say() -> None:
    folders = [ROOT / "services/proxy", ROOT / "shared/httpcore/net"]
    trees = [ast.parse(path.read_text("utf-8")) for folder in folders for path in folder.glob("*.py")]
    texts = sorted({text for tree in trees for text in constants(tree)})
    for key, (english, _) in SENTENCES.items():
        if key.startswith("system."):
            continue  # the system's words, not the proxy's
        for form in forms_of(english)[:1]:  # the plural is made from the form for one
            for piece in re.split(r"\{\w+\}", form):
                assert is_said(piece.rstrip(), texts), f"{key}: nobody says {piece!r}"


def is_said(piece: str, texts: list[str]) -> bool:
    """The piece is in one of the code's texts, or put together from two: an end, and a beginning."""
    if any(piece in text for text in texts):
        return True
    cuts = ((piece[:cut], piece[cut:]) for cut in range(1, len(piece)))
    return any(
        any(text.endswith(end) for text in texts) and any(text.startswith(beginning) for text in texts)
        for end, beginning in cuts
    )


# Functions that make sentences which the page shows: every one of them has its Vietnamese.
# fmt: off
SAYING = {
    "admin": ["_problems_of"],
    "standing": ["why_not_in_use"],
    "upstream_states": ["why_left_out"],
    "ejection": ["note_reply", "note_broken"],
    "health": ["probe"],
    "choice": ["foresee"],
    "explaining": ["explain", "_refusal", "_own_answer", "_foresee", "_why_nobody", "_left_out", "_why_retried"],
    "explaining_intake": [
        "explain_limits", "_describe_rate", "_describe_at_once", "_whose", "_burst_text", "explain_cache", "_why_so",
        "_why_past", "_condition_text", "_why_stored", "_age_text",
    ],
    "routing": ["normalize_path", "_resolve_dots"],
    "policies": None,
    "upstreams": ["configure", "set_members", "_join", "note_pass", "note_reply", "note_broken", "_eject", "_settle"],
}
# fmt: on
# Put together from parts that are known; a page has been seen to know the whole (tests/browser).
COMPOSED = {"passed 7 check7", "7; 77", "7 s old and 7"}


def functions(module: str, names: list[str] | None) -> Iterator[ast.AST]:
    tree = ast.parse(sources(module))
    if names is None:
        yield from (node for node in ast.walk(tree) if is_reason(node))
        return
    found = [node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)]
    assert {node.name for node in found} >= set(names), f"{module}.py has other functions now"
    yield from (node for node in found if node.name in names)


def is_reason(node: ast.AST) -> bool:
    """What a policy gives as its reason."""
    if isinstance(node, ast.Assign):
        target = node.targets[0]
        return (target.attr if isinstance(target, ast.Attribute) else getattr(target, "id", "")) == "reason"
    return isinstance(node, ast.FunctionDef) and node.name == "reason"


@pytest.mark.parametrize("module", SAYING)
def test_every_sentence_that_the_code_says_is_known(module: str) -> None:
    known = [re.sub(r"\{\w+\}", "7", form) for english, _ in SENTENCES.values() for form in forms_of(english)]
    sentences = {text for node in functions(module, SAYING[module]) for text in said(node) if " " in text.strip()}
    assert sentences
    unknown = {text for text in sentences - COMPOSED if not any(text.strip() in form for form in known)}
    assert unknown == set()
