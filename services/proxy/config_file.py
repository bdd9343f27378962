"""`proxy.conf` to a checked `ProxyConfig`, or to every mistake in it at once, each with line and column.

Owns the meaning that needs more than one directive: inheritance, pools made of `proxy_pass` lines, names used
twice or not at all. Below it: `config_syntax` (shape), `config_scope` (one block), `config_directives` (one
directive), `config_arguments` (one argument). The words are explained in `docs/proxy-conf.md`.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from services.proxy.config_arguments import (
    ArgumentError,
    PassTarget,
    did_you_mean,
    parse_host_rule,
    parse_pool_name,
)
from services.proxy.config_directives import DIRECTIVES, Context
from services.proxy.config_scope import Entry, Scope, read_scope
from services.proxy.config_syntax import Directive, Mistake, Position, Word, parse_syntax
from services.proxy.config_values import (
    ForwardSettings,
    HostConfig,
    LocationConfig,
    PoolConfig,
    ProxyConfig,
    ServerConfig,
)
from services.proxy.rewriting import make_header_plan


class ConfigError(Exception):
    """A file that can't be used. `mistakes` are in the file's order; `lines()` is what a person is shown."""

    def __init__(self, file_name: str, mistakes: Iterable[Mistake]) -> None:
        self.file_name = file_name
        self.mistakes = sorted(set(mistakes))
        super().__init__("; ".join(self.lines()))

    def lines(self) -> list[str]:
        """`FILE:LINE:COL: message`, one for each mistake."""
        return [
            f"{self.file_name}:{mistake.position.line}:{mistake.position.column}: {mistake.message}"
            for mistake in self.mistakes
        ]


def load_config(path: Path) -> ProxyConfig:
    """The configuration in the file. ConfigError when it can't be read or used."""
    try:
        text = path.read_bytes().decode("utf-8-sig")
    except OSError as error:
        raise ConfigError(str(path), [Mistake(Position(1, 1), f"can't be read: {error.strerror}")]) from None
    except UnicodeDecodeError as error:
        before = error.object[: error.start]
        line, column = before.count(b"\n") + 1, len(before) - (before.rfind(b"\n") + 1) + 1
        raise ConfigError(str(path), [Mistake(Position(line, column), "is not UTF-8 from here on")]) from None
    return parse_config(text, str(path))


def parse_config(text: str, file_name: str = "proxy.conf") -> ProxyConfig:
    """The configuration that `text` spells; ConfigError with every mistake otherwise."""
    directives, mistakes = parse_syntax(text, DIRECTIVES)
    reading = _Reading(mistakes)
    config = reading.read_file(directives)
    if reading.mistakes:
        raise ConfigError(file_name, reading.mistakes)
    return config


# Directive → field of ForwardSettings, for those that are inherited one by one.
_SETTING_FIELDS = {
    "proxy_connect_timeout": "connect_timeout_s",
    "proxy_read_timeout": "read_timeout_s",
    "proxy_send_timeout": "send_timeout_s",
    "proxy_next_upstream": "retry_on",
    "proxy_next_upstream_tries": "max_tries",
    "client_max_body_size": "max_body_bytes",
}
_POOL_WORDS = ("policy", "health_check")


@dataclass(frozen=True, slots=True)
class _Pass:
    """Where a host's or location's requests go: a pool, and what the `proxy_pass` adds."""

    pool: str
    uri: str | None
    authorization: str | None


