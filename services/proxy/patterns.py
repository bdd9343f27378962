"""What an operator writes to have text replaced: a prefix or a regular expression, and what stands there instead.

`~ REGEX` minds case, `~* REGEX` does not; in the replacement `$1` to `$9` are what its groups matched, beside the
variables of `templates`. Regular expressions are Python's.

They come from the operator, the text from clients, and a careless one, such as `(a+)+b`, takes exponential time: no
other request is served meanwhile. `is_risky` finds those that nest one repetition in another, for a warning at the
start. Possessive ones (`++`, `*+`) never backtrack.
"""

import re
from collections.abc import Callable
from dataclasses import dataclass
from re import _constants, _parser  # type: ignore[attr-defined]
from typing import Any

from services.proxy.templates import RequestFacts, Template, parse_template

_CAPTURE = re.compile(r"\$([1-9])(?![A-Za-z0-9_])|\$\{([1-9])\}|\$([1-9])")
Escape = Callable[[str], str]


@dataclass(frozen=True, slots=True)
class Replacement:
    """A text with variables and captured groups; the numbers in `parts` are groups."""

    source: str
    parts: tuple[Template | int, ...]

    @property
    def highest_group(self) -> int:
        """The highest group that is referred to; 0 for none."""
        return max((part for part in self.parts if isinstance(part, int)), default=0)

    def render(self, facts: RequestFacts, match: "re.Match[str] | None" = None, escape: Escape = str) -> str:
        """The text; groups that took no part in the match are empty. `escape` is applied to what groups matched."""
        pieces = []
        for part in self.parts:
            if isinstance(part, int):
                pieces.append(escape((match[part] if match is not None else "") or ""))
            else:
                pieces.append(part.render(facts))
        return "".join(pieces)


def parse_replacement(text: str) -> Replacement:
    """The replacement that `text` spells. TemplateError for an unknown variable and a lone `$`."""
    parts: list[Template | int] = []
    at = 0
    for found in _CAPTURE.finditer(text):
        if found.start() > at:
            parts.append(parse_template(text[at : found.start()]))
        parts.append(int(found[found.lastindex or 0]))
        at = found.end()
    if at < len(text):
        parts.append(parse_template(text[at:]))
    return Replacement(text, tuple(parts))


@dataclass(frozen=True, slots=True)
class TextRule:
    """One rule: a prefix that is replaced, the rest of the text kept; or an expression, whose find replaces it all.

    With `is_whole` a prefix must be the whole text, in any case: a domain.
    """

    prefix: Template | None
    regex: "re.Pattern[str] | None"
    replacement: Replacement
    is_whole: bool = False

    def apply(self, text: str, facts: RequestFacts) -> str | None:
        """What `text` becomes; None when the rule does not concern it."""
        if self.regex is not None:
            match = self.regex.search(text)
            return None if match is None else self.replacement.render(facts, match)
        assert self.prefix is not None
        prefix = self.prefix.render(facts)
        if self.is_whole:
            return self.replacement.render(facts) if text.lower() == prefix.lower() else None
        return self.replacement.render(facts) + text[len(prefix) :] if text.startswith(prefix) else None


def parse_text_rule(pattern: str, replacement: str, *, is_whole: bool = False) -> TextRule:
    """The rule for a pattern, `text`, `~regex` or `~*regex`, and its replacement. ValueError says what is wrong."""
    parsed = parse_replacement(replacement)
    regex = parse_regex(pattern[1:].lstrip(), parsed) if pattern.startswith("~") else None
    if regex is None and parsed.highest_group:
        raise ValueError(f"got ${parsed.highest_group}, but a text has no groups; expected ~ and a regular expression")
    return TextRule(None if regex else parse_template(pattern), regex, parsed, is_whole)


def parse_regex(text: str, *replacements: Replacement) -> "re.Pattern[str]":
    """The expression; a `*` at its start means that case does not matter. ValueError when it is none, or when a
    replacement refers to a group that it does not have.
    """
    flags = re.IGNORECASE if text.startswith("*") else re.NOFLAG
    try:
        regex = re.compile(text.removeprefix("*").lstrip(), flags)
    except (re.error, OverflowError, RecursionError) as error:
        raise ValueError(f"got {text!r}, expected a regular expression: {error}") from None
    for replacement in replacements:
        if replacement.highest_group > regex.groups:
            raise ValueError(f"got ${replacement.highest_group}, but the expression has {regex.groups} groups")
    return regex


def is_risky(regex: "re.Pattern[str]") -> bool:
    """Whether an unbounded repetition that backtracks holds another: its time may grow exponentially.

    A yes may be wrong (`(?:[a-z]+/)*` is harmless), and a no may be as well (`(?:a|a)*`).
    """
    try:
        return _nests(_parser.parse(regex.pattern, regex.flags), inside=False)
    except RecursionError:  # nested deeper than anybody could read
        return True


def _nests(tree: Any, *, inside: bool) -> bool:
    for operation, argument in tree:
        if operation in (_constants.MAX_REPEAT, _constants.MIN_REPEAT):
            is_unbounded = argument[1] is _constants.MAXREPEAT
            if (inside and is_unbounded) or _nests(argument[2], inside=inside or is_unbounded):
                return True
        elif operation in (_constants.POSSESSIVE_REPEAT, _constants.ATOMIC_GROUP):
            # It gives nothing back, so that what is around it has nothing to try again.
            inner = argument[2] if operation is _constants.POSSESSIVE_REPEAT else argument
            if _nests(inner, inside=False):
                return True
        elif any(_nests(each, inside=inside) for each in _subtrees(argument)):
            return True
    return False


def _subtrees(argument: Any) -> list[Any]:
    """The patterns inside an operation's argument: groups, branches, assertions, conditions."""
    if isinstance(argument, _parser.SubPattern):
        return [argument]
    if isinstance(argument, (tuple, list)):
        return [tree for each in argument for tree in _subtrees(each)]
    return []
