"""`proxy.conf` to a checked `ProxyConfig`, or to every mistake in it at once, each with line and column.

The way in. Below it: `config_syntax` (shape), `config_scope` (one block), `config_directives` (one directive),
`config_arguments` and `config_options` (one argument), `config_pools` and `config_sites` (what several mean
together), `config_findings` (what is wrong or odd). The words are explained in `docs/proxy-conf.md`.
"""

from collections.abc import Sequence
from pathlib import Path

from services.proxy.config_directives import DIRECTIVES, Context
from services.proxy.config_features import FeatureReader
from services.proxy.config_findings import ConfigError, Findings
from services.proxy.config_pools import PoolReader
from services.proxy.config_sites import SiteReader, inherit
from services.proxy.config_syntax import Directive, Mistake, Position, parse_syntax
from services.proxy.config_values import ForwardSettings, ProxyConfig
from services.proxy.features import PLAIN_WORDS

__all__ = ["ConfigError", "load_config", "parse_config"]


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
    findings = Findings(mistakes)
    config = _read_file(directives, findings, Path(file_name).parent)
    if findings.mistakes:
        raise ConfigError(file_name, findings.mistakes, findings.warnings)
    return config


def _read_file(directives: Sequence[Directive], findings: Findings, folder: Path) -> ProxyConfig:
    """Pools first, wherever they stand, so that hosts may name them."""
    scope = findings.read_scope(directives, Context.FILE)
    pools = PoolReader(findings, folder)
    pools.declare(scope.get("pool", []))
    features = FeatureReader(findings, folder)
    whole = features.read_file(scope)
    sites = SiteReader(findings, pools, features)
    settings = inherit(ForwardSettings(), scope)
    features.warn_of_risks(scope)
    features.look_at_fields(scope, PLAIN_WORDS, settings.features)
    hosts = [sites.read_host(entry.directive, settings) for entry in scope.get("host", [])]
    if not hosts and not findings.mistakes:
        findings.note(
            Position(1, 1),
            'expected at least one host block, such as host "*" { proxy_pass http://127.0.0.1:8000; }',
        )
    if not findings.mistakes:  # else what would use a pool may be what was refused
        pools.warn_of_unused()
        features.warn_of_unused()
    return ProxyConfig(tuple(hosts), pools.pools, whole, tuple(sorted(set(findings.warnings))), tuple(pools.names))
