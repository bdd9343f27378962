"""The shape of a `proxy.conf`: words, `;` and `{ }`, as a tree of directives with positions, without
meaning.

What is malformed is noted as a `Mistake` and stepped over, so that one reading finds every mistake of a
file. Lines and columns count from 1, columns in characters. `config_scope` gives the directives their
meaning.
"""

import re
from bisect import bisect_right
from collections.abc import Container, Iterator
from dataclasses import dataclass


@dataclass(frozen=True, slots=True, order=True)
class Position:
    """A place in the file, both numbers from 1."""

    line: int
    column: int


@dataclass(frozen=True, slots=True, order=True)
class Mistake:
    """What is wrong, and where."""

    position: Position
    message: str


@dataclass(frozen=True, slots=True)
class Word:
    """A word as it is meant (quotes and escapes resolved); `end` is the place after its last character."""

    text: str
    position: Position
    end: Position
    is_quoted: bool = False


@dataclass(frozen=True, slots=True)
class Directive:
    """`name arguments… ;` or `name arguments… { block }`. `block` is None for the first form."""

    name: Word
    arguments: tuple[Word, ...]
    block: "tuple[Directive, ...] | None" = None


_TOKEN = re.compile(
    r"""(?P<space>[ \t\r\n]++)
    | (?P<comment>\#[^\n]*+)
    | (?P<mark>[;{}])
    | (?P<quoted>"(?:[^"\\\n]|\\[^\n])*+"|'(?:[^'\\\n]|\\[^\n])*+')
    | (?P<unclosed>["'][^;{}\n]*+)
    | (?P<word>(?:\$\{[^{}\s;]*+\}|[^\s;{}"'\x00-\x1f\x7f])++)
    | (?P<stray>.)""",
    re.VERBOSE | re.DOTALL,
)
_ESCAPE = re.compile(r"\\([\\\"'])")
_CONTROL = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f]")


@dataclass(frozen=True, slots=True)
class _Token:
    """A mark or a word. `starts_line`: nothing but white space stands before it on its line."""

    mark: str
    word: Word
    starts_line: bool


def parse_syntax(text: str, known_names: Container[str]) -> tuple[tuple[Directive, ...], list[Mistake]]:
    """The directives of a file, and what is malformed in it.

    A line that begins with one of `known_names` begins a directive even when the `;` before it is missing.
    """
    builder = _TreeBuilder(known_names)
    for token in _tokens(text, builder.mistakes):
        builder.add(token)
    return builder.finish(), builder.mistakes


def _tokens(text: str, mistakes: list[Mistake]) -> Iterator[_Token]:
    line_starts = [0] + [match.end() for match in re.finditer("\n", text)]

    def position(offset: int) -> Position:
        line = bisect_right(line_starts, offset)
        return Position(line, offset - line_starts[line - 1] + 1)

    word_end = -1
    for match in _TOKEN.finditer(text):
        kind, start, end = match.lastgroup, match.start(), match.end()
        if kind in ("space", "comment"):
            continue
        here = position(start)
        if kind == "stray":
            mistakes.append(
                Mistake(here, f"got the character U+{ord(match[0]):04X}, expected a word, ';', '{{' or '}}'")
            )
            continue
        if kind in ("word", "quoted") and start == word_end:
            mistakes.append(Mistake(here, "expected white space between two words, or one pair of quotes around both"))
        raw = match[0]
        if (control := _CONTROL.search(raw)) is not None:
            mistakes.append(Mistake(position(start + control.start()), f"got the control character {control[0]!r}"))
        if kind == "unclosed":
            mistakes.append(Mistake(here, f"the quote {raw[0]} is not closed on this line"))
        is_quoted = kind in ("quoted", "unclosed")
        word = Word(_unquote(raw) if is_quoted else raw, here, position(end), is_quoted)
        starts_line = not text[line_starts[here.line - 1] : start].strip(" \t\r")
        yield _Token(raw if kind == "mark" else "", word, starts_line)
        word_end = -1 if kind == "mark" else end


def _unquote(raw: str) -> str:
    inner = raw[1:-1] if len(raw) > 1 and raw[-1] == raw[0] else raw[1:].rstrip()
    return _ESCAPE.sub(r"\1", inner)


class _TreeBuilder:
    """Puts tokens together; steps over what does not fit. Never recurses, so depth costs nothing."""

    def __init__(self, known_names: Container[str]) -> None:
        self.mistakes: list[Mistake] = []
        self._known_names = known_names
        self._words: list[Word] = []
        self._siblings: list[Directive] = []
        self._open: list[tuple[tuple[Word, ...], Position, list[Directive]]] = []

    def add(self, token: _Token) -> None:
        word = token.word
        if token.mark == ";":
            self._end_directive(word)
        elif token.mark == "{":
            self._open_block(word)
        elif token.mark == "}":
            self._close_block(word)
        else:
            if self._words and token.starts_line and not word.is_quoted and word.text in self._known_names:
                self._note(self._words[-1].end, f"expected ';' after \"{self._words[-1].text}\"")
                self._emit()
            self._words.append(word)

    def finish(self) -> tuple[Directive, ...]:
        """The top of the tree; what is still open at the end of the file is a mistake."""
        if self._words:
            self._note(self._words[-1].end, "expected ';' or '{', got the end of the file")
            self._emit()
        while self._open:
            self._note(self._open[-1][1], "this '{' is never closed")
            self._pop()
        return tuple(self._siblings)

    def _end_directive(self, mark: Word) -> None:
        if self._words:
            self._emit()
        else:
            self._note(mark.position, "expected a directive, got ';'")

    def _open_block(self, mark: Word) -> None:
        if not self._words:
            self._note(mark.position, "expected a name before '{'")
        self._open.append((tuple(self._words), mark.position, self._siblings))
        self._words, self._siblings = [], []

    def _close_block(self, mark: Word) -> None:
        if self._words:
            # Deliberate: files of the time when the word was `dist_policy` left the `;` out before a brace.
            if self._words[0].text != "dist_policy":
                self._note(self._words[-1].end, f"expected ';' after \"{self._words[-1].text}\", got '}}'")
            self._emit()
        if self._open:
            self._pop()
        else:
            self._note(mark.position, "this '}' closes nothing")

    def _pop(self) -> None:
        words, _, siblings = self._open.pop()
        block, self._siblings = tuple(self._siblings), siblings
        if words:
            self._siblings.append(Directive(words[0], words[1:], block))

    def _emit(self) -> None:
        self._siblings.append(Directive(self._words[0], tuple(self._words[1:])))
        self._words = []

    def _note(self, position: Position, message: str) -> None:
        self.mistakes.append(Mistake(position, message))
