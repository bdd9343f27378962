"""gzip of replies: which, for whom, and what their fields say; as values, and over a socket."""

import asyncio
import gzip
import json
import os
import zlib
from collections.abc import AsyncIterator

import pytest

from shared.httpcore.compression import (
    MAX_WHOLE_BYTES,
    MIN_BYTES,
    PIECE_BYTES,
    Compression,
    GzipChunks,
    may_compress,
)
from shared.httpcore.conditional import Validators, Verdict, evaluate_preconditions
from shared.httpcore.headers import Headers
from shared.httpcore.message import FileResponse, Request, Response, StreamingResponse
from shared.httpcore.routing import Router
from tests.shared.httpcore.net.exchanges import run
from tests.shared.httpcore.net.raw_client import RawClient
from tests.shared.httpcore.net.serving import Serving

TEXT = b"a line of a page\n" * 200
GZIP = "gzip, deflate, br"


def request(accept_encoding: str | None = GZIP, method: str = "GET") -> Request:
    lines = f"Accept-Encoding: {accept_encoding}\r\n".encode() if accept_encoding is not None else b""
    return Request(method, "/", 1, lines)


def text(body: bytes = TEXT, status: int = 200, *fields: tuple[str, str], content_type: str = "text/plain") -> Response:
    return Response(status, body, content_type, fields)


def decorated(response: Response, accept_encoding: str | None = GZIP, *, even_unstored: bool = False) -> Response:
    Compression(even_unstored=even_unstored).decorate(request(accept_encoding), response)
    return response


def is_packed(response: Response) -> bool:
    return response.get_header("Content-Encoding") == "gzip"


def test_who_takes_gzip_gets_it() -> None:
    response = decorated(text())
    assert gzip.decompress(response.body) == TEXT
    assert response.headers == [("Vary", "Accept-Encoding"), ("Content-Encoding", "gzip")]
    assert len(response.body) < len(TEXT) / 10


@pytest.mark.parametrize("accept_encoding", [None, "", "br", "gzip;q=0", "*;q=0", "identity", "identity;q=0"])
def test_who_does_not_gets_the_plain_bytes_and_caches_hear_that_others_may_not(accept_encoding: str | None) -> None:
    response = decorated(text(), accept_encoding)
    assert (response.body, response.headers) == (TEXT, [("Vary", "Accept-Encoding")])


@pytest.mark.parametrize("accept_encoding", ["*", "identity;q=0, *", "gzip;q=0.001, *;q=0", "identity;q=0, gzip;q=0.5"])
def test_odd_ways_to_ask_for_it_are_understood(accept_encoding: str) -> None:
    assert is_packed(decorated(text(), accept_encoding))


@pytest.mark.parametrize(
    ("size", "expected"),
    [(0, False), (MIN_BYTES - 1, False), (MIN_BYTES, True), (MAX_WHOLE_BYTES, True), (MAX_WHOLE_BYTES + 1, False)],
)
def test_small_and_huge_bodies_go_out_as_they_are_to_everyone(size: int, expected: bool) -> None:
    response = decorated(text(b"x" * size))
    assert is_packed(response) is expected
    assert (response.get_header("Vary") is not None) is expected


@pytest.mark.parametrize(
    ("content_type", "expected"),
    [
        ("text/html; charset=utf-8", True),
        ("TEXT/HTML", True),
        ("application/json", True),
        ("application/problem+json; charset=utf-8", True),
        ("image/svg+xml", True),
        ("text/event-stream", False),
        ("text/event-stream; charset=utf-8", False),
        ("application/octet-stream", False),
        ("image/png", False),
        ("application/gzip", False),
        ("", False),
        (None, False),
    ],
)
def test_what_does_not_shrink_or_must_not_wait_is_left_alone(content_type: str | None, expected: bool) -> None:
    response = decorated(Response(200, TEXT, content_type))
    assert is_packed(response) is expected
    assert (response.headers == []) is not expected


@pytest.mark.parametrize("status", [200, 201, 404, 500])
def test_replies_with_content_may_be_packed_whatever_they_say(status: int) -> None:
    assert is_packed(decorated(text(TEXT, status)))


