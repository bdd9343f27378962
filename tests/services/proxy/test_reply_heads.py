"""The heads of replies: which are taken, and what the client gets of them."""

import pytest

from services.proxy.reply_heads import MAX_KEPT_HEADS, ReplyHead, ReplyHeads
from shared.httpcore.errors import ProtocolError
from shared.httpcore.limits import DEFAULT_LIMITS

GOOD = [
    ("plain", b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nDate: x\r\n\r\n", b"Content-Length: 5\r\nDate: x\r\n"),
    (
        "what concerns its connection goes, and what it names",
        b"HTTP/1.1 200 OK\r\nConnection: X-Hop\r\nKeep-Alive: 5\r\nX-Hop: 1\r\nTE: x\r\n"
        b"Proxy-Authenticate: y\r\nA: 1\r\n\r\n",
        b"A: 1\r\n",
    ),
    ("the id is ours", b"HTTP/1.1 200 OK\r\nx-request-id: theirs\r\nA: 1\r\n\r\n", b"A: 1\r\n"),
    ("chunked is told anew", b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nA: 1\r\n\r\n", b"A: 1\r\n"),
    (
        "cookies stay apart",
        b"HTTP/1.1 200 OK\r\nSet-Cookie: a\r\nSet-Cookie: b\r\n\r\n",
        b"Set-Cookie: a\r\nSet-Cookie: b\r\n",
    ),
    ("no length without a body", b"HTTP/1.1 204 No Content\r\nContent-Length: 5\r\nA: 1\r\n\r\n", b"A: 1\r\n"),
    ("nor in a 304", b"HTTP/1.1 304 Not Modified\r\nContent-Length: 5\r\nETag: 1\r\n\r\n", b"ETag: 1\r\n"),
    ("no reason", b"HTTP/1.1 299\r\nA: 1\r\n\r\n", b"A: 1\r\n"),
    ("HTTP/1.0", b"HTTP/1.0 200 Fine\r\nA: \xe9\r\n\r\n", b"A: \xe9\r\n"),
]


@pytest.mark.parametrize(("wire", "lines"), [case[1:] for case in GOOD], ids=[case[0] for case in GOOD])
def test_a_head_is_read_whole_split_anywhere_and_with_bytes_after_it(wire: bytes, lines: bytes) -> None:
    for after in (b"", b"body", b"HTTP/1.1 200 OK\r\n\r\n"):
        heads = ReplyHeads()
        for _ in range(2):  # the second time from memory
            head = heads.read(wire + after)
            assert head is not None
            assert (head.field_lines, head.size) == (lines, len(wire))
    heads = ReplyHeads()
    for at in range(1, len(wire)):
        assert heads.read(wire[:at]) is None
        head = heads.read(wire, at)
        assert head is not None
        assert head.field_lines == lines


BAD = {
    "no HTTP": b"SSH-2.0-x\r\n\r\n",
    "HTTP/2": b"HTTP/2 200\r\n\r\n",
    "bare LF": b"HTTP/1.1 200 OK\nA: 1\n\n",
    "obs-fold": b"HTTP/1.1 200 OK\r\nA: 1\r\n b\r\n\r\n",
    "space before the colon": b"HTTP/1.1 200 OK\r\nA : 1\r\n\r\n",
    "two lengths": b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Length: 2\r\n\r\n",
    "an odd length": b"HTTP/1.1 200 OK\r\nContent-Length: 2, 2\r\n\r\n",
    "length and chunked": b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n",
    "an unknown coding": b"HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip, chunked\r\n\r\n",
    "chunked in HTTP/1.0": b"HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n",
    "a NUL": b"HTTP/1.1 200 OK\r\nA: \x00\r\n\r\n",
    "status 600": b"HTTP/1.1 600 x\r\n\r\n",
}


@pytest.mark.parametrize("name", BAD)
def test_a_head_that_breaks_a_rule_is_refused_each_time(name: str) -> None:
    heads = ReplyHeads()
    for after in (b"", b"", b"body"):
        with pytest.raises(ProtocolError) as caught:
            heads.read(BAD[name] + after)
        assert (caught.value.status, caught.value.code) == (502, "bad_reply")


def test_what_comes_before_the_id_is_at_hand_when_nothing_is_to_be_added() -> None:
    head = read(b"HTTP/1.1 200 Fine\r\nDate: x\r\nConnection: keep-alive\r\nContent-Length: 2\r\n\r\n")
    assert head.whole == b"HTTP/1.1 200 Fine\r\nDate: x\r\nContent-Length: 2\r\nX-Request-Id: "
    assert read(b"HTTP/1.1 200 Fine\r\nContent-Length: 2\r\n\r\n").whole is None, "the date is to be added"


@pytest.mark.parametrize(
    ("wire", "keeps", "chunked", "length", "sized"),
    [
        (b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n", True, False, 2, True),
        (b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 2\r\n\r\n", False, False, 2, True),
        (b"HTTP/1.0 200 OK\r\nContent-Length: 2\r\n\r\n", False, False, 2, True),
        (b"HTTP/1.0 200 OK\r\nConnection: keep-alive\r\nContent-Length: 2\r\n\r\n", True, False, 2, True),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: CHUNKED\r\n\r\n", True, True, None, False),
        (b"HTTP/1.1 200 OK\r\n\r\n", True, False, None, False),
        (b"HTTP/1.1 304 x\r\nContent-Length: 2\r\n\r\n", True, False, 2, False),
    ],
)
def test_what_a_head_decides(wire: bytes, keeps: bool, chunked: bool, length: int | None, sized: bool) -> None:
    head = read(wire)
    assert (head.keep_alive, head.is_chunked, head.content_length, head.is_sized) == (keeps, chunked, length, sized)


@pytest.mark.parametrize(
    ("upgrade", "expected"),
    [("websocket", True), ("WebSocket", True), ("h2c", False), ("websocket, h2c", False), ("", False)],
)
def test_only_a_switch_to_a_websocket_is_a_tunnel(upgrade: str, expected: bool) -> None:
    field = f"Connection: Upgrade\r\nUpgrade: {upgrade}\r\n" if upgrade else ""
    assert read(f"HTTP/1.1 101 Switching Protocols\r\n{field}\r\n".encode()).switches_to_tunnel is expected


def test_the_memory_of_heads_is_bounded() -> None:
    heads = ReplyHeads()
    for number in range(3 * MAX_KEPT_HEADS):
        assert heads.read(b"HTTP/1.1 200 OK\r\nX-N: %d\r\n\r\n" % number) is not None
    assert len(heads._kept) <= MAX_KEPT_HEADS
    long = b"HTTP/1.1 200 OK\r\nX: " + b"y" * 2000 + b"\r\n\r\n"
    assert heads.read(long) is not heads.read(long)


def read(wire: bytes) -> ReplyHead:
    return ReplyHead(wire, len(wire), DEFAULT_LIMITS)


def test_a_head_knows_in_which_of_its_fields_it_may_name_the_upstream() -> None:
    heads = ReplyHeads()
    head = heads.read(b"HTTP/1.1 302 Found\r\nSet-Cookie: a=1\r\nLocation: /x\r\n\r\n")
    assert head is not None
    assert head.naming_fields == {"set-cookie", "location"}
    head = heads.read(b"HTTP/1.1 200 OK\r\nX: location:\r\n\r\n")
    assert head is not None
    assert head.naming_fields == set()
