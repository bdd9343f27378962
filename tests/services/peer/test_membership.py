"""Who else is there, from what the tracker lists."""

from typing import Any

import pytest

from services.peer.links import Address
from services.peer.membership import Membership


def listed(peer_id: str, **changes: Any) -> dict[str, Any]:
    return {
        "peer_id": peer_id,
        "ip": "10.0.0.1",
        "port": 7511,
        "roles": ["p2p"],
        "channels": ["chat"],
        "meta": {"api_port": 7511, "p2p_port": 7011},
        "registered_by": "key",
        "revision": 1,
        **changes,
    }


class Observer:
    def __init__(self, membership: Membership) -> None:
        self.woken: list[str] = []
        self.noted = 0
        membership.observe(self)

    def wake(self, peer_id: str) -> None:
        self.woken.append(peer_id)

    def note_members(self) -> None:
        self.noted += 1


def test_before_the_tracker_has_told_nothing_is_known() -> None:
    membership = Membership("p1")
    assert membership.find("p2") is None
    assert membership.members_of("chat") is None
    assert not membership.is_known


def test_members_of_a_channel_are_the_others_in_it() -> None:
    membership = Membership("p1")
    membership.apply([listed("p3"), listed("p1"), listed("p2"), listed("p4", channels=["dev"])])
    assert membership.members_of("chat") == ("p2", "p3")
    assert membership.members_of("dev") == ("p4",)
    assert membership.members_of("nobody") == ()
    assert membership.find("p2") == Address("10.0.0.1", 7011)
    assert membership.find("p1") is None
    assert membership.count == 3


def test_a_peer_that_appears_moves_or_registers_again_is_worth_a_try() -> None:
    membership = Membership("p1")
    observer = Observer(membership)
    membership.apply([listed("p2")])
    membership.apply([listed("p2")])
    assert observer.woken == ["p2"]
    membership.apply([listed("p2", revision=2)])
    membership.apply([listed("p2", revision=2, ip="10.0.0.2")])
    membership.apply([])
    assert membership.find("p2") is None
    membership.apply([listed("p2", revision=3)])
    assert observer.woken == ["p2"] * 4
    assert observer.noted == 6


USELESS: list[dict[str, Any]] = [
    listed("p2", registered_by="user:mallory"),
    listed("p2", meta={}),
    listed("p2", meta=None),
    listed("p2", meta={"p2p_port": "7011"}),
    listed("p2", meta={"p2p_port": True}),
    listed("p2", meta={"p2p_port": 0}),
    listed("p2", meta={"p2p_port": 70_000}),
    listed("p/2"),
    listed("p2", ip=None),
    listed("p2", ip=""),
    {},
]


@pytest.mark.parametrize("entry", USELESS)
def test_an_entry_that_cannot_be_dialled_is_passed_over(entry: dict[str, Any]) -> None:
    membership = Membership("p1")
    membership.apply([entry, listed("p3", channels=None)])
    assert membership.count == 1
    assert membership.members_of("chat") == ()
