"""Field lines in bytes, some of them taken out, the others left as they came. Values in, values out.

The lines are valid by `grammar.FIELD_LINES` already. Which fields go is `rewriting`'s and `reply_heads`' to say.
"""

import re
from collections.abc import Collection, Iterable
from dataclasses import dataclass
from functools import lru_cache

from shared.httpcore.grammar import make_field_finder
from shared.httpcore.headers import Headers

TOLD = frozenset({"connection", "host"})


@dataclass(frozen=True, slots=True)
class DropRule:
    """The fields, by their names in lower case, that do not pass."""

    names: frozenset[bytes]  # and b"", the empty element of a list
    finder: re.Pattern[bytes]  # of their lines, Connection and Host told, see `make_field_finder`


def make_drop_rule(names: Iterable[str]) -> DropRule:
    """The rule for these names, in lower case, and Connection and Host."""
    return _make_drop_rule(frozenset(names) - TOLD)


def drop_also(rule: DropRule, names: frozenset[str]) -> DropRule:
    """The rule for these names as well, in lower case."""
    return _make_drop_rule(frozenset(name.decode("latin-1") for name in rule.names if name) - TOLD | names)


@lru_cache(maxsize=256)
def _make_drop_rule(names: frozenset[str]) -> DropRule:
    known = frozenset(name.encode("latin-1") for name in ("", *TOLD, *names))
    return DropRule(known, make_field_finder(TOLD, names))


def without(lines: bytes, rule: DropRule) -> tuple[bytes, bytes]:
    """The lines that may pass, neither named by the rule nor by a Connection field (RFC 9110 §7.6.1); and the Host line
    as it came, without its CRLF, b"" for none.
    """
    parts = rule.finder.split(b"\n" + lines)  # the even ones pass; the odd ones are told lines, or None
    if len(parts) == 1:
        return lines, b""
    passed = b"".join(parts[::2])[1:]
    host, options = b"", frozenset[bytes]()
    for line in parts[1::2]:
        if line is None:
            continue
        if line[0] in b"Hh":
            host = line
        else:
            options |= _options(line)
    return passed if options <= rule.names else without_names(passed, options), host


@lru_cache(maxsize=64)
def _options(connection: bytes) -> frozenset[bytes]:
    """What a line of Connection names, in lower case. There are few such lines."""
    value = connection.lower().partition(b":")[2]
    return frozenset(option.strip(b" \t") for option in value.split(b","))


def without_names(lines: bytes, names: Collection[bytes]) -> bytes:
    """The lines but those of these names, in lower case: what a Connection field may name is anything."""
    kept = [line for line in lines.split(b"\r\n") if line and line.partition(b":")[0].lower() not in names]
    return b"".join([line + b"\r\n" for line in kept])


def field_values(lines: bytes, finder: re.Pattern[bytes]) -> list[str]:
    """The values of the one field that the finder tells, in order: far cheaper than all pairs when one is wanted."""
    found = finder.findall(b"\n" + lines)
    return [line.decode("latin-1").partition(":")[2].strip(" \t") for line in found]


def field_pairs(lines: bytes) -> list[tuple[str, str]]:
    """The lines as pairs of name and value."""
    return Headers.parse(lines).items()
