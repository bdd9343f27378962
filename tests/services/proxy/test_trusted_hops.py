"""Who is behind the neighbour, as far as those can tell whom we trust."""

from ipaddress import ip_network

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.proxy.trusted_hops import MAX_WALK, RealIpField, TrustedHops, parse_hop, parse_hops
from shared.httpcore.forwarded import Node

OURS = (ip_network("10.0.0.0/8"), ip_network("2001:db8::/32"))


def client_of(value: str, *, recursive: bool = True) -> str | None:
    hops = parse_hops([value] if value else [])
    at = TrustedHops(OURS, RealIpField.X_FORWARDED_FOR, recursive).walk(hops)
    node = hops[at] if at >= 0 else None
    return node.address if node is not None else None


@pytest.mark.parametrize(
    ("value", "recursively", "once"),
    [
        ("", None, None),
        ("9.9.9.9", "9.9.9.9", "9.9.9.9"),
        ("6.6.6.6, 9.9.9.9", "9.9.9.9", "9.9.9.9"),
        ("6.6.6.6, 9.9.9.9, 10.0.0.2", "9.9.9.9", "10.0.0.2"),
        ("6.6.6.6,9.9.9.9:55,[2001:db8::7]:80,10.0.0.2", "9.9.9.9", "10.0.0.2"),
        ("9.9.9.9, unknown, 10.0.0.2", "10.0.0.2", "10.0.0.2"),
        ("9.9.9.9, unknown", None, None),
        ("9.9.9.9,", None, None),
        ("10.0.0.3, 10.0.0.2", "10.0.0.3", "10.0.0.2"),
        ("2001:DB8::5, 2001:db8:0::6", "2001:db8::5", "2001:db8::6"),
        ("::ffff:9.9.9.9, ::ffff:10.0.0.1", "9.9.9.9", "10.0.0.1"),
    ],
)
def test_the_client_is_the_first_from_the_right_that_is_not_ours(
    value: str, recursively: str | None, once: str | None
) -> None:
    assert client_of(value) == recursively
    assert client_of(value, recursive=False) == once


def test_several_lines_are_one_list() -> None:
    assert parse_hops(["1.1.1.1, 2.2.2.2", "3.3.3.3"]) == [Node("1.1.1.1"), Node("2.2.2.2"), Node("3.3.3.3")]


def test_a_long_list_is_walked_from_its_end_only_so_far() -> None:
    hops = parse_hops(["1.1.1.1," * 5000 + "10.0.0.1," * (MAX_WALK + 3) + "10.0.0.2"])
    assert len(hops) == MAX_WALK
    assert TrustedHops(OURS).walk(hops) == 0


def test_nobody_is_trusted_without_networks_and_no_text_is_an_address() -> None:
    assert not TrustedHops().trusts("10.0.0.1")
    assert TrustedHops(OURS).trusts("10.255.255.255")
    assert not TrustedHops(OURS).trusts("11.0.0.0")
    assert not TrustedHops(OURS).trusts("not an address")


@given(st.lists(st.text(st.characters(min_codepoint=32, max_codepoint=255), max_size=40), max_size=5))
def test_no_field_raises_and_what_is_found_stands_in_it(lines: list[str]) -> None:
    hops = parse_hops(lines)
    at = TrustedHops(OURS).walk(hops)
    assert -1 <= at < len(hops)
    assert at < 0 or hops[at] is not None


@given(st.lists(st.ip_addresses().map(str), max_size=8), st.ip_addresses(v=4).filter(lambda ip: ip not in OURS[0]))
def test_what_a_client_writes_before_itself_never_changes_who_it_is(forged: list[str], client: object) -> None:
    assert client_of(", ".join([*forged, str(client), "10.1.1.1"])) == str(client)


def test_a_hop_may_have_a_port_and_brackets_or_not() -> None:
    for text in ("2001:db8::1", "[2001:db8::1]", "[2001:db8::1]:443"):
        node = parse_hop(text)
        assert node is not None
        assert node.address == "2001:db8::1"
