"""A request to an upstream and its reply back: choose, try, decide, try another. The story of one request.

Owns the order of things, as a state machine that readiness callbacks drive: a small request and its reply cost no task
and no future. What is decided stands in values elsewhere: who may be chosen in `upstreams`, who is chosen in
`policies`, what may be sent twice in `retries`, what the heads hold in `rewriting` and `reply_heads`. One attempt is
`attempt`'s, what the client gets of it `answering`'s, bodies on their way back are `relay`'s. Places that cache, limit
or change replies use `shaping`'s kind of it.
"""

import logging
import math
from functools import partial
from time import monotonic
from weakref import WeakKeyDictionary

from services.proxy.answering import Answering
from services.proxy.destination import Destination
from services.proxy.exchanges import ExchangeTable
from services.proxy.failures import failure_response, refusal_response
from services.proxy.proxy_metrics import ProxyMetrics
from services.proxy.reply_heads import ReplyHeads
from services.proxy.request_body import RequestBody
from services.proxy.retries import (
    ALL_BUSY,
    NO_UPSTREAM,
    WAITED_IN_VAIN,
    Delivery,
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
from services.proxy.rewriting import UPGRADE_FIELDS, request_head, wants_tunnel
from services.proxy.stages import ASKING, CHOOSING, CONNECTING, OVER
from services.proxy.upstreams import Pool, Ticket, Upstream
from shared.httpcore.errors import HttpCoreError, HttpError
from shared.httpcore.message import Request, Response
from shared.httpcore.net.replying import ReplySide
from shared.httpcore.serializing import serialize_fields

CLIENT_CLOSED_REQUEST = 499  # nginx's number, for the log alone

_log = logging.getLogger("weaprous.proxy.forward")


class Forwarder:
    """What all requests have in common: one table of exchanges, one memory of heads, and the retry budgets."""

    def __init__(self, exchanges: ExchangeTable, metrics: ProxyMetrics) -> None:
        self.exchanges = exchanges
        self.metrics = metrics
        self.heads = ReplyHeads(exchanges.limits)
        self._budgets: WeakKeyDictionary[Pool, RetryBudget] = WeakKeyDictionary()

    def may_retry(self, pool: Pool) -> bool:
        """Whether the pool's budget allows that one of its requests is sent again."""
        if (config := pool.config.retry_budget) is None:
            return True
        now, requests = monotonic(), sum(upstream.requests for upstream in pool.upstreams)
        budget = self._budgets.get(pool)
        if budget is None:  # the first that is needed: what the pool has had so far has earned its share
            budget = self._budgets[pool] = RetryBudget(0, now)
        return budget.withdraw(config, requests, now)


class Forwarding(Answering):
    """One request, over all its attempts, until the client has the reply."""

    __slots__ = ("_forwarder", "_last_failure", "_must_be_fresh", "_target", "_ticket", "_tried")

    def __init__(self, forwarder: Forwarder, request: Request, destination: Destination, target: str) -> None:
        """`target` is the request-target for the upstream. HttpError for a body that is too large."""
        self.request = request
        self.pool = destination.pool
        self.settings = destination.settings
        self.stage = CHOOSING
        self.connection = self.request_body = self._dial = self._sender = self._mark = None
        self.deadline = math.inf
        self.has_timed_out = self._is_begun = self._is_sent = False
        self._buffer = b""
        self._scanned = self._interim_count = 0
        self._table = forwarder.exchanges
        self._heads = forwarder.heads
        self._metrics = forwarder.metrics
        self._forwarder = forwarder
        self._destination = destination
        self._target = target
        self._tried: tuple[Upstream, ...] = ()
        self._last_failure: Failure | None = None
        self._must_be_fresh = False
        self._relay = None
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
        """See Deferred: the upstream is freed at once. The log has a 499, as nginx's, where no reply had begun."""
        if self._ticket is not None:
            self._ticket.leave()
        self._stop_relay()
        self._free(reuse=False)
        self.stage = OVER
        request, status = self.request, self._reply.status if self._is_head_out else CLIENT_CLOSED_REQUEST
        self.client.server.record(request, status, 0, monotonic() - request.received_at)

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
        ticket.on_timeout = partial(self.guard, partial(self._give_up, WAITED_IN_VAIN))  # others time out as well
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
        self._answer(self._failure_reply(outcome))

    def _failure_reply(self, outcome: Outcome) -> Response:
        return failure_response(self.request, outcome, "upstream", self._destination.features.pages)

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
        if self._may_go_on(failure, self._tried):
            self._metrics.count_retry(pool)
            self._try_one()
        else:
            self._give_up(outcome_of(failure))

    def leave_upstream(self, problem: str) -> None:
        """See Exchange: it leaves only for another that is well, by the rules for sending again and their budget."""
        if self.is_unanswered:
            self.guard(partial(self._move_on, f"marked down: {problem}"))

    def _move_on(self, detail: str) -> None:
        delivery = Delivery.NONE if self.stage is CONNECTING else Delivery.UNKNOWN
        failure, tried = Failure(FailureKind.MARKED_DOWN, detail, delivery=delivery), (*self._tried, self.upstream)
        if not self.pool.has_refuge(tried) or not self._may_go_on(failure, tried):
            return  # an answer may still come; after the next failed check it is asked again
        self._free(reuse=False)
        self._last_failure, self._tried, self._must_be_fresh = failure, tried, True
        self._tell(self.upstream, failure)
        self._metrics.count_retry(self.pool)
        self._try_one()

    def _tell(self, upstream: Upstream, failure: Failure) -> None:
        upstream.last_problem = failure.detail
        self._metrics.count_failure(upstream, self.pool, failure.kind.value)
        extra = {
            "pool": self.pool.name,
            "upstream": upstream.name,
            "cause": failure.kind.value,
            "reason": failure.detail,
            "request_id": self.request.id,
        }
        _log.warning("an attempt failed", extra=extra)

    def _may_go_on(self, failure: Failure, tried: tuple[Upstream, ...]) -> bool:
        settings, body = self.settings, self.request_body
        if settings.max_tries and len(tried) >= settings.max_tries:
            return False
        resending = Resending(self.request.method, body is None or body.is_at_hand, body is not None)
        if not may_retry(failure, resending, settings.retry_on):
            return False
        return not counts_as_try(failure) or self._forwarder.may_retry(self.pool)

    def on_body_failed(self, error: HttpCoreError) -> None:
        """See SenderOwner: it is the client's fault, so it is told; too late for that, its reply is cut."""
        if self.stage is not ASKING:
            self._cut("the client's body broke off")
            return
        self._free(reuse=False)
        if isinstance(error, HttpError):
            self._answer(refusal_response(self.request, error, self._destination.features.pages))
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
