"""PROXY protocol, versions 1 and 2: who connected to the balancer in front, said before the first byte of the
connection proper. Values in, values out.

The standard is HAProxy's `proxy-protocol.txt`; its sections are cited as PP. From whom a header is taken is the
listener's rule: one who may send it must, and from anybody else it is not looked for (PP §2).
"""

import re
import struct
from dataclasses import dataclass
from functools import lru_cache
from ipaddress import IPv4Address, IPv6Address, ip_address

from shared.httpcore.errors import ProtocolError

SIGNATURE = b"\r\n\r\n\x00\r\nQUIT\n"  # PP §2.2: no protocol in use begins so
MAX_V1_BYTES = 107  # PP §2.1, CRLF included
MAX_V2_BYTES = 4096  # the length field could claim 64 KiB; addresses and what clouds add stay far below this
_V1_START = b"PROXY "
_V2_HEAD = struct.Struct("!12sBBH")
_TCP4 = struct.Struct("!4s4sHH")
_TCP6 = struct.Struct("!16s16sHH")
_ADDRESS_BYTES = {0x0: 0, 0x1: 12, 0x2: 36, 0x3: 216}  # by family: unspecified, IPv4, IPv6, Unix
_TLV = struct.Struct("!BH")
_CRC32C_TLV = 0x03

# PP §2.1: no leading zeros in ports; addresses are checked by `ipaddress`, which takes none in IPv4 either.
_V1_LINE = re.compile(
    rb"PROXY (?:(TCP[46]) ([0-9A-Fa-f.:]{2,39}) ([0-9A-Fa-f.:]{2,39}) (0|[1-9][0-9]{0,4}) (0|[1-9][0-9]{0,4})"
    rb"|UNKNOWN(?: [^\r\n]*+)?)\r\n"
)


@dataclass(frozen=True, slots=True)
class Endpoint:
    """One end of a connection: an IP address in its shortest form, and a port."""

    address: str
    port: int


@dataclass(frozen=True, slots=True)
class ProxyHeader:
    """What a header said, and how many bytes it took. Without ends (UNKNOWN, LOCAL, other families) the connection's
    own hold: the balancer spoke for itself, to see whether we are well.
    """

    size: int
    source: Endpoint | None = None
    destination: Endpoint | None = None


def parse_proxy_header(data: bytes) -> ProxyHeader | None:
    """The header that `data` begins with; None while it is incomplete, which ends by `MAX_V2_BYTES` at the latest.

    What follows it is left alone: the next bytes may be a TLS handshake. ProtocolError at the first byte that can't
    belong to a header.
    """
    if SIGNATURE.startswith(data[:12]) if len(data) < 12 else data.startswith(SIGNATURE):
        return _parse_v2(data) if len(data) >= _V2_HEAD.size else None
    if not (_V1_START.startswith(data) if len(data) < 6 else data.startswith(_V1_START)):
        raise _bad(f"got {data[:12]!r}, expected a PROXY protocol header")
    end = data.find(b"\n", 0, MAX_V1_BYTES)
    if end >= 0:
        return _parse_v1(data[: end + 1])
    if len(data) >= MAX_V1_BYTES:
        raise _bad(f"got {MAX_V1_BYTES} bytes without an end of line")
    return None


def _bad(message: str) -> ProtocolError:
    return ProtocolError(400, "bad_proxy_header", message)


def _parse_v1(line: bytes) -> ProxyHeader:
    found = _V1_LINE.fullmatch(line)
    if found is None:
        raise _bad(f"got {line!r}, expected PROXY TCP4 or TCP6, two addresses and two ports, or PROXY UNKNOWN")
    family, *ends = found.groups()
    if family is None:
        return ProxyHeader(len(line))
    version = 4 if family == b"TCP4" else 6
    source, destination, source_port, destination_port = (end.decode("ascii") for end in ends)
    return ProxyHeader(
        len(line), _v1_end(source, source_port, version), _v1_end(destination, destination_port, version)
    )


def _v1_end(text: str, port: str, version: int) -> Endpoint:
    try:
        address = ip_address(text)
    except ValueError:
        raise _bad(f"got {text!r}, expected an IPv{version} address") from None
    if address.version != version or int(port) > 65_535:
        raise _bad(f"got {text!r} and port {port}, expected an IPv{version} address and a port up to 65535")
    return Endpoint(_shortest(address), int(port))


