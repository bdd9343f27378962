"""Requests for places that limit, cache or change what they forward: when they go on, and what their replies become.

Owns the waiting, for a rate limit or for another's fetch of the same, and hands each reply to `reply_work` as it comes.
Everything else is `forward`'s; places without such words never get here, and pay nothing for it.
"""

import asyncio
from dataclasses import replace
from functools import partial
from time import monotonic

from services.proxy.cache_rules import CONDITIONS
from services.proxy.destination import Destination
from services.proxy.forward import Forwarder, Forwarding
from services.proxy.intake import Intake, Taken
from services.proxy.moments import now
from services.proxy.refreshing import begin_refresh
from services.proxy.relay import Passing
from services.proxy.reply_heads import ReplyHead
from services.proxy.reply_work import ReplyWork, received_of
from services.proxy.retries import Outcome
from services.proxy.rewriting import without_fields
from services.proxy.stages import TUNNELLING
from shared.httpcore.framing import BodyDecoder, response_body_decoder
from shared.httpcore.headers import Headers
from shared.httpcore.message import Request, Response
from shared.httpcore.net.replying import ReplySide
from shared.httpcore.serializing import BODILESS

# How long a request waits for another's fetch before it asks by itself: nginx's `proxy_cache_lock_timeout`.
PATIENCE_S = 5.0


