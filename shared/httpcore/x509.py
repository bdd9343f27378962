"""The names a certificate is for, read from its DER bytes: the one thing that `ssl` does not tell a server of its own.

Pure. Knows as much of X.509 (RFC 5280 §4.1) as it takes to find subjectAltName; whether a certificate is any good
is for OpenSSL to say.
"""

from collections.abc import Iterator

_SEQUENCE = 0x30
_OID = 0x06
_OCTET_STRING = 0x04
_EXTENSIONS = 0xA3  # [3] of TBSCertificate
_DNS_NAME = 0x82  # [2] of GeneralName
_SUBJECT_ALT_NAME = bytes((0x55, 0x1D, 0x11))  # 2.5.29.17


def parse_dns_names(der: bytes) -> tuple[str, ...]:
    """The DNS names of subjectAltName, in lower case, wildcards as written. ValueError for what is no certificate."""
    certificate = _only(der, _SEQUENCE)
    tbs_certificate = next(_elements(certificate))[1]
    for tag, content in _elements(tbs_certificate):
        if tag == _EXTENSIONS:
            for _, extension in _elements(_only(content, _SEQUENCE)):
                parts = list(_elements(extension))
                if parts[0] == (_OID, _SUBJECT_ALT_NAME):
                    return tuple(_dns_names(_only(parts[-1][1], _SEQUENCE)))
    return ()


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
