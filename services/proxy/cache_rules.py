"""What a shared cache may do, by RFC 9111: store, reuse, revalidate, refresh, invalidate. Values in, values out.

Sections cited without a number of a document are RFC 9111's. What is remembered, and for how long there is room, is
`reply_cache`'s. Times are Unix seconds; `now` is a parameter.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from urllib.parse import urljoin, urlsplit

from shared.httpcore.cache_control import MAX_SECONDS, CacheControl, parse_cache_control
from shared.httpcore.dates import format_http_date, parse_http_date
from shared.httpcore.headers import HOP_BY_HOP, Headers, without_hop_by_hop
from shared.httpcore.methods import SAFE_METHODS

Pairs = tuple[tuple[str, str], ...]

# RFC 9110 §15.1's list of statuses that may be reused, and the temporary redirects, which need explicit freshness.
# Deliberate: 206 is not stored.
STORABLE_STATUSES = frozenset({200, 203, 204, 300, 301, 302, 307, 308, 404, 405, 410, 414, 501})
# §3.1: what belongs to one connection, and what is counted anew for every reply.
_NOT_STORED = HOP_BY_HOP | {"age", "proxy-authentication-info", "cache-status"}
# §3.2: a 304 describes the stored content only as far as it doesn't describe its bytes.
_NOT_REFRESHED = _NOT_STORED | {"content-length", "content-encoding", "content-type", "content-range", "vary"}
# Of these fields the upstream gets other values than the client sent: who it is, and which request this is. What varies
# by one of them is one client's own. (By scheme, host and port it may vary: they are in the key.)
_WRITTEN_HERE = frozenset({"x-forwarded-for", "x-real-ip", "forwarded", "x-request-id", "traceparent", "tracestate"})
# What a client may ask by; in their place stand those of what is stored (§4.3.1).
CONDITIONS = frozenset({"if-none-match", "if-modified-since"})
# A request with one of these is about a state or a part that only the origin knows.
_ORIGIN_ONLY = ("range", "if-range", "if-match", "if-unmodified-since")


@dataclass(frozen=True, slots=True)
class CacheSettings:
    """How a location uses the cache.

    `valid_s`: how long a reply of that status is fresh that says nothing itself (`proxy_cache_valid`); without it
    nothing is guessed (§4.2.2). `stale_if_error_s`: how long past its freshness a reply may stand in when the upstream
    fails, if the reply does not say so itself. `honours_client`: what requests ask for counts (§5.2.1).
    `stale_while_updating_s`: how long past it a reply may be used while another request fetches it anew; likewise.
    """

    valid_s: Mapping[int, float] = field(default_factory=dict)
    stale_if_error_s: float = 0.0
    honours_client: bool = True
    stale_while_updating_s: float = 0.0


@dataclass(frozen=True, slots=True)
class RequestTraits:
    """What of a request's fields concerns a cache. The same fields give the same traits."""

    is_origin_only: bool = False
    has_authorization: bool = False
    no_store: bool = False
    no_cache: bool = False
    only_if_cached: bool = False
    max_age_s: float | None = None
    min_fresh_s: float = 0.0
    max_stale_s: float = 0.0


_NO_TRAITS = RequestTraits()


def read_traits(headers: Headers) -> RequestTraits:
    """The traits of a request with these fields."""
    lines = headers.get_all("cache-control")
    is_origin_only = any(name in headers for name in _ORIGIN_ONLY)
    has_authorization = "authorization" in headers
    if not lines and "pragma" not in headers:  # nearly all
        return RequestTraits(is_origin_only, has_authorization) if is_origin_only or has_authorization else _NO_TRAITS
    control = parse_cache_control(lines)
    # §5.4: Pragma counts only where there is no Cache-Control.
    no_cache = "no-cache" in control or (not control and "no-cache" in headers.tokens("pragma"))
    any_staleness = control.is_plain("max-stale")
    return RequestTraits(
        is_origin_only=is_origin_only,
        has_authorization=has_authorization,
        no_store="no-store" in control,
        no_cache=no_cache,
        only_if_cached="only-if-cached" in control,
        max_age_s=control.seconds("max-age"),
        min_fresh_s=control.seconds("min-fresh") or 0,
        max_stale_s=MAX_SECONDS if any_staleness else control.seconds("max-stale") or 0,
    )


