"""Who may write what: the rules for callers that are users, who come through the proxy with a proof.

A caller with the key may write everything, and so may anyone when there is no key. A user writes only his
own peers, and can't take over the address of a peer that registered itself with the key: the proxy routes
to that address. Nor can he hold the id of a peer that is alive: its heartbeat doesn't renew his entry, so it
registers again and replaces it.
"""

from collections.abc import Mapping
from typing import Any

from services.tracker.lease import META_PORTS, LeasePatch, Peer, patched
from shared.httpcore.errors import HttpError
from shared.runtime.key_check import Caller

_KEY = "key"
_USER = "user"


def require_own_peer(caller: Caller, peer_id: str) -> None:
    """HttpError 403 unless the caller may write about this peer."""
    if not caller.may_use(peer_id):
        raise HttpError(403, "not_your_peer", f"{peer_id} is not one of the peers of {caller.name}")


def require_may_register(caller: Caller, live: Peer | None) -> None:
    """HttpError 409 when a user would replace an entry that a peer made with the key."""
    if caller.kind == _USER and live is not None and live.registered_by == _KEY:
        raise _by_key(live)


def require_may_update(caller: Caller, live: Peer, patch: LeasePatch) -> None:
    """HttpError 409 when a user would move a peer that registered with the key: its ip, one of its ports."""
    if caller.kind != _USER or live.registered_by != _KEY:
        return
    changed = patched(live, patch)
    moved = {"ip", "port"} & changed.keys()
    if moved or _meta_ports(changed.get("meta", live.meta)) != _meta_ports(live.meta):
        raise _by_key(live)


def is_renewable_by(caller: Caller, live: Peer | None) -> bool:
    """Whether there is an entry for this caller to renew; for the key, what a user registered is none."""
    return live is not None and not (caller.kind == _KEY and live.registered_by.startswith(f"{_USER}:"))


def _meta_ports(meta: Mapping[str, Any]) -> list[object]:
    return [meta.get(name) for name in META_PORTS]


def _by_key(live: Peer) -> HttpError:
    return HttpError(
        409,
        "registered_by_key",
        f"{live.peer_id} registered itself with the key: only with the key can its address change",
    )
