"""Heads as bytes: what is a request, what is a reply, and what is neither, at any cut."""

import re

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from shared.httpcore.errors import ProtocolError
from shared.httpcore.limits import DEFAULT_LIMITS, KIB, Limits
from shared.httpcore.message import Request
from shared.httpcore.parsing import (
    find_head_end,
    parse_repeated_head,
    parse_request_head,
)
from shared.httpcore.request_head import HeadFields
from tests.shared.httpcore.splitting import every_split

AFTER = b"GET /after HTTP/1.1\r\nHost: after\r\n\r\n\x00\r\n\n"


def read_request(pieces: tuple[bytes, ...], limits: Limits = DEFAULT_LIMITS) -> tuple[Request, bytes] | None:
    """As a connection does it: the request and what follows it, or None when the bytes are too few."""
    buffer, scanned = b"", 0
    for index, piece in enumerate(pieces):
        buffer += piece
        if end := find_head_end(buffer, scanned, limits):
            return parse_request_head(buffer, end, limits), buffer[end:] + b"".join(pieces[index + 1 :])
        scanned = len(buffer)
    return None


def head(*lines: str, host: str | None = "x", line: str = "GET / HTTP/1.1") -> bytes:
    """A request's head; `host` None leaves Host out."""
    fields = [] if host is None else [f"Host: {host}"]
    return "\r\n".join([line, *fields, *lines, "", ""]).encode("latin-1")


def facts(request: Request) -> dict[str, object]:
    """What decides, where it is not what a plain GET of / on host x has."""
    plain = {
        "method": "GET",
        "target": "/",
        "raw_path": "/",
        "query": "",
        "version_minor": 1,
        "host": "x",
        "content_length": None,
        "is_chunked": False,
        "keep_alive": True,
        "expects_continue": False,
        "upgrade": "",
        "id": "",
    }
    return {name: getattr(request, name) for name, value in plain.items() if getattr(request, name) != value}


