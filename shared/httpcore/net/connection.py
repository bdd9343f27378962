"""One client's connection: a state machine driven by readiness callbacks, from `recv` to the one `send` of a reply.

What the tricks buy: a plain handler is answered inside the callback, so a request costs no task and no future;
replies to pipelined requests leave in one `send`; time-outs are two numbers and one sweep in `server`, not a timer
a read; only what decides framing is parsed before the route is known. Async handlers and streaming replies are in
`exchange`, bodies in `body_side`, the socket's own life in `transport`.
"""

import asyncio
import logging
import math
import socket
from time import monotonic
from typing import Any

from shared.httpcore.errors import ConnectionClosed, HttpError, ProtocolError
from shared.httpcore.grammar import EMPTY_LINES
from shared.httpcore.message import Request, Response, Upgrade
from shared.httpcore.net.body_side import BodySide
from shared.httpcore.net.exchange import SLOW_HANDLER_S, run_exchange
from shared.httpcore.net.host import Host
from shared.httpcore.net.repeats import recall
from shared.httpcore.net.transport import HANDLING, LINGERING, READING_BODY, READING_HEAD
from shared.httpcore.parsing import find_head_end, parse_repeated_head, parse_request_head
from shared.httpcore.request_head import HeadFields
from shared.httpcore.routing import Route

logger = logging.getLogger("weaprous.http")

MAX_PUT_OFF_BYTES = 16 * 1024


