"""The proxy's cache: replies by their key, within a bound, and what to do with a request. No sockets, no clock.

The rules are `cache_rules`'; here is what is remembered. Whoever forwards asks `look_up` first, fetches when told to,
and says what came: `keep`, `refresh`, `invalidate`. `collapsing` makes many who miss together ask once.
"""

import math
from collections import OrderedDict
from collections.abc import Iterable
from dataclasses import dataclass, replace
from enum import Enum

from services.proxy.cache_rules import (
    CacheSettings,
    Pairs,
    Received,
    RequestTraits,
    StoredReply,
    invalidated_targets,
    is_match,
    is_still_allowed,
    may_reuse,
    refreshed,
    storable,
    validation_fields,
)
from shared.httpcore.conditional import Validators, evaluate_preconditions
from shared.httpcore.conditional import Verdict as Precondition
from shared.httpcore.dates import parse_http_date
from shared.httpcore.headers import Headers

# What a stored reply costs beside its bytes: objects, the key, places in tables.
OVERHEAD_BYTES = 1024
PAIR_BYTES = 128  # and a field beside its characters
MAX_VARIANTS = 32  # of one key; a reply that varies on User-Agent must not fill the cache alone
_NEVER = 2**62  # a time that no date reaches


@dataclass(frozen=True, slots=True)
class CacheQuery:
    """A request as the cache sees it. `site` is what the client asked for, `https://host:port`.

    `place` is whatever else the reply may depend on without `Vary` saying so: the Host that a trusted hop sent and the
    port that it spoke of, when they are not those of `site`. `own_key` is what an operator has instead of all that, ""
    for nothing. Not `may_be_kept`: what comes is for this request alone, and says nothing about what is stored.
    """

    method: str
    site: str
    target: str
    headers: Headers
    traits: RequestTraits
    has_body: bool = False
    place: str = ""
    own_key: str = ""
    may_be_kept: bool = True

    @property
    def key(self) -> str:
        """§2: the target URI; HEAD is answered from what GET left."""
        return self.own_key or self.key_of(self.target)

    def key_of(self, target: str) -> str:
        """The key of another target of the same site."""
        return f"{self.place}{self.site}{target}"


class Verdict(Enum):
    """What becomes of a request; the values are those of Cache-Status (RFC 9211 §2.2), but for the hits."""

    HIT = "hit"  # answer with `stored`
    MISS = "miss"  # forward, and keep the reply
    STALE = "stale"  # forward with `conditions`; after a 304 answer with `stored`
    UPDATING = "updating"  # answer with `stored`, which is stale: another request fetches it anew
    BYPASS = "bypass"  # forward as if there were no cache
    REFUSE = "only-if-cached"  # 504, as the client wished (RFC 9111 §5.2.1.7)


@dataclass(frozen=True, slots=True)
class Decision:
    """The verdict, the stored reply it is about, and the conditions to send upstream in place of the client's."""

    verdict: Verdict
    stored: StoredReply | None = None
    conditions: Pairs = ()


BYPASSED, _MISS, _REFUSE = Decision(Verdict.BYPASS), Decision(Verdict.MISS), Decision(Verdict.REFUSE)


