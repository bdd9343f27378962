"""The names a certificate is for and when it ends, read from its DER bytes: `ssl` tells a server neither of its own.

Pure. Knows as much of X.509 (RFC 5280 §4.1) as it takes to find subjectAltName and notAfter; whether a certificate is
any good is for OpenSSL to say.
"""

import calendar
import re
from collections.abc import Iterator

_SEQUENCE = 0x30
_INTEGER = 0x02
_OID = 0x06
_OCTET_STRING = 0x04
_VERSION = 0xA0  # [0] of TBSCertificate, absent from version 1
_EXTENSIONS = 0xA3  # [3] of TBSCertificate
_UTC_TIME = 0x17
_GENERALIZED_TIME = 0x18
_TIME = re.compile(rb"([0-9]{2,4})([0-9]{2})([0-9]{2})([0-9]{2})([0-9]{2})([0-9]{2})Z")
_DNS_NAME = 0x82  # [2] of GeneralName
_SUBJECT_ALT_NAME = bytes((0x55, 0x1D, 0x11))  # 2.5.29.17


def parse_dns_names(der: bytes) -> tuple[str, ...]:
    """The DNS names of subjectAltName, in lower case, wildcards as written. ValueError for what is no certificate."""
    for tag, content in _elements(_tbs_certificate(der)):
        if tag == _EXTENSIONS:
            for _, extension in _elements(_only(content, _SEQUENCE)):
                parts = list(_elements(extension))
                if parts[0] == (_OID, _SUBJECT_ALT_NAME):
                    return tuple(_dns_names(_only(parts[-1][1], _SEQUENCE)))
    return ()


def parse_not_after(der: bytes) -> int:
    """When the certificate ends, Unix time in seconds. ValueError for what is no certificate."""
    fields = [each for each in _elements(_tbs_certificate(der)) if each[0] != _VERSION]
    # serialNumber, signature, issuer, validity
    if len(fields) < 4 or fields[0][0] != _INTEGER or fields[3][0] != _SEQUENCE:
        raise ValueError("got no validity where a certificate has it")
    times = list(_elements(fields[3][1]))
    if len(times) != 2:
        raise ValueError(f"got {len(times)} times as validity, expected 2")
    return _parse_time(*times[1])


def _parse_time(tag: int, content: bytes) -> int:
    """RFC 5280 §4.1.2.5: always with seconds and in UTC; two digits of a year below 50 are of this century."""
    match = _TIME.fullmatch(content)
    year_digits = {_UTC_TIME: 2, _GENERALIZED_TIME: 4}.get(tag)
    if match is None or len(match[1]) != year_digits:
        raise ValueError(f"got {content[:20]!r} as a time, expected YYMMDDHHMMSSZ")
    year, month, day, hour, minute, second = map(int, match.groups())
    if year_digits == 2:
        year += 2000 if year < 50 else 1900
    return calendar.timegm((year, month, day, hour, minute, second, 0, 0, 0))


def _tbs_certificate(der: bytes) -> bytes:
    return _only(_only(der, _SEQUENCE), _SEQUENCE)


def _dns_names(general_names: bytes) -> Iterator[str]:
    for tag, content in _elements(general_names):
        if tag == _DNS_NAME:
            yield content.decode("ascii").lower()


def _only(data: bytes, expected_tag: int) -> bytes:
    """The content of the one element that `data` begins with."""
    tag, content = next(_elements(data), (0, b""))
    if tag != expected_tag:
        raise ValueError(f"got an element of type {tag:#x}, expected {expected_tag:#x}")
    return content


def _elements(data: bytes) -> Iterator[tuple[int, bytes]]:
    """Tag and content of each element, one after another (X.690 §8.1; DER has definite lengths only)."""
    at = 0
    while at < len(data):
        if at + 2 > len(data):
            raise ValueError("got the end inside an element")
        tag, length, start = data[at], data[at + 1], at + 2
        if length >= 0x80:
            start += length & 0x7F
            length = int.from_bytes(data[at + 2 : start], "big")
        at = start + length
        if at > len(data):
            raise ValueError(f"got an element of {length} bytes, of which {max(0, len(data) - start)} are there")
        yield tag, data[start:at]