@pytest.mark.parametrize("status", [101, 204, 205, 206, 304])
def test_parts_and_replies_without_content_may_not(status: int) -> None:
    response = decorated(text(TEXT, status))
    assert (response.body, response.headers) == (TEXT, [])


@pytest.mark.parametrize(
    "field",
    [
        ("Content-Encoding", "br"),
        ("content-encoding", "identity"),
        ("Content-Range", "bytes 0-1/2"),
        ("Accept-Ranges", "bytes"),
        ("Repr-Digest", "sha-256=:x:"),
        ("Cache-Control", "public, No-Transform"),
    ],
)
def test_who_has_decided_on_the_bytes_is_not_overruled(field: tuple[str, str]) -> None:
    response = decorated(text(TEXT, 200, field), even_unstored=True)
    assert (response.body, response.headers) == (TEXT, [field])


@pytest.mark.parametrize(
    "field",
    [("Cache-Control", "no-store"), ("Cache-Control", 'max-age=1, private="x"'), ("Set-Cookie", "session=1")],
)
def test_what_is_one_readers_own_is_not_packed_unless_it_holds_no_secret(field: tuple[str, str]) -> None:
    assert not is_packed(decorated(text(TEXT, 200, field)))
    assert is_packed(decorated(text(TEXT, 200, field), even_unstored=True))


def test_other_cache_rules_are_no_hindrance() -> None:
    assert may_compress(200, [("Cache-Control", "no-cache, max-age=0"), ("Vary", "Origin")])


@pytest.mark.parametrize(
    ("vary", "lines"),
    [
        ("Origin", ["Origin", "Accept-Encoding"]),
        ("Origin, accept-encoding", ["Origin, accept-encoding"]),
        ("*", ["*"]),
        ("X-Accept-Encoding", ["X-Accept-Encoding", "Accept-Encoding"]),
    ],
)
def test_vary_is_said_once(vary: str, lines: list[str]) -> None:
    response = decorated(text(TEXT, 200, ("Vary", vary)))
    assert [value for name, value in response.headers if name == "Vary"] == lines


def test_a_strong_tag_becomes_weak_and_still_spares_the_next_transfer() -> None:
    packed = decorated(text(TEXT, 200, ("ETag", '"1"')))
    assert packed.get_header("ETag") == 'W/"1"'
    assert decorated(text(TEXT, 200, ("ETag", 'W/"1"'))).get_header("ETag") == 'W/"1"'
    assert decorated(text(TEXT, 200, ("ETag", '"1"')), None).get_header("ETag") == '"1"'
    again = Headers([("If-None-Match", 'W/"1"')])
    assert evaluate_preconditions("GET", again, Validators('"1"', 0)) is Verdict.NOT_MODIFIED


def test_what_gzip_makes_no_smaller_goes_out_as_it_is() -> None:
    noise = os.urandom(2 * MIN_BYTES)
    response = decorated(text(noise, 200, ("ETag", '"1"')))
    assert (response.body, response.get_header("ETag"), is_packed(response)) == (noise, '"1"', False)
    assert response.get_header("Vary") == "Accept-Encoding"


def test_a_body_that_goes_out_to_many_is_packed_once() -> None:
    compression, other = Compression(), TEXT.upper()
    sent = []
    for body in (TEXT, TEXT, other):
        response = text(body)
        compression.decorate(request(), response)
        sent.append(response.body)
    assert sent[0] is sent[1]
    assert gzip.decompress(sent[2]) == other


def test_files_are_left_to_those_who_serve_them() -> None:
    response = decorated(FileResponse(99, 0, 5000, 200, "text/plain"))
    assert response.headers == []


# --- streams -------------------------------------------------------------------------------------------------


class Source:
    """Chunks of a handler, that know whether somebody closed them."""

    def __init__(self, *chunks: bytes) -> None:
        self.chunks = list(chunks)
        self.is_closed = False

    def __aiter__(self) -> "Source":
        return self

    async def __anext__(self) -> bytes:
        if not self.chunks:
            raise StopAsyncIteration
        return self.chunks.pop(0)

    async def aclose(self) -> None:
        self.is_closed = True


