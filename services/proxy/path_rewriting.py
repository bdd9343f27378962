"""`rewrite REGEX REPLACEMENT [FLAG];`: another path for the request, or a redirect to it, as in nginx. Values in,
values out.

The expression sees the path's normal form, percent-decoded; what it makes is escaped again. Whoever routes asks
`rewrite_path` with the rules of a host before it chooses the location, and with those of the location after.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum
from urllib.parse import quote

from services.proxy.patterns import Replacement, parse_regex, parse_replacement
from services.proxy.routing import escape_path, tidy_path
from services.proxy.templates import RequestFacts

# As in nginx, a request that is sent back to the locations more often than that is going round in circles.
MAX_SEARCHES = 10
# RFC 3986 §3.4: what may stand in a query as it is; "%" stays, for it was escaped already.
_QUERY_SAFE = "/!$&'()*+,;=:@-._~?%"
_VALUE_SAFE = "/!$'()*,:@-._~"  # inside a query, what a group matched can't end a parameter


class Flag(Enum):
    """What happens after a rule has fitted. Without a flag the next rules see what it made."""

    NONE = ""
    LAST = "last"  # no more rules, and the location is searched again
    BREAK = "break"  # no more rules, and the location stays
    REDIRECT = "redirect"  # 302
    PERMANENT = "permanent"  # 301


_STATUSES = {Flag.REDIRECT: 302, Flag.PERMANENT: 301}


@dataclass(frozen=True, slots=True)
class PathRule:
    """One rule. `args` None: it names none, so the client's stay; `drops_args`: the client's are not appended."""

    regex: "re.Pattern[str]"
    path: Replacement
    args: Replacement | None
    drops_args: bool
    flag: Flag
    is_url: bool  # the replacement is a whole URL: a redirect whatever the flag


@dataclass(frozen=True, slots=True)
class Rewritten:
    """What became of a request: another path (in normal form, decoded) and query, or a redirect.

    `searches_again`: the location is to be chosen anew for it.
    """

    path: str
    query: str
    searches_again: bool = False
    redirect_status: int = 0
    redirect_location: str = ""

    @property
    def target(self) -> str:
        """The request-target, escaped."""
        return _join(escape_path(self.path), self.query)


def parse_path_rule(pattern: str, replacement: str, flag: str = "") -> PathRule:
    """The rule that the words spell. ValueError says what is wrong."""
    path_text, question, args_text = replacement.partition("?")
    path = parse_replacement(path_text)
    drops_args = bool(question) and (not args_text or args_text.endswith("?"))
    args = parse_replacement(args_text.removesuffix("?")) if args_text.removesuffix("?") else None
    regex = parse_regex(pattern.removeprefix("~"), path, *([args] if args else []))
    is_url = replacement.startswith(("http://", "https://", "$scheme://"))
    if not is_url and not replacement.startswith(("/", "$")):
        raise ValueError(f"got {replacement!r}, expected a path that begins with / or a URL")
    return PathRule(regex, path, args, drops_args, Flag(flag), is_url)


def rewrite_path(path: str, query: str, rules: Sequence[PathRule], facts: RequestFacts) -> Rewritten | None:
    """What the rules make of a path in normal form; None when none fits. BadPathError as for any other path."""
    result: Rewritten | None = None
    for rule in rules:
        match = rule.regex.search(path)
        if match is None:
            continue
        query = _query_after(rule, match, query, facts)
        if rule.is_url or rule.flag in _STATUSES:
            status = _STATUSES.get(rule.flag, 302)
            return Rewritten(path, query, False, status, _location(rule, match, query, facts))
        path = tidy_path("/" + rule.path.render(facts, match))
        result = Rewritten(path, query, searches_again=rule.flag is not Flag.BREAK)
        if rule.flag is not Flag.NONE:
            break
    return result


def _query_after(rule: PathRule, match: "re.Match[str]", query: str, facts: RequestFacts) -> str:
    own = rule.args.render(facts, match, _escape_value) if rule.args is not None else ""
    client_s = "" if rule.drops_args else query
    return quote("&".join(part for part in (own, client_s) if part), safe=_QUERY_SAFE, errors="surrogateescape")


def _escape_value(text: str) -> str:
    return quote(text, safe=_VALUE_SAFE, errors="surrogateescape")


def _location(rule: PathRule, match: "re.Match[str]", query: str, facts: RequestFacts) -> str:
    """Never `//host`: what a group matched must not turn a path into another site's URL."""
    if rule.is_url:
        return _join(rule.path.render(facts, match, escape_path), query)
    return _join(escape_path(tidy_path("/" + rule.path.render(facts, match))), query)


def _join(path: str, query: str) -> str:
    return f"{path}?{query}" if query else path
