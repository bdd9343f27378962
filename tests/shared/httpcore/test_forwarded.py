"""The Forwarded field: what is read, what is refused whole, and that what is written reads the same."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.httpcore.forwarded import (
    ForwardedElement,
    Node,
    canonical_address,
    parse_forwarded,
    parse_node,
    serialize_forwarded,
    serialize_node,
)

E = ForwardedElement

CASES = [
    ("nothing", "", ()),
    ("one proxy", "for=192.0.2.43", (E("192.0.2.43"),)),
    ("two (RFC 7239 §4)", "for=192.0.2.43, for=198.51.100.17", (E("192.0.2.43"), E("198.51.100.17"))),
    ("all parameters", 'for="_gazonk";by=1.1.1.1;host=a.b;proto=https', (E("_gazonk", "1.1.1.1", "a.b", "https"),)),
    ("names in any case", "For=1.1.1.1;PROTO=http", (E("1.1.1.1", proto="http"),)),
    ("an IPv6 address in quotes", 'For="[2001:db8:cafe::17]:4711"', (E("[2001:db8:cafe::17]:4711"),)),
    ("empty elements and pairs", ", for=1.1.1.1;; ,,for=2.2.2.2;,", (E("1.1.1.1"), E("2.2.2.2"))),
    ("separators in quotes", 'for="a,b;c";host="x"', (E("a,b;c", host="x"),)),
    ("escapes in quotes", r'for="a\"b\\c"', (E('a"b\\c'),)),
    ("an empty value in quotes", 'for=""', (E(""),)),
    ("a parameter of another standard", "for=1.1.1.1;secret=x", (E("1.1.1.1"),)),
    ("spaces round the semicolon, as some write", "for=1.1.1.1 ; proto=https", (E("1.1.1.1", proto="https"),)),
    ("said twice by one proxy", "for=1.1.1.1;for=2.2.2.2", None),
    ("an IPv6 address without quotes", "for=[2001:db8::1]", None),
    ("a port without quotes", "for=1.1.1.1:80", None),
    ("quotes that do not end", 'for="1.1.1.1', None),
    ("quotes that end twice", 'for="1.1.1.1""', None),
    ("quotes inside a value", 'for=1.1"1.1', None),
    ("no value", "for=", None),
    ("no name", "=1.1.1.1", None),
    ("no equals sign", "for", None),
    ("space before the equals sign", "for =1.1.1.1", None),
    ("two values with nothing between", "for=1.1.1.1 by=2.2.2.2", None),
    ("a malformed one after a good one", "for=1.1.1.1, x", None),
    ("a line feed", "for=1.1.1.1\n", None),
]


@pytest.mark.parametrize(("value", "expected"), [case[1:] for case in CASES], ids=[case[0] for case in CASES])
def test_a_field_is_read_whole_or_not_at_all(value: str, expected: tuple[ForwardedElement, ...] | None) -> None:
    assert parse_forwarded(value) == expected


@pytest.mark.parametrize(("value", "expected"), [case[1:] for case in CASES], ids=[case[0] for case in CASES])
def test_what_comes_after_it_changes_nothing_of_a_good_one_and_mends_no_bad_one(
    value: str, expected: tuple[ForwardedElement, ...] | None
) -> None:
    after = parse_forwarded(value + ",for=9.9.9.9")
    assert after == (None if expected is None else (*expected, E("9.9.9.9")))


QUOTABLE = st.text(st.characters(min_codepoint=32, max_codepoint=255, exclude_characters="\x7f"), max_size=20)


@given(st.lists(st.builds(E, *[st.none() | QUOTABLE] * 4).filter(lambda e: e != E()), max_size=5))
def test_what_is_written_is_read_the_same(elements: list[ForwardedElement]) -> None:
    # C1 controls (0x80-0x9F) are obs-text like the rest above 0x7F.
    assert parse_forwarded(", ".join(map(serialize_forwarded, elements))) == tuple(elements)


@given(st.text(st.characters(max_codepoint=255), max_size=60) | st.text('for=";,\\ 1.:[]', max_size=40))
def test_no_text_raises(text: str) -> None:
    parse_forwarded(text)
    parse_node(text)


def test_a_long_hostile_field_is_read_in_linear_time() -> None:
    assert parse_forwarded('for="' + "\\a" * 16_000) is None
    assert parse_forwarded(";," * 16_000) == ()


@pytest.mark.parametrize("value", ["a\nb", "a\rb", "a\x00", "\x7f", "€"])
def test_what_no_field_can_hold_is_not_written(value: str) -> None:
    with pytest.raises(ValueError, match="quoted-string"):
        serialize_forwarded(E(value))
    with pytest.raises(ValueError, match="must say something"):
        serialize_forwarded(E())


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("192.0.2.1", Node("192.0.2.1")),
        ("192.0.2.1:80", Node("192.0.2.1", 80)),
        ("[2001:DB8:0::1]", Node("2001:db8::1")),
        ("[2001:db8::1]:65535", Node("2001:db8::1", 65535)),
        ("[::ffff:192.0.2.1]:1", Node("192.0.2.1", 1)),
        ("192.0.2.1:_port", Node("192.0.2.1")),
        ("192.0.2.1:65536", None),
        ("192.0.2.1:", None),
        ("192.0.2.256", None),
        ("192.0.02.1", None),
        ("2001:db8::1", None),
        ("[192.0.2.1]", None),
        ("[fe80::1%eth0]", None),
        ("unknown", None),
        ("_hidden", None),
        ("", None),
        ("192.0.2.1 ", None),
    ],
)
def test_a_node_is_an_address_or_nothing(text: str, expected: Node | None) -> None:
    assert parse_node(text) == expected


@given(st.ip_addresses().map(str), st.integers(0, 65535))
def test_a_node_is_read_as_it_was_written(address: str, port: int) -> None:
    node = Node(canonical_address(address) or "", port)
    assert parse_node(serialize_node(node)) == node
