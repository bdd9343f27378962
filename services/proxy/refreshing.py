"""A fetch that nobody waits for: nginx's `proxy_cache_background_update`. A client has the stale reply already, and the
cache gets a new one.

It is a `Forwarding` without a client: tries, retries and their budget are those of any other; what would go to the
client goes to the cache alone. That there is one at a time for a reply is `collapsing`'s to say, and whether one is due
`intake`'s.
"""

import logging
from dataclasses import replace
from time import monotonic
from typing import cast

from services.proxy.attempt import MAX_INTERIM_REPLIES
from services.proxy.cache_rules import CONDITIONS
from services.proxy.destination import Destination
from services.proxy.forward import Forwarder, Forwarding
from services.proxy.intake import Refresh
from services.proxy.moments import now
from services.proxy.reply_heads import ReplyHead
from services.proxy.reply_work import ReplyWork, received_of
from services.proxy.retries import Outcome
from services.proxy.rewriting import without_fields
from services.proxy.stages import OVER
from shared.httpcore.errors import ConnectionClosed, ProtocolError
from shared.httpcore.framing import BodyDecoder, response_body_decoder
from shared.httpcore.message import Request
from shared.httpcore.net.replying import ReplySide
from shared.httpcore.serializing import BODILESS

# How many times `proxy_read_timeout` a whole fetch may take: no client leaves one whose body never ends.
MAX_READ_TIMEOUTS = 10

_log = logging.getLogger("weaprous.proxy.forward")


class _Nobody:
    """In the client's place. It came to no address of ours, so a header of the PROXY protocol speaks for the proxy."""

    local_address = "", 0


_NOBODY = cast(ReplySide, _Nobody())


def begin_refresh(
    forwarder: Forwarder, request: Request, destination: Destination, target: str, refresh: Refresh
) -> None:
    """The reply that this request was answered with is fetched anew, unless somebody is at it."""
    if refresh.work.lead(now()):
        Refreshing(forwarder, request, destination, target, refresh).start()


class Refreshing(Forwarding):
    """One fetch for the cache, by the request of a client who has his reply."""

    __slots__ = ("_cache", "_decoder", "_rest", "_work")

    def __init__(
        self, forwarder: Forwarder, request: Request, destination: Destination, target: str, refresh: Refresh
    ) -> None:
        # Asked with the cache's own conditions: the client's are about what he has (RFC 9111 §4.3.1).
        headers = without_fields(destination.headers, CONDITIONS)
        extra_fields = (*destination.extra_fields, *refresh.work.decision.conditions)
        super().__init__(forwarder, request, replace(destination, headers=headers, extra_fields=extra_fields), target)
        self.client = _NOBODY
        self._cache = refresh.work
        self._work = ReplyWork(request, refresh.features, refresh.work)
        self._decoder: BodyDecoder | None = None
        self._rest = b""  # received, not yet enough to decode

    def start(self) -> None:
        """It goes to an upstream, if there is one that has room."""
        self.guard(self._try_one)

    def _wait_for_place(self) -> None:
        self._finish(reuse=False)  # others need the places more

    def _give_up(self, outcome: Outcome) -> None:
        """The stale reply stays, and the next one who asks for it has it fetched again."""
        extra = {"pool": self.pool.name, "reason": outcome.message, "request_id": self.request.id}
        _log.warning("refreshing a stale reply failed", extra=extra)
        self._finish(reuse=False)

    # --- the reply ---------------------------------------------------------------------------------------------

    def _pass_reply(self, head: ReplyHead, data: bytes) -> None:
        if head.status == 101:
            raise ProtocolError(502, "bad_reply", "got a 101 that nobody asked for")
        moment, rest = now(), data[head.size :]
        self._work.on_head(received_of(head, self.began_at, moment), self.upstream.name, moment)
        if not self._cache.is_keeping:  # a 304 has renewed what there is, or what came must not be kept
            self._finish(reuse=head.status in BODILESS and head.keep_alive and not rest)
            return
        self._decoder = response_body_decoder("GET", head.status, head.is_chunked, head.content_length)
        self._take_body(rest)

    def _take_body(self, data: bytes) -> None:
        decoder = self._decoder
        assert decoder is not None
        try:
            part, self._rest = decoder.feed(self._rest + data)
        except ProtocolError as error:
            self._break_off(error.message)
            return
        self._cache.on_data(part, now())
        if not self._cache.is_keeping:  # it has grown too large
            self._finish(reuse=False)
        elif decoder.is_complete:
            self._cache.on_end(now())
            self._finish(reuse=self._reply.keep_alive and not self._rest)
        else:
            self.expect_more()

    def expect_more(self) -> None:
        """See Attempt."""
        super().expect_more()
        self.deadline = min(self.deadline, self.began_at + MAX_READ_TIMEOUTS * self.settings.read_timeout_s)

    def _on_body_end(self, detail: str, *, is_orderly: bool) -> None:
        decoder = self._decoder
        assert decoder is not None
        try:
            if not is_orderly:
                raise ConnectionClosed(detail)
            decoder.end()
        except ConnectionClosed as error:
            self._break_off(str(error))
        else:
            self._cache.on_end(now())
            self._finish(reuse=False)

    def _break_off(self, detail: str) -> None:
        self.pool.note_broken(self.upstream, monotonic(), f"a reply was cut short: {detail}", self.began_at)
        self._finish(reuse=False)

    # --- what would concern the client -------------------------------------------------------------------------

    def _pass_interim(self, head: ReplyHead) -> None:
        """Nobody is told, but there is an end to it, too."""
        self._interim_count += 1
        if self._interim_count >= MAX_INTERIM_REPLIES:
            raise ProtocolError(502, "bad_reply", f"got {MAX_INTERIM_REPLIES} interim replies and no final one")

    def _crash(self) -> None:
        _log.error("refreshing a stale reply failed (request %s)", self.request.id, exc_info=True)
        self._finish(reuse=False)

    def _finish(self, *, reuse: bool) -> None:
        """It is over, and whoever waits for it is told."""
        if not self.is_over:
            self._free(reuse=reuse)
            self.stage = OVER
            self._cache.end_refresh(now())
