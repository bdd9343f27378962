"""What callers who are users may write; the key and the keyless tracker set no bounds."""

import pytest

from services.tracker.access import is_renewable_by, require_may_register, require_may_update, require_own_peer
from services.tracker.lease import LeasePatch, Registration
from services.tracker.registry import Registry
from shared.httpcore.errors import HttpError
from shared.runtime.key_check import ANYONE, KEY_HOLDER, Caller

ANN = Caller("user", "ann", ("p1", "p2"))
ADMIN = Caller("user", "admin", ("*",))
META = {"api_port": 7510, "p2p_port": 7010, "colour": "red"}


def live(registered_by):
    wanted = Registration("p1", "10.0.0.1", 7510, ("p2p",), ("chat",), META)
    return Registry(1, 1).register(wanted, registered_by, now=1000)


def refusal(call, *arguments):
    with pytest.raises(HttpError) as caught:
        call(*arguments)
    return caught.value.status, caught.value.code


@pytest.mark.parametrize("caller", [ANN, ADMIN, KEY_HOLDER, ANYONE])
def test_a_caller_writes_about_the_peers_in_its_scope(caller):
    require_own_peer(caller, "p1")


def test_a_user_writes_about_no_other_peer():
    assert refusal(require_own_peer, ANN, "p3") == (403, "not_your_peer")


@pytest.mark.parametrize("caller", [ANN, ADMIN])
def test_a_user_registers_over_nothing_that_the_key_registered(caller):
    require_may_register(caller, None)
    require_may_register(caller, live("user:bob"))
    assert refusal(require_may_register, caller, live("key")) == (409, "registered_by_key")


def test_the_key_and_anyone_register_over_everything():
    for caller in (KEY_HOLDER, ANYONE):
        require_may_register(caller, live("key"))


MOVES = [
    LeasePatch(ip="10.0.0.2"),
    LeasePatch(port=1),
    LeasePatch(meta={**META, "p2p_port": 1}),
    LeasePatch(meta={"colour": "red"}),
]


@pytest.mark.parametrize("patch", MOVES, ids=str)
def test_a_user_moves_no_peer_that_the_key_registered(patch):
    assert refusal(require_may_update, ADMIN, live("key"), patch) == (409, "registered_by_key")
    require_may_update(ADMIN, live("user:ann"), patch)
    require_may_update(KEY_HOLDER, live("key"), patch)


@pytest.mark.parametrize(
    "patch",
    [
        LeasePatch(ip="10.0.0.1", port=7510),
        LeasePatch(channels=("news",), load=1.0, ttl_s=5),
        LeasePatch(meta={**META, "colour": "blue"}),
    ],
    ids=str,
)
def test_a_user_changes_what_does_not_move_the_peer(patch):
    require_may_update(ADMIN, live("key"), patch)


RENEWABLE = [
    (KEY_HOLDER, "key", True),
    (KEY_HOLDER, "anyone", True),
    (KEY_HOLDER, "user:ann", False),
    (ANN, "key", True),
    (ANN, "user:ann", True),
    (ANN, "user:bob", True),
    (ANYONE, "key", True),
    (ANYONE, "user:ann", True),
]


@pytest.mark.parametrize(("caller", "registered_by", "is_renewable"), RENEWABLE)
def test_only_to_the_key_an_entry_of_a_user_is_none(caller, registered_by, is_renewable):
    assert is_renewable_by(caller, live(registered_by)) is is_renewable
    assert not is_renewable_by(caller, None)
