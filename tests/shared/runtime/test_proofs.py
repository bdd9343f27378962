"""A proof opens exactly the door it was made for, and not for long."""

import pytest

from shared.runtime.proofs import Proof, is_in_scope, sign_proof, verify_proof
from shared.runtime.sessions import issue_session
from shared.runtime.signed import sign

KEY = b"k" * 64
PROOF = Proof("zoë", ("p1", "p2"), "peer:p1", "POST", "/p2p/msg?x=1")
NOW_S = 1_700_000_000.0
VALUE = sign_proof(KEY, PROOF, NOW_S)


def verify(value=VALUE, key=KEY, target="peer:p1", method="POST", path="/p2p/msg?x=1", now_s=NOW_S, **how):
    return verify_proof(key, value, target, method, path, now_s, **how)


def test_the_proof_comes_back_for_the_request_it_was_made_for():
    assert verify() == PROOF


@pytest.mark.parametrize(
    "other",
    [
        {"target": "peer:p2"},
        {"target": "tracker"},
        {"method": "GET"},
        {"path": "/p2p/msg"},
        {"path": "/p2p/msg?x=2"},
        {"key": b"j" * 64},
        {"value": ""},
        {"value": VALUE[:-1]},
    ],
)
def test_for_any_other_request_it_is_nothing(other):
    assert verify(**other) is None


@pytest.mark.parametrize(("later_s", "is_good"), [(0, True), (30, True), (30.1, False), (-30, True), (-30.1, False)])
def test_it_holds_for_half_a_minute_and_clocks_may_differ_as_much(later_s, is_good):
    assert (verify(now_s=NOW_S + later_s) is not None) is is_good


def test_the_age_can_be_set():
    assert verify(now_s=NOW_S + 6, max_age_s=5) is None


@pytest.mark.parametrize(
    "wrong",
    [{"user": 1}, {"peers": "p1"}, {"peers": [1]}, {"at": "now"}, {"at": None}, {"at": float("nan")}, {"target": None}],
)
def test_signed_fields_of_a_wrong_kind_are_refused(wrong):
    fields = {
        "user": "admin",
        "peers": ["*"],
        "target": "peer:p1",
        "method": "POST",
        "path": "/p2p/msg?x=1",
        "at": NOW_S,
    }
    assert verify(sign(KEY, "proof", fields)) is not None
    assert verify(sign(KEY, "proof", {**fields, **wrong})) is None


def test_a_session_is_no_proof_even_with_the_same_key():
    assert verify(issue_session(KEY, "admin", "mark", NOW_S)) is None


def test_a_scope_holds_the_peers_it_names_and_a_star_holds_all():
    assert is_in_scope(("p1",), "p1")
    assert not is_in_scope(("p1",), "p2")
    assert is_in_scope(("*",), "p2")
    assert not is_in_scope((), "p1")