class Connection(BodySide):
    """Reads requests from one socket, in order, and finds their handlers."""

    __slots__ = (
        "_is_held",
        "_last_fields",
        "_scanned",
        "remote_ip",
        "remote_port",
    )

    def __init__(self, server: Host, sock: socket.socket, remote_ip: str, remote_port: int) -> None:
        super().__init__(server, sock)
        self.remote_ip = remote_ip
        self.remote_port = remote_port
        self._buffer = b""  # received, not used
        self._is_held = False  # requests in the buffer wait for the others' turn, or for unsent replies
        self._last_fields: HeadFields | None = None  # of the last request, until the connection is idle for a while
        self._scanned = 0  # bytes of the buffer known to hold no end of a head

    @property
    def is_idle(self) -> bool:
        """Whether nothing is under way: no part of a request, no reply to send."""
        return self.state is READING_HEAD and not self._buffer and self.output.is_empty

    # --- receiving ---------------------------------------------------------------------------------------------

    def _on_data(self, data: bytes) -> None:
        if self.state is READING_HEAD:
            fields = self._last_fields
            if (
                not self._buffer
                and fields is not None
                and not self.output.size
                and (request := parse_repeated_head(data, fields, self.limits)) is not None
            ):
                self._begin(self._identify(request))  # nearly always, so without the ways round through the buffer
            else:
                self._buffer = self._buffer + data if self._buffer else data
                self._take_requests()
            self._send_soon()
        elif self.state is LINGERING:
            self._discard(data)
        elif self._body is not None:
            self._receive_body(data)
            self._take_requests()
            self._send_soon()
        else:
            self._buffer += data  # read ahead while a handler runs
            self._balance_reading()

    def advance(self) -> None:
        """Answers what can be answered of the buffer, and sends the replies now."""
        if self._buffer or self.has_ended:
            try:
                self._take_requests()
            except Exception:
                self.crash()
        self._send_replies()

    def _send_soon(self) -> None:
        """The replies leave at the end of the turn, behind each other's."""
        if self.output.size > MAX_PUT_OFF_BYTES:
            self._send_replies()  # it fills the socket by itself, and leaves the processor's cache with every wait
        elif self.output.size or self._is_held or self.state is LINGERING:
            self.server.at_turn_end(self._send_replies)
        elif self._buffer or not self._is_reading:
            self._balance_reading()  # as `_send_replies` does after the others

    def _take_requests(self) -> None:
        """At most a turn's budget of requests are answered, or given to their handlers."""
        limits = self.limits
        turns = limits.requests_per_turn
        self._is_held = False
        while self._buffer and self.state is READING_HEAD:
            if turns == 0 or self.output.size > limits.max_output_bytes:
                self._is_held = True
                break
            turns -= 1
            if not self._take_request():
                break
        if self.has_ended and self.state is READING_HEAD and not self._buffer:
            self._linger()

    def _send_replies(self) -> None:
        """What was written is sent, as far as the socket takes it, and what waited for that goes on."""
        try:
            self.output.flush()
            if self._is_held and self.output.is_empty:
                self._is_held = False
                self.loop.call_soon(self.advance)  # the others' turn; what is still unsent calls when it has gone
            if self.state is not READING_HEAD and self.output.is_empty:
                self._on_all_sent()
            if len(self._buffer) > self.limits.max_pipelined_bytes or not self._is_reading:
                self._balance_reading()
        except Exception:
            self.crash()

    def _take_request(self) -> bool:
        """Whether a whole head was there and was dealt with."""
        limits = self.limits
        buffer = self._buffer
        try:
            fields = self._last_fields
            if fields is not None and (request := parse_repeated_head(buffer, fields, limits)) is not None:
                self._buffer = b""
            elif (empty := EMPTY_LINES.match(buffer)) is not None:  # RFC 9112 §2.2: at least one is ignored
                self._buffer, self._scanned = buffer[empty.end() :], 0
                return True
            else:
                end = find_head_end(buffer, self._scanned, limits)
                if not end:
                    self._wait_for_head()
                    return False
                request = parse_request_head(buffer, end, limits, fields)
                self._buffer = buffer[end:]
                self._last_fields = request.fields
        except ProtocolError as error:
            self._refuse(self._identify(Request("-", "-")), error)
            return False
        self._scanned = 0
        self._begin(self._identify(request))
        return True

    def _wait_for_head(self) -> None:
        if self.has_ended:
            self._buffer = b""  # it will never be a request
        elif self._scanned == 0:
            self.set_deadline(self.limits.head_timeout_s)
        self._scanned = len(self._buffer)

    def _identify(self, request: Request) -> Request:
        """Writes into the request what the connection knows of it."""
        server = self.server
        request.remote_ip = self.remote_ip
        request.remote_port = self.remote_port
        if server.scheme != "http":
            request.scheme = server.scheme
        request.received_at = monotonic()  # the loop's clock, without the call through the loop
        if not request.id:
            request.id = server.next_request_id()
        return request

    def _begin(self, request: Request) -> None:
        """The request is answered, or given to whoever will; its body, if it has one, is received first."""
        if (
            request.fields.repeats is not None
            and (known := recall(request)) is not None
            and self._will_persist(request)
        ):
            self.repeat(request, known)
            return
        try:
            found = self.server.router.find(request)
        except HttpError as error:
            found = self.error_reply(request, error)
        except Exception:
            found = self.internal_error(request, "a hook")
        if isinstance(found, Response):
            self._skip_body(request)
            self.reply(request, found)
        elif request.fields.has_body:
            self._begin_body(request, found)
        else:
            self._dispatch(request, found, request.received_at)

    # --- handling and replying ---------------------------------------------------------------------------------

    def _dispatch(self, request: Request, route: Route, started: float) -> None:
        """Runs the handler; `started` is when it began to hold the loop."""
        handler: Any = route.handler
        if route.is_async or route.blocking:
            self._enter(HANDLING)
            self.deadline = math.inf
            self._is_abandonable = route.abandonable
            self._task = self.loop.create_task(run_exchange(self, request, route))
            return
        try:
            response = handler(request)
        except HttpError as error:
            response = self.error_reply(request, error)
        except (Exception, asyncio.CancelledError):  # the latter out of a future that it looked at: nobody cancels here
            response = self.internal_error(request, route.name)
        now = monotonic()
        if now - started > SLOW_HANDLER_S:
            self.server.on_slow_handler(route.name, now - started)
        self.reply(request, response, now)

    # --- time-outs, back-pressure, the end ---------------------------------------------------------------------

    def on_deadline(self) -> None:
        """The sweep: this connection has waited too long, for what its state says."""
        body = self._body
        if not self.output.is_empty:
            self.abort()  # a slow reader
        elif self.state is LINGERING:
            self.close()
        elif body is not None and body.stream is not None and not body.stream.is_waited_for:
            self.deadline = math.inf  # it is the handler that takes its time
        elif body is not None:
            self._fail_body(ProtocolError(408, "body_timeout", "the request body took too long"))
        elif self._buffer:
            late = ProtocolError(408, "head_timeout", "the request head took too long")
            self._refuse(self._identify(Request("-", "-")), late)
        else:
            self.close()  # idle
        self.advance()

    def _linger(self) -> None:
        self._buffer = b""  # what came after the last request is not answered
        super()._linger()

    @property
    def _may_get_more(self) -> bool:
        return bool(self._buffer)

    def _on_end(self) -> None:
        """The client sends no more. What it sent is answered, unless it left in the middle of something."""
        has_answer = self._body is not None and self._body.has_failed  # and the client waits for it
        if self._body is not None:
            self._body.fail(ConnectionClosed("the client left in the middle of its request's body"))
        if self.state is HANDLING:
            is_abandonable = self._deferred is not None or (self._is_abandonable and self._task is not None)
            if is_abandonable and not has_answer:
                self.abort()  # which cancels the task; one that has not begun could not close the connection itself
        elif self.state is READING_HEAD:
            self.advance()
        elif self.state is READING_BODY or self.output.is_empty:
            self.close()

    def _on_all_sent(self) -> None:
        if self._upgrade is not None:
            self._hand_over(self._upgrade)
        elif self.state is LINGERING:
            self._end_sending()
        elif self.state is READING_HEAD:
            if self._is_held:  # the others' turn; and replies that are sent whole must not call for each other
                self._is_held = False
                self.loop.call_soon(self.advance)
            else:
                self.advance()

    def _on_closed(self) -> None:
        """Whoever still works for this connection hears of it."""
        self._buffer = b""
        if self._upgrade is not None:
            self._upgrade.discard()
            self._upgrade = None
        self.server.forget(self)
        if self._deferred is not None:
            deferred, self._deferred = self._deferred, None
            deferred.abandon()
        if self._body is not None:
            self._body.fail(ConnectionClosed("the client is gone"))
        if self._is_abandonable and self._task is not None and self._task is not asyncio.current_task():
            self._task.cancel()

    def _hand_over(self, upgrade: Upgrade) -> None:
        """The socket is somebody else's from here on."""
        self._upgrade = None
        leftover, self._buffer = self._buffer, b""
        sock = self._release_socket()
        self.server.forget(self)
        self.server.run_upgrade(upgrade, sock, leftover)

    def rest(self) -> None:
        """The sweep: an idle connection keeps nothing that it can do without."""
        if self._last_fields is not None and self.is_idle:
            self._last_fields = None

    def begin_drain(self) -> None:
        """The server is going away: an idle connection closes now, a busy one after its reply.

        So does one whose next request has arrived: to whoever sent it, it looks as if it might have been acted on.
        """
        if self.is_idle and not self._has_unread():
            self.close()