# name, the head, what differs from a plain GET
ACCEPTED: list[tuple[str, bytes, dict[str, object]]] = [
    ("plain", head(), {}),
    ("no space after the colon", head("A:b"), {}),
    ("space around values", head("A: \t b \t ", "Content-Length: \t5 "), {"content_length": 5}),
    ("empty value", head("A:"), {}),
    ("octets above ASCII in a value", head("A: \xe9\xff"), {}),
    ("a tab in a value", head("A: b\tc"), {}),
    ("every character of a token", head("!#$%&'*+-.^_`|~09AZaz: x"), {}),
    ("names in any case", head("cOnTeNt-LeNgTh: 7"), {"content_length": 7}),
    ("another method", head(line="PATCH /a HTTP/1.1"), {"method": "PATCH", "target": "/a", "raw_path": "/a"}),
    ("methods have case", head(line="get / HTTP/1.1"), {"method": "get"}),
    ("a query", head(line="GET /a?b=c?d HTTP/1.1"), {"target": "/a?b=c?d", "raw_path": "/a", "query": "b=c?d"}),
    ("percent escapes", head(line="GET /%2e%2E/ HTTP/1.1"), {"target": "/%2e%2E/", "raw_path": "/%2e%2E/"}),
    ("two slashes", head(line="GET //a HTTP/1.1"), {"target": "//a", "raw_path": "//a"}),
    ("a colon in the path", head(line="GET /a:b HTTP/1.1"), {"target": "/a:b", "raw_path": "/a:b"}),
    ("asterisk", head(line="OPTIONS * HTTP/1.1"), {"method": "OPTIONS", "target": "*", "raw_path": "*"}),
    # RFC 9112 §3.2.2
    ("absolute form", head(line="GET http://x/a?b HTTP/1.1"), {"target": "/a?b", "raw_path": "/a", "query": "b"}),
    ("absolute form without a path", head(line="GET http://x HTTP/1.1"), {}),
    ("absolute form with a query only", head(line="GET http://x?b HTTP/1.1"), {"target": "/?b", "query": "b"}),
    ("absolute form in capitals", head(line="GET HTTP://X/ HTTP/1.1"), {}),
    ("absolute form with the default port", head(line="GET http://x:80/ HTTP/1.1"), {}),
    ("absolute form, Host with the default port", head(line="GET http://x/ HTTP/1.1", host="x:80"), {"host": "x:80"}),
    ("absolute form with an address", head(line="GET http://[::1]:8/a HTTP/1.1", host="[::1]:8"),
     {"host": "[::1]:8", "target": "/a", "raw_path": "/a"}),
    # Host
    ("host in capitals", head(host="EXAMPLE.com:8080"), {"host": "example.com:8080"}),
    ("host with an empty port", head(host="x:"), {"host": "x:"}),
    ("host with an IPv6 address", head(host="[fe80::1]:1"), {"host": "[fe80::1]:1"}),
    ("host with spaces around", head(host=" x\t"), {}),
    ("HTTP/1.0 without Host", head(line="GET / HTTP/1.0", host=None),
     {"host": "", "version_minor": 0, "keep_alive": False}),
    # RFC 9112 §9.3
    ("HTTP/1.0", head(line="GET / HTTP/1.0"), {"version_minor": 0, "keep_alive": False}),
    ("HTTP/1.0 keep-alive", head("Connection: Keep-Alive", line="GET / HTTP/1.0"), {"version_minor": 0}),
    ("close", head("Connection: close"), {"keep_alive": False}),
    ("close in a list", head("Connection: x, Close ,y"), {"keep_alive": False}),
    ("close in a second field", head("Connection: x", "Connection: close"), {"keep_alive": False}),
    ("close beats keep-alive", head("Connection: keep-alive, close"), {"keep_alive": False}),
    ("close beats keep-alive on HTTP/1.0", head("Connection: close, keep-alive", line="GET / HTTP/1.0"),
     {"version_minor": 0, "keep_alive": False}),
    ("no close within a word", head("Connection: not-close"), {}),
    # framing
    ("a length", head("Content-Length: 0"), {"content_length": 0}),
    ("a length with zeros in front", head("Content-Length: 005"), {"content_length": 5}),
    ("the longest length", head("Content-Length: " + "9" * 18), {"content_length": 10**18 - 1}),
    ("chunked", head("Transfer-Encoding: chunked"), {"is_chunked": True}),
    ("chunked in any case", head("transfer-encoding:\tCHUNKED "), {"is_chunked": True}),
    # RFC 9110 §10.1.1
    ("100-continue", head("Expect: 100-Continue", "Content-Length: 1"),
     {"expects_continue": True, "content_length": 1}),
    ("an expectation on HTTP/1.0 is ignored", head("Expect: 100-continue", line="GET / HTTP/1.0"),
     {"version_minor": 0, "keep_alive": False}),
    # RFC 9110 §7.8
    ("upgrade", head("Upgrade: WebSocket", "Connection: keep-alive, Upgrade"), {"upgrade": "websocket"}),
    ("upgrade that Connection does not name", head("Upgrade: websocket"), {}),
    ("upgrade on HTTP/1.0 is ignored", head("Upgrade: websocket", "Connection: upgrade", line="GET / HTTP/1.0"),
     {"version_minor": 0, "keep_alive": False}),
    # the request id
    ("an id", head("X-Request-Id: Abc-1._:+/=@"), {"id": "Abc-1._:+/=@"}),
    ("an odd id is not taken", head("X-Request-Id: a b"), {}),
    ("a long id is not taken", head("X-Request-Id: " + "a" * 129), {}),
    ("two ids are not taken", head("X-Request-Id: a", "X-Request-Id: b"), {}),
]  # fmt: skip

