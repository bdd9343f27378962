"""What the tracker knows that the proxy uses: load and draining of backends, and where peers are. Pure.

A backend's lease is joined by ip and port; it never adds an address. A peer is routed to only when it
registered with the key itself, where keys are in use. `mesh` watches the tracker and keeps the result.
"""

from collections.abc import Iterable, Mapping
from typing import Any

from services.proxy.upstreams import Address, Annotation

Entry = Mapping[str, Any]
BACKEND_ROLE = "backend"
LEAVING_S = 5.0  # by then its name or a check has shown that it is gone


def backend_annotations(entries: Iterable[Entry], *, keyed: bool) -> dict[Address, Annotation]:
    """What backends say of themselves, by where they listen.

    One that was killed stays listed until its lease ends, and its address may be another's by then: the newest counts.
    """
    annotations = {}
    for entry in sorted(entries, key=_registered_at):
        address = _address(entry, entry.get("port"))
        if address is not None and _is_backend(entry) and is_trusted(entry, keyed=keyed):
            annotations[address] = Annotation(_meta(entry).get("draining") is True, _load(entry))
    return annotations


class Leaving:
    """Remembers for a while that a backend drains, when the tracker has forgotten it: it has gone, it does not stay.

    It ends its lease as the last thing it does, and until its name or a check shows that it is gone, it must not look
    like one that the tracker never knew.
    """

    def __init__(self) -> None:
        self._said: Mapping[Address, Annotation] = {}
        self._until: dict[Address, float] = {}

    def take(self, annotations: Mapping[Address, Annotation], now: float) -> dict[Address, Annotation]:
        """What the tracker says now, and those that drained when it last spoke of them."""
        for address, annotation in self._said.items():
            if annotation.is_draining and address not in annotations:
                self._until[address] = now + LEAVING_S
        self._said = annotations
        return self.remember(now)

    def remember(self, now: float) -> dict[Address, Annotation]:
        """The same at a later time."""
        self._until = {at: until for at, until in self._until.items() if until > now and at not in self._said}
        return {**dict.fromkeys(self._until, Annotation(is_draining=True)), **self._said}

    def __bool__(self) -> bool:
        """Whether anybody is remembered, and time will change what is said."""
        return bool(self._until)


def peer_addresses(entries: Iterable[Entry], *, keyed: bool) -> dict[str, Address]:
    """The API address of each peer that may be routed to, by its id."""
    addresses = {}
    for entry in entries:
        peer_id = entry.get("peer_id")
        address = _address(entry, _meta(entry).get("api_port") or entry.get("port"))
        if isinstance(peer_id, str) and address and not _is_backend(entry) and is_trusted(entry, keyed=keyed):
            addresses[peer_id] = address
    return addresses


def is_trusted(entry: Entry, *, keyed: bool) -> bool:
    """Whether whoever registered the entry had the key; a user of the page must not direct the proxy
    anywhere.
    """
    return not keyed or entry.get("registered_by") == "key"


def _is_backend(entry: Entry) -> bool:
    roles = entry.get("roles")
    return isinstance(roles, list) and BACKEND_ROLE in roles


def _meta(entry: Entry) -> Mapping[str, Any]:
    meta = entry.get("meta")
    return meta if isinstance(meta, dict) else {}


def _registered_at(entry: Entry) -> float:
    value = entry.get("registered_at")
    return float(value) if isinstance(value, int | float) else 0.0


def _load(entry: Entry) -> float | None:
    load = entry.get("load")
    return float(load) if isinstance(load, int | float) and not isinstance(load, bool) else None


def _address(entry: Entry, port: object) -> Address | None:
    ip = entry.get("ip")
    if not isinstance(ip, str) or not ip or isinstance(port, bool) or not isinstance(port, int):
        return None
    return Address(ip, port) if 0 < port < 65_536 else None
