"""The values of the tracker: what a caller asks for, what the table holds, which of it a reader sees.

Owns the fields of a lease and the one rule that ties two of them (`port` and `meta.api_port`). Knows
neither JSON nor HTTP nor time. `validation` makes these values from a caller's JSON; `registry`, to be read
next, keeps them.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

DEFAULT_TTL_S = 60
META_PORTS = ("api_port", "p2p_port")


class LeaseError(ValueError):
    """A field of a caller's JSON object is not what it must be; the text names field, got and expected."""


@dataclass(frozen=True, slots=True)
class Registration:
    """What a caller asks the tracker to list: every field valid, the TTL already within its range."""

    peer_id: str
    ip: str
    port: int
    roles: tuple[str, ...] = ()
    channels: tuple[str, ...] = ()
    meta: Mapping[str, Any] = field(default_factory=dict)
    load: float = 0.0
    ttl_s: float = DEFAULT_TTL_S


@dataclass(frozen=True, slots=True)
class LeasePatch:
    """The fields that a heartbeat or an update changes; None leaves a field as it is."""

    ip: str | None = None
    port: int | None = None
    roles: tuple[str, ...] | None = None
    channels: tuple[str, ...] | None = None
    meta: Mapping[str, Any] | None = None
    load: float | None = None
    ttl_s: float | None = None


@dataclass(frozen=True, slots=True)
class Peer:
    """One live entry of the table. Times are unix seconds; `revision` is that of its last visible change."""

    peer_id: str
    ip: str
    port: int
    roles: tuple[str, ...]
    channels: tuple[str, ...]
    meta: Mapping[str, Any]
    load: float
    ttl_s: float
    registered_at: float
    last_heartbeat: float
    registered_by: str
    revision: int

    @property
    def expires_at(self) -> float:
        """The unix second from which the peer is gone."""
        return self.last_heartbeat + self.ttl_s


@dataclass(frozen=True, slots=True)
class PeerFilter:
    """Which peers a reader wants: those with the role and the channel; None wants any."""

    role: str | None = None
    channel: str | None = None

    def matches(self, peer: Peer | None) -> bool:
        """True when the peer is there and belongs to the view."""
        return (
            peer is not None
            and (self.role is None or self.role in peer.roles)
            and (self.channel is None or self.channel in peer.channels)
        )


def patched(peer: Peer, patch: LeasePatch) -> dict[str, Any]:
    """The fields of `peer` that others see and that `patch` makes different, with their new values."""
    wanted = {
        "ip": patch.ip,
        "port": patch.port,
        "roles": patch.roles,
        "channels": patch.channels,
        "meta": _patched_meta(peer, patch),
        "load": patch.load,
    }
    return {name: value for name, value in wanted.items() if value is not None and value != getattr(peer, name)}


def _patched_meta(peer: Peer, patch: LeasePatch) -> Mapping[str, Any] | None:
    """The meta after the patch: its `api_port` follows the port; LeaseError when a given one disagrees."""
    port = peer.port if patch.port is None else patch.port
    if patch.meta is not None:
        require_same_api_port(port, patch.meta)
        return patch.meta
    return {**peer.meta, "api_port": port} if peer.meta.get("api_port") else None


def require_same_api_port(port: int, meta: Mapping[str, Any]) -> None:
    """Readers may use either of the two; LeaseError when `meta` holds an `api_port` that is not `port`."""
    if meta.get("api_port") not in (None, port):
        raise LeaseError(f"meta.api_port: got {meta['api_port']}, expected the same as port ({port})")