# name, the head, status, code
REFUSED: list[tuple[str, bytes, int, str]] = [
    # the request line
    ("two words", head(line="GET /"), 400, "bad_request_line"),
    ("four words", head(line="GET / x HTTP/1.1"), 400, "bad_request_line"),
    ("two spaces", head(line="GET  / HTTP/1.1"), 400, "bad_request_line"),
    ("a tab", head(line="GET\t/ HTTP/1.1"), 400, "bad_request_line"),
    ("a space in front", head(line=" GET / HTTP/1.1"), 400, "bad_request_line"),
    ("a space at the end", head(line="GET / HTTP/1.1 "), 400, "bad_request_line"),
    ("no method", head(line=" / HTTP/1.1"), 400, ""),
    ("a method that is no token", head(line="GE(T / HTTP/1.1"), 400, ""),
    ("small http", head(line="GET / http/1.1"), 400, "bad_request_line"),
    ("another protocol", head(line="GET / ICY/1.1"), 400, "bad_request_line"),
    ("no version", head(line="GET / HTTP/"), 400, "bad_request_line"),
    ("a longer version", head(line="GET / HTTP/1.10"), 400, "bad_request_line"),
    ("HTTP/2.0", head(line="GET / HTTP/2.0"), 505, "bad_version"),
    ("HTTP/0.9", head(line="GET / HTTP/0.9"), 505, "bad_version"),
    ("HTTP/1.2", head(line="GET / HTTP/1.2"), 505, "bad_version"),
    ("the preface of HTTP/2", b"PRI * HTTP/2.0\r\n\r\n", 505, "bad_version"),
    # the target
    ("a relative path", head(line="GET a HTTP/1.1"), 400, "bad_target"),
    ("asterisk for GET", head(line="GET * HTTP/1.1"), 400, "bad_target"),
    ("a fragment", head(line="GET /a#b HTTP/1.1"), 400, "bad_target"),
    ("half an escape", head(line="GET /%2 HTTP/1.1"), 400, "bad_target"),
    ("no escape", head(line="GET /%zz HTTP/1.1"), 400, "bad_target"),
    ("an octet above ASCII", head(line="GET /\xe9 HTTP/1.1"), 400, ""),
    ("a control character", head(line="GET /\x01 HTTP/1.1"), 400, ""),
    ("DEL", head(line="GET /\x7f HTTP/1.1"), 400, ""),
    ("another scheme", head(line="GET ftp://x/ HTTP/1.1"), 400, "bad_target"),
    ("CONNECT", head(line="CONNECT x:80 HTTP/1.1"), 501, "not_implemented"),
    ("another host than Host", head(line="GET http://y/ HTTP/1.1"), 400, "host_mismatch"),
    ("another port than Host", head(line="GET http://x:81/ HTTP/1.1"), 400, "host_mismatch"),
    ("a user in the target", head(line="GET http://user@x/ HTTP/1.1"), 400, "host_mismatch"),
    ("no host in the target", head(line="GET http:///a HTTP/1.1"), 400, "host_mismatch"),
    ("half an address in the target", head(line="GET http://[::1/ HTTP/1.1", host="[::1]"), 400, "host_mismatch"),
    ("the other half of an address", head(line="GET http://x]/ HTTP/1.1"), 400, "host_mismatch"),
    ("an address in the wrong place", head(line="GET http://x[::1]/ HTTP/1.1"), 400, "host_mismatch"),
    # Host
    ("no Host", head(host=None), 400, "missing_host"),
    ("two Hosts", head("Host: x"), 400, "repeated_field"),
    ("two Hosts on HTTP/1.0", head("host: y", line="GET / HTTP/1.0"), 400, "repeated_field"),
    ("an empty Host", head(host=""), 400, "bad_host"),
    ("a Host with a space", head(host="x y"), 400, "bad_host"),
    ("a Host with a path", head(host="x/y"), 400, "bad_host"),
    ("a Host with a user", head(host="u@x"), 400, "bad_host"),
    ("a Host with a query", head(host="x?y"), 400, "bad_host"),
    ("a Host with a word as port", head(host="x:http"), 400, "bad_host"),
    ("a Host with two ports", head(host="x:1:2"), 400, "bad_host"),
    ("a Host with half an address", head(host="[::1"), 400, "bad_host"),
    ("a list of Hosts in one line", head(host="x, y"), 400, "bad_host"),
    # fields
    ("obs-fold", head("A: b", " c"), 400, "obs_fold"),
    ("obs-fold with a tab", head("A: b", "\tc"), 400, "obs_fold"),
    ("a folded first line", b"GET / HTTP/1.1\r\n Host: x\r\n\r\n", 400, "obs_fold"),
    ("space before the colon", head("A : b"), 400, "bad_field"),
    ("tab before the colon", head("A\t: b"), 400, "bad_field"),
    ("no colon", head("A"), 400, "bad_field"),
    ("no name", head(": b"), 400, "bad_field"),
    ("a name that is no token", head("A(: b"), 400, "bad_field"),
    ("an octet above ASCII in a name", head("\xc9: b"), 400, "bad_field"),
    ("NUL", head("A: b\x00c"), 400, "bad_line_end"),
    ("bare CR in a value", head("A: b\rc"), 400, "bad_line_end"),
    ("bare LF in a value", head("A: b\nc: d"), 400, "bad_line_end"),
    ("bare LF after a line", b"GET / HTTP/1.1\nHost: x\r\n\r\n", 400, "bad_line_end"),
    ("bare LF everywhere", b"GET / HTTP/1.1\nHost: x\n\n\r\n\r\n", 400, "bad_line_end"),
    ("bare CR after a line", b"GET / HTTP/1.1\rHost: x\r\n\r\n", 400, "bad_line_end"),
    ("CR CR LF", b"GET / HTTP/1.1\r\r\nHost: x\r\n\r\n", 400, "bad_line_end"),
    ("a control character in a value", head("A: \x01"), 400, "bad_field"),
    ("BEL in a value", head("A: b\x07"), 400, "bad_field"),
    ("DEL in a value", head("A: \x7f"), 400, "bad_field"),
    ("a vertical tab", head("Transfer-Encoding: \x0bchunked"), 400, "bad_field"),
    # framing, and how requests are smuggled
    ("TE and CL", head("Transfer-Encoding: chunked", "Content-Length: 5"), 400, "ambiguous_length"),
    ("CL and TE", head("Content-Length: 5", "Transfer-Encoding: chunked"), 400, "ambiguous_length"),
    ("TE that is not chunked, and CL", head("Content-Length: 5", "Transfer-Encoding: x"), 400, "ambiguous_length"),
    ("TE on HTTP/1.0", head("Transfer-Encoding: chunked", line="POST / HTTP/1.0"), 400, "bad_transfer_encoding"),
    ("two equal lengths", head("Content-Length: 5", "Content-Length: 5"), 400, "repeated_field"),
    ("two lengths", head("Content-Length: 5", "content-length: 6"), 400, "repeated_field"),
    ("a list of lengths", head("Content-Length: 5, 5"), 400, "bad_content_length"),
    ("a signed length", head("Content-Length: +5"), 400, "bad_content_length"),
    ("a negative length", head("Content-Length: -5"), 400, "bad_content_length"),
    ("a hexadecimal length", head("Content-Length: 0x5"), 400, "bad_content_length"),
    ("a length with an underscore", head("Content-Length: 1_0"), 400, "bad_content_length"),
    ("a length with a point", head("Content-Length: 5.0"), 400, "bad_content_length"),
    ("a length with a space", head("Content-Length: 1 0"), 400, "bad_content_length"),
    ("an empty length", head("Content-Length:"), 400, "bad_content_length"),
    ("a length in other digits", head("Content-Length: \xb2"), 400, "bad_content_length"),
    ("too long a length", head("Content-Length: " + "9" * 19), 400, "bad_content_length"),
    ("gzip, chunked", head("Transfer-Encoding: gzip, chunked"), 501, "bad_transfer_encoding"),
    ("chunked, chunked", head("Transfer-Encoding: chunked, chunked"), 501, "bad_transfer_encoding"),
    ("chunked, nothing", head("Transfer-Encoding: chunked,"), 501, "bad_transfer_encoding"),
    ("chunked with a parameter", head("Transfer-Encoding: chunked;x=y"), 501, "bad_transfer_encoding"),
    ("chunked in quotes", head('Transfer-Encoding: "chunked"'), 501, "bad_transfer_encoding"),
    ("identity", head("Transfer-Encoding: identity"), 501, "bad_transfer_encoding"),
    ("xchunked", head("Transfer-Encoding: xchunked"), 501, "bad_transfer_encoding"),
    ("an empty TE", head("Transfer-Encoding:"), 501, "bad_transfer_encoding"),
    ("two TE fields", head("Transfer-Encoding: chunked", "Transfer-Encoding: chunked"), 501, "repeated_field"),
    ("another expectation", head("Expect: coffee"), 417, "bad_expectation"),
]  # fmt: skip


