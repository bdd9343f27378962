"""The heads of replies: which are taken, and what the client gets of them."""

import re

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from services.proxy.field_lines import field_pairs
from services.proxy.reply_heads import MAX_KEPT_HEADS, ReplyHead, ReplyHeads
from shared.httpcore.errors import ProtocolError
from shared.httpcore.headers import HOP_BY_HOP
from shared.httpcore.limits import DEFAULT_LIMITS

GOOD = [
    ("plain", b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nDate: x\r\n\r\n", b"Date: x\r\nContent-Length: 5\r\n"),
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


def test_what_passes_is_at_hand_and_whether_a_date_is_to_be_added() -> None:
    head = read(b"HTTP/1.1 200 Fine\r\nDate: x\r\nConnection: keep-alive\r\nContent-Length: 2\r\n\r\n")
    assert head.passed == b"HTTP/1.1 200 Fine\r\nDate: x\r\nContent-Length: 2\r\n"
    assert (head.start, head.field_lines) == (b"HTTP/1.1 200 Fine\r\n", b"Date: x\r\nContent-Length: 2\r\n")
    assert head.has_date
    assert read(b"HTTP/1.1 200 Fine\r\ndATE:x\r\n\r\n").has_date
    assert not read(b"HTTP/1.1 200 Fine\r\nX-Date: x\r\nConnection: date\r\nDate: x\r\n\r\n").has_date


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


# --- beside a plain reading, field by field ------------------------------------------------------------------------

NAMES = st.sampled_from(
    b"""connection Connection CONTENT-length Content-Length content-lengthy Transfer-Encoding transfer-encodin te TE t
    Trailer Upgrade Keep-Alive Close close-to Proxy-Connection Proxy-Authenticate Proxy-Authorization Proxy-A
    X-Request-Id X-Request-Id2 X-Other Date date Set-Cookie Server A""".split()
)
VALUES = st.sampled_from(
    b"|5| 5 |05|5, 5|+5|1111111111111111111|chunked| Chunked\t|gzip, chunked|close|CLOSE|keep-alive|"
    b"keep-alive, x-other|,Date ,|Server;a|content-length|websocket|te: x|\xe9".split(b"|")
)
LINES = st.builds(lambda name, colon, value: name + colon + value, NAMES, st.sampled_from([b":", b": "]), VALUES)
USUAL_LINES = st.sampled_from(
    b"Content-Length: 5|Transfer-Encoding: chunked|Connection: keep-alive|Connection: Date, X-Other|X-Other: 1|Date: x|"
    b"ETag: 1|X-Request-Id: 1|Upgrade: websocket|date: y".split(b"|")
)
BROKEN_LINES = st.sampled_from([b"", b" x", b"A", b"A : x", b": x", b"A: \x00", b"A: \n", b"A: \r", b"\xe9: x"])
STATUS_LINES = st.sampled_from(
    [b"HTTP/1.%d %d%b" % (minor, status, reason)
     for minor in (1, 0) for status in (200, 204, 304, 404, 101, 103) for reason in (b" OK", b" ", b"", b"  a: b")]
    + [b"HTTP/1.1 600 x", b"HTTP/2.0 200 OK", b"http/1.1 200 OK", b"HTTP/1.1 20 OK", b"HTTP/1.1 200OK", b""]
)  # fmt: skip


@given(
    STATUS_LINES,
    st.lists(USUAL_LINES, max_size=6, unique=True)
    | st.lists(USUAL_LINES | LINES, max_size=6)
    | st.lists(LINES | BROKEN_LINES | st.binary(max_size=8), max_size=6),
)
@example(b"HTTP/1.1 200 close", [b"Connection: http/1.1 200 close, \t", b"close: 1"])
@example(b"HTTP/1.1 304 x", [b"Content-Length: 5"])
@example(b"HTTP/1.0 200", [b"Connection: content-length", b"Content-Length: 007"])
def test_a_head_is_what_a_plain_reading_of_it_says(start: bytes, lines: list[bytes]) -> None:
    wire = b"".join(line + b"\r\n" for line in (start, *lines, b""))
    expected = read_plainly(wire)
    for _ in range(2):  # what a head decides is remembered
        if expected is None:
            with pytest.raises(ProtocolError):
                read(wire)
            continue
        head = read(wire)
        assert expected == (
            (head.start, field_pairs(head.field_lines)),
            (head.status, head.content_length, head.is_sized, head.is_chunked, head.keep_alive, head.has_date),
        )


def read_plainly(wire: bytes) -> object:
    """What `ReplyHead` makes of a head, read line by line; None when a rule is broken."""
    start, *lines = wire[:-4].split(b"\r\n")
    status_line = re.fullmatch(rb"HTTP/1\.([01]) ([1-5][0-9]{2})(?: ([\t -~\x80-\xff]*))?", start)
    fields = [re.fullmatch(rb"([!#$%&'*+.^_`|~0-9A-Za-z-]+):([\t -~\x80-\xff]*)", line) for line in lines]
    if status_line is None or len(fields) > DEFAULT_LIMITS.max_field_count:
        return None
    pairs = [(field[1].decode(), field[2].decode("latin-1").strip(" \t")) for field in fields if field is not None]
    if len(pairs) != len(fields):
        return None

    def values(name: str) -> list[str]:
        return [value for each, value in pairs if each.lower() == name]

    is_1_1, status = status_line[1] == b"1", int(status_line[2])
    lengths, codings = values("content-length"), values("transfer-encoding")
    if len(lengths) + len(codings) > 1 or not all(re.fullmatch("[0-9]{1,18}", length) for length in lengths):
        return None
    if codings and not (is_1_1 and codings[0].lower() == "chunked"):
        return None
    options = {option.strip(" \t").lower() for value in values("connection") for option in value.split(",")}
    is_announced = bool(codings) or (bool(lengths) and int(lengths[0]) > 0)
    if is_announced and status < 200:
        return None
    is_sized = bool(lengths) and status not in (101, 103, 204, 304)
    dropped = HOP_BY_HOP | {"content-length", "x-request-id"} | options
    passed = [pair for pair in pairs if pair[0].lower() not in dropped]
    has_date = any(name.lower() == "date" for name, _ in passed)
    if is_sized:
        passed.append(("Content-Length", str(int(lengths[0]))))
    if status == 101:
        passed.append(("Upgrade", ", ".join(values("upgrade"))))
    return (
        (b"HTTP/1.1 %d %b\r\n" % (status, status_line[3] or b""), passed),
        (status, int(lengths[0]) if lengths else None, is_sized, bool(codings),
         not (is_announced and status == 204) and "close" not in options and (is_1_1 or "keep-alive" in options),
         has_date),
    )  # fmt: skip


def read(wire: bytes) -> ReplyHead:
    return ReplyHead(wire, DEFAULT_LIMITS)


def test_a_head_knows_whether_it_may_name_the_upstream() -> None:
    heads = ReplyHeads()
    for lines, expected in (
        (b"Set-Cookie: a=1\r\nLOCATION: /x\r\n", (True, True)),
        (b"set-cookie: a=1\r\n", (False, True)),
        (b"Refresh: 5\r\n", (True, False)),
        (b"X: location:\r\n", (False, False)),
    ):
        head = heads.read(b"HTTP/1.1 200 OK\r\n" + lines + b"\r\n")
        assert head is not None
        assert (head.redirects, head.sets_cookie) == expected


def test_a_head_with_other_fields_is_the_same_reply_and_knows_whether_it_has_a_date() -> None:
    head = read(b"HTTP/1.1 200 OK\r\nDate: now\r\nLocation: /x\r\nConnection: close\r\nContent-Length: 5\r\n\r\n")
    changed = head.with_pairs([("X-A", "1"), ("Content-Length", "5")], has_length=True)
    assert changed.passed == b"HTTP/1.1 200 OK\r\nX-A: 1\r\nContent-Length: 5\r\n"
    assert (changed.has_date, changed.redirects, changed.keep_alive) == (False, False, False)
    assert (changed.size, changed.content_length, head.has_date) == (head.size, 5, True)
    more = changed.with_more([("X-B", "2"), ("X-Empty", "")])
    assert more.passed == changed.passed + b"X-B: 2\r\n"
    assert (more.has_date, changed.with_more([("date", "then")]).has_date) == (False, True)
    assert b"X-B" not in changed.passed
