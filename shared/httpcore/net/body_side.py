"""The bodies of a connection's requests, as they arrive: collected, streamed to handlers, refused, or passed over.

The part of a `Connection` between the head of a request and its handler. What a body is made of is `body`'s; the time
it may take is one number, which the sweep in `server` looks at.
"""

import math
from time import monotonic

from shared.httpcore.errors import HttpError, ProtocolError
from shared.httpcore.message import Request
from shared.httpcore.net.body import BodyStream, IncomingBody
from shared.httpcore.net.replying import ReplySide
from shared.httpcore.net.transport import CLOSED, HANDLING, LINGERING, READING_BODY, UPGRADED
from shared.httpcore.routing import Route
from shared.httpcore.serializing import CONTINUE


class BodySide(ReplySide):
    """Receives what follows a head, and gives the request to its handler: with its body, or with a stream of it."""

    __slots__ = ("_buffer",)

    _buffer: bytes  # received, not used

    # --- what `Connection` fills in ----------------------------------------------------------------------------

    def _dispatch(self, request: Request, route: Route, started: float) -> None:
        """Runs the handler."""
        raise NotImplementedError

    # --- bodies ------------------------------------------------------------------------------------------------

    def _begin_body(self, request: Request, route: Route) -> None:
        limit = route.max_body_bytes
        if limit is None and not route.stream_body:
            limit = self.limits.max_body_bytes
        stream = BodyStream(self._on_body_wanted) if route.stream_body else None
        try:
            self._body = IncomingBody(request, route, limit, stream)
        except ProtocolError as error:
            self._refuse(request, error)
            return
        data, self._buffer = self._buffer, b""
        if stream is not None:
            request.attach_body_stream(stream)
            self._receive_body(data)  # first, so that the handler knows what is there already
            self._dispatch(request, route, request.received_at)
            return
        self._enter(READING_BODY)
        if request.expects_continue and not data:
            self.output.write(CONTINUE)
        self._receive_body(data)

    def _skip_body(self, request: Request) -> None:
        """The reply comes before the body was read: pass over a body that is here whole, else close after the reply."""
        if request.content_length is not None and request.content_length <= len(self._buffer):
            self._buffer = self._buffer[request.content_length :]
        elif request.has_body:
            self._must_close = True

    def _receive_body(self, data: bytes) -> None:
        body = self._body
        assert body is not None
        self.set_deadline(self.limits.body_timeout_s)
        try:
            body.feed(data)
        except ProtocolError as error:
            self._fail_body(error)
            return
        if body.is_complete:
            self._buffer, self._body = body.rest, None
            if body.stream is None:
                self._dispatch(body.request, body.route, monotonic())
            else:
                self.deadline = math.inf
        if body.stream is not None:
            self._balance_reading()

    def _fail_body(self, error: ProtocolError) -> None:
        """The body breaks a rule, or did not come in time: its handler hears of it, or the client does."""
        body = self._body
        assert body is not None
        if body.stream is None:
            self._refuse(body.request, error)
        else:  # the handler answers; `_body` stays, so the connection closes after that
            self.deadline = math.inf
            self._set_reading(False)
            body.fail(HttpError(error.status, error.code, error.message))

    def _on_body_wanted(self) -> None:
        """A handler waits for the body: say 100 if the client waits for it, and read."""
        body = self._body
        if body is None or self.state is not HANDLING:
            return
        if body.awaits_continue:
            body.awaits_continue = False
            self.output.write(CONTINUE)
            self.output.flush()
        self.set_deadline(self.limits.body_timeout_s)
        self._balance_reading()

    def _balance_reading(self) -> None:
        """Reads while there is room for what comes, and not otherwise. Who lingers reads on, and discards."""
        if self.state is CLOSED or self.state is UPGRADED or self.state is LINGERING:
            return
        body = self._body
        if body is not None and body.stream is not None:
            self._set_reading(not (body.has_failed or body.stream.is_full))
        else:
            self._set_reading(len(self._buffer) <= self.limits.max_pipelined_bytes)