@pytest.mark.parametrize(("wire", "expected"), [case[1:] for case in ACCEPTED], ids=[case[0] for case in ACCEPTED])
def test_a_request_is_read_at_any_cut_whatever_follows(wire: bytes, expected: dict[str, object]) -> None:
    for pieces in every_split(wire):
        found = read_request(pieces)
        assert found is not None
        assert facts(found[0]) == expected
        assert found[1] == b""
    found = read_request((wire + AFTER,))
    assert found is not None
    assert (facts(found[0]), found[1]) == (expected, AFTER)
    assert read_request((wire[:-1],)) is None


@pytest.mark.parametrize(("wire", "status", "code"), [case[1:] for case in REFUSED], ids=[case[0] for case in REFUSED])
def test_what_is_no_request_is_refused_at_any_cut_whatever_follows(wire: bytes, status: int, code: str) -> None:
    for pieces in (*every_split(wire), (wire + AFTER,)):
        with pytest.raises(ProtocolError) as refused:
            read_request(pieces)
        assert refused.value.status == status
        assert code in ("", refused.value.code)
        assert re.fullmatch(r"[ -~]+", refused.value.message)


def test_fields_keep_their_order_and_case_and_lose_the_space_around() -> None:
    found = read_request((head("B: \t1 ", "a:2", "B: 3", "Empty:"),))
    assert found is not None
    headers = found[0].headers
    assert headers.items() == [("Host", "x"), ("B", "1"), ("a", "2"), ("B", "3"), ("Empty", "")]
    assert headers.get_all("b") == ["1", "3"]


