"""Options of a directive, `NAME=VALUE` or a bare word, by a table that says what each one sets.

Owns their grammar and the hints. The tables stand beside the directives that take them: `config_pool_words`.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from services.proxy.config_arguments import ArgumentError, did_you_mean, refuse
from services.proxy.config_syntax import Position, Word


@dataclass(frozen=True, slots=True)
class Option:
    """What an option sets and how its value is read; without `read` it is a bare word that means `value`."""

    field: str
    read: Callable[[Word], object] | None = None
    value: object = True


def read_options(words: Sequence[Word], options: Mapping[str, Option]) -> dict[str, Any]:
    """The values by the fields they set. ArgumentError for an unknown option, and for one given twice."""
    values: dict[str, Any] = {}
    for word in words:
        name, sign, _ = word.text.partition("=")
        option = options.get(name)
        if option is None or (option.read is not None) != bool(sign):
            known = [f"{each}=" if options[each].read is not None else each for each in options]
            refuse(word, f"one of {', '.join(known)}{did_you_mean(name, list(options))}")
        if option.field in values:
            raise ArgumentError(word.position, f"{option.field.removesuffix('_s')} is given twice")
        values[option.field] = option.read(_value_of(word)) if option.read is not None else option.value
    return values


def _value_of(word: Word) -> Word:
    """The part after `NAME=` as a word of its own, at its own place."""
    value = word.text.partition("=")[2]
    start = Position(word.position.line, word.position.column + len(word.text) - len(value))
    return Word(value, start, word.end, word.is_quoted)