class ShapedForwarding(Forwarding):
    """A request for which `intake` has more to say than to forward it."""

    __slots__ = ("_hold", "_intake", "_place", "_store", "_taken", "_timer", "_waits_for")

    def __init__(
        self, forwarder: Forwarder, request: Request, destination: Destination, target: str, intake: Intake,
        taken: Taken,
    ) -> None:  # fmt: skip
        super().__init__(forwarder, request, _with_conditions(destination, taken), target)
        self._place = destination  # without conditions of the cache's
        self._intake = intake
        self._store = intake.store  # that of the configuration by which the request came, whatever is reloaded
        self._taken = taken
        self._hold = taken.hold  # its places in the zones of `limit_conn`
        self._timer: asyncio.TimerHandle | None = None
        self._waits_for = ""  # the key of the fetch that another is at

    # --- before it goes on -------------------------------------------------------------------------------------

    def begin(self, client: ReplySide, request: Request) -> None:
        """See Deferred."""
        self.client = client
        delay_s = self._taken.delay_s
        if delay_s > 0:
            self._timer = client.loop.call_later(delay_s, self.guard, self._start)
        else:
            self.guard(self._start)

    def _start(self) -> None:
        self._timer = None
        if self._taken.response is not None:
            self._answer_at_hand(self._taken.response)
            return
        if self._hold is not None and not self._hold.take():
            self._taken = replace(self._taken, work=None)  # it leads nobody
            self._answer(self._intake.crowded(self.request, self._place.features))
            return
        key = self._taken.waits_for
        if key and not self._store.fetches.join(key, self._on_fetched, monotonic()):
            self._waits_for = key
            self._timer = self.client.loop.call_later(PATIENCE_S, self.guard, self._lose_patience)
            return
        self._try_one()

    def _answer_at_hand(self, response: Response) -> None:
        if (refresh := self._taken.refresh) is not None:
            begin_refresh(self._forwarder, self.request, self._place, self._target, refresh)
        self._answer(response)

    def _on_fetched(self, is_stored: bool) -> None:
        """See `collapsing`: it calls from within another's exchange, so this one goes on a little later."""
        self._stop_waiting()
        if is_stored:
            self._taken = replace(self._taken, work=None)  # who did not lead has nothing to settle
        self._table.soon(partial(self.guard, partial(self._go_on, is_stored)))

    def _go_on(self, is_stored: bool) -> None:
        if self.is_over:
            return
        if is_stored:
            features = self._destination.features
            taken = self._taken = self._intake.look_up(self.request, features, self._store, now())
            if taken.response is not None:
                self._answer_at_hand(taken.response)
                return
            self._destination = _with_conditions(self._place, taken)
        self._try_one()

    def _lose_patience(self) -> None:
        self._store.fetches.leave(self._waits_for, self._on_fetched)
        self._stop_waiting()
        self._try_one()

    def _stop_waiting(self) -> None:
        self._waits_for = ""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def abandon(self) -> None:
        """See Deferred."""
        if self._waits_for:
            self._store.fetches.leave(self._waits_for, self._on_fetched)
        elif self._timer is None:  # else it has not begun yet, and leads nobody
            self._settle()
        self._stop_waiting()
        super().abandon()
        self._leave()

    # --- the reply ---------------------------------------------------------------------------------------------

    def _pass_reply(self, head: ReplyHead, data: bytes) -> None:
        work = self._taken.work
        if work is None:
            super()._pass_reply(head, data)
            return
        if head.status == 101:
            self._reply = head.with_pairs(work.switched(Headers.parse(head.field_lines)), has_length=True)
            super()._pass_reply(self._reply, data)
            return
        moment = now()
        shaped = work.on_head(received_of(head, self.began_at, moment), self.upstream.name, moment)
        is_bodiless = self.request.method == "HEAD" or head.status in BODILESS
        if shaped.response is not None:
            self._free(reuse=is_bodiless and head.keep_alive and len(data) == head.size)
            self._answer(shaped.response)
            return
        self._reply = head.with_pairs(shaped.pairs, has_length=head.content_length is not None and not shaped.is_coded)
        if not shaped.needs_body:
            super()._pass_reply(self._reply, data)  # by the shortest way, large ones by splice
            return
        if is_bodiless:
            work.on_end(moment)
            self.send_whole(b"", is_clean=len(data) == head.size)
            return
        self.expect_more()
        decoder = response_body_decoder(self.request.method, head.status, head.is_chunked, head.content_length)
        relay = self._relay = _Shaping(self, decoder, work, is_coded=shaped.is_coded)
        relay.begin(data[head.size :])

    def _pass_interim(self, head: ReplyHead) -> None:
        super()._pass_interim(self._place.features.reply_fields.shown_head(head))

    def _failure_reply(self, outcome: Outcome) -> Response:
        work = self._taken.work
        stale = work.on_failure(now()) if work is not None else None
        return stale if stale is not None else super()._failure_reply(outcome)

    def _answer(self, response: Response) -> None:
        self._settle()
        self._place.features.reply_fields.decorate(self.request, response)
        super()._answer(response)
        if self.stage is not TUNNELLING:
            self._leave()

    def _crash(self) -> None:
        super()._crash()
        self._settle()
        if self.is_over:
            self._leave()

    # --- the end -----------------------------------------------------------------------------------------------

    def send_whole(self, body: bytes, *, is_clean: bool) -> None:
        """See Answering."""
        super().send_whole(body, is_clean=is_clean)
        self._leave()

    def end_reply(self, sent_bytes: int, *, reuse: bool) -> None:
        """See Answering."""
        super().end_reply(sent_bytes, reuse=reuse)
        self._leave()

    def _cut(self, detail: str, sent_bytes: int = 0) -> None:
        super()._cut(detail, sent_bytes)
        self._leave()

    def on_tunnel_ended(self) -> None:
        """See TunnelOwner."""
        super().on_tunnel_ended()
        self._leave()

    def _leave(self) -> None:
        """Its places are free for another of its client's. Harmless when it has none."""
        if self._hold is not None:
            self._hold.release()

    def _settle(self) -> None:
        """Nobody waits for this one's fetch any more. Harmless when it came to its end."""
        if self._taken.work is not None:
            self._taken.work.on_cut(now())


class _Shaping(Passing):
    """A body that `reply_work` sees, and perhaps changes, on its way."""

    __slots__ = ("_work",)

    def __init__(self, forwarding: Forwarding, decoder: BodyDecoder, work: ReplyWork, *, is_coded: bool) -> None:
        super().__init__(forwarding, decoder)
        self._work = work
        if is_coded:
            self._is_endless = self._is_chunked = True  # HTTP/1.0 gets no coding

    def _pass(self, part: bytes) -> None:
        super()._pass(self._work.on_data(part, now()) if part else part)

    def _end(self, *, reuse: bool) -> None:
        self._write(self._work.on_end(now()))
        super()._end(reuse=reuse)

    def stop(self) -> None:
        """See Relay."""
        self._work.on_cut(now())


def _with_conditions(destination: Destination, taken: Taken) -> Destination:
    """The same place, asked with the cache's conditions in place of the client's (RFC 9111 §4.3.1)."""
    if not taken.conditions:
        return destination
    headers = without_fields(destination.headers, CONDITIONS)
    return replace(destination, headers=headers, extra_fields=(*destination.extra_fields, *taken.conditions))