def is_request(wire: bytes) -> bool:
    try:
        return read_request((wire,)) is not None
    except ProtocolError:
        return False


def test_which_octets_may_stand_where() -> None:
    for octet in range(256):
        one = bytes([octet])
        is_token = one.isalnum() or one in b"!#$%&'*+-.^_`|~"  # RFC 9110 §5.6.2
        is_value = octet == 9 or 32 <= octet <= 126 or octet >= 128  # RFC 9110 §5.5
        is_target = 33 <= octet <= 126 and one not in b"#%"  # RFC 9112 §3.2; "%" needs its two digits
        assert is_request(b"G" + one + b"T / HTTP/1.1\r\nHost: x\r\n\r\n") is is_token
        assert is_request(b"GET / HTTP/1.1\r\nHost: x\r\nA" + one + b"B: c\r\n\r\n") is (is_token or one == b":")
        assert is_request(b"GET / HTTP/1.1\r\nHost: x\r\nA: b" + one + b"c\r\n\r\n") is is_value
        assert is_request(b"GET /a" + one + b"b HTTP/1.1\r\nHost: x\r\n\r\n") is is_target


# --- limits --------------------------------------------------------------------------------------------------

SMALL = Limits(max_request_line_bytes=40, max_head_bytes=100, max_field_count=3)


