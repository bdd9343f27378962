"""A request to an upstream and its reply back: choose, try, decide, try another. The story of one request.

Owns the order of things. What is decided stands in values elsewhere: who may be chosen in `upstreams`, who
is chosen in `policies`, what may be sent twice in `retries`, what the heads hold in `rewriting`. What waits
on the network is in `attempt`, `relay` and `tunnel`.
"""

import asyncio
import logging
import time
from dataclasses import dataclass, field

from services.proxy.attempt import AttemptFailed, UpstreamRequest, ask, connect
from services.proxy.config_values import ForwardSettings
from services.proxy.exchanges import Exchange, ExchangeTable
from services.proxy.failures import failure_response
from services.proxy.proxy_metrics import ProxyMetrics
from services.proxy.relay import ReplyCutShort, respond, settle
from services.proxy.request_body import RequestBody, body_too_large
from services.proxy.retries import (
    ALL_BUSY,
    NO_UPSTREAM,
    WAITED_IN_VAIN,
    Failure,
    FailureKind,
    Outcome,
    Resending,
    counts_as_try,
    is_from_connecting,
    may_retry,
    outcome_of,
)
from services.proxy.rewriting import (
    TUNNEL_PROTOCOL,
    HeaderPlan,
    request_fields,
    tunnel_fields,
    upgrade_fields,
    wants_tunnel,
)
from services.proxy.templates import RequestFacts
from services.proxy.tunnel import TunnelUpgrade
from services.proxy.upstreams import Pool, Ticket, Upstream
from shared.httpcore.message import Request, Response
from shared.httpcore.parsing import ResponseHead

_log = logging.getLogger("weaprous.proxy.forward")


@dataclass(frozen=True, slots=True)
class Destination:
    """Where a request goes, and how: which pool, as what request-target, with which fields."""

    pool: Pool
    target: str
    headers: HeaderPlan
    settings: ForwardSettings
    authorization: str | None = None
    extra_fields: tuple[tuple[str, str], ...] = ()


@dataclass(slots=True)
class _Story:
    """What one request has been through so far."""

    request: Request
    destination: Destination
    body: RequestBody | None
    tried: set[Upstream] = field(default_factory=set)
    must_be_fresh: bool = False
    last_failure: Failure | None = None

    def note(self, upstream: Upstream, failure: Failure) -> None:
        """An upstream that failed is not asked again; a stale connection only means that a new one is due."""
        self.last_failure = failure
        self.must_be_fresh = True
        if counts_as_try(failure):
            self.tried.add(upstream)

    def may_go_on(self) -> bool:
        """Whether the request may be sent once more."""
        failure, settings = self.last_failure, self.destination.settings
        if failure is None:
            return True
        if settings.max_tries and len(self.tried) >= settings.max_tries:
            return False
        body = self.body
        resending = Resending(self.request.method, body is None or body.is_at_hand, body is not None)
        return may_retry(failure, resending, settings.retry_on)


