"""The hosts and locations of a `proxy.conf`: their names and paths, where each goes, and what it inherits.

Owns the rules between blocks: used twice, never reached, nowhere to go. Pools are `config_pools`'.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from services.proxy.config_arguments import ArgumentError, parse_host_rule
from services.proxy.config_directives import SETTINGS, Context, DirectiveSpec
from services.proxy.config_features import FEATURE_WORDS, FeatureReader
from services.proxy.config_findings import Findings
from services.proxy.config_pools import PoolReader
from services.proxy.config_scope import Entry, Scope
from services.proxy.config_syntax import Directive, Position, Word
from services.proxy.config_values import Answer, ForwardSettings, HostConfig, LocationConfig
from services.proxy.reply_fields import make_reply_fields
from services.proxy.rewriting import make_header_plan
from services.proxy.routing import BadPathError, normalize_path

OWN_PREFIX = "/_proxy"


@dataclass(frozen=True, slots=True)
class _Target:
    """Where the requests of a block go: to a pool, with what the `proxy_pass` adds, or an answer from here."""

    pool: str = ""
    uri: str | None = None
    authorization: str | None = None
    scheme: str = "http"
    answer: Answer | None = None


class SiteReader:
    """Reads the `host` blocks of one file, after its pools."""

    def __init__(self, findings: Findings, pools: PoolReader, features: FeatureReader) -> None:
        self._findings = findings
        self._features = features
        self._pools = pools
        self._names: dict[str, Position] = {}

    def read_host(self, directive: Directive, outer: ForwardSettings) -> HostConfig:
        """One `host` block."""
        names = self._read_names(directive.arguments)
        scope = self._findings.read_scope(directive.block or (), Context.HOST)
        settings = inherit(outer, scope)
        self._features.warn_of_risks(scope)
        self._features.look_at_fields(scope, outer.features, settings.features)
        place = names[0] if names else ""
        default = self._read_target(scope, place + "/", {})
        locations = self._read_locations(scope, settings, place, default)
        self._features.look_at_cache(scope, [settings.features, *(each.settings.features for each in locations)])
        line = directive.name.position.line
        if default and not any(location.prefix == "/" and not location.is_exact for location in locations):
            locations.append(self._location("/", default, settings, line))
        elif default:
            self._warn_of_unused_target(scope, locations, default)
        has_target = scope.get("location") or _has_target(scope)
        if not has_target and not self._findings.has_mistake_inside(directive):
            self._findings.note(directive.name.position, "this host needs a proxy_pass or a location")
        redirect_fields = make_reply_fields(settings.features.added_fields, ())
        return HostConfig(names, tuple(locations), line, self._features.read_rewrites(scope), redirect_fields)

    def _read_names(self, words: Sequence[Word]) -> tuple[str, ...]:
        names = []
        for word in words:
            try:
                name = parse_host_rule(word)
            except ArgumentError as error:
                self._findings.note_error(error)
                continue
            if name in self._names:
                line = self._names[name].line
                self._findings.note(word.position, f'the host "{name}" has a block already, on line {line}')
            else:
                self._names[name] = word.position
                names.append(name)
        return tuple(names)

    def _read_locations(
        self, scope: Scope, outer: ForwardSettings, place: str, default: _Target | None
    ) -> list[LocationConfig]:
        locations: list[LocationConfig] = []
        seen: dict[tuple[str, bool], int] = {}
        for entry in scope.get("location", []):
            directive = entry.directive
            prefix, is_exact = entry.value
            line = directive.name.position.line
            position = directive.arguments[-1].position
            if (prefix, is_exact) in seen:
                first = seen[prefix, is_exact]
                self._findings.note(position, f"the location {prefix} has a block already, on line {first}")
                continue
            seen[prefix, is_exact] = line
            self._warn_of_unreachable(prefix, position)
            inner = self._findings.read_scope(directive.block or (), Context.LOCATION)
            own = inherit(outer, inner)
            self._features.warn_of_risks(inner)
            self._features.look_at_fields(inner, outer.features, own.features)
            self._features.look_at_cache(inner, [own.features])
            target = self._read_target(inner, f"{place}{'=' if is_exact else ''}{prefix}", scope)
            if target is None and not _has_target(inner):
                target = default
                self._pools.refuse_pool_words(inner)
                if default is None and not _has_target(scope) and not self._findings.has_mistake_inside(directive):
                    message = "this location needs a proxy_pass, here or in its host"
                    self._findings.note(directive.name.position, message)
            if target is not None:
                location = self._location(prefix, target, own, line)
                features = replace(location.features, rewrites=self._features.read_rewrites(inner))
                locations.append(replace(location, is_exact=is_exact, features=features))
        return locations

    def _read_target(self, scope: Scope, pool_name: str, outer: Scope) -> _Target | None:
        """Where the requests of a block go; None when it does not say, or says nothing that can be used."""
        entries = scope.get("proxy_pass", [])
        if "return" in scope:
            if entries:
                first = min(entries[0].position, scope["return"][0].position)
                last = max(entries[0].position, scope["return"][0].position)
                message = f"proxy_pass and return exclude each other, the other is on line {first.line}"
                self._findings.note(last, message)
            if "location" not in scope:  # else they are for the locations
                self._pools.refuse_pool_words(scope)
            return _Target(answer=scope["return"][0].value)
        target = self._pools.pass_to(entries, pool_name, scope, outer) if entries else None
        return _Target(target.host, target.uri, target.authorization, target.scheme) if target is not None else None

    def _location(self, prefix: str, target: _Target, settings: ForwardSettings, line: int) -> LocationConfig:
        return LocationConfig(
            prefix=prefix,
            pool=target.pool,
            uri=target.uri,
            authorization=target.authorization,
            settings=settings,
            headers=make_header_plan(settings.set_headers, tracing=settings.features.tracing),
            line=line,
            answer=target.answer,
            features=self._features.prepare(settings.features, target.pool, prefix, target.uri, target.scheme),
        )

    def _warn_of_unreachable(self, prefix: str, position: Position) -> None:
        """Paths are compared in their normal form, and some are the proxy's own."""
        try:
            normal = normalize_path(prefix)
        except BadPathError:
            normal = ""
        if normal != prefix:
            message = f"no path is ever like this: they are compared percent-decoded and resolved, as {normal or '/'}"
            self._findings.warn(position, message)
        elif prefix == OWN_PREFIX or prefix.startswith(OWN_PREFIX + "/"):
            self._findings.warn(position, f"never reached: {OWN_PREFIX} is the proxy's own")

    def _warn_of_unused_target(self, scope: Scope, locations: Sequence[LocationConfig], default: _Target) -> None:
        if all((each.pool, each.answer) != (default.pool, default.answer) for each in locations):
            entry = scope["return" if "return" in scope else "proxy_pass"][0]
            name = entry.directive.name.text
            self._findings.warn(entry.position, f"this {name} is shadowed: location / takes all that is left")


def _has_target(scope: Scope) -> bool:
    return "proxy_pass" in scope or "return" in scope


def inherit(outer: ForwardSettings, scope: Scope) -> ForwardSettings:
    """A block's own words over those around it. As in nginx, one line of a repeatable word replaces all outer
    ones.
    """
    own = {spec.setting: _value_of(spec, scope[name]) for name, spec in SETTINGS.items() if name in scope}
    features = {spec.feature: _value_of(spec, scope[name]) for name, spec in FEATURE_WORDS.items() if name in scope}
    return replace(outer, **own, features=replace(outer.features, **features) if features else outer.features)


def _value_of(spec: DirectiveSpec, entries: Sequence[Entry]) -> Any:
    values = [entry.value for entry in entries]
    return tuple(values) if spec.is_repeatable else values[0]
