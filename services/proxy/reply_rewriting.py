"""Fields of replies that name the upstream are made to name the proxy: `proxy_redirect`, `proxy_cookie_path` and
`proxy_cookie_domain`, as nginx has them. Values in, values out.
"""

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from services.proxy.patterns import TextRule
from services.proxy.templates import RequestFacts

# scheme "://" authority, which ends where RFC 3986 §3.2 says.
_HTTP_URL = re.compile(r"(https?)://([^/?#]*+)(.*)", re.IGNORECASE | re.DOTALL)
_REFRESH_URL = re.compile(r"url=", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class DefaultRedirect:
    """`proxy_redirect default`: the upstream's own URL below `proxy_pass`'s path becomes the location's path.

    `names` are those that `proxy_pass` has for the upstream, in lower case: the pool's, or a host with its port.
    """

    names: frozenset[str]
    uri: str
    prefix: str
    scheme: str = "http"

    def apply(self, text: str, facts: RequestFacts) -> str | None:
        """A URL of the upstream as a path of ours; None for any other."""
        found = _HTTP_URL.fullmatch(text)
        if found is None or found[1].lower() != self.scheme:
            return None
        authority, path = found[2].lower(), found[3]
        if authority not in self.names and authority not in _names_of(facts.upstream, self.scheme):
            return None
        if not path.startswith("/"):
            path = "/" + path
        if not path.startswith(self.uri):
            return None
        rest = path[len(self.uri) :]
        # Deliberate: never `//…`, which a browser reads as another host; nor `/\…`, nor either with tabs between, which
        # browsers read as the same (WHATWG URL §4.4).
        return self.prefix + (rest.lstrip("/\\\t") if self.prefix.endswith("/") else rest)


def _names_of(upstream: str, scheme: str) -> tuple[str, ...]:
    """With the scheme's own port it is written without it, too."""
    port = ":443" if scheme == "https" else ":80"
    return (upstream, upstream.removesuffix(port)) if upstream.endswith(port) else (upstream,)


@dataclass(frozen=True, slots=True)
class ReplyRules:
    """What is rewritten in the replies of one place; of several rules the first that fits."""

    redirects: tuple[TextRule | DefaultRedirect, ...] = ()
    cookie_paths: tuple[TextRule, ...] = ()
    cookie_domains: tuple[TextRule, ...] = ()

    @property
    def change_cookies(self) -> bool:
        """Whether there is a rule for Set-Cookie."""
        return bool(self.cookie_paths or self.cookie_domains)

    @property
    def touched(self) -> frozenset[str]:
        """The lower-case names of the fields that may change; all others pass as they came."""
        names = {"location", "refresh"} if self.redirects else set()
        if self.change_cookies:
            names.add("set-cookie")
        return frozenset(names)


def rewrite_reply_fields(
    pairs: Iterable[tuple[str, str]], rules: ReplyRules, facts: RequestFacts
) -> list[tuple[str, str]]:
    """The fields of a reply after the rules."""
    touched = rules.touched
    return [
        (name, rewrite_reply_field(lower, value, rules, facts)) if (lower := name.lower()) in touched else (name, value)
        for name, value in pairs
    ]


def rewrite_reply_field(lower_name: str, value: str, rules: ReplyRules, facts: RequestFacts) -> str:
    """One of the `touched` fields after the rules."""
    if lower_name == "location":
        return _first(rules.redirects, value, facts)
    if lower_name == "refresh":
        found = _REFRESH_URL.search(value)
        if found is None:
            return value
        return value[: found.end()] + _first(rules.redirects, value[found.end() :], facts)
    return _rewrite_cookie(value, rules, facts)


def _first(rules: Sequence[TextRule | DefaultRedirect], value: str, facts: RequestFacts) -> str:
    for rule in rules:
        if (changed := rule.apply(value, facts)) is not None:
            return changed
    return value


def _rewrite_cookie(value: str, rules: ReplyRules, facts: RequestFacts) -> str:
    """RFC 6265 §5.2: a cookie's name and value, then its attributes, each after a semicolon."""
    cookie, *attributes = value.split(";")
    parts = [cookie]
    for attribute in attributes:
        name, equals, text = attribute.partition("=")
        kind, old = name.strip().lower(), text.strip()
        if kind == "domain":
            old = old.removeprefix(".")  # §5.2.3: a leading dot says nothing
        rules_of = {"path": rules.cookie_paths, "domain": rules.cookie_domains}.get(kind, ())
        new = _first(rules_of, old, facts) if equals else old
        parts.append(f"{name}={new}" if new != old else attribute)
    return ";".join(parts)
