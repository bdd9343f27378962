"""PROXY protocol: each header whole, in two parts cut anywhere, byte by byte, and with the connection's bytes after."""

import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.httpcore.errors import ProtocolError
from shared.httpcore.proxy_protocol import (
    MAX_V2_BYTES,
    SIGNATURE,
    Endpoint,
    ProxyHeader,
    crc32c,
    parse_proxy_header,
    serialize_proxy_v1,
    serialize_proxy_v2,
)
from tests.shared.httpcore.splitting import every_split

V4 = (Endpoint("192.0.2.1", 56324), Endpoint("198.51.100.2", 443))
V6 = (Endpoint("2001:db8::1", 1), Endpoint("2001:db8::2", 65535))
V4_BYTES = bytes([192, 0, 2, 1, 198, 51, 100, 2]) + struct.pack("!HH", 56324, 443)
V6_BYTES = bytes.fromhex("20010db8000000000000000000000001" + "20010db8000000000000000000000002") + b"\x00\x01\xff\xff"
AFTER = (b"GET / HTTP/1.1\r\n\r\n", b"\x16\x03\x01", b"\n", SIGNATURE, b"PROXY UNKNOWN\r\n")


def v2(command: int, family: int, payload: bytes, length: int | None = None) -> bytes:
    return (
        SIGNATURE + bytes([command, family]) + struct.pack("!H", len(payload) if length is None else length) + payload
    )


def tlv(kind: int, value: bytes) -> bytes:
    return bytes([kind]) + struct.pack("!H", len(value)) + value


def with_checksum(head: bytes) -> bytes:
    return head[:-4] + crc32c(head).to_bytes(4, "big")


CHECKED = with_checksum(v2(0x21, 0x11, V4_BYTES + tlv(1, b"h2") + tlv(3, bytes(4))))

GOOD = [
    ("v1, IPv4", b"PROXY TCP4 192.0.2.1 198.51.100.2 56324 443\r\n", V4),
    ("v1, IPv6", b"PROXY TCP6 2001:db8::1 2001:DB8:0:0::2 1 65535\r\n", V6),
    ("v1, the longest", b"PROXY TCP6 " + b"ffff:" * 7 + b"ffff " + b"ffff:" * 7 + b"ffff 65535 65535\r\n",
     (Endpoint(":".join(["ffff"] * 8), 65535), Endpoint(":".join(["ffff"] * 8), 65535))),
    ("v1, IPv4 mapped", b"PROXY TCP6 ::ffff:192.0.2.1 ::ffff:198.51.100.2 56324 443\r\n", V4),
    ("v1, unknown", b"PROXY UNKNOWN\r\n", None),
    ("v1, unknown with what is to be ignored", b"PROXY UNKNOWN ffff::1 ? 1 70000\r\n", None),
    ("v1, port 0", b"PROXY TCP4 1.0.0.0 255.255.255.255 0 0\r\n",
     (Endpoint("1.0.0.0", 0), Endpoint("255.255.255.255", 0))),
    ("v2, IPv4", v2(0x21, 0x11, V4_BYTES), V4),
    ("v2, IPv6", v2(0x21, 0x21, V6_BYTES), V6),
    ("v2, TLVs that nobody knows", v2(0x21, 0x11, V4_BYTES + tlv(0xEA, b"x" * 20) + tlv(4, b"")), V4),
    ("v2, a checksum", CHECKED, V4),
    ("v2, LOCAL", v2(0x20, 0x00, b""), None),
    ("v2, LOCAL with anything", v2(0x20, 0x11, b"anything"), None),
    ("v2, unspecified", v2(0x21, 0x00, b""), None),
    ("v2, UDP", v2(0x21, 0x12, V4_BYTES), None),
    ("v2, Unix", v2(0x21, 0x31, bytes(216)), None),
    ("v2, the longest", v2(0x21, 0x11, V4_BYTES + tlv(4, bytes(MAX_V2_BYTES - 16 - 12 - 3))), V4),
]  # fmt: skip


@pytest.mark.parametrize(("wire", "ends"), [case[1:] for case in GOOD], ids=[case[0] for case in GOOD])
def test_a_header_means_the_same_however_it_arrives(wire: bytes, ends: tuple[Endpoint, Endpoint] | None) -> None:
    expected = ProxyHeader(len(wire), *(ends or (None, None)))
    for end in range(len(wire)):
        assert parse_proxy_header(wire[:end]) is None, f"after {end} bytes"
    assert parse_proxy_header(wire) == expected
    for after in AFTER:
        assert parse_proxy_header(wire + after) == expected


def feed(parts: tuple[bytes, ...]) -> None:
    """As a connection does: the header is asked for again with every part that comes."""
    received = b""
    for part in parts:
        received += part
        assert parse_proxy_header(received) is None


