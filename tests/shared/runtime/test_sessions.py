"""Sessions: signed, ended by time, bound to a password."""

import re

import pytest

from shared.runtime.proofs import Proof, sign_proof
from shared.runtime.sessions import Session, issue_session, verify_session
from shared.runtime.signed import sign

SECRET = b"s" * 64
NOW_S = 1_700_000_000.0


def test_a_session_comes_back_as_it_was_issued():
    token = issue_session(SECRET, "admin", "mark", NOW_S, lifetime_s=60)
    assert verify_session(SECRET, token, NOW_S + 59.9) == Session("admin", NOW_S, NOW_S + 60, "mark")


def test_it_lasts_twelve_hours_unless_told_otherwise():
    token = issue_session(SECRET, "admin", "mark", NOW_S)
    assert verify_session(SECRET, token, NOW_S + 12 * 3600 - 1) is not None
    assert verify_session(SECRET, token, NOW_S + 12 * 3600) is None


def test_the_token_needs_no_quoting_in_a_cookie():
    assert re.fullmatch(r"[A-Za-z0-9_.-]+", issue_session(SECRET, 'Zoë "x"; =', "mark", NOW_S))


def test_another_secret_refuses():
    assert verify_session(b"t" * 64, issue_session(SECRET, "admin", "mark", NOW_S), NOW_S) is None


@pytest.mark.parametrize("wrong", [{"user": 1}, {"password_mark": None}, {"expires_at": "never"}, {"expires_at": True}])
def test_signed_fields_of_a_wrong_kind_are_refused(wrong):
    fields = {"user": "admin", "issued_at": NOW_S, "expires_at": NOW_S + 9, "password_mark": "m"}
    assert verify_session(SECRET, sign(SECRET, "session", fields), NOW_S) is not None
    assert verify_session(SECRET, sign(SECRET, "session", {**fields, **wrong}), NOW_S) is None


def test_a_proof_is_no_session_even_with_the_same_key():
    proof = sign_proof(SECRET, Proof("admin", ("*",), "tracker", "GET", "/"), NOW_S)
    assert verify_session(SECRET, proof, NOW_S) is None
