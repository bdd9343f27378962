"""Range fields."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.httpcore.ranges import ByteRange, Whole, parse_range, unsatisfied_content_range

# the Range field, of how many bytes, what it asks for
CASES: list[tuple[str | None, int, ByteRange | Whole]] = [
    (None, 100, Whole.IGNORED),
    ("bytes=0-0", 100, ByteRange(0, 0)),
    ("bytes=0-99", 100, ByteRange(0, 99)),
    ("bytes=0-", 100, ByteRange(0, 99)),
    ("bytes=10-19", 100, ByteRange(10, 19)),
    ("bytes=90-200", 100, ByteRange(90, 99)),
    ("bytes=99-", 100, ByteRange(99, 99)),
    ("bytes=-1", 100, ByteRange(99, 99)),
    ("bytes=-100", 100, ByteRange(0, 99)),
    ("bytes=-1000", 100, ByteRange(0, 99)),
    ("BYTES=0-1", 100, ByteRange(0, 1)),
    ("bytes= 0-1 ", 100, ByteRange(0, 1)),
    ("bytes=100-", 100, Whole.UNSATISFIABLE),
    ("bytes=100-200", 100, Whole.UNSATISFIABLE),
    ("bytes=-0", 100, Whole.UNSATISFIABLE),
    ("bytes=0-", 0, Whole.UNSATISFIABLE),
    ("bytes=-5", 0, Whole.IGNORED),
    ("bytes=0-1,5-6", 100, Whole.IGNORED),
    ("bytes=0-1, 100-", 100, Whole.IGNORED),
    ("bytes=5-4", 100, Whole.IGNORED),
    ("bytes=", 100, Whole.IGNORED),
    ("bytes=-", 100, Whole.IGNORED),
    ("bytes=a-b", 100, Whole.IGNORED),
    ("bytes=1", 100, Whole.IGNORED),
    ("bytes=+1-2", 100, Whole.IGNORED),
    ("bytes=1-2-3", 100, Whole.IGNORED),
    ("bytes=--1", 100, Whole.IGNORED),
    ("bytes=0x1-2", 100, Whole.IGNORED),
    ("bytes=٣-٤", 100, Whole.IGNORED),
    ("bytes=0-" + "9" * 400, 100, Whole.IGNORED),
    ("bytes 0-1", 100, Whole.IGNORED),
    ("lines=0-1", 100, Whole.IGNORED),
    ("", 100, Whole.IGNORED),
]


@pytest.mark.parametrize(("field", "total_bytes", "expected"), CASES)
def test_a_range_field_means(field: str | None, total_bytes: int, expected: ByteRange | Whole) -> None:
    assert parse_range(field, total_bytes) == expected


def test_ranges_are_written_as_the_rfc_has_them() -> None:
    assert ByteRange(0, 0).content_range(10) == "bytes 0-0/10"
    assert ByteRange(5, 9).length == 5
    assert unsatisfied_content_range(10) == "bytes */10"


@given(st.from_regex(r"bytes=[0-9]{0,4}-[0-9]{0,4}", fullmatch=True) | st.text(max_size=30), st.integers(0, 2000))
def test_a_range_always_lies_within_the_representation(field: str, total_bytes: int) -> None:
    found = parse_range(field, total_bytes)
    if isinstance(found, ByteRange):
        assert 0 <= found.first <= found.last < total_bytes