@dataclass(frozen=True, slots=True, eq=False)
class StoredReply:
    """A whole reply to a GET, equal to itself alone, and what decides about its use.

    `vary` holds the names of the fields that it was chosen by, and the request's values.
    """

    status: int
    pairs: Pairs
    body: bytes
    vary: Pairs
    corrected_age_s: float  # §4.2.3: when it came
    received_at: float
    lifetime_s: float
    must_revalidate: bool  # not to be used stale, whatever happens (§4.2.4)
    always_revalidate: bool  # no-cache: not to be used unasked (§5.2.2.4)
    stale_if_error_s: float
    stale_while_updating_s: float = 0.0

    def age_s(self, now: float) -> float:
        """§4.2.3: current_age."""
        return self.corrected_age_s + max(0.0, now - self.received_at)

    def freshness_s(self, now: float) -> float:
        """How long it stays fresh; negative: how long it has been stale."""
        return self.lifetime_s - self.age_s(now)

    @property
    def etag(self) -> str | None:
        """The entity tag, quotes included."""
        return self.header("etag")

    def header(self, name: str) -> str | None:
        """The first value of a field."""
        return next((value for key, value in self.pairs if key.lower() == name), None)

    def reply_pairs(self, now: float) -> list[tuple[str, str]]:
        """The fields for a client: as stored, and Age (§5.1)."""
        return [*self.pairs, ("Age", str(int(min(self.age_s(now), MAX_SECONDS))))]


@dataclass(frozen=True, slots=True)
class Received:
    """A reply's head as it came from the upstream, and when it was asked for and came."""

    status: int
    headers: Headers
    requested_at: float
    received_at: float


def storable(
    method: str, request_headers: Headers, traits: RequestTraits, reply: Received, settings: CacheSettings
) -> StoredReply | None:
    """The reply to be kept, its body still to come; None when §3 forbids it, or when it could never be used.

    Deliberate: as in nginx, a reply that sets a cookie is one client's own and is not stored.
    """
    headers = reply.headers
    control = parse_cache_control(headers.get_all("cache-control"))
    names = headers.tokens("vary")
    if not _may_be_kept(method, traits, reply, control, settings):
        return None
    if "*" in names or not _WRITTEN_HERE.isdisjoint(names):  # §4.1: nothing ever matches "*"
        return None
    always_revalidate = "no-cache" in control
    lifetime_s = _lifetime_s(reply, control, settings)
    stale_if_error_s = _stale_if_error_s(control, settings)
    has_validator = "etag" in headers or "last-modified" in headers
    stale_while_updating_s = _stale_while_updating_s(control, settings)
    may_be_used_stale = max(stale_if_error_s, stale_while_updating_s) > 0 and not _must_revalidate(control)
    if not has_validator and (always_revalidate or not (lifetime_s or may_be_used_stale)):
        return None
    if lifetime_s is None and not always_revalidate:  # it says nothing, and nothing is guessed
        return None
    return StoredReply(
        status=reply.status,
        pairs=_dated(without_hop_by_hop(headers, _NOT_STORED), reply),
        body=b"",
        vary=_vary_values(names, request_headers),
        corrected_age_s=_corrected_age_s(reply),
        received_at=reply.received_at,
        lifetime_s=lifetime_s or 0.0,
        must_revalidate=_must_revalidate(control),
        always_revalidate=always_revalidate,
        stale_if_error_s=stale_if_error_s,
        stale_while_updating_s=stale_while_updating_s,
    )


