"""gzip for replies of upstreams that are not compressed: which, and their bytes as they come. Values in, values out.

nginx's `gzip on`, off by default. What shrinks, who takes it and what gives secrets away is decided in
`shared.httpcore.compression`, whose warning of BREACH holds here as well. What is cached is cached as it came; gzip
comes after the cache.
"""

import asyncio
import zlib
from collections.abc import AsyncIterator, Iterable, Sequence
from dataclasses import dataclass
from enum import Enum

from shared.httpcore.compression import LEVEL, MIN_BYTES, PIECE_BYTES, may_compress, vary_by_coding, weaken_etag
from shared.httpcore.headers import Headers
from shared.httpcore.media_types import is_compressible_type
from shared.httpcore.message import Response
from shared.httpcore.negotiation import takes_gzip

_WINDOW_BITS, _MEMORY_LEVEL = 13, 7  # 8 KiB of window: some 100 KiB a reply that is under way, instead of 260
_GZIP = 16  # zlib's way to ask for gzip's frame: added to the window's bits


@dataclass(frozen=True, slots=True)
class GzipSettings:
    """A location's `gzip` words. `types` empty: whatever is known to shrink.

    `even_private`: also what is marked as one reader's own, since no reply holds a secret beside a client's text.
    """

    is_on: bool = False
    types: frozenset[str] = frozenset()
    min_bytes: int = MIN_BYTES
    level: int = LEVEL
    even_private: bool = False


class Coding(Enum):
    """What becomes of a reply: as it came; as it came, but it might have been gzip; or gzip."""

    UNTOUCHED = "untouched"
    PLAIN = "plain"
    GZIP = "gzip"


@dataclass(frozen=True, slots=True)
class ReplyFacts:
    """What of an upstream's reply decides. `length` None: not known."""

    status: int
    pairs: Sequence[tuple[str, str]]
    length: int | None


def choose_coding(request_headers: Headers, version_minor: int, reply: ReplyFacts, settings: GzipSettings) -> Coding:
    """What becomes of the reply. HTTP/1.0 gets it as it came: it has no chunks for a body of unknown length.

    Ranges of the upstream's bytes are no ranges of ours, so that Accept-Ranges goes when gzip comes.
    """
    if not settings.is_on or (reply.length is not None and reply.length < settings.min_bytes):
        return Coding.UNTOUCHED
    content_type = next((value for name, value in reply.pairs if name.lower() == "content-type"), "")
    essence = content_type.partition(";")[0].strip().lower()
    if not (essence in settings.types if settings.types else is_compressible_type(content_type)):
        return Coding.UNTOUCHED
    deciding = [pair for pair in reply.pairs if pair[0].lower() != "accept-ranges"]
    if not may_compress(reply.status, deciding, even_unstored=settings.even_private):
        return Coding.UNTOUCHED
    return Coding.GZIP if version_minor == 1 and takes_gzip(request_headers) else Coding.PLAIN


def coded_pairs(pairs: Iterable[tuple[str, str]], coding: Coding) -> list[tuple[str, str]]:
    """The reply's fields under the coding. Content-Length, which gzip changes, goes, and the body is chunked."""
    response = Response(headers=list(pairs))
    if coding is Coding.UNTOUCHED:
        return response.headers
    vary_by_coding(response)
    if coding is Coding.GZIP:
        response.headers = [
            pair for pair in response.headers if pair[0].lower() not in ("content-length", "accept-ranges")
        ]
        response.add_header("Content-Encoding", "gzip")
        weaken_etag(response)
    return response.headers


class GzipStream:
    """One body in gzip, piece by piece; each can be read as soon as it arrives, for its reader may wait for it."""

    __slots__ = ("_packer",)

    def __init__(self, level: int = LEVEL) -> None:
        self._packer = zlib.compressobj(level, zlib.DEFLATED, _WINDOW_BITS + _GZIP, _MEMORY_LEVEL)

    def add(self, data: bytes) -> bytes:
        """What is to be sent for this part; never b"" for a part that holds something."""
        if not data:
            return b""
        return self._packer.compress(data) + self._packer.flush(zlib.Z_SYNC_FLUSH)

    def end(self) -> bytes:
        """The last bytes; nothing may be added after them."""
        return self._packer.flush(zlib.Z_FINISH)


async def gzip_pieces(body: bytes, level: int) -> AsyncIterator[bytes]:
    """A long body in gzip, between whose pieces others get their turn."""
    stream = GzipStream(level)
    for at in range(0, len(body), PIECE_BYTES):
        yield stream.add(body[at : at + PIECE_BYTES])
        await asyncio.sleep(0)
    yield stream.end()
