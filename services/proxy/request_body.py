"""A request's body on its way to an upstream: passed on as it comes, and kept while it is small, to be sent again.

Owns the limit of `client_max_body_size` and the back-pressure: nothing is taken from the client before the upstream has
taken what came before. Whose fault a broken body is shows in `RequestBody.error`.
"""

from typing import Protocol

from services.proxy.connections import UpstreamConnection
from shared.httpcore.errors import HttpCoreError, HttpError
from shared.httpcore.framing import LAST_CHUNK, serialize_chunk
from shared.httpcore.message import Request
from shared.httpcore.net.body import BodyStream

MAX_KEPT_BYTES = 64 * 1024


class RequestBody:
    """The body of one request, over all attempts to send it."""

    __slots__ = ("_limit", "_size", "error", "is_at_hand", "is_chunked", "kept", "stream")

    def __init__(self, request: Request, max_bytes: int | None) -> None:
        """HttpError 413 for a body that is known to be over the limit."""
        stream = request.stream()
        assert isinstance(stream, BodyStream), "the route must stream its bodies"
        self.stream = stream
        self.is_chunked = request.is_chunked
        self.kept: list[bytes] = []
        self.is_at_hand = True  # all that was read so far is kept
        self.error: HttpCoreError | None = None  # why no more can be sent, when that is not the upstream's fault
        self._limit = max_bytes
        self._size = 0
        if max_bytes is not None and (request.content_length or 0) > max_bytes:
            raise _body_too_large(max_bytes)

    @property
    def is_complete(self) -> bool:
        """Whether all of it was taken."""
        return self.stream.is_complete and self.stream.size == 0

    def take(self) -> bytes:
        """What has arrived, b"" for nothing; look at `error` before it is used."""
        part = self.stream.take()
        self._size += len(part)
        self.error = self.stream.error
        if self._limit is not None and self._size > self._limit:
            self.error = _body_too_large(self._limit)
        if self.is_at_hand and part:
            self.kept.append(part)
            if self._size > MAX_KEPT_BYTES:
                self.is_at_hand = False
                self.kept.clear()
        return part


def _body_too_large(limit: int) -> HttpError:
    return HttpError(413, "body_too_large", f"got a body over {limit} bytes, expected no more")


class SenderOwner(Protocol):
    """Whoever has the body sent."""

    def on_waiting_for_upstream(self) -> None:
        """It is to take what was sent."""

    def on_waiting_for_client(self) -> None:
        """It is to send more of the body."""

    def on_request_sent(self) -> None:
        """Head and body are with the kernel."""

    def on_body_failed(self, error: HttpCoreError) -> None:
        """The rest of the body will not come, or must not pass."""


class BodySender:
    """Sends one body to one upstream, from its beginning; only while it is at hand."""

    __slots__ = ("_body", "_connection", "_is_last", "_owner", "is_done")

    def __init__(self, body: RequestBody, connection: UpstreamConnection, owner: SenderOwner) -> None:
        self._body = body
        self._connection = connection
        self._owner = owner
        self._is_last = False  # the end of the body was given to the connection
        self.is_done = False  # and is with the kernel

    def start(self, head: bytes) -> None:
        """The head goes first, in one call with what is there of the body."""
        self._body.stream.listen(self._on_more)
        self._send(head + self._frame(b"".join(self._body.kept)))

    def on_sent(self) -> None:
        """The upstream has taken what it had not taken before."""
        if self._is_last:
            self._finish()
        else:
            self._send(b"")

    def stop(self) -> None:
        """No more of the body is sent."""
        self._body.stream.listen(None)

    def _on_more(self) -> None:
        if not self._connection.has_unsent:
            self._send(b"")
        elif (error := self._body.stream.error) is not None:
            self._owner.on_body_failed(error)

    def _send(self, before: bytes) -> None:
        """Sends until there is nothing more, or the upstream takes no more."""
        body = self._body
        while True:
            part = body.take()
            if body.error is not None:
                self._owner.on_body_failed(body.error)
                return
            self._is_last = body.is_complete
            wire = before + self._frame(part) + (LAST_CHUNK if self._is_last and body.is_chunked else b"")
            if wire and not self._connection.send(wire):
                self._owner.on_waiting_for_upstream()
                return
            if self._is_last:
                self._finish()
                return
            if not wire:
                self._owner.on_waiting_for_client()
                body.stream.ask()
                return
            before = b""

    def _frame(self, part: bytes) -> bytes:
        return serialize_chunk(part) if part and self._body.is_chunked else part

    def _finish(self) -> None:
        self.is_done = True
        self._owner.on_request_sent()
