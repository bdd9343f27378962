"""gzip of replies while they are made: which ones, for whom, and what their fields say then. Values in, values out.

`router.after(Compression().decorate)` is all that an application has to write. Files are not compressed here but once,
when they are read (`static_file`). What a client takes is decided in `negotiation`, what shrinks in `media_types`.

BREACH. Whoever sees how long a compressed reply is, and can have his own text put into it, can guess at secrets that
stand beside that text: the better the guess, the shorter the reply. Neither TLS nor a session helps against it. So
what is marked as one reader's own (`Cache-Control: no-store` or `private`, or a `Set-Cookie`) goes out as it is. An
application whose replies hold no secrets but says `no-store` to keep them fresh passes `even_unstored=True`; one with
secrets in replies that it does not mark must mark them, or not use this.
"""

import zlib
from collections.abc import AsyncIterator, Iterable

from shared.httpcore.limits import KIB
from shared.httpcore.media_types import is_compressible_type
from shared.httpcore.message import FileResponse, Request, Response, StreamingResponse, Upgrade
from shared.httpcore.negotiation import takes_gzip

MIN_BYTES = 1 * KIB  # less fits into one packet either way
MAX_WHOLE_BYTES = 256 * KIB  # of a body compressed at once, in 2 to 8 ms; a larger one goes out as it is
PIECE_BYTES = 32 * KIB  # of a stream, compressed at a time
LEVEL = 5
_GZIP = 16  # zlib's way to ask for gzip's frame: added to the window's bits
# A window of 8 KiB instead of 32: a stream may last for days, and holds 100 KiB then instead of 260.
_STREAM_WINDOW_BITS, _STREAM_MEMORY_LEVEL = 13, 7

_BODILESS_OR_PARTIAL = frozenset({204, 205, 206, 304})
# Whoever wrote one of these has decided on the coding, or speaks of exactly the bytes that are there (RFC 9530).
_DECIDED = frozenset(
    {"content-encoding", "content-range", "accept-ranges", "content-digest", "repr-digest", "digest", "content-md5"}
)
_OWN_TO_ONE_READER = frozenset({"no-store", "private"})


class Compression:
    """The after hook of one router. `even_unstored`: no reply of it holds a secret (see BREACH above)."""

    def __init__(self, *, even_unstored: bool = False) -> None:
        self._even_unstored = even_unstored
        self._last = b"", b""  # a body and the same in gzip: news goes out to many who wait for it

    def decorate(self, request: Request, response: Response) -> None:
        """The reply is in gzip when that pays and the client takes it, and says `Vary` whenever it might have been.

        A HEAD gets the fields of the GET.
        """
        size = len(response.body)
        if (size < MIN_BYTES or size > MAX_WHOLE_BYTES) and not isinstance(response, StreamingResponse):
            return  # nearly all replies
        if isinstance(response, (FileResponse, Upgrade)) or not self._may_change(response):
            return
        vary_by_coding(response)
        if not takes_gzip(request.headers):
            return
        if isinstance(response, StreamingResponse):
            response.chunks, response.content_length = GzipChunks(response.chunks), None
        else:
            packed = self._pack(response.body)
            if len(packed) >= len(response.body):
                return
            response.body = packed
        response.add_header("Content-Encoding", "gzip")
        weaken_etag(response)

    def _pack(self, body: bytes) -> bytes:
        if self._last[0] is not body:
            self._last = body, gzip_whole(body)
        return self._last[1]

    def _may_change(self, response: Response) -> bool:
        if response.content_type is None or not is_compressible_type(response.content_type):
            return False
        if isinstance(response, StreamingResponse) and (response.content_length or MIN_BYTES) < MIN_BYTES:
            return False
        return may_compress(response.status, response.headers, even_unstored=self._even_unstored)


def may_compress(status: int, fields: Iterable[tuple[str, str]], *, even_unstored: bool = False) -> bool:
    """Whether the body of such a reply may go out in another coding, as far as status and fields tell."""
    if status < 200 or status in _BODILESS_OR_PARTIAL:
        return False
    for name, value in fields:
        lower = name.lower()
        if lower in _DECIDED or (lower == "set-cookie" and not even_unstored):
            return False
        if lower == "cache-control":
            directives = {part.partition("=")[0].strip() for part in value.lower().split(",")}
            if "no-transform" in directives:  # RFC 9111 §5.2.2.6; it binds those on the way, and is a wish to us
                return False
            if not even_unstored and not _OWN_TO_ONE_READER.isdisjoint(directives):
                return False
    return True


def vary_by_coding(response: Response) -> None:
    """RFC 9110 §12.5.5: a cache hears that Accept-Encoding chose, whichever way it did."""
    for name, value in response.headers:
        if name.lower() == "vary" and not {"accept-encoding", "*"}.isdisjoint(
            part.strip() for part in value.lower().split(",")
        ):
            return
    response.add_header("Vary", "Accept-Encoding")


def weaken_etag(response: Response) -> None:
    """RFC 9110 §8.8.3.3: two codings must not share a strong tag. A weak one still matches in If-None-Match."""
    etag = response.get_header("ETag")
    if etag is not None and not etag.startswith("W/"):
        response.set_header("ETag", f"W/{etag}")


def gzip_whole(body: bytes) -> bytes:
    """All of it in gzip."""
    packer = zlib.compressobj(LEVEL, zlib.DEFLATED, zlib.MAX_WBITS + _GZIP)
    return packer.compress(body) + packer.flush()


class GzipChunks:
    """The chunks of a stream in gzip, each to be read as soon as it arrives: a reader may wait for it.

    A class, since a generator that was never begun would not close what it holds.
    """

    def __init__(self, chunks: AsyncIterator[bytes]) -> None:
        self._chunks = aiter(chunks)
        self._packer = zlib.compressobj(LEVEL, zlib.DEFLATED, _STREAM_WINDOW_BITS + _GZIP, _STREAM_MEMORY_LEVEL)
        self._rest = memoryview(b"")  # of the chunk at hand
        self._has_ended = False

    def __aiter__(self) -> "GzipChunks":
        return self

    async def __anext__(self) -> bytes:
        if self._has_ended:
            raise StopAsyncIteration
        try:
            while not self._rest:
                self._rest = memoryview(await anext(self._chunks))
        except StopAsyncIteration:
            self._has_ended = True
            return self._packer.flush()
        piece, self._rest = self._rest[:PIECE_BYTES], self._rest[PIECE_BYTES:]
        return self._packer.compress(piece) + self._packer.flush(zlib.Z_SYNC_FLUSH)

    async def aclose(self) -> None:
        """Whoever makes the body hears that no more of it is wanted."""
        close = getattr(self._chunks, "aclose", None)
        if close is not None:
            await close()
