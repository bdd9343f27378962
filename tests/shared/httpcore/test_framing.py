"""Bodies as bytes: where they end, at any cut, and what is no body."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.httpcore.errors import ConnectionClosed, ProtocolError
from shared.httpcore.framing import (
    LAST_CHUNK,
    MAX_CHUNK_EXTENSION_BYTES,
    MAX_TRAILER_BYTES,
    MAX_TRAILER_FIELDS,
    BodyDecoder,
    ChunkedDecoder,
    LengthDecoder,
    request_body_decoder,
    response_body_decoder,
    serialize_chunk,
)
from tests.shared.httpcore.splitting import every_split

AFTER = b"GET / HTTP/1.1\r\n\r\n\x00"


def decode(decoder: BodyDecoder, pieces: tuple[bytes, ...]) -> tuple[bytes, bytes]:
    """As a connection does it: the body, and what is left over."""
    body, rest = b"", b""
    for piece in pieces:
        if decoder.is_complete:
            rest += piece
            continue
        part, rest = decoder.feed(rest + piece)
        body += part
    return body, rest


# name, the chunked body, what it is
CHUNKED: list[tuple[str, bytes, bytes]] = [
    ("nothing", b"0\r\n\r\n", b""),
    ("one chunk", b"5\r\nhello\r\n0\r\n\r\n", b"hello"),
    ("two chunks", b"5\r\nhello\r\n6\r\n world\r\n0\r\n\r\n", b"hello world"),
    ("a size in hexadecimal", b"1A\r\n" + b"x" * 26 + b"\r\n0\r\n\r\n", b"x" * 26),
    ("a size in small letters", b"1a\r\n" + b"x" * 26 + b"\r\n0\r\n\r\n", b"x" * 26),
    ("zeros in front", b"000000000000005\r\nhello\r\n000\r\n\r\n", b"hello"),
    ("line ends in the data", b"4\r\n\r\n\r\n\r\n0\r\n\r\n", b"\r\n\r\n"),
    ("what looks like the end", b"5\r\n0\r\n\r\n\r\n0\r\n\r\n", b"0\r\n\r\n"),
    ("an extension", b"5;a=b\r\nhello\r\n0;c\r\n\r\n", b"hello"),
    ("an extension in quotes", b'5;a="b;c"\r\nhello\r\n0\r\n\r\n', b"hello"),
    ("space before an extension", b"5 \t;a\r\nhello\r\n0\r\n\r\n", b"hello"),
    ("several extensions", b'5 ; a = b;c ;d="\\"; \\\\"\r\nhello\r\n0\r\n\r\n', b"hello"),
    ("the longest extension", b"5;" + b"x" * (MAX_CHUNK_EXTENSION_BYTES - 1) + b"\r\nhello\r\n0\r\n\r\n", b"hello"),
    ("a trailer", b"5\r\nhello\r\n0\r\nA: b\r\n\r\n", b"hello"),
    ("two trailers", b"0\r\nA: b\r\nContent-Length: 9\r\n\r\n", b""),
]  # fmt: skip

BAD_CHUNKS: list[tuple[str, bytes, str]] = [
    ("no size", b"\r\nhello\r\n0\r\n\r\n", "1 to 15 hex digits"),
    ("no digits", b"x\r\nhello\r\n", "1 to 15 hex digits"),
    ("0x", b"0x5\r\nhello\r\n", "1 to 15 hex digits"),
    ("a sign", b"+5\r\nhello\r\n", "1 to 15 hex digits"),
    ("a minus", b"-5\r\nhello\r\n", "1 to 15 hex digits"),
    ("an underscore", b"1_0\r\nhello\r\n", "1 to 15 hex digits"),
    ("a space in front", b" 5\r\nhello\r\n", "1 to 15 hex digits"),
    ("a space behind", b"5 \r\nhello\r\n", "1 to 15 hex digits"),
    ("a tab behind", b"5\t\r\nhello\r\n", "1 to 15 hex digits"),
    ("sixteen digits", b"0000000000000005\r\nhello\r\n", "1 to 15 hex digits"),
    ("a huge size", b"fffffffffffffffff\r\n", "1 to 15 hex digits"),
    ("bare LF after the size", b"5\nhello\r\n0\r\n\r\n", "1 to 15 hex digits"),
    ("bare CR after the size", b"5\rhello\r\n0\r\n\r\n", "1 to 15 hex digits"),
    ("CR CR LF after the size", b"5\r\r\nhello\r\n", "1 to 15 hex digits"),
    ("an empty extension", b"5;\r\nhello\r\n", "extensions by the grammar"),
    ("an extension without a name", b"5;=b\r\nhello\r\n", "extensions by the grammar"),
    ("an extension without a value", b"5;a=\r\nhello\r\n", "extensions by the grammar"),
    ("space after an extension", b"5;a=b \r\nhello\r\n", "extensions by the grammar"),
    ("a quote that is not closed", b'5;a="b\r\nhello\r\n', "extensions by the grammar"),
    ("a quote that ends in an escape", b'5;a="b\\"\r\nhello\r\n', "extensions by the grammar"),
    ("CRLF in a quote", b'5;a="\r\n"\r\nhello\r\n', "extensions by the grammar"),
    ("NUL in an extension", b"5;\x00\r\nhello\r\n", "1 to 15 hex digits"),
    ("a control character in an extension", b"5;\x01\r\nhello\r\n", "1 to 15 hex digits"),
    ("bare LF in an extension", b"5;a\nb\r\nhello\r\n", "1 to 15 hex digits"),
    ("bare CR in an extension", b"5;a\rb\r\nhello\r\n", "1 to 15 hex digits"),
    ("data longer than the size", b"5\r\nhello!\r\n0\r\n\r\n", "expected CRLF after"),
    ("data shorter than the size", b"7\r\nhello\r\n0\r\n\r\n", "expected CRLF after"),
    ("bare LF after the data", b"5\r\nhello\n0\r\n\r\n", "expected CRLF after"),
    ("bare CR after the data", b"5\r\nhello\r0\r\n\r\n", "expected CRLF after"),
    ("bare LF after the last chunk", b"0\r\n\n", ""),
    ("bare CR after the last chunk", b"0\r\n\rX", ""),
    ("a bad trailer", b"0\r\nA b\r\n\r\n", "breaks the grammar"),
    ("space before a trailer's colon", b"0\r\nA : b\r\n\r\n", "breaks the grammar"),
    ("a folded trailer", b"0\r\nA: b\r\n c\r\n\r\n", "breaks the grammar"),
    ("NUL in a trailer", b"0\r\nA: \x00\r\n\r\n", ""),
    ("bare LF in a trailer", b"0\r\nA: b\nC: d\r\n\r\n", ""),
    ("too many trailers", b"0\r\n" + b"A: b\r\n" * (MAX_TRAILER_FIELDS + 1) + b"\r\n", ""),
]  # fmt: skip


@pytest.mark.parametrize(("wire", "expected"), [case[1:] for case in CHUNKED], ids=[case[0] for case in CHUNKED])
def test_a_chunked_body_is_read_at_any_cut_whatever_follows(wire: bytes, expected: bytes) -> None:
    for after in (b"", AFTER, b"\r\n"):
        for pieces in every_split(wire + after):
            assert decode(ChunkedDecoder(), pieces) == (expected, after)


@pytest.mark.parametrize(("wire", "words"), [case[1:] for case in BAD_CHUNKS], ids=[case[0] for case in BAD_CHUNKS])
def test_what_is_no_chunked_body_is_refused_at_any_cut_whatever_follows(wire: bytes, words: str) -> None:
    for data in (wire, wire + AFTER):
        for pieces in every_split(data):
            with pytest.raises(ProtocolError, match=words or ".") as refused:
                decode(ChunkedDecoder(), pieces)
            assert refused.value.status == 400
            assert refused.value.code in ("bad_chunk", "bad_trailer")


def test_an_extension_over_256_bytes_is_refused_whether_it_ends_or_not() -> None:
    for wire in (b"5;" + b"x" * MAX_CHUNK_EXTENSION_BYTES + b"\r\nhello\r\n", b"5;" + b"x" * 1000):
        for pieces in every_split(wire):
            with pytest.raises(ProtocolError) as refused:
                decode(ChunkedDecoder(), pieces)
            assert refused.value.code == "bad_chunk"


def test_a_trailer_section_that_never_ends_is_refused() -> None:
    field = b"A: " + b"b" * 200 + b"\r\n"
    wire = b"0\r\n" + field * (MAX_TRAILER_BYTES // len(field) + 2)
    for pieces in ((wire,), tuple(wire[at : at + 100] for at in range(0, len(wire), 100))):
        with pytest.raises(ProtocolError, match="over 8192 bytes"):
            decode(ChunkedDecoder(), pieces)


def test_a_size_of_fifteen_digits_is_a_size() -> None:
    decoder = ChunkedDecoder()
    assert decode(decoder, (b"fffffffffffffff\r\nabc",)) == (b"abc", b"")
    assert not decoder.is_complete


@pytest.mark.parametrize("wire", [b"", b"5", b"5\r\nhel", b"5\r\nhello", b"5\r\nhello\r\n", b"0\r\n", b"0\r\nA: b\r\n"])
def test_a_chunked_body_that_is_cut_short_is_told_from_a_whole_one(wire: bytes) -> None:
    decoder = ChunkedDecoder()
    decode(decoder, (wire,))
    with pytest.raises(ConnectionClosed, match="before its last chunk"):
        decoder.end()


@pytest.mark.parametrize("length", [0, 1, 5])
def test_a_body_of_a_known_length_ends_there_at_any_cut(length: int) -> None:
    wire = b"hello"[:length]
    for pieces in every_split(wire + AFTER):
        decoder = LengthDecoder(length)
        assert decode(decoder, pieces) == (wire, AFTER)
        assert decoder.is_complete
        decoder.end()


def test_a_body_shorter_than_its_length_is_cut_short() -> None:
    decoder = LengthDecoder(10)
    decoder.feed(b"hello")
    with pytest.raises(ConnectionClosed, match="5 bytes too early"):
        decoder.end()


@pytest.mark.parametrize(
    ("is_chunked", "length", "wire", "expected"),
    [(True, None, b"0\r\n\r\nx", (b"", b"x")), (False, 2, b"abc", (b"ab", b"c")), (False, None, b"abc", (b"", b"abc"))],
)
def test_what_decides_the_end_of_a_request(
    is_chunked: bool, length: int | None, wire: bytes, expected: tuple[bytes, bytes]
) -> None:
    assert decode(request_body_decoder(is_chunked, length), (wire,)) == expected


# RFC 9112 §6.3: method, status, chunked, length; how much of b"3\r\nabc\r\n0\r\n\r\n" is body, whether it is then whole
REPLIES = [
    ("HEAD", 200, False, 5, b"", True),
    ("HEAD", 200, True, None, b"", True),
    ("GET", 204, False, 5, b"", True),
    ("GET", 304, False, 5, b"", True),
    ("GET", 304, True, None, b"", True),
    ("GET", 100, False, None, b"", True),
    ("GET", 101, False, None, b"", True),
    ("GET", 200, True, None, b"abc", True),
    ("GET", 200, False, 4, b"3\r\na", True),
    ("GET", 200, False, 0, b"", True),
    ("GET", 200, False, None, b"3\r\nabc\r\n0\r\n\r\n", False),
    ("POST", 500, False, None, b"3\r\nabc\r\n0\r\n\r\n", False),
]


@pytest.mark.parametrize(("method", "status", "is_chunked", "length", "body", "is_whole"), REPLIES)
def test_what_decides_the_end_of_a_reply(
    method: str, status: int, is_chunked: bool, length: int | None, body: bytes, is_whole: bool
) -> None:
    decoder = response_body_decoder(method, status, is_chunked, length)
    assert decode(decoder, (b"3\r\nabc\r\n0\r\n\r\n",))[0] == body
    assert decoder.is_complete is is_whole
    decoder.end()
    assert decoder.is_complete


@given(parts=st.lists(st.binary(min_size=1, max_size=300)), sizes=st.lists(st.integers(1, 40), min_size=1))
def test_what_is_sent_in_chunks_is_read_back_at_any_cut(parts: list[bytes], sizes: list[int]) -> None:
    wire = b"".join(map(serialize_chunk, parts)) + LAST_CHUNK + AFTER
    pieces: list[bytes] = []
    at = 0
    while at < len(wire):
        size = sizes[len(pieces) % len(sizes)]
        pieces.append(wire[at : at + size])
        at += size
    assert decode(ChunkedDecoder(), tuple(pieces)) == (b"".join(parts), AFTER)


@given(st.binary(max_size=60) | st.from_regex(rb"[0-9a-f]{1,2}(;[ -~]{0,3})?\r\n[a\r\n0]{0,20}", fullmatch=True))
def test_any_bytes_are_a_body_the_start_of_one_or_the_documented_error(wire: bytes) -> None:
    outcomes: set[object] = set()
    for pieces in ((wire,), tuple(wire[index : index + 1] for index in range(len(wire)))):
        decoder = ChunkedDecoder()
        try:
            outcomes.add((decode(decoder, pieces)[0], decoder.is_complete))
        except ProtocolError as error:
            outcomes.add(error.status)
    assert len(outcomes) == 1


class CountingBytes(bytes):
    """Counts the bytes that slices of it, and slices of those, have copied."""

    copied = 0

    def __getitem__(self, key: Any) -> Any:
        part = super().__getitem__(key)
        if not isinstance(part, bytes):
            return part
        CountingBytes.copied += len(part)
        return CountingBytes(part)


def test_many_small_chunks_cost_work_in_proportion_to_their_number() -> None:
    """64 KiB of one-byte chunks come with one read of the socket, and are not to hold the loop for long.

    A decoder that cuts off each chunk and goes on with a copy of the rest copies 300 MB of them.
    """
    wire = b"1\r\nx\r\n" * 10_000
    body, _ = ChunkedDecoder().feed(CountingBytes(wire))
    assert len(body) == 10_000
    assert CountingBytes.copied < 20 * len(wire)
