"""What is different between two configurations, in words for whoever had the file read again. Pure.

Names and words only, never values: a `proxy_pass` may hold a password. Where in the file something stands is no
difference.
"""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, fields, is_dataclass
from typing import Any

from services.proxy.config_values import HostConfig, ProxyConfig
from services.proxy.features import Features, FeatureWords

_LISTS = {"locations": "location", "servers": "server"}
_UNIT = re.compile(r"_(s|bytes)$")
# Where something stands, and what is made of other fields.
_LEFT_OUT = frozenset({"line", "headers"})
_UNSAID = frozenset({"settings", "features"})  # what only holds others
_ROOMS = frozenset({ProxyConfig.__module__, Features.__module__})  # whose values are looked into


@dataclass(frozen=True, slots=True)
class Changes:
    """Names of what came, went and is different; for the latter what about it is."""

    added: tuple[str, ...] = ()
    removed: tuple[str, ...] = ()
    changed: Mapping[str, tuple[str, ...]] | None = None

    def to_json(self) -> dict[str, Any]:
        """As an object with a list each, and one object."""
        changed = {name: list(what) for name, what in (self.changed or {}).items()}
        return {"added": list(self.added), "removed": list(self.removed), "changed": changed}


def compare(before: ProxyConfig, after: ProxyConfig) -> dict[str, Any]:
    """What the change from one to the other means for the whole file, hosts and pools; `is_same` when nothing."""
    hosts = _compare_named(_hosts_by_name(before), _hosts_by_name(after))
    pools = _compare_named({pool.name: pool for pool in before.pools}, {pool.name: pool for pool in after.pools})
    whole = differing(before.features, after.features)
    is_same = not whole and not any((each.added or each.removed or each.changed) for each in (hosts, pools))
    return {"is_same": is_same, "file": list(whole), "hosts": hosts.to_json(), "pools": pools.to_json()}


def _hosts_by_name(config: ProxyConfig) -> dict[str, HostConfig]:
    return {name: host for host in config.hosts for name in host.names}


def _compare_named(before: Mapping[str, Any], after: Mapping[str, Any]) -> Changes:
    differences = {name: differing(before[name], after[name]) for name in before if name in after}
    return Changes(
        added=tuple(name for name in after if name not in before),
        removed=tuple(name for name in before if name not in after),
        changed={name: what for name, what in differences.items() if what},
    )


def differing(before: Any, after: Any) -> tuple[str, ...]:
    """What two values of one class differ in, in words such as `location read timeout`; () when they mean the same."""
    return tuple(dict.fromkeys(_in_words(path) for path in _differing(before, after, ())))


def _in_words(path: tuple[str, ...]) -> str:
    """Lists by what is in them, and without the units of values."""
    words = [_LISTS.get(name, name) for name in path if name not in _UNSAID]
    return " ".join(_UNIT.sub("", word).replace("_", " ") for word in words)


def _differing(before: Any, after: Any, path: tuple[str, ...]) -> Iterable[tuple[str, ...]]:
    if before == after or isinstance(before, FeatureWords):  # what these words mean stands beside them, as Features
        return
    if type(before) is type(after) and type(before).__module__ in _ROOMS and is_dataclass(before):
        for each in fields(before):
            if each.name not in _LEFT_OUT:
                yield from _differing(getattr(before, each.name), getattr(after, each.name), (*path, each.name))
    elif isinstance(before, tuple) and isinstance(after, tuple) and len(before) == len(after):
        for old, new in zip(before, after, strict=True):
            yield from _differing(old, new, path)
    else:
        yield path
