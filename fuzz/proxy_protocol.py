"""What stands before the first byte of a connection from a balancer: bytes, cut anywhere, to a header."""

import random
from collections.abc import Iterable

from fuzz.target import Target, expect_equal, random_parts, take_choices
from shared.httpcore.errors import ProtocolError
from shared.httpcore.proxy_protocol import (
    MAX_V2_BYTES,
    SIGNATURE,
    Endpoint,
    ProxyHeader,
    parse_proxy_header,
    serialize_proxy_v1,
    serialize_proxy_v2,
)


def read(parts: Iterable[bytes]) -> ProxyHeader | str | None:
    """What a connection makes of these parts: a header, an error, or nothing yet."""
    received = b""
    for part in parts:
        received += part
        try:
            header = parse_proxy_header(received)
        except ProtocolError as error:
            return error.code
        if header is not None:
            return header
    return None


def check(data: bytes) -> None:
    """The same header, whole or cut, which can be written and read back; ProtocolError is the only error."""
    choices, wire = take_choices(data)
    header = read([wire])
    expect_equal(header, read(random_parts(wire, choices)), "whole and cut")
    if header is None:
        assert len(wire) < MAX_V2_BYTES, "a header that does not end"
    elif isinstance(header, ProxyHeader):
        assert header.size <= len(wire), "more than came"
        for written in (
            serialize_proxy_v1(header.source, header.destination),
            serialize_proxy_v2(header.source, header.destination, checksum=choices.random() < 0.5),
        ):
            again = ProxyHeader(len(written), header.source, header.destination)
            expect_equal(again, parse_proxy_header(written), "written and read")


def _seeds() -> list[bytes]:
    choices = random.Random(7)
    ends = Endpoint("192.0.2.1", 5), Endpoint("198.51.100.2", 443)
    wide = Endpoint("2001:db8::1", 5), Endpoint("2001:db8::2", 443)
    headers = [b"PROXY UNKNOWN\r\n", SIGNATURE + b"\x20\x00\x00\x00"]
    for source, destination in (ends, wide):
        headers += [
            serialize_proxy_v1(source, destination),
            serialize_proxy_v2(source, destination),
            serialize_proxy_v2(source, destination, checksum=True),
        ]
    return [choices.randbytes(2) + header + b"GET / HTTP/1.1\r\n\r\n" for header in headers]


TARGET = Target(
    "proxy_protocol",
    check,
    ("shared.httpcore.proxy_protocol",),
    _seeds(),
    (b"PROXY ", b"TCP4 ", b"TCP6 ", b"UNKNOWN", b"\r\n", SIGNATURE, b"::ffff:", b"\x03\x00\x04"),
    max_bytes=400,
)
