"""What one request does at one upstream at a time: connect, send, read the head of the reply. By callbacks, no task.

Owns the connection, the deadline and what went wrong (`Failure`). How far a request has come is a `Stage`; whether to
try again is decided in `forward` by the rules of `retries`; what the heads hold is `rewriting`'s and
`reply_heads`'; the body of the reply is `relay`'s.
"""

import math
import socket
from collections.abc import Callable
from time import monotonic

from services.proxy.config_values import ForwardSettings
from services.proxy.connections import UpstreamConnection
from services.proxy.delivery import acknowledged_bytes, delivery_since
from services.proxy.dialing import Dial
from services.proxy.exchanges import ExchangeTable
from services.proxy.forwarding_fields import proxy_header
from services.proxy.reply_heads import ReplyHead, ReplyHeads
from services.proxy.request_body import BodySender, RequestBody
from services.proxy.retries import Delivery, Failure, FailureKind
from services.proxy.stages import ASKING, CHOOSING, CONNECTING, OVER, Stage
from services.proxy.upstreams import Pool, Upstream
from shared.httpcore.errors import HttpCoreError, ProtocolError
from shared.httpcore.message import Deferred, Request
from shared.httpcore.methods import IDEMPOTENT_METHODS
from shared.httpcore.net.pipes import PipePool
from shared.httpcore.net.replying import ReplySide

MAX_INTERIM_REPLIES = 32
# How long a client may take for one part of a reply. The server cuts clients that read nothing for a minute; this
# only catches what was forgotten.
CLIENT_PATIENCE_S = 600.0