async def collect(chunks: AsyncIterator[bytes]) -> list[bytes]:
    return [chunk async for chunk in chunks]


@pytest.mark.parametrize("chunks", [(), (b"",), (TEXT,), (b"a", b"", b"b" * 300_000, TEXT)])
def test_a_stream_is_packed_as_it_comes(chunks: tuple[bytes, ...]) -> None:
    packed = asyncio.run(collect(GzipChunks(Source(*chunks))))
    assert gzip.decompress(b"".join(packed)) == b"".join(chunks)
    assert all(packed)


def test_each_chunk_can_be_read_before_the_next_one_is_made() -> None:
    async def test() -> None:
        chunks = GzipChunks(Source(b"one", b"two"))
        reader = zlib.decompressobj(wbits=31)
        assert reader.decompress(await anext(chunks)) == b"one"
        assert reader.decompress(await anext(chunks)) == b"two"

    asyncio.run(test())


def test_a_huge_chunk_is_packed_a_piece_at_a_time() -> None:
    packed = asyncio.run(collect(GzipChunks(Source(os.urandom(10 * PIECE_BYTES)))))
    assert len(packed) == 11
    assert max(map(len, packed)) < PIECE_BYTES * 1.1


def test_the_maker_of_a_stream_hears_of_its_end_begun_or_not() -> None:
    source = Source(TEXT)
    asyncio.run(GzipChunks(source).aclose())
    assert source.is_closed


def test_a_stream_of_known_length_loses_its_length_and_a_short_one_is_left_alone() -> None:
    long = StreamingResponse(200, Source(TEXT), "text/plain", content_length=len(TEXT))
    short = StreamingResponse(200, Source(b"x"), "text/plain", content_length=1)
    for response in (long, short):
        decorated(response)
    assert (long.content_length, is_packed(long)) == (None, True)
    assert (short.content_length, short.headers) == (1, [])


# --- over a socket -------------------------------------------------------------------------------------------

VALUE = {"items": [f"item {number}" for number in range(500)]}


def make_router() -> Router:
    router = Router()
    router.after(Compression().decorate)

    @router.get("/json")
    def json_reply(_: Request) -> Response:
        return Response.json(VALUE)

    @router.get("/stream")
    def stream(_: Request) -> Response:
        return StreamingResponse(200, Source(*[TEXT] * 20), "text/plain")

    return router


def head(method: str, path: str, version: str = "1.1", accept: str = "gzip") -> bytes:
    return f"{method} {path} HTTP/{version}\r\nHost: x\r\nAccept-Encoding: {accept}\r\n\r\n".encode()


def test_get_and_head_say_the_same_of_a_packed_reply() -> None:
    async def test(client: RawClient, _: Serving) -> None:
        await client.send(head("GET", "/json"), head("HEAD", "/json"), head("GET", "/json", accept="br"))
        got, asked, plain = await client.replies(["GET", "HEAD", "GET"])
        assert json.loads(gzip.decompress(got.body)) == json.loads(plain.body) == VALUE
        for name in ("Content-Length", "Content-Encoding", "Vary", "Content-Type"):
            assert got.headers.get_all(name) == asked.headers.get_all(name) != []
        assert plain.headers.get("Content-Encoding") is None
        assert plain.headers.get("Vary") == "Accept-Encoding"

    run(test, make_router())


def test_a_packed_stream_arrives_whole() -> None:
    async def test(client: RawClient, _: Serving) -> None:
        await client.send(head("HEAD", "/stream"), head("GET", "/stream"))
        asked, got = await client.replies(["HEAD", "GET"])
        assert gzip.decompress(got.body) == TEXT * 20
        assert got.headers.get("Transfer-Encoding") == asked.headers.get("Transfer-Encoding") == "chunked"
        assert got.headers.get("Content-Length") is None

    run(test, make_router())


def test_a_packed_stream_to_http_1_0_ends_with_the_connection() -> None:
    async def test(client: RawClient, _: Serving) -> None:
        await client.send(head("GET", "/stream", "1.0"))
        received = await client.rest()
        assert gzip.decompress(received.partition(b"\r\n\r\n")[2]) == TEXT * 20

    run(test, make_router())