def _may_be_kept(
    method: str, traits: RequestTraits, reply: Received, control: CacheControl, settings: CacheSettings
) -> bool:
    """What §3 says by method, status and who asked, before it is asked how long the reply would be of use."""
    headers = reply.headers
    if method != "GET" or reply.status not in STORABLE_STATUSES or traits.is_origin_only:
        return False
    if "no-store" in control or "private" in control or "set-cookie" in headers:
        return False
    if traits.no_store and settings.honours_client:
        return False
    # §3.5: a reply to one who proved who he is belongs to him, unless it says otherwise.
    if traits.has_authorization and not any(word in control for word in ("public", "must-revalidate", "s-maxage")):
        return False
    # Deliberate: what was said while an event stream lasted is news to nobody after.
    return not (headers.get("content-type") or "").lower().startswith("text/event-stream")


def _dated(pairs: list[tuple[str, str]], reply: Received) -> Pairs:
    """RFC 9110 §6.6.1: who keeps a reply without a Date writes down when it came."""
    has_date = any(name.lower() == "date" for name, _ in pairs)
    return tuple(pairs) if has_date else (*pairs, ("Date", format_http_date(int(reply.received_at))))


def _must_revalidate(control: CacheControl) -> bool:
    """§5.2.2.2, §5.2.2.8; §5.2.2.10: s-maxage means as much to a shared cache."""
    return any(word in control for word in ("must-revalidate", "proxy-revalidate", "s-maxage"))


def _stale_if_error_s(control: CacheControl, settings: CacheSettings) -> float:
    """RFC 5861 §4, else what the operator says."""
    own = control.seconds("stale-if-error")
    return settings.stale_if_error_s if own is None else own


def _stale_while_updating_s(control: CacheControl, settings: CacheSettings) -> float:
    """RFC 5861 §3, else what the operator says."""
    own = control.seconds("stale-while-revalidate")
    return settings.stale_while_updating_s if own is None else own


def _lifetime_s(reply: Received, control: CacheControl, settings: CacheSettings) -> float | None:
    """§4.2.1: freshness_lifetime; None when the reply says nothing of it and the operator neither."""
    for name in ("s-maxage", "max-age"):
        if (seconds := control.seconds(name)) is not None:
            return seconds
    expires = reply.headers.get_all("expires")
    if expires:
        at = parse_http_date(expires[0]) if len(expires) == 1 else None
        return 0.0 if at is None else max(0.0, at - _date(reply))  # §5.3: an invalid one has passed
    return settings.valid_s.get(reply.status)


def _date(reply: Received) -> float:
    date = parse_http_date(reply.headers.get("date") or "")
    return reply.received_at if date is None else date


def _corrected_age_s(reply: Received) -> float:
    """§4.2.3: corrected_initial_age; an Age that is no number is ignored (§5.1)."""
    said = (reply.headers.get("age") or "").strip()
    age_s = min(int(said), MAX_SECONDS) if said.isascii() and said.isdigit() and len(said) <= 10 else 0
    apparent_age_s = max(0.0, reply.received_at - _date(reply))
    return max(apparent_age_s, age_s + max(0.0, reply.received_at - reply.requested_at))


def _vary_values(names: Sequence[str], request_headers: Headers) -> Pairs:
    return tuple((name, vary_value(request_headers, name)) for name in sorted(set(names)))


def vary_value(request_headers: Headers, name: str) -> str:
    """§4.1: the field's lines as one, white space made the same; "" for none."""
    return ",".join(part.strip(" \t") for line in request_headers.get_all(name) for part in line.split(","))


def is_match(stored: StoredReply, request_headers: Headers) -> bool:
    """§4.1: whether the request's fields are those that the stored reply was chosen by."""
    return all(vary_value(request_headers, name) == value for name, value in stored.vary)


def may_reuse(stored: StoredReply, traits: RequestTraits, settings: CacheSettings, now: float) -> bool:
    """§4: whether it answers the request without asking the origin."""
    if stored.always_revalidate:
        return False
    fresh_s = stored.freshness_s(now)
    if not settings.honours_client:
        return fresh_s > 0
    if traits.no_cache or (traits.max_age_s is not None and stored.age_s(now) > traits.max_age_s):
        return False
    if fresh_s > traits.min_fresh_s:
        return True
    return fresh_s <= 0 and not stored.must_revalidate and not traits.min_fresh_s and -fresh_s < traits.max_stale_s


