"""Who else is there: where each peer listens and which channels it is in, as the tracker's watch tells.

Owns the last known table. A tracker that is away changes nothing: the peers it named last are still tried.
Without a tracker nobody is known, and messages wait until their peer dials us.
"""

import logging
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from services.peer.links import Address
from services.peer.messages import PEER_ID

ROLE = "p2p"
_LOG = logging.getLogger("weaprous.peer.membership")


@dataclass(frozen=True, slots=True)
class Member:
    """A peer as the tracker lists it; `revision` grows with each thing that the tracker hears of it."""

    peer_id: str
    address: Address
    channels: frozenset[str]
    revision: object


class MembershipEvents(Protocol):
    """Who hears of changes."""

    def wake(self, peer_id: str) -> None:
        """The peer has appeared, moved or registered again: try to reach it now."""

    def note_members(self) -> None:
        """The table is known, or has changed."""


class Membership:
    """The peers that the tracker shows, this one left out."""

    def __init__(self, own_id: str) -> None:
        self._own_id = own_id
        self._members: dict[str, Member] | None = None  # None until the tracker has told once
        self._observers: list[MembershipEvents] = []

    def observe(self, observer: MembershipEvents) -> None:
        """The observer hears of every change from now on."""
        self._observers.append(observer)

    @property
    def is_known(self) -> bool:
        """Whether the tracker has told who is there."""
        return self._members is not None

    @property
    def count(self) -> int:
        """How many other peers are there."""
        return len(self._members or ())

    def find(self, peer_id: str) -> Address | None:
        """Where the peer listens; None when nobody has told."""
        member = (self._members or {}).get(peer_id)
        return None if member is None else member.address

    def members_of(self, channel: str) -> tuple[str, ...] | None:
        """The other peers in the channel, by id; None while the tracker hasn't told."""
        if self._members is None:
            return None
        return tuple(sorted(each.peer_id for each in self._members.values() if channel in each.channels))

    def apply(self, peers: Iterable[Mapping[str, Any]]) -> None:
        """The table is what the tracker lists now; observers hear of it."""
        before = self._members or {}
        after = {member.peer_id: member for member in map(_parse_member, peers) if member is not None}
        after.pop(self._own_id, None)
        self._members = after
        for observer in self._observers:
            for peer_id, member in after.items():
                if before.get(peer_id) != member:
                    observer.wake(peer_id)
            observer.note_members()


def _parse_member(peer: Mapping[str, Any]) -> Member | None:
    """The member in a tracker's entry; None where it is none that links can be dialled to."""
    # A user of the page may register what he likes; only what peers said of themselves is dialled.
    if str(peer.get("registered_by", "")).startswith("user:"):
        return None
    meta = peer.get("meta")
    port = meta.get("p2p_port") if isinstance(meta, dict) else None
    peer_id, host, channels = peer.get("peer_id"), peer.get("ip"), peer.get("channels")
    if not PEER_ID.fits(peer_id) or not isinstance(host, str) or not host:
        return None
    if isinstance(port, bool) or not isinstance(port, int) or not 0 < port < 65_536:
        return None
    named = frozenset(each for each in channels if isinstance(each, str)) if isinstance(channels, list) else frozenset()
    return Member(peer_id, Address(host, port), named, peer.get("revision"))
