"""A request to an upstream and its reply back: choose, try, decide, try another. The story of one request.

Owns the order of things, as a state machine that readiness callbacks drive: a small request and its reply cost no task
and no future. What is decided stands in values elsewhere: who may be chosen in `upstreams`, who is chosen in
`policies`, what may be sent twice in `retries`, what the heads hold in `rewriting` and `reply_heads`. One attempt is
`attempt`'s, bodies on their way back are `relay`'s.
"""

import logging
import math
from dataclasses import dataclass
from functools import partial
from time import monotonic
from weakref import WeakKeyDictionary

from services.proxy.attempt import Attempt, Stage
from services.proxy.config_values import ForwardSettings
from services.proxy.exchanges import ExchangeTable
from services.proxy.failures import failure_response
from services.proxy.field_lines import field_pairs
from services.proxy.proxy_metrics import ProxyMetrics
from services.proxy.relay import Collecting, Passing, Relay, Splicing, take_pipe
from services.proxy.reply_heads import REQUEST_ID_START, ReplyHead, ReplyHeads
from services.proxy.request_body import RequestBody
from services.proxy.retries import (
    ALL_BUSY,
    NO_UPSTREAM,
    WAITED_IN_VAIN,
    Failure,
    FailureKind,
    Outcome,
    Resending,
    RetryBudget,
    counts_as_try,
    is_from_connecting,
    may_retry,
    outcome_of,
)
from services.proxy.revocation import Oversight
from services.proxy.rewriting import UPGRADE_FIELDS, HeaderPlan, request_head, wants_tunnel
from services.proxy.tunnel import HANDOVER_TIMEOUT_S, TunnelUpgrade
from services.proxy.upstreams import Pool, Ticket, Upstream
from shared.httpcore.errors import HttpCoreError, HttpError
from shared.httpcore.framing import LengthDecoder, response_body_decoder
from shared.httpcore.message import Request, Response
from shared.httpcore.net.replying import ReplySide
from shared.httpcore.serializing import BODILESS, serialize_field, serialize_fields

_log = logging.getLogger("weaprous.proxy.forward")


@dataclass(frozen=True, slots=True)
class Destination:
    """Where requests go, and how: which pool, with which fields. `oversight` None: nobody's rights are at stake."""

    pool: Pool
    headers: HeaderPlan
    settings: ForwardSettings
    authorization: str | None = None
    extra_fields: tuple[tuple[str, str], ...] = ()
    oversight: Oversight | None = None


class Forwarder:
    """What all requests have in common: one table of exchanges, one memory of heads, and the retry budgets."""

    def __init__(self, exchanges: ExchangeTable, metrics: ProxyMetrics) -> None:
        self.exchanges = exchanges
        self.metrics = metrics
        self.heads = ReplyHeads(exchanges.limits)
        self._budgets: WeakKeyDictionary[Pool, RetryBudget] = WeakKeyDictionary()

    def may_retry(self, pool: Pool) -> bool:
        """Whether the pool's budget allows that one of its requests is sent again."""
        now, requests = monotonic(), sum(upstream.requests for upstream in pool.upstreams)
        budget = self._budgets.get(pool)
        if budget is None:  # the first that is needed: what the pool has had so far has earned its share
            budget = self._budgets[pool] = RetryBudget(0, now)
        return budget.withdraw(requests, now)


