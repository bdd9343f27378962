"""scrypt hashes: made, checked, and refused when they are strange."""

import hashlib

import pytest

from shared.runtime.passwords import DECOY_HASH, hash_password, is_password_hash, verify_password

# A cheap hash, so that most checks here take no time: scrypt("swordfish", salt "saltsaltsalt", n=16, r=1, p=1).
CHEAP = "scrypt$16$1$1$c2FsdHNhbHRzYWx0$GfUGfbPhHWtwVEQNa4tIxHQ1wJhpwCxFSeqFzNUDfHw="


def cheap_hash(password):
    import base64

    digest = hashlib.scrypt(password.encode(), salt=b"saltsaltsalt", n=16, r=1, p=1, dklen=32)
    return f"scrypt$16$1$1$c2FsdHNhbHRzYWx0${base64.b64encode(digest).decode()}"


def test_a_hash_has_the_promised_cost_and_checks_its_password_only():
    made = hash_password("swordfish")
    assert made.startswith("scrypt$16384$8$5$")
    assert verify_password("swordfish", made)
    assert not verify_password("Swordfish", made)
    assert made != hash_password("swordfish"), "each has a salt of its own"


def test_the_costs_in_the_hash_are_those_that_count():
    assert verify_password("swordfish", cheap_hash("swordfish"))
    assert not verify_password("", cheap_hash("swordfish"))


@pytest.mark.parametrize("password", ["Zoë ☕", "\ud800", "x" * 10_000, "\x00"])
def test_any_text_can_be_a_password(password):
    made = cheap_hash("swordfish")
    assert not verify_password(password, made)


STRANGE = [
    "",
    "swordfish",
    "md5$16$1$1$c2FsdHNhbHRzYWx0$GfUGfbPhHWtwVEQNa4tIxA==",
    "scrypt$15$1$1$c2FsdHNhbHRzYWx0$GfUGfbPhHWtwVEQNa4tIxA==",  # n is no power of two
    "scrypt$1$1$1$c2FsdHNhbHRzYWx0$GfUGfbPhHWtwVEQNa4tIxA==",
    "scrypt$16$0$1$c2FsdHNhbHRzYWx0$GfUGfbPhHWtwVEQNa4tIxA==",
    "scrypt$16$1$999$c2FsdHNhbHRzYWx0$GfUGfbPhHWtwVEQNa4tIxA==",
    "scrypt$67108864$8$1$c2FsdHNhbHRzYWx0$GfUGfbPhHWtwVEQNa4tIxA==",  # would take 64 GiB
    "scrypt$16$1$1$c2FsdA==$GfUGfbPhHWtwVEQNa4tIxA==",  # a salt of four bytes
    "scrypt$16$1$1$c2FsdHNhbHRzYWx0$GfUG",
    "scrypt$16$1$1$c2FsdHNhbHRzYWx0$G",
]


@pytest.mark.parametrize("strange", STRANGE)
def test_a_strange_hash_checks_nothing_and_costs_nothing(strange):
    assert not is_password_hash(strange)
    assert not verify_password("swordfish", strange)


def test_the_decoy_is_a_hash_of_full_cost_that_no_password_opens():
    assert is_password_hash(DECOY_HASH)
    assert DECOY_HASH.startswith("scrypt$16384$8$5$")
    assert not verify_password("password", DECOY_HASH)
