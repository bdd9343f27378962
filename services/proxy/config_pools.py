"""The pools of a `proxy.conf`: those declared, and those made of `proxy_pass` lines.

`config_sites` asks for both; what one word of a pool means is `config_pool_words`'.
"""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from services.proxy.config_arguments import (
    ArgumentError,
    PassTarget,
    did_you_mean,
    is_ip,
    parse_host_port,
    parse_pool_name,
)
from services.proxy.config_directives import POOL_WORDS, TLS_WORDS, Context
from services.proxy.config_findings import Findings
from services.proxy.config_scope import Entry, Scope
from services.proxy.config_syntax import Position
from services.proxy.config_values import PolicyChoice, PolicyName, PoolConfig, ServerConfig
from services.proxy.upstream_tls import TlsWords, UpstreamTls, load_upstream_tls
from shared.httpcore.net.tls import CertificateError


class PoolReader:
    """Collects the pools of one file while it is read. Relative paths of certificates begin at `folder`."""

    def __init__(self, findings: Findings, folder: Path) -> None:
        self._findings = findings
        self._folder = folder
        self._tls: dict[TlsWords, UpstreamTls | None] = {}
        self._pools: dict[str, PoolConfig] = {}
        self._declared: dict[str, Position] = {}
        self._scopes: dict[str, Scope] = {}  # of those declared
        self._used: dict[str, PassTarget] = {}  # those declared, and who was the first to use them
        self.names: list[tuple[str, Position]] = []  # what must be looked up, and where it stands

    @property
    def pools(self) -> tuple[PoolConfig, ...]:
        """Those read so far."""
        return tuple(self._pools.values())

    def declare(self, entries: Sequence[Entry]) -> None:
        """Reads the `pool` blocks, before any host may name one."""
        for entry in entries:
            word = entry.directive.arguments[0]
            scope = self._findings.read_scope(entry.directive.block or (), Context.POOL)
            try:
                name = parse_pool_name(word)
            except ArgumentError as error:
                self._findings.note_error(error)
                continue
            if name in self._declared:
                line = self._declared[name].line
                self._findings.note(word.position, f'the pool "{name}" is declared already, on line {line}')
                continue
            self._declared[name], self._scopes[name] = word.position, scope
            self._check_declared(entry, name, scope)
            for server in scope.get("server", []):
                self._remember_name(server.value.host, server.directive.arguments[0].position)
            self._add(name, [server.value for server in scope.get("server", [])], scope)

    def _check_declared(self, entry: Entry, name: str, scope: Scope) -> None:
        servers: list[ServerConfig] = [server.value for server in scope.get("server", [])]
        if not entry.directive.block:
            self._findings.note(entry.position, f'the pool "{name}" needs at least one server')
        elif servers and all(server.is_down for server in servers):
            self._findings.note(entry.position, f'the pool "{name}" needs a server that is not down')
        elif servers and all(server.is_backup or server.is_down for server in servers):
            self._findings.warn(entry.position, f'the pool "{name}" has nothing but backups')

    def warn_of_unused(self) -> None:
        """Called once all hosts have been read."""
        for name, position in self._declared.items():
            if name not in self._used:
                self._findings.warn(position, f'nothing is passed to the pool "{name}"')
            elif not self._used[name].is_tls:
                self._warn_of_no_tls(self._scopes[name])

    def _add(self, name: str, servers: Sequence[ServerConfig], scope: Scope) -> PoolConfig:
        values: dict[str, Any] = {
            spec.pool_field: scope[word][0].value
            for word, spec in POOL_WORDS.items()
            if spec.pool_field and word in scope
        }
        if "policy" in scope:
            choice: PolicyChoice = scope["policy"][0].value
            values |= {"policy": choice.name, "hash_key": choice.hash_key}
        pool = self._pools[name] = PoolConfig(name, tuple(servers), **values)
        self._warn_of_no_effect(pool, scope)
        return pool

    def _warn_of_no_effect(self, pool: PoolConfig, scope: Scope) -> None:
        if pool.queue is not None and not any(server.max_conns for server in pool.servers):
            self._findings.warn(scope["queue"][0].position, "without max_conns= on a server nobody ever waits")
        has_slow_start = pool.slow_start_s or any(server.slow_start_s for server in pool.servers)
        if has_slow_start and pool.policy in (PolicyName.HASH, PolicyName.IP_HASH):
            self._findings.warn(scope["policy"][0].position, "a policy that hashes knows no slow start")

    def pass_to(self, entries: Sequence[Entry], pool_name: str, scope: Scope, outer: Scope) -> PassTarget | None:
        """The pool that the `proxy_pass` lines of a block mean, as the `host` of a target; None: a mistake.

        Addresses make a pool of that name, which takes what its block, or the one around it, says of pools.
        """
        targets: list[PassTarget] = [entry.value for entry in entries]
        last = entries[-1].directive.arguments[0].position
        if any(target.uri != targets[0].uri for target in targets):
            self._findings.note(last, "all proxy_pass lines of a block must have the same path")
        if any(target.is_tls is not targets[0].is_tls for target in targets):
            self._findings.note(last, "all proxy_pass lines of a block must begin alike, with http:// or with https://")
        named = [target for target in targets if self._is_pool(target)]
        if not named:
            for target in targets:
                self._remember_name(target.host, target.position)
            inherited = {word: outer[word] for word in POOL_WORDS if word in outer}
            pool = self._add(pool_name, _servers_of(targets), {**inherited, **scope})
            if targets[0].is_tls:
                self._pools[pool_name] = replace(pool, tls=self._read_tls({**inherited, **scope}))
            else:
                self._warn_of_no_tls(scope)
            return replace(targets[0], host=pool_name, authorization=None)
        if len(targets) > 1:
            self._findings.note(last, "a proxy_pass to a pool stands alone; add servers to the pool instead")
        self.refuse_pool_words(scope)
        return self._named(named[0])

    def _is_pool(self, target: PassTarget) -> bool:
        """Without a port it is a pool's name, unless it looks like a host: has a dot, or is localhost."""
        if target.port is not None:
            return False
        return target.host in self._declared or not (
            "." in target.host or ":" in target.host or target.host == "localhost"
        )

    def _named(self, target: PassTarget) -> PassTarget | None:
        if target.host not in self._declared:
            hint = (
                did_you_mean(target.host, list(self._declared))
                or f"; to reach a host of that name write its port, {target.scheme}://{target.host}:{target.port_or_default}"
            )
            self._findings.note(target.position, f'there is no pool "{target.host}"{hint}')
            return None
        first = self._used.setdefault(target.host, target)
        if first.is_tls is not target.is_tls:
            message = (
                f"got {target.scheme}:// for a pool that line {first.position.line} passes to by {first.scheme}://"
            )
            self._findings.note(target.position, message)
        elif target.is_tls and first is target:
            self._pools[target.host] = self._with_tls(self._pools[target.host], self._scopes[target.host])
        return target

    # --- TLS ---------------------------------------------------------------------------------------------------

    def _with_tls(self, pool: PoolConfig, scope: Scope) -> PoolConfig:
        """The declared pool, whose servers listen on 443 where their lines name no port."""
        servers = [
            server if parse_host_port(entry.directive.arguments[0])[1] else replace(server, port=443)
            for server, entry in zip(pool.servers, scope.get("server", []), strict=True)
        ]
        return replace(pool, servers=tuple(servers), tls=self._read_tls(scope))

    def _read_tls(self, scope: Scope) -> UpstreamTls | None:
        """What the words say; None when a file can't be used, which is noted."""
        entries = [scope[word][0] for word in TLS_WORDS if word in scope]
        words = TlsWords(**{TLS_WORDS[entry.directive.name.text].tls_field: entry.value for entry in entries})
        if words.key and not words.certificate:
            position = scope["proxy_ssl_certificate_key"][0].position
            self._findings.note(position, "a key without proxy_ssl_certificate")
            return None
        if not words.is_verified:
            position = scope["proxy_ssl_verify"][0].position
            self._findings.warn(position, "whoever answers at these addresses is believed")
        if words not in self._tls:
            try:
                self._tls[words] = load_upstream_tls(words, self._folder)
            except CertificateError as error:
                self._tls[words] = None
                self._findings.note(entries[0].position, str(error))
        return self._tls[words]

    def _warn_of_no_tls(self, scope: Scope) -> None:
        for word in TLS_WORDS:
            for entry in scope.get(word, []):
                self._findings.warn(entry.position, f"{word} means nothing without https:// in proxy_pass")

    def refuse_pool_words(self, scope: Scope) -> None:
        """For a block that lists no servers of its own."""
        for word in POOL_WORDS:
            for entry in scope.get(word, []):
                name = entry.directive.name.text
                self._findings.note(entry.position, f'"{name}" belongs where the servers are listed')

    def _remember_name(self, host: str, position: Position) -> None:
        if not is_ip(host):
            self.names.append((host, position))


def _servers_of(targets: Sequence[PassTarget]) -> list[ServerConfig]:
    """The same address twice gets twice the weight."""
    servers: dict[tuple[str, int, str | None], ServerConfig] = {}
    for target in targets:
        key = (target.host, target.port_or_default, target.authorization)
        weight = servers[key].weight + 1 if key in servers else 1
        servers[key] = ServerConfig(key[0], key[1], weight=weight, authorization=target.authorization)
    return list(servers.values())
