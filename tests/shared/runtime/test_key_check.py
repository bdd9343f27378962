"""Who a caller is."""

import pytest

from shared.httpcore.message import Request
from shared.runtime.key_check import ANYONE, KEY_HOLDER, Caller, KeyCheck
from shared.runtime.proofs import PROOF_HEADER, Proof, sign_proof

KEY = b"0123456789abcdef" * 4
NOW_S = 1_700_000_000.0
TARGET = "/tracker/register?x=1"


def make_request(*fields, method="POST", target=TARGET):
    lines = "".join(f"{name}: {value}\r\n" for name, value in fields)
    return Request(method, target, 1, lines.encode("latin-1"))


def proof(user="bob", peers=("p1",), target="tracker", method="POST", path=TARGET, key=KEY):
    return (PROOF_HEADER, sign_proof(key, Proof(user, peers, target, method, path), NOW_S))


RIGHT = ("X-Tracker-Key", KEY.decode())
WRONG = ("X-Tracker-Key", "x" * 64)
BOB = Caller("user", "bob", ("p1",))

CASES = [
    ("the key", [RIGHT], KEY_HOLDER),
    ("the key, name in lower case", [("x-tracker-key", KEY.decode())], KEY_HOLDER),
    ("a wrong key", [WRONG], None),
    ("no ASCII", [("X-Tracker-Key", "é" * 64)], None),
    ("an empty key", [("X-Tracker-Key", "")], None),
    ("nothing", [], None),
    ("another service's header", [("X-P2P-Key", KEY.decode())], None),
    ("a proof", [proof()], BOB),
    ("a proof for another path", [proof(path="/tracker/register")], None),
    ("a proof for another target", [proof(target="peer:p1")], None),
    ("a proof with another key", [proof(key=b"x" * 64)], None),
    ("key and proof", [RIGHT, proof()], None),
    ("two keys", [WRONG, RIGHT], None),
    ("two proofs", [proof(), proof()], None),
]


@pytest.mark.parametrize(("_name", "fields", "caller"), CASES, ids=[row[0] for row in CASES])
def test_a_caller_is_known_by_exactly_one_thing_it_shows(_name, fields, caller):
    assert KeyCheck(KEY, "X-Tracker-Key", "tracker").identify(make_request(*fields), NOW_S) == caller


@pytest.mark.parametrize(("_name", "fields", "caller"), CASES, ids=[row[0] for row in CASES])
def test_only_a_right_proof_vouches(_name, fields, caller):
    check = KeyCheck(KEY, "X-Tracker-Key", "tracker")
    assert check.is_vouched_for(make_request(*fields), NOW_S) is (caller == BOB)
    assert not check.is_vouched_for(make_request(*fields), NOW_S + 31)
    assert not KeyCheck(None, "X-Tracker-Key", "tracker").is_vouched_for(make_request(*fields), NOW_S)


def test_a_proof_grows_old():
    assert KeyCheck(KEY, "X-Tracker-Key", "tracker").identify(make_request(proof()), NOW_S + 31) is None


def test_without_a_key_everybody_is_anyone_whatever_is_shown():
    check = KeyCheck(None, "X-Tracker-Key", "tracker")
    assert check.identify(make_request(), NOW_S) is ANYONE
    assert check.identify(make_request(WRONG), NOW_S) is ANYONE


def test_a_caller_may_use_the_peers_of_its_scope():
    assert KEY_HOLDER.may_use("p9")
    assert ANYONE.may_use("p9")
    assert BOB.may_use("p1")
    assert not BOB.may_use("p2")


def test_callers_have_the_names_that_records_use():
    assert [caller.name for caller in (KEY_HOLDER, ANYONE, BOB)] == ["key", "anyone", "user:bob"]