class _Reading:
    """One reading of one file: collects mistakes and pools while it walks the tree."""

    def __init__(self, mistakes: list[Mistake]) -> None:
        self.mistakes = mistakes
        self._pools: dict[str, PoolConfig] = {}
        self._declared: dict[str, Position] = {}
        self._host_names: dict[str, Position] = {}

    def read_file(self, directives: Sequence[Directive]) -> ProxyConfig:
        """Pools first, wherever they stand, so that hosts may name them."""
        scope = self._read_scope(directives, Context.FILE)
        self._declare_pools(scope.get("pool", []))
        settings = _inherit(ForwardSettings(), scope)
        hosts = [self._read_host(entry.directive, settings) for entry in scope.get("host", [])]
        if not hosts and not self.mistakes:
            self._note(
                Position(1, 1),
                'expected at least one host block, such as host "*" { proxy_pass http://127.0.0.1:8000; }',
            )
        return ProxyConfig(tuple(hosts), tuple(self._pools.values()))

    def _note(self, position: Position, message: str) -> None:
        self.mistakes.append(Mistake(position, message))

    def _read_scope(self, directives: Sequence[Directive], context: Context) -> Scope:
        return read_scope(directives, context, self.mistakes)

    def _declare_pools(self, entries: Sequence[Entry]) -> None:
        for entry in entries:
            word = entry.directive.arguments[0]
            scope = self._read_scope(entry.directive.block or (), Context.POOL)
            try:
                name = parse_pool_name(word)
            except ArgumentError as error:
                self._note(error.position, error.message)
                continue
            if name in self._declared:
                self._note(
                    word.position,
                    f'the pool "{name}" is declared already, on line {self._declared[name].line}',
                )
                continue
            self._declared[name] = word.position
            if not entry.directive.block:
                self._note(entry.position, f'the pool "{name}" needs at least one server')
            self._add_pool(name, [server.value for server in scope.get("server", [])], scope)

    def _add_pool(self, name: str, servers: Sequence[ServerConfig], scope: Scope) -> None:
        pool = PoolConfig(name, tuple(servers))
        if "policy" in scope:
            pool = replace(pool, policy=scope["policy"][0].value)
        if "health_check" in scope:
            pool = replace(pool, health_check=scope["health_check"][0].value)
        self._pools[name] = pool

    def _read_host(self, directive: Directive, outer: ForwardSettings) -> HostConfig:
        names = self._read_host_names(directive.arguments)
        scope = self._read_scope(directive.block or (), Context.HOST)
        settings = _inherit(outer, scope)
        place = names[0] if names else ""
        default = self._read_pass(scope, place + "/", {})
        locations = self._read_locations(scope, settings, place, default)
        if default and not any(location.prefix == "/" and not location.is_exact for location in locations):
            locations.append(_location("/", default, settings, directive.name.position.line))
        if not scope.get("location") and "proxy_pass" not in scope and not self._has_mistake_inside(directive):
            self._note(directive.name.position, "this host needs a proxy_pass or a location")
        return HostConfig(names, tuple(locations), directive.name.position.line)

    def _has_mistake_inside(self, directive: Directive) -> bool:
        """Whether something in the block was refused: what is missing may be what was refused."""
        inside = {word.position for child in directive.block or () for word in (child.name, *child.arguments)}
        return any(mistake.position in inside for mistake in self.mistakes)

    def _read_host_names(self, words: Sequence[Word]) -> tuple[str, ...]:
        names = []
        for word in words:
            try:
                name = parse_host_rule(word)
            except ArgumentError as error:
                self._note(error.position, error.message)
                continue
            if name in self._host_names:
                self._note(
                    word.position,
                    f'the host "{name}" has a block already, on line {self._host_names[name].line}',
                )
            else:
                self._host_names[name] = word.position
                names.append(name)
        return tuple(names)

    def _read_locations(
        self, scope: Scope, outer: ForwardSettings, place: str, default: _Pass | None
    ) -> list[LocationConfig]:
        locations: list[LocationConfig] = []
        seen: dict[tuple[str, bool], int] = {}
        for entry in scope.get("location", []):
            directive = entry.directive
            prefix, is_exact = entry.value
            line = directive.name.position.line
            if (prefix, is_exact) in seen:
                self._note(
                    directive.arguments[-1].position,
                    f"the location {prefix} has a block already, on line {seen[prefix, is_exact]}",
                )
                continue
            seen[prefix, is_exact] = line
            inner = self._read_scope(directive.block or (), Context.LOCATION)
            target = self._read_pass(inner, f"{place}{'=' if is_exact else ''}{prefix}", scope)
            if target is None and "proxy_pass" not in inner:
                target = default
                self._refuse_stray_pool_words(inner)
                if default is None and "proxy_pass" not in scope and not self._has_mistake_inside(directive):
                    self._note(directive.name.position, "this location needs a proxy_pass, here or in its host")
            if target is not None:
                locations.append(replace(_location(prefix, target, _inherit(outer, inner), line), is_exact=is_exact))
        return locations

    def _read_pass(self, scope: Scope, pool_name: str, outer: Scope) -> _Pass | None:
        """Where the `proxy_pass` lines of a block go; None when there are none, or none that can be used."""
        entries = scope.get("proxy_pass", [])
        if not entries:
            return None
        targets: list[PassTarget] = [entry.value for entry in entries]
        if any(target.uri != targets[0].uri for target in targets):
            self._note(
                entries[-1].directive.arguments[0].position,
                "all proxy_pass lines of a block must have the same path",
            )
        named = [target for target in targets if self._is_pool(target)]
        if not named:
            return self._pass_to_addresses(targets, pool_name, {**_pool_words(outer), **scope})
        if len(targets) > 1:
            self._note(
                entries[-1].directive.arguments[0].position,
                "a proxy_pass to a pool stands alone; add servers to the pool instead",
            )
        self._refuse_stray_pool_words(scope)
        return self._pass_to_pool(named[0])

    def _is_pool(self, target: PassTarget) -> bool:
        """Without a port it is a pool's name, unless it looks like a host: has a dot, or is localhost."""
        if target.port is not None:
            return False
        return target.host in self._declared or not (
            "." in target.host or ":" in target.host or target.host == "localhost"
        )

    def _pass_to_pool(self, target: PassTarget) -> _Pass | None:
        if target.host not in self._declared:
            hint = (
                did_you_mean(target.host, list(self._declared))
                or f"; to reach a host of that name write its port, http://{target.host}:80"
            )
            self._note(target.position, f'there is no pool "{target.host}"{hint}')
            return None
        return _Pass(target.host, target.uri, target.authorization)

    def _pass_to_addresses(self, targets: Sequence[PassTarget], pool_name: str, scope: Scope) -> _Pass:
        """A pool of its own for this place. The same address twice gets twice the weight."""
        servers: dict[tuple[str, int, str | None], ServerConfig] = {}
        for target in targets:
            key = (target.host, target.port or 80, target.authorization)
            weight = servers[key].weight + 1 if key in servers else 1
            servers[key] = ServerConfig(key[0], key[1], weight=weight, authorization=target.authorization)
        self._add_pool(pool_name, list(servers.values()), scope)
        return _Pass(pool_name, targets[0].uri, None)

    def _refuse_stray_pool_words(self, scope: Scope) -> None:
        for word in _POOL_WORDS:
            for entry in scope.get(word, []):
                self._note(
                    entry.position,
                    f'"{entry.directive.name.text}" belongs where the servers are listed',
                )


def _pool_words(outer: Scope) -> dict[str, list[Entry]]:
    """What a location's own pool inherits from its host."""
    return {word: outer[word] for word in _POOL_WORDS if word in outer}


def _location(prefix: str, target: _Pass, settings: ForwardSettings, line: int) -> LocationConfig:
    return LocationConfig(
        prefix=prefix,
        pool=target.pool,
        uri=target.uri,
        authorization=target.authorization,
        settings=settings,
        headers=make_header_plan(settings.set_headers),
        line=line,
    )


def _inherit(outer: ForwardSettings, scope: Scope) -> ForwardSettings:
    """A block's own words over those around it. As in nginx, one `proxy_set_header` replaces all outer
    ones.
    """
    own = {field: scope[name][0].value for name, field in _SETTING_FIELDS.items() if name in scope}
    if "proxy_set_header" in scope:
        own["set_headers"] = tuple(entry.value for entry in scope["proxy_set_header"])
    return replace(outer, **own)