def may_replace_failure(stored: StoredReply, now: float) -> bool:
    """RFC 5861 §4: whether it may stand in for a 500, 502, 503 or 504, or for no reply at all."""
    if stored.must_revalidate or stored.always_revalidate:
        return stored.freshness_s(now) > 0 and not stored.always_revalidate
    return stored.freshness_s(now) > -stored.stale_if_error_s


def may_use_while_updating(stored: StoredReply, traits: RequestTraits, settings: CacheSettings, now: float) -> bool:
    """RFC 5861 §3: whether it may be used stale while another request fetches it anew. Not for a client that says how
    old it may be (§5.2.1).
    """
    if stored.must_revalidate or stored.always_revalidate:
        return False
    if settings.honours_client and (traits.no_cache or traits.max_age_s is not None or traits.min_fresh_s):
        return False
    return stored.freshness_s(now) > -stored.stale_while_updating_s


def validation_fields(stored: StoredReply) -> Pairs:
    """§4.3.1: what asks the origin whether the stored reply is still good; empty when it has no validator.

    They replace the client's own If-None-Match and If-Modified-Since, which are answered here.
    """
    pairs = []
    if (etag := stored.etag) is not None:
        pairs.append(("If-None-Match", etag))
    if (modified := stored.header("last-modified")) is not None:
        pairs.append(("If-Modified-Since", modified))
    return tuple(pairs)


def refreshed(stored: StoredReply, reply: Received, settings: CacheSettings) -> StoredReply:
    """§4.3.4: the stored reply after a 304: the new fields replace those of the same name, and it is young again."""
    new = without_hop_by_hop(reply.headers, _NOT_REFRESHED)
    replaced = {"date", *(name.lower() for name, _ in new)}  # an old Date would make an old Expires last longer
    pairs = _dated([pair for pair in stored.pairs if pair[0].lower() not in replaced] + new, reply)
    merged = Received(stored.status, Headers(pairs), reply.requested_at, reply.received_at)
    control = parse_cache_control(merged.headers.get_all("cache-control"))
    return replace(
        stored,
        pairs=pairs,
        corrected_age_s=_corrected_age_s(reply),
        received_at=reply.received_at,
        lifetime_s=_lifetime_s(merged, control, settings) or 0.0,
        must_revalidate=_must_revalidate(control),
        always_revalidate="no-cache" in control,
        stale_if_error_s=_stale_if_error_s(control, settings),
        stale_while_updating_s=_stale_while_updating_s(control, settings),
    )


def is_still_allowed(reply: Received) -> bool:
    """Whether a 304 leaves the stored reply in the cache: its owner may have changed his mind."""
    control = parse_cache_control(reply.headers.get_all("cache-control"))
    return not ("no-store" in control or "private" in control or "set-cookie" in reply.headers)


def invalidated_targets(method: str, site: str, target: str, reply: Received) -> list[str]:
    """§4.4: the request-targets of `site` (`http://host`) whose stored replies are no longer to be used.

    A write that succeeded makes its own target invalid, and what Location and Content-Location name, on the same site
    alone: nobody empties another's cache.
    """
    if method in SAFE_METHODS or not 200 <= reply.status < 400:
        return []
    references = [reply.headers.get(name) for name in ("location", "content-location")]
    named = [_same_site_target(site, target, reference) for reference in references if reference]
    return [target, *(each for each in named if each is not None)]


def _same_site_target(site: str, target: str, reference: str) -> str | None:
    try:
        url = urlsplit(urljoin(site + target, reference))
        own = urlsplit(site)
        is_same = (url.scheme, url.netloc.lower()) == (own.scheme, own.netloc.lower())
    except ValueError:
        return None
    path = url.path or "/"
    return (f"{path}?{url.query}" if url.query else path) if is_same else None