def _parse_v2(data: bytes) -> ProxyHeader | None:
    _, version_and_command, family_and_protocol, length = _V2_HEAD.unpack_from(data)
    version, command = version_and_command >> 4, version_and_command & 0xF
    family, protocol = family_and_protocol >> 4, family_and_protocol & 0xF
    if version != 2 or command > 1:
        raise _bad(f"got version {version} and command {command}, expected version 2 and LOCAL or PROXY")
    size = _V2_HEAD.size + length
    if size > MAX_V2_BYTES:
        raise _bad(f"got a header of {size} bytes, expected no more than {MAX_V2_BYTES}")
    if command == 1 and (family not in _ADDRESS_BYTES or protocol > 2):
        raise _bad(f"got the family {family_and_protocol:#04x}, which PROXY protocol does not know")
    if command == 1 and length < _ADDRESS_BYTES[family]:
        raise _bad(f"got {length} bytes of addresses, expected at least {_ADDRESS_BYTES[family]}")
    if len(data) < size:
        return None
    if command == 0:  # PP §2.2: LOCAL: the rest is to be skipped, whatever it is
        return ProxyHeader(size)
    _check_tlvs(data[:size], _V2_HEAD.size + _ADDRESS_BYTES[family])
    if protocol != 1 or family not in (1, 2):  # not TCP over IP: nothing that we could use
        return ProxyHeader(size)
    packed = (_TCP4 if family == 1 else _TCP6).unpack_from(data, _V2_HEAD.size)
    source, destination, source_port, destination_port = packed
    return ProxyHeader(
        size,
        Endpoint(_shortest(ip_address(source)), source_port),
        Endpoint(_shortest(ip_address(destination)), destination_port),
    )


def _check_tlvs(header: bytes, at: int) -> None:
    """What we don't know is skipped (PP §2.2), but it must fill the header exactly; a checksum must be right."""
    while at < len(header):
        if at + _TLV.size > len(header):
            raise _bad("got a part of a TLV at the end of the header")
        kind, length = _TLV.unpack_from(header, at)
        at += _TLV.size
        if at + length > len(header):
            raise _bad(f"got a TLV of {length} bytes, expected no more than {len(header) - at}")
        if kind == _CRC32C_TLV:
            if length != 4:
                raise _bad(f"got a checksum of {length} bytes, expected 4")
            cleared = header[:at] + bytes(4) + header[at + 4 :]  # PP §2.2.3: counted with itself as zero
            if int.from_bytes(header[at : at + 4], "big") != crc32c(cleared):
                raise _bad("the checksum is wrong")
        at += length


def _shortest(address: IPv4Address | IPv6Address) -> str:
    """An IPv4 client on a dual-stack socket is an IPv4 client."""
    if isinstance(address, IPv6Address) and address.ipv4_mapped is not None:
        return str(address.ipv4_mapped)
    return str(address)


def serialize_proxy_v1(source: Endpoint | None, destination: Endpoint | None) -> bytes:
    """The line that names both ends; `PROXY UNKNOWN` when one is not known. ValueError for what is no address."""
    if source is None or destination is None:
        return b"PROXY UNKNOWN\r\n"
    ends = _same_family(source, destination)
    family = "TCP4" if ends[0].version == 4 else "TCP6"
    return f"PROXY {family} {ends[0]} {ends[1]} {source.port} {destination.port}\r\n".encode("ascii")


def serialize_proxy_v2(source: Endpoint | None, destination: Endpoint | None, *, checksum: bool = False) -> bytes:
    """The binary header; LOCAL when an end is not known, as for our own health checks. ValueError as above."""
    tail = _TLV.pack(_CRC32C_TLV, 4) + bytes(4) if checksum else b""
    if source is None or destination is None:
        header = _V2_HEAD.pack(SIGNATURE, 0x20, 0x00, len(tail)) + tail
    else:
        ends = _same_family(source, destination)
        layout, family = (_TCP4, 0x11) if ends[0].version == 4 else (_TCP6, 0x21)
        addresses = layout.pack(ends[0].packed, ends[1].packed, source.port, destination.port)
        header = _V2_HEAD.pack(SIGNATURE, 0x21, family, len(addresses) + len(tail)) + addresses + tail
    return header[:-4] + crc32c(header).to_bytes(4, "big") if checksum else header


def serialize_proxy_header(version: int, source: Endpoint | None = None, destination: Endpoint | None = None) -> bytes:
    """The header in version 1 or 2; without ends it speaks for the sender itself. ValueError for what is no address."""
    return (serialize_proxy_v1 if version == 1 else serialize_proxy_v2)(source, destination)


def _same_family(*ends: Endpoint) -> list[IPv4Address | IPv6Address]:
    """Both as they are, or IPv4 mapped into IPv6 when only one of them is IPv4; a header has one family."""
    addresses = [ip_address(end.address) for end in ends]
    if len({address.version for address in addresses}) == 1:
        return addresses
    return [
        IPv6Address(b"\x00" * 10 + b"\xff\xff" + each.packed) if isinstance(each, IPv4Address) else each
        for each in addresses
    ]


def crc32c(data: bytes) -> int:
    """The Castagnoli checksum (RFC 3309), 32 bits."""
    table = _crc32c_table()
    crc = 0xFFFFFFFF
    for octet in data:
        crc = table[(crc ^ octet) & 0xFF] ^ (crc >> 8)
    return crc ^ 0xFFFFFFFF


@lru_cache(maxsize=1)
def _crc32c_table() -> tuple[int, ...]:
    table = []
    for octet in range(256):
        crc = octet
        for _ in range(8):
            crc = (crc >> 1) ^ (0x82F63B78 if crc & 1 else 0)
        table.append(crc)
    return tuple(table)
