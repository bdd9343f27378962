"""The `features` of a `proxy.conf`: those of the whole file, and those of each location, ready for use.

Owns what takes more than one word: zones that must be there, files that must be readable, expressions that may take for
ever. One word is `config_feature_words`'.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import chain
from pathlib import Path
from typing import Any

from services.proxy.cache_choice import CacheChoice
from services.proxy.cache_rules import CacheSettings
from services.proxy.config_arguments import did_you_mean
from services.proxy.config_directives import DIRECTIVES, Context
from services.proxy.config_findings import Findings
from services.proxy.config_scope import Entry, Scope
from services.proxy.connection_limits import ConnZoneConfig
from services.proxy.error_pages import ErrorPage, ErrorPages, load_error_page
from services.proxy.features import (
    ADDRESS_KEYS,
    PLAIN_CHOICE,
    Features,
    FeatureWords,
    Limit,
    LimitRule,
    LimitWord,
    PageWord,
    RedirectWord,
    WholeFileFeatures,
    ZoneWord,
    join_hops,
)
from services.proxy.path_rewriting import PathRule
from services.proxy.patterns import TextRule, is_risky
from services.proxy.rate_limits import RateZoneConfig
from services.proxy.reply_fields import SINGLE_FIELDS, make_reply_fields
from services.proxy.reply_gzip import GzipSettings
from services.proxy.reply_rewriting import DefaultRedirect, ReplyRules

# What means something only beside `proxy_cache on`.
_CACHE_WORDS = frozenset(
    name
    for name, spec in DIRECTIVES.items()
    if name.startswith(("proxy_cache_", "proxy_no_cache")) and Context.LOCATION in spec.contexts
)
_PATH_VARIABLES = ("$request_uri", "$uri", "${request_uri}", "${uri}")
FEATURE_WORDS = {name: spec for name, spec in DIRECTIVES.items() if spec.feature}


class FeatureReader:
    """Reads the features of one file. Relative paths begin at `folder`."""

    def __init__(self, findings: Findings, folder: Path) -> None:
        self._findings = findings
        self._folder = folder
        self._rates: dict[str, tuple[ZoneWord[RateZoneConfig], Entry]] = {}
        self._conns: dict[str, tuple[ZoneWord[ConnZoneConfig], Entry]] = {}
        self._used: set[str] = set()  # names of zones
        self._pages: dict[str, ErrorPage | None] = {}

    def read_file(self, scope: Scope) -> WholeFileFeatures:
        """The words that stand outside all blocks; before any location, which may name zones."""
        for entry in scope.get("limit_req_zone", []):
            self._declare_zone(entry, self._rates)
        for entry in scope.get("limit_conn_zone", []):
            self._declare_zone(entry, self._conns)
        self._warn_of_no_hops(scope)
        sizes = [entry.value for entry in scope.get("proxy_cache_size", [])]
        from_lines = [entry.value for entry in scope.get("proxy_protocol_from", [])]
        return WholeFileFeatures(
            hops=join_hops(
                [entry.value for entry in scope.get("set_real_ip_from", [])],
                next((entry.value for entry in scope.get("real_ip_header", [])), None),
                next((entry.value for entry in scope.get("real_ip_recursive", [])), None),
            ),
            proxy_protocol_from=tuple(network for line in from_lines for network in line),
            rate_zones=tuple(zone.config for zone, _ in self._rates.values()),
            conn_zones=tuple(zone.config for zone, _ in self._conns.values()),
            **({"cache_size": sizes[0]} if sizes else {}),
        )

    def _declare_zone(self, entry: Entry, zones: dict[str, tuple[Any, Entry]]) -> None:
        name = entry.value.config.name
        if name in self._rates or name in self._conns:  # nginx: one name, one zone, of whatever kind
            self._findings.note(entry.position, f'the zone "{name}" is declared already')
        zones[name] = entry.value, entry

    def warn_of_unused(self) -> None:
        """Called when all locations are prepared."""
        for name, (_, entry) in {**self._rates, **self._conns}.items():
            if name not in self._used:
                word = entry.directive.name.text.removesuffix("_zone")
                self._findings.warn(entry.position, f'no {word} that is in force names the zone "{name}"')

    def _warn_of_no_hops(self, scope: Scope) -> None:
        for name in ("real_ip_header", "real_ip_recursive"):
            if name in scope and "set_real_ip_from" not in scope:
                self._findings.warn(scope[name][0].position, f"without set_real_ip_from {name} changes nothing")

    def read_rewrites(self, scope: Scope) -> tuple[PathRule, ...]:
        """The `rewrite` lines of one block, in order."""
        for entry in scope.get("rewrite", []):
            self._warn_of_risk(entry, entry.value.regex)
        return tuple(entry.value for entry in scope.get("rewrite", []))

    def warn_of_risks(self, scope: Scope) -> None:
        """Called for every block once."""
        for name in ("proxy_redirect", "proxy_cookie_path", "proxy_cookie_domain"):
            for entry in scope.get(name, []):
                if isinstance(entry.value, TextRule) and entry.value.regex is not None:
                    self._warn_of_risk(entry, entry.value.regex)

    def look_at_fields(self, scope: Scope, outer: FeatureWords, own: FeatureWords) -> None:
        """Called for every block once, with the words around it and its own over them."""
        added = scope.get("add_header", [])
        seen: dict[str, int] = {}
        for entry in added:
            name = entry.value.name.lower()
            if name in seen and name in SINGLE_FIELDS:
                message = f"a reply has one {entry.value.name}, and this block adds one on line {seen[name]}"
                self._findings.note(entry.position, message)
            seen.setdefault(name, entry.position.line)
        lost = [field.name for field in outer.added_fields if field.value.parts and field.name.lower() not in seen]
        if added and lost:  # nginx's rule, by which most are surprised
            message = (
                f"here the outer add_header lines no longer hold ({', '.join(dict.fromkeys(lost))}): say them again"
            )
            self._findings.warn(added[0].position, f'{message}, or add_header {lost[0]} ""')
        for entry in scope.get("proxy_pass_header", []):
            if entry.value not in own.hidden_fields:
                name = entry.directive.arguments[0].text
                self._findings.warn(entry.position, f"nothing hides {name} here: it passes anyway")

    def _warn_of_risk(self, entry: Entry, regex: object) -> None:
        if is_risky(regex):  # type: ignore[arg-type]
            message = "this expression nests repetitions and may take very long; ++ and *+ don't backtrack"
            self._findings.warn(entry.directive.arguments[0].position, message)

    def prepare(self, words: FeatureWords, pool: str, prefix: str, uri: str | None, scheme: str) -> Features:
        """The features of a location of this prefix that passes to this pool, below this path."""
        below, becomes = ("/", "/") if uri is None else (uri, prefix)
        default = DefaultRedirect(frozenset({pool}), below, becomes, scheme)
        redirects = [default if rule is RedirectWord.DEFAULT else rule for rule in words.redirects]
        return Features(
            limits=tuple(self._limits(words.limits, self._rates, "limit_req")),
            conn_limits=tuple(self._limits(words.conn_limits, self._conns, "limit_conn")),
            cache=self._cache(words),
            cache_choice=_cache_choice(words, pool),
            collapses=words.is_cached and words.cache_lock,
            refreshes=words.is_cached and words.cache_background,
            reply_rules=ReplyRules(
                tuple(rule for rule in redirects if not isinstance(rule, RedirectWord)),
                words.cookie_paths,
                words.cookie_domains,
            ),
            reply_fields=make_reply_fields(
                words.added_fields, frozenset(words.hidden_fields) - frozenset(words.passed_fields)
            ),
            gzip=GzipSettings(words.gzip, words.gzip_types, words.gzip_min_bytes, words.gzip_level, words.gzip_private),
            pages=self._load_pages(words.error_pages),
            intercepts_errors=words.intercepts_errors,
            tracing=words.tracing,
        )

    def _limits(
        self, words: Sequence[LimitWord[Limit]], zones: Mapping[str, tuple[ZoneWord[Any], Entry]], kind: str
    ) -> Iterator[LimitRule[Limit]]:
        seen: set[str] = set()
        for word in words:
            if word.limit is None:
                continue
            name = word.limit.zone
            if name in seen:  # it would count each request twice
                self._findings.note(word.zone.position, f'the zone "{name}" has a {kind} in this block already')
                continue
            seen.add(name)
            if name not in zones:
                hint = did_you_mean(name, list(zones))
                if name in self._rates or name in self._conns:
                    hint = ": the zone of that name is of the other kind"
                self._findings.note(word.zone.position, f'there is no {kind}_zone "{name}"{hint}')
                continue
            self._used.add(name)
            key = zones[name][0].key
            yield LimitRule(word.limit, key, key.source == ADDRESS_KEYS[0])

    def _cache(self, words: FeatureWords) -> CacheSettings | None:
        if not words.is_cached:
            return None
        valid_s = {status: word.time_s for word in words.cache_valid for status in word.statuses}
        return CacheSettings(valid_s, words.cache_stale_if_error_s, words.cache_honours_client, words.cache_use_stale_s)

    def look_at_cache(self, scope: Scope, words: Iterable[FeatureWords]) -> None:
        """Called for every host and location once, with its words and those of the locations inside."""
        is_cached = any(each.is_cached for each in words)
        for name, entries in scope.items():
            if not is_cached and name in _CACHE_WORDS:
                self._findings.warn(entries[0].position, f"without proxy_cache on {name} changes nothing")
        for entry in scope.get("proxy_cache_key", []):
            if is_cached and not any(part in entry.value.source for part in _PATH_VARIABLES):
                word = entry.directive.arguments[0]
                message = "the path is not in this key: what one path says answers for all others ($request_uri, $uri)"
                self._findings.warn(word.position, message)

    def _load_pages(self, words: Sequence[PageWord]) -> ErrorPages:
        """A file is read once, however many locations inherit it."""
        pages: dict[int, ErrorPage] = {}
        for word in words:
            name = word.file.text
            if name not in self._pages:
                try:
                    self._pages[name] = load_error_page(self._folder / name)
                except ValueError as error:
                    self._pages[name] = None
                    self._findings.note(word.file.position, str(error))
            page = self._pages[name]
            if page is not None:
                pages.update(dict.fromkeys(word.statuses, page))
        return ErrorPages(pages)


def _cache_choice(words: FeatureWords, pool: str) -> CacheChoice:
    if not (words.is_cached and (words.cache_key or words.cache_bypass or words.cache_unkept)):
        return PLAIN_CHOICE
    return CacheChoice(words.cache_key, pool, tuple(chain(*words.cache_bypass)), tuple(chain(*words.cache_unkept)))
