"""W3C Trace Context: what is continued, what is begun, what is dropped."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.httpcore.headers import Headers
from shared.httpcore.trace_context import (
    TraceParent,
    combine_tracestate,
    next_parent,
    parse_traceparent,
    serialize_traceparent,
    trace_fields,
)

TRACE, PARENT = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"
GOOD = f"00-{TRACE}-{PARENT}-01"


def draw(bits: int) -> int:
    return 0xAB


CASES = [
    ("the standard's example", GOOD, TraceParent(TRACE, PARENT, True)),
    ("not sampled", f"00-{TRACE}-{PARENT}-00", TraceParent(TRACE, PARENT, False)),
    ("flags that nobody knows", f"00-{TRACE}-{PARENT}-fe", TraceParent(TRACE, PARENT, False)),
    ("a later version", f"cc-{TRACE}-{PARENT}-01", TraceParent(TRACE, PARENT, True)),
    ("a later version that says more", f"cc-{TRACE}-{PARENT}-01-what-may-come", TraceParent(TRACE, PARENT, True)),
    ("a later version without the dash", f"cc-{TRACE}-{PARENT}-01.x", None),
    ("version 00 that says more", GOOD + "-x", None),
    ("version ff", f"ff-{TRACE}-{PARENT}-01", None),
    ("capital letters", GOOD.upper(), None),
    ("a trace of zeros", f"00-{'0' * 32}-{PARENT}-01", None),
    ("a parent of zeros", f"00-{TRACE}-{'0' * 16}-01", None),
    ("too short", GOOD[:-1], None),
    ("a digit that is none", GOOD.replace("4bf9", "4bg9"), None),
    ("a digit of another script", GOOD.replace("4bf9", "٤bf9"), None),
    ("white space", GOOD + " ", None),
    ("a line feed", GOOD + "\n", None),
    ("nothing", "", None),
]


@pytest.mark.parametrize(("value", "expected"), [case[1:] for case in CASES], ids=[case[0] for case in CASES])
def test_traceparent_is_read_strictly(value: str, expected: TraceParent | None) -> None:
    assert parse_traceparent(value) == expected


@pytest.mark.parametrize(("value", "expected"), [case[1:] for case in CASES], ids=[case[0] for case in CASES])
def test_a_valid_one_is_continued_and_anything_else_begins_a_trace(value: str, expected: TraceParent | None) -> None:
    parent, is_continued = next_parent([value], draw)
    assert is_continued is (expected is not None)
    if expected is None:
        assert parent == TraceParent(f"{0xAB:032x}", f"{0xAB:016x}", True)
    else:
        assert parent == TraceParent(TRACE, f"{0xAB:016x}", expected.is_sampled)


@pytest.mark.parametrize("received", [[], [GOOD, GOOD]])
def test_none_or_two_begin_a_trace(received: list[str]) -> None:
    assert next_parent(received, draw)[1] is False


@given(st.integers(1, 2**128 - 1), st.integers(1, 2**64 - 1), st.booleans())
def test_what_is_written_is_read_the_same(trace: int, parent: int, is_sampled: bool) -> None:
    value = TraceParent(f"{trace:032x}", f"{parent:016x}", is_sampled)
    assert parse_traceparent(serialize_traceparent(value)) == value


def test_no_id_is_ever_zero() -> None:
    parent, _ = next_parent([], lambda bits: 0)
    assert parse_traceparent(serialize_traceparent(parent)) == parent


STATES = [
    (["a=1"], "a=1"),
    (["a=1,b=2", "c=3"], "a=1,b=2,c=3"),
    ([" a=1 ,, b=2\t"], "a=1,b=2"),
    (["tenant@vendor=x y"], "tenant@vendor=x y"),
    (["a=1,a=2"], ""),
    (["a=1,B=2"], ""),
    (["a=1,b"], ""),
    (["a="], ""),
    (["a=x=y"], ""),
    ([",".join(f"k{n}=v" for n in range(32))], ",".join(f"k{n}=v" for n in range(32))),
    ([",".join(f"k{n}=v" for n in range(33))], ""),
    ([], ""),
]


@pytest.mark.parametrize(("lines", "expected"), STATES)
def test_tracestate_is_joined_when_every_member_is_good_else_dropped(lines: list[str], expected: str) -> None:
    assert combine_tracestate(lines) == expected


def test_tracestate_passes_beside_a_valid_traceparent_only() -> None:
    own = f"00-{TRACE}-{0xAB:016x}-01"
    both = Headers([("TraceParent", GOOD), ("Tracestate", "a=1"), ("tracestate", "b=2")])
    assert trace_fields(both, draw) == [("traceparent", own), ("tracestate", "a=1,b=2")]
    for broken in ([("tracestate", "a=1")], [("traceparent", "x"), ("tracestate", "a=1")]):
        assert [name for name, _ in trace_fields(Headers(broken), draw)] == ["traceparent"]


def test_where_no_trace_is_to_begin_one_that_came_goes_on_and_a_broken_one_is_mended() -> None:
    assert trace_fields(Headers([("tracestate", "a=1")]), draw, begins=False) == []
    assert trace_fields(Headers([("traceparent", GOOD)]), draw, begins=False)[0][1].startswith(f"00-{TRACE}-")
    assert trace_fields(Headers([("traceparent", "x")]), draw, begins=False)[0][1].startswith("00-0000")
