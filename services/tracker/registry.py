"""The table of live peers: who is there, since when, until when, and at which revision that last changed.

Pure: `now` (unix seconds that never go back) is a parameter, nothing here waits, and every operation first
drops the leases that have ended, so that no answer ever lists a dead peer, whether a timer ran or not.
Observers hear of each visible change. Read `watch` next, which turns changes into answers; `snapshot`
carries the table over a restart.
"""

from bisect import bisect_left, bisect_right, insort
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from enum import Enum

from services.tracker.expiry import Deadlines
from services.tracker.lease import LeasePatch, Peer, PeerFilter, Registration, patched


class Cause(Enum):
    """Why the table changed."""

    REGISTERED = "registered"
    UPDATED = "updated"
    LOAD = "load"  # nothing but the load of a peer: watchers may hear of several at once
    REMOVED = "removed"
    EXPIRED = "expired"


@dataclass(frozen=True, slots=True)
class Change:
    """One visible change: the entry before and after it; None where there was or is none."""

    cause: Cause
    revision: int
    old: Peer | None
    new: Peer | None


class UnknownPeer(LookupError):
    """No live peer has this id; `args[0]` is the id."""


class RegistryFull(Exception):
    """The table holds as many peers as it may; `args[0]` is that number."""


@dataclass(slots=True)
class Totals:
    """What happened since the start of the process."""

    registrations: int = 0
    heartbeats: int = 0
    updates: int = 0
    removals: int = 0
    expirations: int = 0


class Registry:
    """The live peers. `revision` grows by one with each visible change and never goes back.

    It starts at `first_revision`, which the caller takes from the wall clock, so that a tracker that starts
    again is ahead of whatever its predecessor gave out.
    """

    def __init__(self, capacity: int, first_revision: int) -> None:
        self.capacity = capacity
        self.revision = first_revision
        self.writes = 0  # grows with every write, visible or not: what `snapshot` looks at
        self.totals = Totals()
        self.observers: list[Callable[[Change], None]] = []  # hear of each visible change
        self.lease_observers: list[Callable[[], None]] = []  # hear that some lease begins or ends otherwise
        self._peers: dict[str, Peer] = {}
        self._ids: list[str] = []  # sorted
        self._deadlines = Deadlines()

    def __len__(self) -> int:
        return len(self._peers)

    # Writing

    def register(self, wanted: Registration, registered_by: str, now: float) -> Peer:
        """The entry of `wanted`; one with its id is replaced, and its time of registration begins anew.

        Always a visible change: who watches learns that the peer has started again.
        RegistryFull for one too many.
        """
        self.expire(now)
        old = self._peers.get(wanted.peer_id)
        if old is None and len(self._peers) >= self.capacity:
            raise RegistryFull(self.capacity)
        self.totals.registrations += 1
        self.revision += 1
        peer = Peer(
            peer_id=wanted.peer_id,
            ip=wanted.ip,
            port=wanted.port,
            roles=wanted.roles,
            channels=wanted.channels,
            meta=wanted.meta,
            load=wanted.load,
            ttl_s=wanted.ttl_s,
            registered_at=now,
            last_heartbeat=now,
            registered_by=registered_by,
            revision=self.revision,
        )
        self._put(peer)
        self._tell(Change(Cause.REGISTERED, self.revision, old, peer))
        return peer

    def heartbeat(self, peer_id: str, beat: LeasePatch, now: float) -> Peer:
        """The entry, its lease renewed, with a new TTL and load where given; else UnknownPeer."""
        peer = self._renew(peer_id, beat, now)
        self.totals.heartbeats += 1
        return peer

    def update(self, peer_id: str, patch: LeasePatch, now: float) -> Peer:
        """The entry with the fields of `patch`, its lease renewed as well; else UnknownPeer."""
        peer = self._renew(peer_id, patch, now)
        self.totals.updates += 1
        return peer

    def remove(self, peer_id: str, now: float) -> Peer:
        """The entry that is gone from now on; UnknownPeer when there was none."""
        old = self.require(peer_id, now)
        self.totals.removals += 1
        self._drop(old, Cause.REMOVED)
        return old

    def expire(self, now: float) -> None:
        """Entries whose lease has ended by `now` are gone."""
        for peer_id in self._deadlines.pop_due(now):
            self.totals.expirations += 1
            self._drop(self._peers[peer_id], Cause.EXPIRED)

    def restore(self, peers: Iterable[Peer], now: float) -> int:
        """Those of `peers`, kept from an earlier run, that still live are back; how many the table holds."""
        for peer in peers:
            if peer.expires_at > now and len(self._peers) < self.capacity:
                self.revision = max(self.revision, peer.revision)
                # A wall clock that was set back between the two runs makes no lease longer.
                self._put(replace(peer, last_heartbeat=min(peer.last_heartbeat, now)))
        return len(self._peers)

    # Reading

    def get(self, peer_id: str, now: float) -> Peer | None:
        """The live peer with this id, if any."""
        self.expire(now)
        return self._peers.get(peer_id)

    def require(self, peer_id: str, now: float) -> Peer:
        """The live peer with this id; UnknownPeer when there is none."""
        peer = self.get(peer_id, now)
        if peer is None:
            raise UnknownPeer(peer_id)
        return peer

    def select(self, wanted: PeerFilter, now: float, after: str = "", limit: int | None = None) -> list[Peer]:
        """The live peers that match, in the order of their ids, behind the id `after`, at most `limit`."""
        self.expire(now)
        found: list[Peer] = []
        for index in range(bisect_right(self._ids, after), len(self._ids)):
            if limit is not None and len(found) >= limit:
                break
            peer = self._peers[self._ids[index]]
            if wanted.matches(peer):
                found.append(peer)
        return found

    def next_expiry(self) -> float | None:
        """When the next lease ends, None for an empty table."""
        return self._deadlines.next_due()

    # Inside

    def _renew(self, peer_id: str, patch: LeasePatch, now: float) -> Peer:
        old = self.require(peer_id, now)
        changed = patched(old, patch)
        if changed:
            self.revision += 1
            changed["revision"] = self.revision
        ttl_s = old.ttl_s if patch.ttl_s is None else patch.ttl_s
        peer = replace(old, last_heartbeat=now, ttl_s=ttl_s, **changed)
        self._put(peer)
        if changed:
            cause = Cause.LOAD if changed.keys() == {"load", "revision"} else Cause.UPDATED
            self._tell(Change(cause, self.revision, old, peer))
        return peer

    def _put(self, peer: Peer) -> None:
        self.writes += 1
        if peer.peer_id not in self._peers:
            insort(self._ids, peer.peer_id)
        self._peers[peer.peer_id] = peer
        self._deadlines.set(peer.peer_id, peer.expires_at)
        for observer in self.lease_observers:
            observer()

    def _drop(self, peer: Peer, cause: Cause) -> None:
        self.writes += 1
        self.revision += 1
        del self._peers[peer.peer_id]
        del self._ids[bisect_left(self._ids, peer.peer_id)]
        self._deadlines.discard(peer.peer_id)
        self._tell(Change(cause, self.revision, peer, None))

    def _tell(self, change: Change) -> None:
        for observer in self.observers:
            observer(change)
