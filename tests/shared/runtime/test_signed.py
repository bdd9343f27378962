"""Signed objects: what was signed comes back, and nothing else does."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.runtime.signed import MAX_CHARS, open_signed, sign

KEY = b"k" * 64
TEXT = sign(KEY, "proof", {"user": "admin", "peers": ["*"]})

JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.text(), lambda inner: st.lists(inner), max_leaves=5
)


@given(st.dictionaries(st.text(), JSON, max_size=5))
def test_what_was_signed_comes_back(fields):
    text = sign(KEY, "x", fields)
    assert re.fullmatch(r"v1\.[A-Za-z0-9_-]+\.[0-9a-f]{64}", text)
    assert open_signed(KEY, "x", text) == fields


@given(st.integers(0, len(TEXT) - 1), st.characters())
def test_a_text_with_one_character_changed_is_refused(at, character):
    changed = TEXT[:at] + character + TEXT[at + 1 :]
    if changed != TEXT:
        assert open_signed(KEY, "proof", changed) is None


@given(st.text(st.characters(codec=None), max_size=200))
def test_any_other_text_is_refused(text):
    assert open_signed(KEY, "proof", text) is None


@pytest.mark.parametrize(
    "refused",
    [
        "",
        "..",
        "v1..",
        TEXT[:-1],
        TEXT + "0",
        TEXT.upper(),
        TEXT.replace("v1", "v2"),
        TEXT + "é",
        "v1." + "A" * MAX_CHARS + "." + "0" * 64,
    ],
)
def test_damaged_texts_are_refused(refused):
    assert open_signed(KEY, "proof", refused) is None


def test_another_key_and_another_purpose_refuse():
    assert open_signed(b"j" * 64, "proof", TEXT) is None
    assert open_signed(KEY, "session", TEXT) is None
    assert open_signed(KEY, "proof", TEXT) == {"user": "admin", "peers": ["*"]}
