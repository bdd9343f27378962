"""Field lines in bytes, some of them taken out, the others left as they came. Values in, values out.

The lines are valid by `grammar.FIELD_LINES` already. Which fields go is `rewriting`'s and `reply_heads`' to say.
"""

import re
from collections.abc import Collection, Iterable
from dataclasses import dataclass
from functools import lru_cache

from shared.httpcore.grammar import make_field_finder
from shared.httpcore.headers import Headers


@dataclass(frozen=True, slots=True)
class DropRule:
    """The fields, by their names in lower case, that do not pass."""

    names: frozenset[bytes]  # and b"", the empty element of a list
    finder: re.Pattern[bytes]  # of their lines and of Connection's, see `make_field_finder`


def make_drop_rule(names: Iterable[str]) -> DropRule:
    """The rule for these names, in lower case, and Connection."""
    return _make_drop_rule(frozenset(names) - {"connection"})


@lru_cache(maxsize=256)
def _make_drop_rule(names: frozenset[str]) -> DropRule:
    known = frozenset(name.encode("latin-1") for name in ("", "connection", *names))
    return DropRule(known, make_field_finder(["connection"], names))


def without(lines: bytes, rule: DropRule) -> bytes:
    """The lines that may pass: neither named by the rule nor by a Connection field (RFC 9110 §7.6.1)."""
    parts = rule.finder.split(
        b"\n" + lines
    )  # lines that pass, Connection's or None for one that goes, lines that pass, …
    if len(parts) == 1:
        return lines
    passed = b"".join(parts[::2])[1:]
    options = {
        option.strip(b" \t")
        for line in filter(None, parts[1::2])
        for option in line.lower().partition(b":")[2].split(b",")
    }
    return passed if options <= rule.names else without_names(passed, options)


def without_names(lines: bytes, names: Collection[bytes]) -> bytes:
    """The lines but those of these names, in lower case: what a Connection field may name is anything."""
    kept = [line for line in lines.split(b"\r\n") if line and line.partition(b":")[0].lower() not in names]
    return b"".join([line + b"\r\n" for line in kept])


def field_pairs(lines: bytes) -> list[tuple[str, str]]:
    """The lines as pairs of name and value."""
    return Headers.parse(lines).items()
