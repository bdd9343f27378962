"""A request's body on its way to an upstream: passed on as it comes, and kept while it is small, to be sent
again.

Owns the limit of `client_max_body_size` and the question whose fault a broken body is.
"""

from collections.abc import AsyncIterator

from services.proxy.exchanges import Exchange
from shared.httpcore.errors import HttpCoreError, HttpError
from shared.httpcore.message import Request

MAX_KEPT_BYTES = 64 * 1024


class RequestBody:
    """The body of one request, over all attempts to send it."""

    __slots__ = ("_kept", "_kept_bytes", "_limit", "_size", "_source", "error", "is_at_hand")

    def __init__(self, request: Request, max_bytes: int | None) -> None:
        self._source = request.stream()
        self._limit = max_bytes
        self._size = 0
        self._kept: list[bytes] = []
        self.is_at_hand = True  # all that was read so far is kept
        self.error: Exception | None = None  # why no more can be sent, when that is not the upstream's fault

    async def read(self) -> bytes:
        """The next part; b"" at the end. Raises what the client did wrong and keeps it in `error`."""
        try:
            part = await anext(self._source, b"")
        except HttpCoreError as error:
            self.error = error
            raise
        self._size += len(part)
        if self._limit is not None and self._size > self._limit:
            self.error = body_too_large(self._limit)
            raise self.error
        self._keep(part)
        return part

    def _keep(self, part: bytes) -> None:
        if not self.is_at_hand or not part:
            return
        self._kept.append(part)
        if self._size > MAX_KEPT_BYTES:
            self.is_at_hand = False
            self._kept.clear()

    async def send_through(self, exchange: Exchange, send_timeout_s: float) -> AsyncIterator[bytes]:
        """The whole body from its beginning, for one attempt; only while `is_at_hand`.

        The upstream has `send_timeout_s` for each part; the time that the client takes is not held against
        it.
        """
        for part in list(self._kept):
            exchange.expect_progress(send_timeout_s)
            yield part
        while True:
            exchange.expect_progress(None)
            part = await self.read()
            if not part:
                return
            exchange.expect_progress(send_timeout_s)
            yield part


def body_too_large(limit: int) -> HttpError:
    """The refusal of a body over `client_max_body_size`."""
    return HttpError(413, "body_too_large", f"got a body over {limit} bytes, expected no more")
