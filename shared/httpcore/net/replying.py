"""The reply side of a connection: heads and bodies into the output, and what becomes of the connection afterwards.

The request side, which decides what is answered, is `connection`; a body that is made while it is sent is `exchange`'s.
"""

import asyncio
import logging
import math
import socket
from time import monotonic

from shared.httpcore.errors import HttpError, ProtocolError
from shared.httpcore.message import Deferred, FileResponse, Request, Response, StreamingResponse, Upgrade
from shared.httpcore.net.body import IncomingBody
from shared.httpcore.net.exchange import close_chunks, send_stream
from shared.httpcore.net.file_span import FileSpan
from shared.httpcore.net.host import Host
from shared.httpcore.net.output import JOINED_BYTES
from shared.httpcore.net.repeats import Repeat, remember
from shared.httpcore.net.transport import CLOSED, HANDLING, READING_HEAD, Transport
from shared.httpcore.serializing import BODILESS, CHUNKED, serialize_reply_head

logger = logging.getLogger("weaprous.http")


class ReplySide(Transport):
    """Sends the replies in the order of the requests, and keeps or ends the connection as their heads say."""

    __slots__ = ("_body", "_deferred", "_is_abandonable", "_must_close", "_task", "_upgrade", "server")

    def __init__(self, server: Host, sock: socket.socket) -> None:
        super().__init__(server.loop, sock, server.limits)
        self.server = server
        self._body: IncomingBody | None = None  # the body of the current request, until it is complete
        self._task: asyncio.Task[None] | None = None  # the running handler, or a streaming reply
        self._deferred: Deferred | None = None  # makes the reply of the current request
        self._upgrade: Upgrade | None = None  # gets the socket when its 101 is sent
        self._is_abandonable = False  # the task is cancelled when the client leaves
        self._must_close = False

    @property
    def _may_get_more(self) -> bool:
        """Whether another request can follow the current one, although the client has ended its side."""
        raise NotImplementedError

    def advance(self) -> None:
        """Goes on with what was received, and sends what was written."""
        raise NotImplementedError

    def internal_error(self, request: Request, where: str) -> Response:
        """The reply for an exception nobody expected; the log gets the traceback, the client only the request id."""
        logger.error("%s failed (request %s)", where, request.id, exc_info=True)
        error = HttpError(500, "internal_error", f"something went wrong here; the request id is {request.id}")
        return self.error_reply(request, error)

    def error_reply(self, request: Request, error: HttpError) -> Response:
        """The reply for an error, in the application's own look; the plain one when that look fails."""
        try:
            return self.server.router.error_response(request, error)
        except Exception:
            logger.error("making an error page failed (request %s)", request.id, exc_info=True)
            return Response.error(error.status, error.code, error.message, error.headers)

    def reply(self, request: Request, response: Response, now: float | None = None) -> None:
        """Queues the reply and decides what becomes of the connection; `advance` sends it. `now`, when it is known."""
        if self.state is CLOSED:
            discard_response(response)
            return
        if type(response) is not Response and isinstance(response, Deferred):
            self.state = HANDLING  # which every state before a reply may become
            self.deadline = math.inf
            self._deferred = response
            response.begin(self, request)
            return
        self._deferred = None
        if now is None:
            now = monotonic()
        try:
            self.server.router.decorate(request, response)
            if type(response) is Response:
                size = self._queue_bytes(request, response, response.body, now)
            elif isinstance(response, StreamingResponse):
                self._begin_stream(request, response, now)
                return
            else:
                size = self._queue_reply(request, response, now)
                if self.server.router.is_steady and not self._must_close:
                    remember(request, response)
        except Exception:
            discard_response(response)
            response = self.internal_error(request, "writing the reply")
            size = self._queue_reply(request, response, now)
        if response.status == 101 and isinstance(response, Upgrade):
            self._upgrade = response
            self._enter(HANDLING)
            self._record(request, 101, 0, now)
            return
        self.finish(request, response.status, size, now)

    def repeat(self, request: Request, known: Repeat) -> None:
        """As `reply`, with what an earlier request like this one got."""
        head = known.head(self.server.http_date(request.received_at), request.id)
        size = len(known.body)
        if size > JOINED_BYTES:
            self.output.write(head)
            self.output.write(known.body)
        else:
            self.output.write(head + known.body)
        self.finish(request, known.status, size, monotonic())

    def _queue_reply(self, request: Request, response: Response, now: float) -> int:
        """The reply is in the output; how many bytes of body it has."""
        if not isinstance(response, FileResponse):
            return self._queue_bytes(request, response, response.body, now)
        head = self._serialize_head(request, response, response.length, now)
        self.output.write(head)
        if request.method == "HEAD" or response.status in BODILESS:
            discard_response(response)
            return 0
        self.output.write_file(FileSpan(response.fd, response.offset, response.length))
        return response.length

    def _queue_bytes(self, request: Request, response: Response, body: bytes, now: float) -> int:
        length = len(body)
        head = self._serialize_head(request, response, length, now)
        if not body or request.method == "HEAD" or response.status in BODILESS:
            self.output.write(head)
            return 0
        if length > JOINED_BYTES:  # sent from where it is; a shorter one is copied behind its head
            self.output.write(head)
            self.output.write(body)
        else:
            self.output.write(head + body)
        return length

    def _begin_stream(self, request: Request, response: StreamingResponse, now: float) -> None:
        """The head is in the output; a task makes the body. To HTTP/1.0 a body of unknown length ends by closing."""
        if self.has_ended:  # it counts as gone for streams, whose makers may wait for ever (see `_on_end`)
            discard_response(response)
            self.cut_off(request, response.status, 0)
            return
        is_unknown = response.content_length is None and response.status not in BODILESS
        chunked = is_unknown and request.version_minor == 1
        if is_unknown and not chunked:
            self._must_close = True
        length = CHUNKED if chunked else response.content_length
        self.output.write(self._serialize_head(request, response, length, now))
        self._enter(HANDLING)
        self.deadline = math.inf
        self._is_abandonable = True
        self._task = self.loop.create_task(send_stream(self, request, response, chunked=chunked))
        self._task.add_done_callback(lambda task: discard_response(response) if task.cancelled() else None)

    def _serialize_head(self, request: Request, response: Response, length: int | None, now: float) -> bytes:
        if not self._will_persist(request):
            self._must_close = True  # what the head says is kept, whatever happens until the reply is complete
        return serialize_reply_head(request, response, length, not self._must_close, self.server.http_date(now))

    def connection_field(self, request: Request, *, ends_by_closing: bool = False) -> bytes:
        """For a deferred reply's own head: the line that says what becomes of the connection, b"" when none is due.

        What it says is kept. `ends_by_closing`: nothing else tells the client where the body ends.
        """
        if ends_by_closing or not self._will_persist(request):
            self._must_close = True
            return b"Connection: close\r\n"
        return b"" if request.version_minor else b"Connection: keep-alive\r\n"

    def on_output_drained(self) -> None:
        """Output: what was held up is sent."""
        super().on_output_drained()
        if self._deferred is not None:
            self._deferred.resume()

    def _will_persist(self, request: Request) -> bool:
        """Whether the connection goes on after this exchange (RFC 9112 §9.3)."""
        return (
            request.fields.keep_alive
            and not self._must_close
            and self._body is None
            and (not self.has_ended or self._may_get_more)
            and not self.server.is_draining
        )

    def cut_off(self, request: Request, status: int, body_bytes: int) -> None:
        """The exchange is over, and its reply could not be completed: the client must see the connection break."""
        self._task = None
        self._deferred = None
        self._record(request, status, body_bytes, monotonic())
        self.abort()

    def _record(self, request: Request, status: int, body_bytes: int, now: float) -> None:
        """Whoever counts and logs hears of the reply; its failure is not the client's."""
        try:
            self.server.record(request, status, body_bytes, now - request.received_at)
        except Exception:
            logger.error("recording a reply failed (request %s)", request.id, exc_info=True)

    def finish(self, request: Request, status: int, body_bytes: int, now: float) -> None:
        """The exchange is over `now`, by the loop's clock: the next request, or the end of the connection."""
        self._task = None
        self._deferred = None
        self._record(request, status, body_bytes, now)
        if self.state is CLOSED:
            pass
        elif self._must_close or self.server.is_draining or (self.has_ended and not self._may_get_more):
            self._linger()
        else:
            self.state = READING_HEAD
            self.deadline = now + self.limits.idle_timeout_s

    def _refuse(self, request: Request, error: ProtocolError) -> None:
        """Answers a broken rule and closes: after a framing error nothing on this connection can be trusted."""
        self._must_close = True
        http_error = HttpError(error.status, error.code, error.message)
        self.reply(request, self.error_reply(request, http_error))


def discard_response(response: Response) -> None:
    """Gives back what a reply holds when it is not sent, or not to its end. For streams, safe to call again."""
    if isinstance(response, FileResponse):
        FileSpan(response.fd, 0, 0).close()
    elif isinstance(response, StreamingResponse):
        asyncio.get_running_loop().create_task(close_chunks(response))
    elif isinstance(response, Upgrade):
        response.discard()
