"""What one reply goes through between upstream and client: rewriting, the cache, error pages, gzip. No sockets.

Whoever forwards tells a `ReplyWork` what comes: the head (`on_head`), the body's parts (`on_data`), its end (`on_end`),
that it broke off (`on_cut`) or never came (`on_failure`). It says what is to be sent instead.
"""

from dataclasses import dataclass

from services.proxy.cache_rules import Received, StoredReply
from services.proxy.cache_work import CacheWork
from services.proxy.failures import intercepted_response
from services.proxy.features import Features
from services.proxy.moments import Moment
from services.proxy.reply_cache import answer_from, cache_status
from services.proxy.reply_fields import joined
from services.proxy.reply_gzip import Coding, GzipStream, ReplyFacts, choose_coding, coded_pairs, gzip_pieces
from services.proxy.reply_heads import ReplyHead
from services.proxy.reply_rewriting import rewrite_reply_fields
from services.proxy.templates import RequestFacts
from shared.httpcore.compression import MAX_WHOLE_BYTES
from shared.httpcore.headers import Headers
from shared.httpcore.message import Request, Response, StreamingResponse

Pairs = list[tuple[str, str]]
# What our own server writes into every reply that it makes. (A Date it writes where there is none.)
_WRITTEN_BY_SERVER = frozenset({"content-length", "x-request-id"})


@dataclass(frozen=True, slots=True)
class Shaped:
    """What becomes of a reply whose head has come. `response`: it is sent instead, and the body is not wanted. Else
    `pairs` are the fields, and each part of the body goes through `on_data`, unless nobody `needs_body`.

    `is_coded`: the body's length is not the upstream's, so it is chunked.
    """

    response: Response | None
    pairs: Pairs
    is_coded: bool = False
    needs_body: bool = False


def received_of(head: ReplyHead, began_at: float, now: Moment) -> Received:
    """The head that has come, of a request that was begun at this steady time."""
    asked_at = now.unix_s - (now.steady_s - began_at)
    return Received(head.status, Headers.parse(head.field_lines), asked_at, now.unix_s)


class ReplyWork:
    """One reply. Used where `Features.concerns_replies`; elsewhere `reply_rules` alone may concern a few fields."""

    def __init__(self, request: Request, features: Features, cache: CacheWork | None = None) -> None:
        self._request = request
        self._features = features
        self._cache = cache
        self._gzip: GzipStream | None = None

    def on_head(self, reply: Received, upstream: str, now: Moment) -> Shaped:
        """The reply's head, of a final reply that is no 101. `reply.headers` are without hop-by-hop fields; `upstream`
        is the `host:port` that it came from.
        """
        rules = self._features.reply_rules
        facts = RequestFacts(self._request, upstream)
        pairs = rewrite_reply_fields(reply.headers, rules, facts)
        cache = self._cache
        if cache is not None:
            received = Received(reply.status, Headers(pairs), reply.requested_at, reply.received_at)
            stored = cache.on_head(received, now)
            if stored is not None:
                return Shaped(self._answer(stored, now, reply.status), [])
        if (page := self._page_for(reply.status)) is not None:
            if cache is not None:
                cache.on_replaced(now)
            return Shaped(page, [])
        if cache is not None:
            said = cache_status(cache.decision, now.unix_s, is_stored=cache.is_keeping, upstream_status=reply.status)
            pairs.append(("Cache-Status", said))
        fields = self._features.reply_fields
        additions = fields.additions(reply.status, facts) if fields.added else []
        length = reply.headers.get("content-length") or ""
        # By what the upstream says, hidden or not, and by what is said for it.
        coding = self._choose(reply.status, pairs + additions, int(length) if length.isdigit() else None)
        if fields:
            pairs = joined(fields.shown(pairs), additions)
        if coding is Coding.GZIP and self._request.method != "HEAD":
            self._gzip = GzipStream(self._features.gzip.level)
        is_coded = coding is Coding.GZIP
        needs_body = is_coded or (cache is not None and cache.is_keeping)
        return Shaped(None, coded_pairs(pairs, coding), is_coded, needs_body)

    def switched(self, headers: Headers) -> Pairs:
        """The fields of a 101, which neither waits nor is kept."""
        return self._features.reply_fields.shown(headers)

    def on_data(self, data: bytes, now: Moment) -> bytes:
        """What is sent for this part of the body."""
        if self._cache is not None:
            self._cache.on_data(data, now)
        return data if self._gzip is None else self._gzip.add(data)

    def on_end(self, now: Moment) -> bytes:
        """What is sent after the last part of a body that came whole."""
        if self._cache is not None:
            self._cache.on_end(now)
        return b"" if self._gzip is None else self._gzip.end()

    def on_cut(self, now: Moment) -> None:
        """The upstream broke off, or the client left. Harmless after the end."""
        if self._cache is not None:
            self._cache.on_cut(now)

    def on_failure(self, now: Moment) -> Response | None:
        """There is no reply and no other try: the stale one that may stand in for it, else None."""
        stored = self._cache.on_failure(now) if self._cache is not None else None
        return self._answer(stored, now) if stored is not None else None

    def answer_from_cache(self, now: Moment) -> Response:
        """The reply of a hit."""
        stored = self._cache.decision.stored if self._cache is not None else None
        assert stored is not None
        return self._answer(stored, now)

    def _answer(self, stored: StoredReply, now: Moment, upstream_status: int | None = None) -> Response:
        cache = self._cache
        assert cache is not None
        if (page := self._page_for(stored.status)) is not None:
            return page
        answer = answer_from(stored, cache.query, now.unix_s)
        pairs = [pair for pair in answer.pairs if pair[0].lower() not in _WRITTEN_BY_SERVER]
        pairs.append(("Cache-Status", cache_status(cache.decision, now.unix_s, upstream_status=upstream_status)))
        coding = self._choose(answer.status, pairs, len(stored.body))
        shown = self._features.reply_fields.shown(pairs)  # what is added is added to all replies that are made here
        fields, body, level = coded_pairs(shown, coding), answer.body, self._features.gzip.level
        if coding is Coding.GZIP and len(body) > MAX_WHOLE_BYTES:
            return StreamingResponse(answer.status, gzip_pieces(body, level), None, fields)
        if coding is Coding.GZIP:
            stream = GzipStream(level)
            body = stream.add(body) + stream.end()
        return Response(answer.status, body, None, fields)

    def _page_for(self, status: int) -> Response | None:
        features = self._features
        return intercepted_response(self._request, status, features.pages) if features.intercepts_errors else None

    def _choose(self, status: int, pairs: Pairs, length: int | None) -> Coding:
        request, settings = self._request, self._features.gzip
        if not settings.is_on:
            return Coding.UNTOUCHED
        return choose_coding(request.headers, request.version_minor, ReplyFacts(status, pairs, length), settings)
