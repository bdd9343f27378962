"""The words of a page's scripts, and what is written beside them. Read as text: needs neither browser nor Node."""

import json
import re
from pathlib import Path
from typing import Any

_COMMENT = re.compile(r"^ *(?://|/?\*).*$", re.MULTILINE)
# A string, or a comment at a line's end, which the string's alternative keeps from being found in an address.
_STRING = re.compile(r""""(?:[^"\\\n]|\\.)*"|'(?:[^'\\\n]|\\.)*'|`(?:[^`\\]|\\.)*`|//.*$""", re.MULTILINE)
_PROSE = re.compile(r"[^\W\d_]{2,}[,:;.…]? +[^\W\d_]{2,}")
_CLASSES = re.compile(r"""\bclass: (?:"[^"]*"|`[^`]*`)""")
_OWN_TEXT = re.compile(
    r"""\b(?:text|textContent|title|placeholder|"aria-label")(?::| =) ["'`]([^"'`$]*[^\W\d_]{2,}[^"'`]*)["'`]"""
)
_KEY = re.compile(r"[a-z_]+\.[a-z_0-9]+")

Entry = tuple[str | dict[str, str], str]


def read_words(path: Path) -> dict[str, Entry]:
    """Key → (English, Vietnamese) of a file like web/js/words.js; the entries that it takes from another file are left
    out. A key that is written twice is an AssertionError.
    """
    text = _COMMENT.sub("", path.read_text("utf-8"))
    table = text[text.index("{", text.index("export const")) :].rstrip().rstrip(";")
    table = re.sub(r"^ *\.\.\.\w+,$", "", table, flags=re.MULTILINE)
    table = re.sub(r"([{,]\s*)(one|other): ", r'\1"\2": ', table)
    table = re.sub(r",(\s*[\]}])", r"\1", table)

    def without_repeats(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        keys = [key for key, _ in pairs]
        assert len(keys) == len(set(keys)), sorted(key for key in keys if keys.count(key) > 1)
        return dict(pairs)

    return {key: tuple(entry) for key, entry in json.loads(table, object_pairs_hook=without_repeats).items()}


def forms_of(text: str | dict[str, str]) -> list[str]:
    """The text, or its forms for one and for more."""
    return list(text.values()) if isinstance(text, dict) else [text]


def faults_of(words: dict[str, Entry]) -> list[str]:
    """What is wrong with the table: a language that is missing, or whose gaps are others."""
    faults = []
    for key, entry in words.items():
        if len(entry) != 2 or any(form.strip() == "" for text in entry for form in forms_of(text)):
            faults.append(f"{key}: one language is missing")
            continue
        english, vietnamese = entry
        if isinstance(english, dict) and set(english) != {"one", "other"}:
            faults.append(f"{key}: forms for {sorted(english)}")
        if len({frozenset(re.findall(r"\{(\w+)\}", form)) for form in [*forms_of(english), vietnamese]}) != 1:
            faults.append(f"{key}: the gaps differ")
    return faults


def prose_in(script: str) -> list[str]:
    """The string literals of a script that look like texts for people: two words beside each other, or a text given to
    an element.
    """
    code = _CLASSES.sub("", _COMMENT.sub("", script))
    literals = [match[0] for match in _STRING.finditer(code) if match[0][0] in "\"'`"]
    prose = [text[1:-1] for text in literals if _PROSE.search(re.sub(r"\$\{[^}]*\}", "", text))]
    own = [match[1] for match in _OWN_TEXT.finditer(code)]
    return prose + [text for text in own if not _KEY.fullmatch(text)]