class ReplyCache:
    """Stored replies, at most `max_bytes` of them in all; the one used longest ago goes first."""

    def __init__(self, max_bytes: int, max_reply_bytes: int) -> None:
        self.max_bytes = max_bytes
        self.max_reply_bytes = min(max_reply_bytes, max_bytes)
        self.size = 0  # bytes, overhead included
        self._variants: OrderedDict[str, list[StoredReply]] = OrderedDict()

    def __len__(self) -> int:
        return sum(map(len, self._variants.values()))

    def look_up(self, query: CacheQuery, settings: CacheSettings, now: float) -> Decision:
        """What to do with the request."""
        decision = self.foresee(query, settings, now)
        if decision.stored is not None:
            self._variants.move_to_end(query.key)
        return decision

    def foresee(self, query: CacheQuery, settings: CacheSettings, now: float) -> Decision:
        """What `look_up` would say. Asking keeps nothing stored for longer."""
        if query.method not in ("GET", "HEAD") or query.has_body or query.traits.is_origin_only:
            return BYPASSED
        is_hit_wanted = settings.honours_client and query.traits.only_if_cached
        stored = self._find(query.key, query.headers)
        if stored is None:
            return _REFUSE if is_hit_wanted else _MISS
        if may_reuse(stored, query.traits, settings, now):
            return Decision(Verdict.HIT, stored)
        if is_hit_wanted:
            return _REFUSE
        # A HEAD's reply refreshes nothing here, so it is asked without our conditions (§4.3.5 is left to GET).
        conditions = validation_fields(stored) if query.method == "GET" else ()
        return Decision(Verdict.STALE, stored, conditions)

    def _find(self, key: str, headers: Headers) -> StoredReply | None:
        """§4.1: of several that match the one that came last."""
        for stored in self._variants.get(key, ()):
            if is_match(stored, headers):
                return stored
        return None

    def plan(self, query: CacheQuery, reply: Received, settings: CacheSettings) -> StoredReply | None:
        """The reply to collect the body for, to be given to `keep`; None when it must not or can't be stored."""
        if query.has_body:  # the body is in no key: what it made the upstream say is nobody else's
            return None
        if not query.may_be_kept:
            return None
        stored = storable(query.method, query.headers, query.traits, reply, settings)
        length = reply.headers.get("content-length") or ""
        if stored is None or (length.isdigit() and int(length) > self.max_reply_bytes):
            return None
        return stored

    def keep(self, query: CacheQuery, planned: StoredReply, body: bytes) -> bool:
        """The whole reply is stored, in place of the one that the request matched; False when it is too large.

        Only for a reply that came whole: a cut one is never given here (§3.3).
        """
        stored = replace(planned, body=body)
        self._discard(query.key, [each for each in self._variants.get(query.key, ()) if is_match(each, query.headers)])
        if len(body) > self.max_reply_bytes or _size_of(query.key, stored) > self.max_bytes:
            return False
        variants = self._variants.setdefault(query.key, [])
        if len(variants) >= MAX_VARIANTS:
            self._discard(query.key, variants[-1:])
        variants.insert(0, stored)
        self._variants.move_to_end(query.key)
        self.size += _size_of(query.key, stored)
        self._make_room()
        return True

    def refresh(
        self, query: CacheQuery, decided: Decision, reply: Received, settings: CacheSettings
    ) -> StoredReply | None:
        """The reply to answer with after the upstream's 304 to our conditions; None when we sent none: then the 304
        is the client's own.
        """
        if reply.status != 304 or not decided.conditions or decided.stored is None:
            return None
        before = decided.stored
        after = refreshed(before, reply, settings)
        variants = self._variants.get(query.key, [])
        if before in variants:  # it may have gone, or been replaced, while we asked
            self._discard(query.key, [before])
            if is_still_allowed(reply) and _same_tag(before, reply):
                self.keep(query, after, before.body)
        return after

    def invalidate(self, query: CacheQuery, reply: Received) -> int:
        """§4.4: what a write has made untrue is forgotten, whoever did it; how many replies."""
        count = 0
        for target in invalidated_targets(query.method, query.site, query.target, reply):
            key = query.key if target == query.target else query.key_of(target)
            count += self._discard(key, list(self._variants.get(key, ())))
        return count

    def forget(self, query: CacheQuery) -> None:
        """Nothing stored answers this request any more."""
        self._discard(query.key, [each for each in self._variants.get(query.key, ()) if is_match(each, query.headers)])

    def _discard(self, key: str, gone: Iterable[StoredReply]) -> int:
        variants = self._variants.get(key)
        if variants is None:
            return 0
        count = 0
        for stored in list(gone):
            variants.remove(stored)
            self.size -= _size_of(key, stored)
            count += 1
        if not variants:
            del self._variants[key]
        return count

    def _make_room(self) -> None:
        """The variants of a key go together: nothing tells which of them is used."""
        while self.size > self.max_bytes:
            key = next(iter(self._variants))
            self._discard(key, list(self._variants[key]))


@dataclass(frozen=True, slots=True)
class Answer:
    """A reply made of a stored one. A HEAD's is sent without its body."""

    status: int
    pairs: list[tuple[str, str]]
    body: bytes


def answer_from(stored: StoredReply, query: CacheQuery, now: float) -> Answer:
    """The reply for this client, who may have it already (RFC 9111 §4.3.2): then a 304 without what describes the
    content.
    """
    pairs = stored.reply_pairs(now)
    if stored.status == 200 and _client_has_it(stored, query):
        return Answer(304, [pair for pair in pairs if not _describes_content(pair[0].lower())], b"")
    return Answer(stored.status, pairs, stored.body)


def _describes_content(name: str) -> bool:
    """RFC 9110 §15.4.5: a 304 keeps Content-Location of all these."""
    return name.startswith("content-") and name != "content-location"


def _client_has_it(stored: StoredReply, query: CacheQuery) -> bool:
    """Entity tags compare weakly here; what has none is matched by none, what has no date is newer than any."""
    if "if-none-match" not in query.headers and "if-modified-since" not in query.headers:  # nearly always
        return False
    modified = parse_http_date(stored.header("last-modified") or "")
    validators = Validators((stored.etag or "").removeprefix("W/"), _NEVER if modified is None else modified)
    return evaluate_preconditions(query.method, query.headers, validators) is Precondition.NOT_MODIFIED


def _size_of(key: str, stored: StoredReply) -> int:
    fields = sum(PAIR_BYTES + len(name) + len(value) for name, value in (*stored.pairs, *stored.vary))
    return OVERHEAD_BYTES + len(key) + fields + len(stored.body)


def _same_tag(stored: StoredReply, reply: Received) -> bool:
    """A 304 that names another state than we asked about is answered with once, and then fetched anew."""
    said = reply.headers.get("etag")
    return said is None or stored.etag is None or said.removeprefix("W/") == stored.etag.removeprefix("W/")


def cache_status(decision: Decision, now: float, *, is_stored: bool = False, upstream_status: int | None = None) -> str:
    """The Cache-Status field (RFC 9211) for a reply: how the cache came to it."""
    name = "weaprous"
    stored = decision.stored
    if decision.verdict in (Verdict.HIT, Verdict.UPDATING) and stored is not None:
        hit = f"{name}; hit; ttl={math.floor(stored.freshness_s(now))}"
        return hit if decision.verdict is Verdict.HIT else f"{hit}; detail=updating"
    reason = {Verdict.STALE: "stale", Verdict.BYPASS: "bypass"}.get(decision.verdict, "uri-miss")
    parts = [name, f"fwd={reason}"]
    if upstream_status is not None:
        parts.append(f"fwd-status={upstream_status}")
    if is_stored:
        parts.append("stored")
    return "; ".join(parts)