BAD = [
    ("an HTTP request", b"GET / HTTP/1.1\r\n", 1),
    ("a POST, which begins like PROXY", b"POST / HTTP/1.1\r\n", 2),
    ("TLS", b"\x16\x03\x01", 1),
    ("lower case", b"proxy TCP4", 1),
    ("two spaces", b"PROXY  TCP4 192.0.2.1 198.51.100.2 1 2\r\n", None),
    ("a space at the end", b"PROXY TCP4 192.0.2.1 198.51.100.2 1 2 \r\n", None),
    ("bare LF", b"PROXY TCP4 192.0.2.1 198.51.100.2 1 2\n", None),
    ("a CR inside", b"PROXY UNKNOWN a\rb\r\n", None),
    ("a port with a leading zero", b"PROXY TCP4 192.0.2.1 198.51.100.2 01 2\r\n", None),
    ("a port over 65535", b"PROXY TCP4 192.0.2.1 198.51.100.2 65536 2\r\n", None),
    ("a port missing", b"PROXY TCP4 192.0.2.1 198.51.100.2 1\r\n", None),
    ("an address with a leading zero", b"PROXY TCP4 192.0.02.1 198.51.100.2 1 2\r\n", None),
    ("IPv6 in TCP4", b"PROXY TCP4 ::1 ::2 1 2\r\n", None),
    ("IPv4 in TCP6", b"PROXY TCP6 192.0.2.1 198.51.100.2 1 2\r\n", None),
    ("a name", b"PROXY TCP4 localhost 198.51.100.2 1 2\r\n", None),
    ("another protocol", b"PROXY UDP4 192.0.2.1 198.51.100.2 1 2\r\n", None),
    ("UNKNOWN with a tail", b"PROXY UNKNOWNX\r\n", None),
    ("a v1 header over 107 bytes", b"PROXY UNKNOWN " + b"x" * 93, 107),
    ("a v1 header of 108 bytes with its end", b"PROXY UNKNOWN " + b"x" * 92 + b"\r\n", 107),
    ("a signature cut short", SIGNATURE[:-1] + b"x", 12),
    ("version 1 in binary", v2(0x11, 0x11, V4_BYTES), 16),
    ("version 3", v2(0x31, 0x11, V4_BYTES), 16),
    ("an unknown command", v2(0x22, 0x11, V4_BYTES), 16),
    ("an unknown family", v2(0x21, 0x41, V4_BYTES), 16),
    ("an unknown transport", v2(0x21, 0x13, V4_BYTES), 16),
    ("addresses cut short", v2(0x21, 0x21, V4_BYTES), 16),
    ("Unix addresses cut short", v2(0x21, 0x31, bytes(215)), 16),
    ("a length over the bound", v2(0x20, 0x00, b"", 0xFFFF), 16),
    ("a byte over the bound", v2(0x20, 0x00, b"", MAX_V2_BYTES - 15), 16),
    ("half a TLV", v2(0x21, 0x11, V4_BYTES + b"\x04\x00"), None),
    ("a TLV over the end", v2(0x21, 0x11, V4_BYTES + b"\x04\x00\x02x"), None),
    ("a wrong checksum", CHECKED[:-1] + bytes([CHECKED[-1] ^ 1]), None),
    ("a checksum over other ports", CHECKED[:27] + bytes([CHECKED[27] ^ 1]) + CHECKED[28:], None),
    ("a checksum of three bytes", v2(0x21, 0x11, V4_BYTES + tlv(3, bytes(3))), None),
]


@pytest.mark.parametrize(("wire", "at"), [case[1:] for case in BAD], ids=[case[0] for case in BAD])
def test_what_is_no_header_is_refused_at_its_first_wrong_byte(wire: bytes, at: int | None) -> None:
    """`at`: after how many bytes at the latest it can be told; None: at the end."""
    at = at or len(wire)
    for parts in every_split(wire):
        with pytest.raises(ProtocolError) as caught:
            feed(parts)
        assert (caught.value.status, caught.value.code) == (400, "bad_proxy_header")
    with pytest.raises(ProtocolError):
        parse_proxy_header(wire[:at])
    for after in AFTER:
        with pytest.raises(ProtocolError):
            parse_proxy_header(wire + after)


ENDS = st.builds(Endpoint, st.ip_addresses(v=4).map(str), st.integers(0, 65535)) | st.builds(
    Endpoint, st.ip_addresses(v=6).filter(lambda ip: ip.ipv4_mapped is None).map(str), st.integers(0, 65535)
)


@given(ENDS, ENDS, st.booleans(), st.binary(max_size=30))
def test_what_is_written_is_read_the_same(source: Endpoint, to: Endpoint, checksum: bool, after: bytes) -> None:
    one, two = serialize_proxy_v1(source, to), serialize_proxy_v2(source, to, checksum=checksum)
    for wire in (one, two):
        assert parse_proxy_header(wire + after) == ProxyHeader(len(wire), source, to)
        assert parse_proxy_header(wire[:-1]) is None


@pytest.mark.parametrize("ends", [(None, None), (V4[0], None), (None, V4[1])])
def test_ends_that_are_not_known_are_not_made_up(ends: tuple[Endpoint | None, Endpoint | None]) -> None:
    for wire in (serialize_proxy_v1(*ends), serialize_proxy_v2(*ends), serialize_proxy_v2(*ends, checksum=True)):
        assert parse_proxy_header(wire) == ProxyHeader(len(wire))


def test_the_bytes_are_those_of_the_standard() -> None:
    assert serialize_proxy_v1(*V4) == GOOD[0][1]
    assert serialize_proxy_v2(*V4) == v2(0x21, 0x11, V4_BYTES)
    assert serialize_proxy_v2(*V6) == v2(0x21, 0x21, V6_BYTES)
    mapped = serialize_proxy_v1(V4[0], V6[1])
    assert mapped.startswith(b"PROXY TCP6 ::ffff:")
    assert crc32c(b"123456789") == 0xE3069283  # the check value of RFC 3720 §B.4's polynomial


def test_what_is_no_address_is_not_written() -> None:
    for write in (serialize_proxy_v1, serialize_proxy_v2):
        with pytest.raises(ValueError):
            write(Endpoint("localhost", 1), V4[1])


@given(st.binary(max_size=80) | st.binary(max_size=80).map(lambda tail: SIGNATURE + tail))
def test_other_bytes_raise_nothing_else(data: bytes) -> None:
    try:
        header = parse_proxy_header(data)
    except ProtocolError:
        return
    assert header is None or header.size <= len(data)