def line_of(size: int) -> str:
    return "GET /" + "a" * (size - 14) + " HTTP/1.1"


@pytest.mark.parametrize("size", [39, 40])
def test_a_request_line_within_the_limit_passes_at_any_cut(size: int) -> None:
    wire = head(line=line_of(size))
    for pieces in every_split(wire):
        assert read_request(pieces, SMALL) is not None


@pytest.mark.parametrize("size", [41, 42, 60, 200])
def test_a_request_line_over_the_limit_is_414_at_any_cut(size: int) -> None:
    wire = head(line=line_of(size))
    for pieces in every_split(wire):
        with pytest.raises(ProtocolError, match="over 40 bytes") as refused:
            read_request(pieces, SMALL)
        assert (refused.value.status, refused.value.code) == (414, "line_too_long")


def test_a_request_line_that_never_ends_is_414_before_it_does() -> None:
    with pytest.raises(ProtocolError) as refused:
        read_request((b"GET /" + b"a" * 50,), SMALL)
    assert refused.value.status == 414


@pytest.mark.parametrize("size", [99, 100])
def test_a_head_within_the_limit_passes_at_any_cut(size: int) -> None:
    plain = head("A: ")
    wire = head("A: " + "b" * (size - len(plain)))
    assert len(wire) == size
    for pieces in every_split(wire):
        assert read_request(pieces, SMALL) is not None


@pytest.mark.parametrize("size", [101, 102, 500])
def test_a_head_over_the_limit_is_431_at_any_cut(size: int) -> None:
    wire = head("A: " + "b" * (size - len(head("A: "))))
    for pieces in every_split(wire):
        with pytest.raises(ProtocolError, match="over 100 bytes") as refused:
            read_request(pieces, SMALL)
        assert (refused.value.status, refused.value.code) == (431, "head_too_large")


def test_a_head_that_never_ends_is_431_before_it_does() -> None:
    with pytest.raises(ProtocolError) as refused:
        read_request((head()[:-2] + b"A: " + b"b" * 100,), SMALL)
    assert refused.value.status == 431


def test_more_fields_than_the_limit_are_431() -> None:
    assert read_request((head("A: b", "C: d"),), SMALL) is not None
    with pytest.raises(ProtocolError, match="more than 3 field lines") as refused:
        read_request((head("A: b", "C: d", "E: f"),), SMALL)
    assert (refused.value.status, refused.value.code) == (431, "too_many_fields")


def test_the_limits_are_those_of_the_contract() -> None:
    limits = DEFAULT_LIMITS
    assert (limits.max_request_line_bytes, limits.max_head_bytes, limits.max_field_count) == (8 * KIB, 32 * KIB, 100)
    assert (limits.max_body_bytes, limits.head_timeout_s, limits.idle_timeout_s) == (1024 * KIB, 10, 75)


@pytest.mark.parametrize("filler", [b" ", b"\t", b"a", b":", b"a:", b"a:\r\n", b"%20", b"\xff", b";", b"/"])
def test_long_hostile_heads_are_dealt_with_quickly(filler: bytes) -> None:
    """Each would take minutes if a pattern could backtrack; the test's own timeout would end it."""
    for start in (b"", b"GET /", b"GET / HTTP/1.1\r\n", b"GET / HTTP/1.1\r\nA:"):
        wire = (start + filler * 40_000)[: 32 * KIB - 8] + b"\x01\r\n\r\n"
        with pytest.raises(ProtocolError):
            read_request((wire,))


# --- anything ------------------------------------------------------------------------------------------------

