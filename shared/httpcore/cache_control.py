"""The field Cache-Control (RFC 9111 §5.2) as a value. What follows from it is a cache's to decide."""

import re
from collections.abc import Sequence

from shared.httpcore.grammar import WRITABLE_NAME

# §5.2: cache-directive = token [ "=" ( token / quoted-string ) ]. What is malformed counts up to the next comma.
_DIRECTIVE = re.compile(
    rf"({WRITABLE_NAME.pattern})(?:=(?:({WRITABLE_NAME.pattern})"
    r'|"((?:[\t !#-\[\]-~\x80-\xff]|\\[\t -~\x80-\xff])*+)"))?'
)
_GAP = re.compile(r"[ \t,]*+")
_JUNK = re.compile(r"[^,]*+")
_SECONDS = re.compile(r"[0-9]++", re.ASCII)
# §1.2.2: a number that is too large is this one, which is as good as for ever.
MAX_SECONDS = 2**31


class CacheControl:
    """The directives by name in lower case. What is malformed or contradicts itself is as strict as it can be."""

    __slots__ = ("_arguments",)

    def __init__(self, arguments: dict[str, list[str | None]]) -> None:
        self._arguments = arguments

    def __contains__(self, name: str) -> bool:
        return name in self._arguments

    def __bool__(self) -> bool:
        return bool(self._arguments)

    def seconds(self, name: str) -> int | None:
        """The directive's argument; None when it is not there, 0 when it is no number or there are two (§4.2.1)."""
        found = self._arguments.get(name)
        if found is None:
            return None
        text = found[0]
        if text is None or any(other != text for other in found) or _SECONDS.fullmatch(text) is None:
            return 0
        return min(int(text), MAX_SECONDS) if len(text) <= 10 else MAX_SECONDS

    def is_plain(self, name: str) -> bool:
        """Whether the directive is there without an argument."""
        return self._arguments.get(name) == [None]


def parse_cache_control(lines: Sequence[str]) -> CacheControl:
    """The directives of the field, all its lines taken together. Never fails: `"no-store` and `no-store x` are
    heeded as far as they are understood, since a reply stored against its owner's will is worse than one fetched
    twice.
    """
    arguments: dict[str, list[str | None]] = {}
    for line in lines:
        at = _GAP.match(line).end()  # type: ignore[union-attr]  # it matches nothing, too
        while at < len(line):
            found = _DIRECTIVE.match(line, at)
            if found is not None:
                argument = found[2] if found[2] is not None else found[3]
                arguments.setdefault(found[1].lower(), []).append(argument)
                at = found.end()
            at = _JUNK.match(line, at).end()  # type: ignore[union-attr]
            at = _GAP.match(line, at).end()  # type: ignore[union-attr]
    return CacheControl(arguments)
