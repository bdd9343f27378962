"""Which replies of upstreams go out in gzip, what their fields say, and that the bytes come back the same."""

import gzip
import zlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.proxy.reply_gzip import Coding, GzipSettings, GzipStream, ReplyFacts, choose_coding, coded_pairs
from shared.httpcore.headers import Headers

ON = GzipSettings(is_on=True)
TAKES = Headers([("Accept-Encoding", "br, gzip")])
HTML = ("Content-Type", "text/html; charset=utf-8")


def chosen(
    *pairs: tuple[str, str], status: int = 200, length: int | None = None, settings: GzipSettings = ON,
    headers: Headers = TAKES, version_minor: int = 1,
) -> Coding:  # fmt: skip
    return choose_coding(headers, version_minor, ReplyFacts(status, pairs, length), settings)


def test_it_is_off_until_it_is_turned_on() -> None:
    assert chosen(HTML, settings=GzipSettings()) is Coding.UNTOUCHED
    assert chosen(HTML) is Coding.GZIP


@pytest.mark.parametrize(
    ("pairs", "expected"),
    [
        ([HTML], Coding.GZIP),
        ([("content-type", "application/json")], Coding.GZIP),
        ([("Content-Type", "application/problem+json")], Coding.GZIP),
        ([("Content-Type", "image/png")], Coding.UNTOUCHED),
        ([("Content-Type", "text/event-stream")], Coding.UNTOUCHED),
        ([], Coding.UNTOUCHED),
        ([HTML, ("Content-Encoding", "br")], Coding.UNTOUCHED),
        ([HTML, ("Accept-Ranges", "bytes")], Coding.GZIP),
        ([HTML, ("Content-Range", "bytes 0-1/2")], Coding.UNTOUCHED),
        ([HTML, ("Cache-Control", "public, no-transform")], Coding.UNTOUCHED),
        ([HTML, ("Cache-Control", "no-store")], Coding.UNTOUCHED),
        ([HTML, ("Set-Cookie", "a=b")], Coding.UNTOUCHED),
    ],
)
def test_the_reply_s_fields_decide(pairs: list[tuple[str, str]], expected: Coding) -> None:
    assert chosen(*pairs) is expected


@pytest.mark.parametrize(
    ("status", "length", "expected"),
    [
        (200, 1023, Coding.UNTOUCHED),
        (200, 1024, Coding.GZIP),
        (404, 5000, Coding.GZIP),
        (204, None, Coding.UNTOUCHED),
        (206, 5000, Coding.UNTOUCHED),
        (304, None, Coding.UNTOUCHED),
        (101, None, Coding.UNTOUCHED),
    ],
)
def test_so_do_status_and_length(status: int, length: int | None, expected: Coding) -> None:
    assert chosen(HTML, status=status, length=length) is expected


def test_a_client_that_does_not_take_it_hears_that_it_might_have_been() -> None:
    assert chosen(HTML, headers=Headers()) is Coding.PLAIN
    assert chosen(HTML, headers=Headers([("Accept-Encoding", "gzip;q=0")])) is Coding.PLAIN
    assert chosen(HTML, version_minor=0) is Coding.PLAIN


def test_settings_change_what_is_compressed() -> None:
    only_json = GzipSettings(True, types=frozenset({"application/json"}), min_bytes=10)
    assert chosen(HTML, settings=only_json) is Coding.UNTOUCHED
    assert chosen(("Content-Type", "Application/JSON; x=y"), length=10, settings=only_json) is Coding.GZIP
    assert chosen(HTML, ("Set-Cookie", "a=b"), settings=GzipSettings(True, even_private=True)) is Coding.GZIP


def test_the_fields_say_what_happened() -> None:
    pairs = [HTML, ("ETag", '"x"'), ("Content-Length", "9"), ("Accept-Ranges", "bytes"), ("Vary", "Cookie")]
    assert coded_pairs(pairs, Coding.UNTOUCHED) == pairs
    assert coded_pairs(pairs, Coding.PLAIN) == [*pairs, ("Vary", "Accept-Encoding")]
    assert sorted(coded_pairs(pairs, Coding.GZIP)) == sorted(
        [HTML, ("ETag", 'W/"x"'), ("Vary", "Cookie"), ("Vary", "Accept-Encoding"), ("Content-Encoding", "gzip")]
    )
    assert coded_pairs([("Vary", "accept-encoding")], Coding.PLAIN) == [("Vary", "accept-encoding")]


@given(st.lists(st.binary(max_size=3000), max_size=8), st.integers(1, 9))
def test_the_bytes_come_back_and_each_part_can_be_read_at_once(parts: list[bytes], level: int) -> None:
    stream, reader, whole = GzipStream(level), zlib.decompressobj(31), b""
    for part in parts:
        sent = stream.add(part)
        whole += sent
        assert reader.decompress(sent) == part
    whole += stream.end()
    assert gzip.decompress(whole) == b"".join(parts)


def test_a_large_part_is_compressed_whole() -> None:
    stream = GzipStream()
    body = bytes(range(256)) * 4000
    sent = stream.add(body) + stream.end()
    assert gzip.decompress(sent) == body
    assert len(sent) < len(body) / 10
