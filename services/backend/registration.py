"""How the tracker hears of this replica: its name, its load, and that it is going away.

What a lease is belongs to the tracker, keeping it to `shared/runtime/tracker_client`. The proxy takes load and draining
from there, never an address.
"""

import asyncio
import re
from typing import Any

from services.backend.load import InFlight
from shared.runtime.tracker_client import TrackerClient, keep_registered, unregister

LEASE_TTL_S = 30.0  # heartbeats come three times as often, and with each one the load
MAX_PEER_ID_CHARS = 63


def make_replica_name(hostname: str, port: int) -> str:
    """`backend-HOST-PORT` as a peer id: other characters become -, and a long host name is cut."""
    tail = f"-{port}"
    host = re.sub(r"[^A-Za-z0-9_-]+", "-", hostname)
    return f"backend-{host}"[: MAX_PEER_ID_CHARS - len(tail)] + tail


class Registration:
    """One replica in the tracker's table, from `run` to `end`."""

    def __init__(self, client: TrackerClient, name: str, host: str | None, port: int, in_flight: InFlight) -> None:
        """`host` None: the tracker takes the address that it hears us from."""
        self._client = client
        self._name = name
        self._host = host
        self._port = port
        self._in_flight = in_flight
        self._is_draining = False
        self._changed = asyncio.Event()

    def lease(self) -> dict[str, Any]:
        """What the tracker is told, as of now."""
        address = {} if self._host is None else {"ip": self._host}
        return {
            **address,
            "peer_id": self._name,
            "port": self._port,
            "roles": ["backend"],
            "channels": [],
            "meta": {"draining": self._is_draining},
            "load": float(self._in_flight.count),
        }

    async def run(self) -> None:
        """Keeps the lease until cancelled."""
        await keep_registered(self._client, self.lease, LEASE_TTL_S, changed=self._changed)

    async def begin_drain(self) -> None:
        """The tracker is told at once that no new requests are wanted."""
        self._is_draining = True
        self._changed.set()

    async def end(self) -> None:
        """The tracker forgets the replica."""
        await unregister(self._client, self._name)
