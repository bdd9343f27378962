"""Heads of replies, byte for byte: what is taken and what is refused."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.httpcore.errors import ProtocolError
from shared.httpcore.limits import DEFAULT_LIMITS
from shared.httpcore.parsing import find_head_end
from shared.httpcore.reply_parsing import ResponseHead, parse_response_head


def read_reply(wire: bytes) -> ResponseHead:
    end = find_head_end(wire, 0, DEFAULT_LIMITS)
    assert end == len(wire)
    return parse_response_head(wire, end, DEFAULT_LIMITS)


def reply(*lines: str, line: str = "HTTP/1.1 200 OK") -> bytes:
    return "\r\n".join([line, *lines, "", ""]).encode("latin-1")


# name, the head; status, reason, minor version, length, chunked, keep-alive
REPLIES: list[tuple[str, bytes, tuple[int, str, int, int | None, bool, bool]]] = [
    ("plain", reply(), (200, "OK", 1, None, False, True)),
    ("an empty reason", reply(line="HTTP/1.1 204 "), (204, "", 1, None, False, True)),
    ("no reason", reply(line="HTTP/1.1 204"), (204, "", 1, None, False, True)),
    ("a long reason", reply(line="HTTP/1.1 404 Not \xe9 Found"), (404, "Not \xe9 Found", 1, None, False, True)),
    ("a length", reply("Content-Length: 5"), (200, "OK", 1, 5, False, True)),
    ("chunked", reply("Transfer-Encoding: Chunked"), (200, "OK", 1, None, True, True)),
    ("close", reply("Connection: Close"), (200, "OK", 1, None, False, False)),
    ("two connections", reply("Connection: x", "Connection: close"), (200, "OK", 1, None, False, False)),
    ("HTTP/1.0", reply(line="HTTP/1.0 200 OK"), (200, "OK", 0, None, False, False)),
    ("HTTP/1.0 keep-alive", reply("Connection: keep-alive", line="HTTP/1.0 200 OK"), (200, "OK", 0, None, False, True)),
    ("100", reply(line="HTTP/1.1 100 Continue"), (100, "Continue", 1, None, False, True)),
    ("an unknown status", reply(line="HTTP/1.1 599 x"), (599, "x", 1, None, False, True)),
    ("204 with no length", reply("Content-Length: 0", line="HTTP/1.1 204 x"), (204, "x", 1, 0, False, True)),
    ("204 with a length", reply("Content-Length: 5", line="HTTP/1.1 204 x"), (204, "x", 1, 5, False, False)),
    ("204 with chunks", reply("Transfer-Encoding: chunked", line="HTTP/1.1 204 x"), (204, "x", 1, None, True, False)),
]  # fmt: skip


@pytest.mark.parametrize(("wire", "expected"), [case[1:] for case in REPLIES], ids=[case[0] for case in REPLIES])
def test_a_reply_is_read(wire: bytes, expected: tuple[int, str, int, int | None, bool, bool]) -> None:
    found = read_reply(wire)
    assert (
        found.status,
        found.reason,
        found.version_minor,
        found.content_length,
        found.is_chunked,
        found.keep_alive,
    ) == expected


BAD_REPLIES = [
    ("another protocol", reply(line="ICY 200 OK")),
    ("HTTP/2", reply(line="HTTP/2.0 200 OK")),
    ("no status", reply(line="HTTP/1.1 OK")),
    ("a short status", reply(line="HTTP/1.1 20 OK")),
    ("a long status", reply(line="HTTP/1.1 2000 OK")),
    ("a status from nowhere", reply(line="HTTP/1.1 600 OK")),
    ("status zero", reply(line="HTTP/1.1 000 OK")),
    ("two spaces", reply(line="HTTP/1.1  200 OK")),
    ("a control character in the reason", reply(line="HTTP/1.1 200 O\x01K")),
    ("obs-fold", reply("A: b", " c")),
    ("space before the colon", reply("A : b")),
    ("bare LF", b"HTTP/1.1 200 OK\nA: b\r\n\r\n"),
    ("NUL", reply("A: \x00")),
    ("TE and CL", reply("Transfer-Encoding: chunked", "Content-Length: 5")),
    ("two lengths", reply("Content-Length: 5", "Content-Length: 5")),
    ("an odd length", reply("Content-Length: 5, 5")),
    ("gzip, chunked", reply("Transfer-Encoding: gzip, chunked")),
    ("two TE", reply("Transfer-Encoding: chunked", "Transfer-Encoding: chunked")),
    ("TE on HTTP/1.0", reply("Transfer-Encoding: chunked", line="HTTP/1.0 200 OK")),
    ("too many fields", reply(*["A: b"] * 101)),
    ("a CR in a value", reply("A: b\rc")),
    ("a name that is no token", reply("A(: b")),
    ("no colon", reply("A")),
    ("two different lengths", reply("Content-Length: 5", "Content-Length: 6")),
    ("a signed length", reply("Content-Length: +5")),
    ("a length in hex", reply("Content-Length: 0x5")),
    ("a length with an underscore", reply("Content-Length: 1_0")),
    ("an empty length", reply("Content-Length:")),
    ("a length of 19 digits", reply("Content-Length: " + "1" * 19)),
    ("chunked, identity", reply("Transfer-Encoding: chunked, identity")),
    ("chunked with a tail", reply("Transfer-Encoding: chunked;q=1")),
    ("TE behind a control", reply("Transfer-Encoding: \x0bchunked")),
    ("an empty TE", reply("Transfer-Encoding:")),
    ("100 with a length", reply("Content-Length: 5", line="HTTP/1.1 100 Continue")),
    ("103 with chunks", reply("Transfer-Encoding: chunked", line="HTTP/1.1 103 Early Hints")),
    ("101 with a length", reply("Upgrade: x", "Content-Length: 5", line="HTTP/1.1 101 x")),
]


@pytest.mark.parametrize("wire", [case[1] for case in BAD_REPLIES], ids=[case[0] for case in BAD_REPLIES])
def test_what_is_no_reply_is_refused_as_a_bad_gateway(wire: bytes) -> None:
    with pytest.raises(ProtocolError) as refused:
        parse_response_head(wire, len(wire), DEFAULT_LIMITS)
    assert (refused.value.status, refused.value.code) == (502, "bad_reply")


@given(st.binary(max_size=200))
def test_any_bytes_are_a_reply_or_the_documented_error(wire: bytes) -> None:
    for data in (wire, b"HTTP/1.1 200 OK\r\n" + wire + b"\r\n\r\n"):
        try:
            parse_response_head(data, len(data), DEFAULT_LIMITS)
        except ProtocolError:
            pass
