"""The grammar's parts that `parsing` and `framing` are not tested with one by one."""

import pytest

from shared.httpcore import grammar

HOSTS = [
    (b"example.com", True),
    (b"a-b_c.d~e", True),
    (b"127.0.0.1:80", True),
    (b"[::1]", True),
    (b"[::ffff:127.0.0.1]:65535", True),
    (b"x:", True),
    (b"", False),
    (b":80", False),
    (b"x:123456", False),
    (b"[]", False),
    (b"[::1", False),
    (b"::1", False),
    (b"[::1]x", False),
    (b"x/y", False),
    (b"x\\y", False),
    (b"x@y", False),
    (b"x y", False),
    (b"x#y", False),
    (b"<x>", False),
    (b'"x"', False),
    (b"\xc3\xa9", False),
]


@pytest.mark.parametrize(("host", "expected"), HOSTS)
def test_hosts(host: bytes, expected: bool) -> None:
    assert (grammar.HOST.fullmatch(host) is not None) is expected