class Forwarding(Attempt):
    """One request, over all its attempts, until the client has the reply."""

    __slots__ = (
        "_destination", "_forwarder", "_is_head_out", "_last_failure", "_must_be_fresh", "_relay",
        "_reply", "_target", "_ticket", "_tried",
    )  # fmt: skip

    _reply: ReplyHead

    def __init__(self, forwarder: Forwarder, request: Request, destination: Destination, target: str) -> None:
        """`target` is the request-target for the upstream. HttpError for a body that is too large."""
        self.request = request
        self.pool = destination.pool
        self.settings = destination.settings
        self.stage = Stage.CHOOSING
        self.connection = self.request_body = self._dial = self._sender = self._mark = None
        self.deadline = math.inf
        self.has_timed_out = self._is_begun = self._is_sent = False
        self._buffer = b""
        self._scanned = self._interim_count = 0
        self._table = forwarder.exchanges
        self._heads = forwarder.heads
        self._forwarder = forwarder
        self._destination = destination
        self._target = target
        self._tried: tuple[Upstream, ...] = ()
        self._last_failure: Failure | None = None
        self._must_be_fresh = False
        self._relay: Relay | None = None
        self._ticket: Ticket | None = None  # while it waits for a place
        self._is_head_out = False
        fields = request.fields
        if fields.is_chunked or fields.content_length:
            self.request_body = RequestBody(request, destination.settings.max_body_bytes)

    # --- what the client's connection says (Deferred) ----------------------------------------------------------

    def begin(self, client: ReplySide, request: Request) -> None:
        """See Deferred."""
        self.client = client
        try:
            self._try_one()
        except Exception:
            self._crash()

    def resume(self) -> None:
        """See Deferred."""
        try:
            if self._relay is not None:
                self._relay.resume()
        except Exception:
            self._crash()

    def abandon(self) -> None:
        """See Deferred: the upstream is freed at once."""
        if self._ticket is not None:
            self._ticket.leave()
        self._stop_relay()
        self._free(reuse=False)
        self.stage = Stage.OVER

    # --- choosing, and choosing again --------------------------------------------------------------------------

    def _try_one(self) -> None:
        upstream = self.pool.choose(self._tried, self.request)
        if upstream is not None:
            self._go_to(upstream, fresh=self._must_be_fresh)
        elif self.pool.is_full(self._tried):
            self._wait_for_place()
        else:
            failure = self._last_failure
            self._give_up(outcome_of(failure) if failure is not None else NO_UPSTREAM)

    def _wait_for_place(self) -> None:
        ticket = self.pool.queue.join(monotonic())
        if ticket is None:
            self._give_up(ALL_BUSY)
            return
        ticket.on_place = partial(self.guard, self._take_place)
        ticket.on_timeout = partial(self._give_up, WAITED_IN_VAIN)
        self._ticket = ticket

    def _take_place(self) -> None:
        self._ticket = None
        upstream = self.pool.choose(self._tried, self.request)
        if upstream is not None:
            self._go_to(upstream, fresh=self._must_be_fresh)
        else:
            self._give_up(ALL_BUSY)

    def _give_up(self, outcome: Outcome) -> None:
        self._ticket = None
        self._answer(failure_response(self.request, outcome, "upstream"))

    def _on_failure(self, failure: Failure) -> None:
        """An upstream that failed is not asked again; a stale connection only means that a new one is due."""
        upstream, pool = self.upstream, self.pool
        self._last_failure = failure
        self._must_be_fresh = True
        if is_from_connecting(failure):
            pool.note_failure(upstream, monotonic(), failure.detail)
        elif counts_as_try(failure):
            pool.note_broken(upstream, monotonic(), failure.detail, self.began_at)
        if counts_as_try(failure):
            self._tried = (*self._tried, upstream)
            self._tell(upstream, failure)
        if self._may_go_on(failure):
            self._forwarder.metrics.count_retry(pool)
            self._try_one()
        else:
            self._give_up(outcome_of(failure))

    def _tell(self, upstream: Upstream, failure: Failure) -> None:
        upstream.last_problem = failure.detail
        self._forwarder.metrics.count_failure(upstream, self.pool, failure.kind.value)
        extra = {
            "pool": self.pool.name,
            "upstream": upstream.name,
            "cause": failure.kind.value,
            "reason": failure.detail,
            "request_id": self.request.id,
        }
        _log.warning("an attempt failed", extra=extra)

    def _may_go_on(self, failure: Failure) -> bool:
        settings, body = self.settings, self.request_body
        if settings.max_tries and len(self._tried) >= settings.max_tries:
            return False
        resending = Resending(self.request.method, body is None or body.is_at_hand, body is not None)
        if not may_retry(failure, resending, settings.retry_on):
            return False
        return not counts_as_try(failure) or self._forwarder.may_retry(self.pool)

    def on_body_failed(self, error: HttpCoreError) -> None:
        """See SenderOwner: it is the client's fault, so it is told; too late for that, its reply is cut."""
        if self.stage is not Stage.ASKING:
            self._cut("the client's body broke off")
            return
        self._free(reuse=False)
        if isinstance(error, HttpError):
            self._answer(self.client.error_reply(self.request, error))
        else:
            self.client.abort()  # it is leaving

    # --- the request's head ------------------------------------------------------------------------------------

    def _request_head(self) -> bytes:
        destination, upstream, request = self._destination, self.upstream, self.request
        authorization = upstream.authorization or destination.authorization
        more = serialize_fields(destination.extra_fields) if destination.extra_fields else ""
        if self.request_body is not None and self.request_body.is_chunked:
            more += "Transfer-Encoding: chunked\r\n"
        if request.fields.upgrade and wants_tunnel(request):
            more += UPGRADE_FIELDS
        return request_head(request, self._target, upstream.name, destination.headers, authorization, more)

    # --- the reply ---------------------------------------------------------------------------------------------

    def _on_head(self, head: ReplyHead, data: bytes) -> None:
        self.stage = Stage.REPLYING
        self._reply = head
        upstream, pool, now = self.upstream, self.pool, monotonic()
        self._forwarder.metrics.count_reply(upstream, pool, head.status, now - self.began_at)
        pool.note_reply(upstream, head.status, now, now - self.began_at)
        is_head = self.request.method == "HEAD"
        if head.is_sized and not is_head:
            assert head.content_length is not None
            end = head.size + head.content_length
            if len(data) >= end:
                self.send_whole(data[head.size : end], is_clean=len(data) == end)
                return
        elif head.status == 101:
            self._switch(head, data[head.size :])
            return
        elif is_head or head.status in BODILESS:
            self.send_whole(b"", is_clean=len(data) == head.size)
            return
        self.expect_more()
        relay = self._relay = self._choose_relay(head)
        relay.begin(data[head.size :])

    def _choose_relay(self, head: ReplyHead) -> Relay:
        length = head.content_length
        if length is not None and length <= Collecting.MAX_BYTES:
            return Collecting(self, length)
        if length is not None and self._destination.oversight is None and (pipe := take_pipe(self, length)) is not None:
            return Splicing(self, length, pipe)
        return Passing(self, response_body_decoder(self.request.method, head.status, head.is_chunked, length))

    def pass_rest(self, left: int, sent_bytes: int) -> None:
        """The rest of a body that could not be spliced is copied."""
        self._stop_relay()
        self._relay = Passing(self, LengthDecoder(left), sent_bytes)

    def send_whole(self, body: bytes, *, is_clean: bool) -> None:
        """The reply is complete: head and body go out in one call. `is_clean`: nothing came after it."""
        client, request, head = self.client, self.request, self._reply
        is_endless = head.content_length is None and head.status not in BODILESS  # such a head answers a HEAD
        output = self.reply_head(is_endless=is_endless) + body
        self._relay = None
        self._free(reuse=is_clean and head.keep_alive)
        self.stage = Stage.OVER
        client.output.write(output)
        client.finish(request, head.status, len(body))
        self._table.soon(client.advance)

    def reply_head(self, *, is_endless: bool) -> bytes:
        """The head for the client. `is_endless`: its body has no length, so it is chunked, or ends by closing."""
        client, request, head = self.client, self.request, self._reply
        is_chunked = is_endless and request.version_minor == 1
        connection = client.connection_field(request, ends_by_closing=is_endless and not is_chunked)
        self._is_head_out = True
        start, lines = head.start, head.field_lines
        oversight = self._destination.oversight
        if self.pool.config.sticky is not None and (cookie := self.pool.sticky_cookie(request, self.upstream)):
            lines += serialize_field(*cookie).encode("latin-1")
        if oversight is not None or client.server.router.alters_replies:
            lines = self._decorated(head, lines, oversight)
        elif head.whole is not None and lines is head.field_lines and not is_chunked and not connection:
            return b"%b%b\r\n\r\n" % (head.whole, request.id.encode("ascii"))
        if not head.has_date:
            lines += b"Date: %b\r\n" % client.server.http_date(monotonic()).encode("ascii")
        if is_chunked:
            lines += b"Transfer-Encoding: chunked\r\n"
        return b"%b%b%b%b%b\r\n\r\n" % (start, lines, connection, REQUEST_ID_START, request.id.encode("ascii"))

    def _decorated(self, head: ReplyHead, lines: bytes, oversight: Oversight | None) -> bytes:
        """The field lines as the hooks leave them, which know nothing of lines."""
        response = Response(head.status, b"", None, field_pairs(lines))
        if oversight is not None:
            oversight.decorate(self.request, response)
        self.client.server.router.decorate(self.request, response)
        return serialize_fields(response.headers).encode("latin-1")

    def _take_body(self, data: bytes) -> None:
        oversight = self._destination.oversight
        if oversight is not None and not oversight.may_stay():
            self._cut("the session is over")
        elif self._relay is not None:
            self._relay.on_data(data)

    def _on_body_end(self, detail: str, *, is_orderly: bool) -> None:
        if self.stage is Stage.TUNNELLING:  # the client has not taken its 101
            self.client.abort()
        elif self._relay is not None:
            self._relay.on_end(detail, is_orderly=is_orderly)

    def end_reply(self, sent_bytes: int, *, reuse: bool) -> None:
        """The relay has written the whole reply."""
        client = self.client
        self._stop_relay()
        self._free(reuse=reuse and self._reply.keep_alive)
        self.stage = Stage.OVER
        client.finish(self.request, self._reply.status, sent_bytes)
        client.advance()

    def cut_reply(self, detail: str, sent_bytes: int = 0, *, is_broken: bool = False) -> None:
        """The upstream broke off, or broke the rules (`is_broken`), inside the body. The client sees its reply cut as
        well, if it has any of it; else it gets a proper 502 or 504.
        """
        self._stop_relay()
        if not self._is_head_out:
            kind = FailureKind.REPLY_TIMED_OUT if self.has_timed_out else FailureKind.CLOSED
            kind = FailureKind.BAD_REPLY if is_broken else kind
            self._fail(Failure(kind, f"cut short inside the reply: {detail}", has_reply_begun=True))
            return
        self.pool.note_broken(self.upstream, monotonic(), f"a reply was cut short: {detail}", self.began_at)
        extra = {"upstream": self.upstream.name, "reason": detail, "request_id": self.request.id}
        _log.warning("a reply was cut short", extra=extra)
        self._cut(detail, sent_bytes)

    def _cut(self, detail: str, sent_bytes: int = 0) -> None:
        self._stop_relay()
        self._free(reuse=False)
        self.stage = Stage.OVER
        self.client.finish(self.request, self._reply.status, sent_bytes, cut=True)

    def _stop_relay(self) -> None:
        if self._relay is not None:
            self._relay.stop()
            self._relay = None

    # --- tunnels -----------------------------------------------------------------------------------------------

    def _switch(self, head: ReplyHead, early: bytes) -> None:
        """RFC 9110 §15.2.2: a 101 answers a request that asked for it, and names what was asked for."""
        if not wants_tunnel(self.request) or not head.switches_to_tunnel:
            detail = "got a 101 that nobody asked for"
            self._fail(Failure(FailureKind.BAD_REPLY, detail, has_reply_begun=True))
            return
        connection, self.connection = self.connection, None
        assert connection is not None
        self.stage = Stage.TUNNELLING
        self.deadline = monotonic() + HANDOVER_TIMEOUT_S
        pairs = [pair for pair in field_pairs(head.field_lines) if pair[0].lower() != "date"]
        upgrade: Response = TunnelUpgrade(pairs, self, connection.release_socket(), early)
        oversight = self._destination.oversight
        if oversight is not None:
            upgrade = oversight.limit(upgrade)
        self._answer(upgrade)

    def on_tunnel_begun(self) -> None:
        """See TunnelOwner: it may be silent for hours."""
        self.deadline = math.inf

    def on_tunnel_ended(self) -> None:
        """See TunnelOwner."""
        self._free(reuse=False)
        self.stage = Stage.OVER

    # --- replies of our own ------------------------------------------------------------------------------------

    def _answer(self, response: Response) -> None:
        oversight = self._destination.oversight
        if oversight is not None:
            oversight.decorate(self.request, response)
        if self.stage is Stage.CHOOSING:
            self.stage = Stage.OVER
        self.client.reply(self.request, response)
        self._table.soon(self.client.advance)  # it may be at work with what came before, or after

    def _crash(self) -> None:
        self._stop_relay()
        response = self.client.internal_error(self.request, "forwarding")
        if self.stage is Stage.OVER:
            return
        if self._is_head_out:
            self._cut("something went wrong here")
        else:
            self._free(reuse=False)
            self._answer(response)
