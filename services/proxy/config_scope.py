"""One block of directives: each known, in its place, with the right number of arguments, and read.

Owns what `config_directives`' table demands of a directive, and the hints for what is misspelt. What the
directives of a block mean together is `config_file`'s.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from services.proxy.config_arguments import ArgumentError, did_you_mean, parse_path_prefix
from services.proxy.config_directives import DIRECTIVES, ELSEWHERE, Context, DirectiveSpec
from services.proxy.config_syntax import Directive, Mistake, Position, Word


@dataclass(frozen=True, slots=True)
class Entry:
    """One directive and the value its arguments have; None for `host` and `pool`."""

    directive: Directive
    value: Any

    @property
    def position(self) -> Position:
        """Where the directive's name stands."""
        return self.directive.name.position


Scope = Mapping[str, list[Entry]]


def read_scope(directives: Sequence[Directive], context: Context, mistakes: list[Mistake]) -> Scope:
    """The directives of one block by name. What can't be read is noted in `mistakes` and left out."""
    scope: dict[str, list[Entry]] = {}
    for directive in directives:
        try:
            spec, value = _read_directive(directive, context)
        except ArgumentError as error:
            mistakes.append(Mistake(error.position, error.message))
            continue
        name = directive.name
        entries = scope.setdefault(spec.same_as or name.text, [])
        if entries and not spec.is_repeatable:
            line = entries[0].position.line
            mistakes.append(Mistake(name.position, f'"{name.text}" is here twice, first on line {line}'))
        entries.append(Entry(directive, value))
    return scope


def _read_directive(directive: Directive, context: Context) -> tuple[DirectiveSpec, object]:
    """What the directive is and means. ArgumentError when it is unknown, out of place, or has wrong
    arguments.
    """
    name, words = directive.name, directive.arguments
    spec = DIRECTIVES.get(name.text)
    if spec is None or name.is_quoted:
        here = tuple(known for known, spec in DIRECTIVES.items() if context in spec.contexts)
        if name.text in ELSEWHERE:
            hint = f": {ELSEWHERE[name.text]}"
        else:
            hint = did_you_mean(name.text, here) or did_you_mean(name.text, tuple(DIRECTIVES))
        raise ArgumentError(name.position, f'there is no directive "{name.text}"{hint}')
    if context not in spec.contexts:
        places = " or ".join(_place(place) for place in Context if place in spec.contexts)
        raise ArgumentError(name.position, f'"{name.text}" may not stand in {_place(context)}, only in {places}')
    if (directive.block is None) != (spec.read is not None):
        expected = "';' after it, not a block" if spec.read else "a block { … } after it"
        raise ArgumentError(name.position, f'"{name.text}" needs {expected}')
    if len(words) < spec.least or (spec.most is not None and len(words) > spec.most):
        raise ArgumentError(name.position, f'"{name.text}" takes {_arity(spec)}, got {len(words)}')
    if spec.read is not None:
        return spec, spec.read(words)
    return spec, _read_location_words(words) if name.text == "location" else None


def _read_location_words(words: Sequence[Word]) -> tuple[str, bool]:
    if len(words) == 1:
        return parse_path_prefix(words[0]), False
    if words[0].text != "=":
        raise ArgumentError(
            words[0].position,
            f"the modifier {words[0].text} is not supported, expected a path, or = and a path",
        )
    return parse_path_prefix(words[1]), True


def _place(context: Context) -> str:
    return "no block at all" if context is Context.FILE else f"a {context.value} block"


def _arity(spec: DirectiveSpec) -> str:
    if spec.most is None:
        return f"at least {spec.least} argument{'s' * (spec.least != 1)}"
    count = str(spec.least) if spec.least == spec.most else f"{spec.least} or {spec.most}"
    return f"{count} argument{'s' * (count != '1')}"