class Forwarder:
    """Forwards requests over the connections of one table of exchanges."""

    def __init__(self, exchanges: ExchangeTable, metrics: ProxyMetrics) -> None:
        self._exchanges = exchanges
        self._metrics = metrics

    async def forward(self, request: Request, destination: Destination) -> Response:
        """The reply for the client: an upstream's, or one that says why there is none.

        HttpError for what the client did wrong. Cancelling it frees the upstream at once.
        """
        limit = destination.settings.max_body_bytes
        if limit is not None and (request.content_length or 0) > limit:
            raise body_too_large(limit)
        body = RequestBody(request, limit) if request.has_body else None
        story = _Story(request, destination, body)
        while story.may_go_on():
            exchange = await self._begin(story)
            if isinstance(exchange, Outcome):
                return failure_response(request, exchange, "upstream")
            if exchange is None:
                break
            if story.last_failure is not None:
                self._metrics.count_retry(destination.pool)
            try:
                return await self._attempt(story, exchange)
            except AttemptFailed as error:
                self._note_failure(story, exchange.upstream, error.failure)
        outcome = outcome_of(story.last_failure) if story.last_failure is not None else NO_UPSTREAM
        return failure_response(request, outcome, "upstream")

    async def _begin(self, story: _Story) -> Exchange | Outcome | None:
        """An exchange with the upstream to ask, perhaps after a wait for a place; an Outcome when there was no
        place in time, None when there is nobody left.
        """
        pool = story.destination.pool
        upstream = pool.choose(story.tried, story.request)
        if upstream is not None:
            return self._exchanges.begin(pool, upstream)
        if not pool.is_full(story.tried):
            return None
        ticket = pool.queue.join(time.monotonic())
        return ALL_BUSY if ticket is None else await self._wait(story, ticket)

    async def _wait(self, story: _Story, ticket: Ticket) -> Exchange | Outcome | None:
        place: asyncio.Future[Exchange | Outcome | None] = asyncio.get_running_loop().create_future()
        pool = story.destination.pool

        def take_place() -> None:
            upstream = pool.choose(story.tried, story.request)
            place.set_result(self._exchanges.begin(pool, upstream) if upstream is not None else ALL_BUSY)

        ticket.on_place = take_place
        ticket.on_timeout = lambda: place.set_result(WAITED_IN_VAIN)
        try:
            return await asyncio.shield(place)
        except asyncio.CancelledError:
            ticket.leave()
            if place.done() and isinstance(exchange := place.result(), Exchange):
                exchange.finish(reuse=False)
            raise

    async def _attempt(self, story: _Story, exchange: Exchange) -> Response:
        try:
            return await self._exchange(story, exchange)
        except BaseException:
            exchange.finish(reuse=False)
            await settle(exchange.sender)  # it reads the client's body, as the next attempt's will
            raise

    async def _exchange(self, story: _Story, exchange: Exchange) -> Response:
        request, destination = story.request, story.destination
        settings, began_at = destination.settings, time.monotonic()
        await connect(exchange, self._exchanges, settings.connect_timeout_s, fresh=story.must_be_fresh)
        destination.pool.note_connected(exchange.upstream, time.monotonic())
        is_tunnel = wants_tunnel(request)
        head = await ask(exchange, _upstream_request(story, exchange.upstream, is_tunnel), settings)
        self._metrics.count_reply(exchange.upstream, destination.pool, head.status)
        now = time.monotonic()
        destination.pool.note_reply(exchange.upstream, head.status, now, now - began_at)
        if head.status == 101:
            return _tunnel(exchange, head, is_asked_for=is_tunnel)
        try:
            response = await respond(exchange, request, head, settings.read_timeout_s)
            cookie = destination.pool.sticky_cookie(request, exchange.upstream)
            if cookie is not None:
                response.add_header(*cookie)
            return response
        except ReplyCutShort:
            kind = FailureKind.REPLY_TIMED_OUT if exchange.has_timed_out else FailureKind.CLOSED
            raise AttemptFailed(Failure(kind, "cut short inside the reply", has_reply_begun=True)) from None

    def _note_failure(self, story: _Story, upstream: Upstream, failure: Failure) -> None:
        pool = story.destination.pool
        story.note(upstream, failure)
        if is_from_connecting(failure):
            pool.note_failure(upstream, time.monotonic(), failure.detail)
        elif counts_as_try(failure):
            pool.note_broken(upstream, time.monotonic(), failure.detail)
        if counts_as_try(failure):
            upstream.last_problem = failure.detail
            self._metrics.count_failure(upstream, pool, failure.kind.value)
            extra = {
                "pool": pool.name,
                "upstream": upstream.name,
                "cause": failure.kind.value,
                "reason": failure.detail,
                "request_id": story.request.id,
            }
            _log.warning("an attempt failed", extra=extra)


def _upstream_request(story: _Story, upstream: Upstream, is_tunnel: bool) -> UpstreamRequest:
    destination = story.destination
    facts = RequestFacts(story.request, upstream.name)
    fields = request_fields(facts, destination.headers, upstream.authorization or destination.authorization)
    fields += destination.extra_fields
    if is_tunnel:
        fields += upgrade_fields(TUNNEL_PROTOCOL)
    return UpstreamRequest(story.request.method, destination.target, fields, story.body)


def _tunnel(exchange: Exchange, head: ResponseHead, *, is_asked_for: bool) -> Response:
    """RFC 9110 §15.2.2: a 101 answers a request that asked for it, and names what was asked for."""
    if not is_asked_for or head.headers.tokens("upgrade") != [TUNNEL_PROTOCOL]:
        detail = "got a 101 that nobody asked for"
        raise AttemptFailed(Failure(FailureKind.BAD_REPLY, detail, has_reply_begun=True))
    return TunnelUpgrade(tunnel_fields(head.headers), exchange)