class Attempt(Deferred):
    """The part of a `Forwarding` that is at work with an upstream."""

    __slots__ = (
        "_buffer", "_dial", "_heads", "_interim_count", "_is_begun", "_is_reused", "_is_sent", "_mark", "_scanned",
        "_sender", "_table", "began_at", "client", "connection", "deadline", "has_timed_out", "pool", "request",
        "request_body", "settings", "stage", "upstream",
    )  # fmt: skip

    # `Forwarding` sets all of these at once: a call the less for each request.
    request: Request
    pool: Pool
    settings: ForwardSettings
    client: ReplySide
    upstream: Upstream
    stage: Stage
    connection: UpstreamConnection | None
    request_body: RequestBody | None
    deadline: float  # the table's sweep calls `expire` after it
    has_timed_out: bool
    began_at: float  # at this upstream, by the monotonic clock
    _table: ExchangeTable
    _heads: ReplyHeads
    _buffer: bytes  # of a head that is not whole
    _scanned: int  # bytes of it
    _dial: Dial | None
    _sender: BodySender | None
    _interim_count: int
    _is_reused: bool  # the connection was used before
    _is_begun: bool  # the request was begun to be sent
    _is_sent: bool  # all of it, its body included
    _mark: int | None  # bytes that the upstream had acknowledged before

    # --- what `Forwarding` fills in ----------------------------------------------------------------------------

    def _request_head(self) -> bytes:
        """The head for this upstream. ValueError."""
        raise NotImplementedError

    def _on_head(self, head: ReplyHead, data: bytes) -> None:
        """The final reply begins with `data`, head included."""
        raise NotImplementedError

    def _on_failure(self, failure: Failure) -> None:
        """No reply comes of this attempt, which is over."""
        raise NotImplementedError

    def leave_upstream(self, problem: str) -> None:
        """The table: see Exchange."""
        raise NotImplementedError

    def _on_body_end(self, detail: str, *, is_orderly: bool) -> None:
        """The upstream ended in the reply's body, broke off, or took too long."""
        raise NotImplementedError

    def _take_body(self, data: bytes) -> None:
        """More of the reply's body."""
        raise NotImplementedError

    def on_body_failed(self, error: HttpCoreError) -> None:
        """The sender: see SenderOwner."""
        raise NotImplementedError

    def _crash(self) -> None:
        """Something went wrong here, in an `except` clause: the client gets a 500, or sees its reply cut."""
        raise NotImplementedError

    @property
    def is_over(self) -> bool:
        """Whether the client has its reply, or is gone."""
        return self.stage is OVER

    # --- connecting --------------------------------------------------------------------------------------------

    def _go_to(self, upstream: Upstream, *, fresh: bool) -> None:
        """The request is at this upstream, on an idle connection unless it is to be a fresh one."""
        self.upstream = upstream
        now = self.began_at = monotonic()
        version = self.pool.config.proxy_protocol  # with a header in front, a connection is one client's own
        connection = self._table.begin(self, upstream, fresh=fresh or version > 0)
        self._is_reused = connection is not None
        if connection is not None:
            self._ask(connection, now)
            return
        self.stage = CONNECTING
        self.deadline = now + self.settings.connect_timeout_s
        address = upstream.address
        preface = proxy_header(self.request, self.client.local_address, version) if version else b""
        self._dial = Dial(self, address.host, address.port, self._table.tls_target(self.pool, upstream), preface)

    def on_connected(self, sock: socket.socket) -> None:
        """See Dialler."""
        dial, self._dial = self._dial, None
        try:
            now = monotonic()
            self.pool.note_connected(self.upstream, now)
            connection = UpstreamConnection(self._table.idle, sock, self.upstream)
            connection.is_one_client_s = dial is not None and bool(dial.preface)
            self._ask(connection, now)
        except Exception:
            self._crash()

    def on_connect_failed(self, kind: FailureKind, detail: str) -> None:
        """See Dialler."""
        self._dial = None
        self._fail(Failure(kind, detail))

    # --- sending -----------------------------------------------------------------------------------------------

    def _ask(self, connection: UpstreamConnection, now: float) -> None:
        self.connection = connection
        connection.user = self
        self.stage = ASKING
        if self._is_reused and self.request.method not in IDEMPOTENT_METHODS:
            self._mark = acknowledged_bytes(connection.sock)
        self.deadline = now + self.settings.read_timeout_s
        self._is_begun = False
        self._table.soon(self._send)

    def _send(self) -> None:
        """All that there is to be sent so far: for most requests, all."""
        connection = self.connection
        if connection is None or self._is_begun:
            return  # the client left, or the upstream did
        self._is_begun = True
        try:
            head = self._request_head()
            if self.request_body is not None:
                self._sender = BodySender(self.request_body, connection, self)
                self._sender.start(head)
            elif connection.send(head):
                self._is_sent = True
            else:
                self.deadline = monotonic() + self.settings.send_timeout_s
        except Exception:
            self._crash()

    def on_sent(self) -> None:
        """See User."""
        try:
            if self._sender is not None:
                self._sender.on_sent()
            else:
                self.on_request_sent()
        except Exception:
            self._crash()

    def on_send_failed(self) -> None:
        """See User. Not the end: an upstream that closes early may have sent its reply first."""
        if self._sender is not None:
            self._sender.stop()
        self._wait_for_reply()

    def on_request_sent(self) -> None:
        """See SenderOwner."""
        self._is_sent = True
        self._wait_for_reply()

    def on_waiting_for_upstream(self) -> None:
        """See SenderOwner."""
        if self.stage is ASKING:  # else the reply's own deadline counts
            self.deadline = monotonic() + self.settings.send_timeout_s

    def on_waiting_for_client(self) -> None:
        """See SenderOwner. The time that the client takes is not held against the upstream."""
        if self.stage is ASKING:
            self.deadline = math.inf

    def _wait_for_reply(self) -> None:
        if self.stage is ASKING:
            self.deadline = monotonic() + self.settings.read_timeout_s

    # --- reading -----------------------------------------------------------------------------------------------

    def on_data(self, data: bytes) -> None:
        """See User."""
        try:
            if self.stage is not ASKING:
                self._take_body(data)
                return
            if not self._is_begun:
                self.on_end("the upstream said something unasked", is_orderly=False)
                return
            if self._buffer:
                data = self._buffer + data
            head = self._heads.read(data, self._scanned)
            if head is None:
                self._buffer, self._scanned = data, len(data)
            elif head.status >= 200 or head.status == 101:
                self._on_head(head, data)
            else:
                self._pass_interim(head)
                self._buffer, self._scanned = b"", 0
                rest = data[head.size :]
                if rest and self.stage is ASKING:  # else the client is gone
                    self.on_data(rest)
        except ProtocolError as error:
            self._fail(Failure(FailureKind.BAD_REPLY, error.message, has_reply_begun=True))
        except Exception:
            self._crash()

    def _pass_interim(self, head: ReplyHead) -> None:
        """RFC 9110 §15.2: a 1xx is forwarded, to who may understand it; a 100 is said here (see NEVER_FORWARDED)."""
        self._interim_count += 1
        if self._interim_count >= MAX_INTERIM_REPLIES:
            raise ProtocolError(502, "bad_reply", f"got {MAX_INTERIM_REPLIES} interim replies and no final one")
        if head.status != 100 and self.request.version_minor:
            self.client.output.write(head.start + head.field_lines + b"\r\n")
            self.client.output.flush()

    def on_end(self, detail: str, *, is_orderly: bool) -> None:
        """See User."""
        try:
            if self.stage is not ASKING:
                self._on_body_end(detail, is_orderly=is_orderly)
                return
            assert self.connection is not None
            has_begun = not self.is_unanswered
            sock = self.connection.sock
            delivery = Delivery.NONE
            if self._is_begun:
                delivery = delivery_since(sock, self._mark) if self._is_reused else Delivery.SOME
            is_stale = self._is_reused and not has_begun
            self._fail(Failure(FailureKind.CLOSED, detail, is_stale, has_begun, delivery))
        except Exception:
            self._crash()

    # --- the reply's body, for `relay` -------------------------------------------------------------------------

    @property
    def pipes(self) -> PipePool:
        """Where pipes are to be had."""
        return self._table.pipes

    def expect_more(self) -> None:
        """The upstream has a while to send on."""
        self.deadline = monotonic() + self.settings.read_timeout_s

    def pause(self) -> None:
        """The client is to take what it was sent, before more is read."""
        if self.connection is not None:
            self.connection.set_reading(False)
        self.deadline = monotonic() + CLIENT_PATIENCE_S

    def go_on(self) -> None:
        """More is read."""
        if self.connection is not None:
            self.connection.set_reading(True)
        self.expect_more()

    def guard(self, step: Callable[[], None]) -> None:
        """Runs a step; what nobody expected is told and ends the request."""
        try:
            step()
        except Exception:
            self._crash()

    # --- the end -----------------------------------------------------------------------------------------------

    def expire(self) -> None:
        """The table: the deadline has passed."""
        self.has_timed_out = True
        try:
            if self.stage is CONNECTING:
                kind = FailureKind.CONNECT_TIMED_OUT
            elif self.stage is ASKING:
                kind = FailureKind.REPLY_TIMED_OUT if self._is_sent else FailureKind.SEND_TIMED_OUT
            else:
                self._on_body_end("it took too long", is_orderly=False)
                return
            self._fail(Failure(kind, kind.value, has_reply_begun=not self.is_unanswered))
        except Exception:
            self._crash()

    @property
    def is_unanswered(self) -> bool:
        """Whether it is at an upstream, and no byte of a reply has come."""
        has_begun = bool(self._buffer) or self._interim_count > 0
        return self.stage is CONNECTING or (self.stage is ASKING and not has_begun)

    def _fail(self, failure: Failure) -> None:
        self._free(reuse=False)
        self._on_failure(failure)

    def _free(self, *, reuse: bool) -> None:
        """The upstream is free again, and its connection kept when `reuse` and all of the request was sent."""
        if self.stage in (CHOOSING, OVER):
            return
        self.stage = CHOOSING
        if self._dial is not None:
            self._dial.cancel()
            self._dial = None
        if self._sender is not None:
            self._sender.stop()
            self._sender = None
        connection, self.connection = self.connection, None
        self._buffer, self._scanned = b"", 0
        if connection is not None and not (reuse and self._is_sent and not connection.is_one_client_s):
            connection.close()
            connection = None
        self._is_sent = False
        self._table.end(self, self.pool, self.upstream, connection)