LINES = st.sampled_from(
    [b"GET / HTTP/1.1", b"Host: x", b"Content-Length: 5", b"Transfer-Encoding: chunked", b"A: b", b" c", b""]
)
ALMOST_HEADS = st.lists(LINES | st.binary(max_size=10), max_size=8).map(b"\r\n".join)


@given(st.binary(max_size=200) | ALMOST_HEADS)
@example(b"GET http://x]/ HTTP/1.1\r\nHost: x\r\n\r\n")
def test_any_bytes_are_a_request_the_start_of_one_or_the_documented_error(wire: bytes) -> None:
    outcomes: set[object] = set()
    for pieces in ((wire,), tuple(wire[index : index + 1] for index in range(len(wire)))):
        try:
            found = read_request(pieces)
            outcomes.add(None if found is None else (repr(facts(found[0])), found[1]))
        except ProtocolError as error:
            outcomes.add(("error", 400 <= error.status <= 599))
    assert len(outcomes) <= 1


@given(st.from_regex(rb"(GET|OPTIONS) [!-~]{1,30} HTTP/1\.1", fullmatch=True))
def test_any_target_is_accepted_or_refused_with_the_documented_error(line: bytes) -> None:
    try:
        found = read_request((line + b"\r\nHost: x\r\n\r\n",))
    except ProtocolError:
        return
    assert found is not None
    assert found[0].target.startswith("/") or found[0].target == "*"


HEAD = b"GET /a?b HTTP/1.1\r\nHost: x\r\nCookie: c=d\r\n\r\n"


def previous_fields() -> HeadFields:
    return parse_request_head(HEAD, len(HEAD), Limits()).fields


def test_a_head_with_the_fields_of_the_last_one_is_recognised() -> None:
    request = parse_repeated_head(HEAD.replace(b"GET /a?b", b"POST /c"), previous_fields(), Limits())
    assert request is not None
    assert (request.method, request.target, request.host) == ("POST", "/c", "x")
    assert request.headers.get("cookie") == "c=d"


@pytest.mark.parametrize(
    "buffer",
    [
        HEAD[:-1],
        HEAD[1:] + HEAD,
        HEAD + HEAD,
        HEAD.replace(b"c=d", b"c=e"),
        HEAD.replace(b"HTTP/1.1", b"HTTP/1.0"),
        HEAD.replace(b"Host", b"A: b\r\nHost"),
        HEAD.replace(b"GET ", b"GET  "),
        b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 9\r\n\r\n" + HEAD.partition(b"\r\n")[2],
        b"\r\n" + HEAD,
        HEAD.partition(b"\r\n")[2],
    ],
)
def test_any_other_head_is_left_to_the_full_look(buffer: bytes) -> None:
    assert parse_repeated_head(buffer, previous_fields(), Limits()) is None


def test_a_repeated_head_keeps_to_the_limits_and_the_grammar_of_targets() -> None:
    for target in (b"/%zz", b"/#", b"/" + b"a" * 9000, b"*", b"http://y/"):
        head = HEAD.replace(b"/a?b", target)
        assert parse_repeated_head(head, previous_fields(), Limits()) is None
        with pytest.raises(ProtocolError):
            parse_request_head(head, len(head), Limits(), previous_fields())


def test_a_repeated_head_with_a_longer_line_keeps_to_the_limit_of_heads() -> None:
    limits = Limits(max_head_bytes=len(HEAD) + 10)
    longer = HEAD.replace(b"/a?b", b"/a?b" + b"c" * 11)
    assert parse_repeated_head(longer, previous_fields(), limits) is None
    assert parse_repeated_head(HEAD.replace(b"?b", b"?b" + b"c" * 10), previous_fields(), limits) is not None


def test_connect_has_no_path_and_is_refused_in_any_form() -> None:
    head = HEAD.replace(b"GET", b"CONNECT")
    assert parse_repeated_head(head, previous_fields(), Limits()) is None
    with pytest.raises(ProtocolError, match="CONNECT"):
        parse_request_head(head, len(head), Limits(), previous_fields())
