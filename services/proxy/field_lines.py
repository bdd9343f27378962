"""Field lines in bytes, some of them taken out, the others left as they came. Values in, values out.

The lines are valid by `grammar.FIELD_LINES` already. Which fields go is `rewriting`'s and `reply_heads`' to say.
"""

import re
from collections.abc import Iterable
from dataclasses import dataclass
from functools import lru_cache

from shared.httpcore.headers import Headers

_CONNECTION = re.compile(rb"\nconnection:([^\r]*+)")


@dataclass(frozen=True, slots=True)
class DropRule:
    """The fields, by their names in lower case, that do not pass."""

    names: frozenset[bytes]
    pattern: re.Pattern[bytes]  # finds their lines in lower case, each by the LF before it


def make_drop_rule(names: Iterable[str]) -> DropRule:
    """The rule for these names, in lower case."""
    return _make_drop_rule(frozenset(name.encode("latin-1") for name in names))


def drop_also(rule: DropRule, names: frozenset[bytes]) -> DropRule:
    """The rule for these names as well, in lower case."""
    return _make_drop_rule(rule.names | names)


@lru_cache(maxsize=256)
def _make_drop_rule(names: frozenset[bytes]) -> DropRule:
    pattern = rb"\n(?:" + b"|".join(re.escape(name) for name in sorted(names)) + rb"):[^\r]*+\r"
    return DropRule(names, re.compile(pattern))


def without(lines: bytes, rule: DropRule) -> bytes:
    """The lines that may pass: neither named by the rule nor by a Connection field (RFC 9110 §7.6.1)."""
    lowered = b"\n" + lines.lower()
    if b"\nconnection:" in lowered:
        tokens = {token.strip(b" \t") for value in _CONNECTION.findall(lowered) for token in value.split(b",")}
        if not tokens <= rule.names:
            return _without_names(lines, rule.names | tokens)
    parts, position = [], 0
    for match in rule.pattern.finditer(lowered):  # one byte further on than in `lines`, for the LF in front
        parts.append(lines[position : match.start()])
        position = match.end()
    if not parts:
        return lines
    parts.append(lines[position:])
    return b"".join(parts)


def field_pairs(lines: bytes) -> list[tuple[str, str]]:
    """The lines as pairs of name and value."""
    return Headers.parse(lines).items()


def _without_names(lines: bytes, names: frozenset[bytes]) -> bytes:
    kept = [line for line in lines.split(b"\r\n") if line and line.partition(b":")[0].lower() not in names]
    return b"".join([line + b"\r\n" for line in kept])
