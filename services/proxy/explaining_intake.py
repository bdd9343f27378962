"""The part of `/_proxy/explain` about what comes before an upstream is asked, which limits hold and what the cache has,
and about what the place does with the fields of a reply.

Asks `features`, the zones, `cache_judging` and `reply_fields` what they would say of such a request. Nothing is
counted, no place is taken, and nothing stored is used the sooner or kept the longer for it. No sockets, no clock.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from services.proxy.cache_choice import first_set
from services.proxy.cache_judging import Judgement, judge
from services.proxy.cache_rules import CacheSettings, StoredReply
from services.proxy.cache_work import CacheStore
from services.proxy.config_values import LocationConfig
from services.proxy.connection_limits import ConnectionLimits, ConnLimitConfig
from services.proxy.features import Features, LimitRule
from services.proxy.rate_limits import RateLimitConfig, RateZoneConfig
from services.proxy.reply_cache import Verdict
from services.proxy.reply_fields import ReplyFields
from services.proxy.rewriting import wants_tunnel
from services.proxy.templates import RequestFacts, Template
from shared.httpcore.message import Request

Json = dict[str, Any]


# --- limits ----------------------------------------------------------------------------------------------------------


def explain_limits(
    request: Request,
    location: LocationConfig,
    zones: Iterable[RateZoneConfig],
    connections: ConnectionLimits,
    *,
    is_at_hand: bool,
) -> Json:
    """What of `limit_req`, `limit_conn` and `client_max_body_size` holds for the request, as two lists, a number and a
    sentence. `is_at_hand`: the cache answers it.
    """
    by_name, facts, features = {zone.name: zone for zone in zones}, RequestFacts(request, ""), location.features
    rates = [_describe_rate(rule, by_name, facts) for rule in features.limits]
    at_once = [_describe_at_once(rule, connections, facts, is_at_hand=is_at_hand) for rule in features.conn_limits]
    max_body = location.settings.max_body_bytes
    body = f"a body of at most {max_body} bytes" if max_body is not None else "a body of any size"
    reasons = [*(each["why"] for each in (*rates, *at_once)), body]
    return {"rates": rates, "at_once": at_once, "max_body_bytes": max_body, "why": "; ".join(reasons)}


def _describe_at_once(
    rule: LimitRule[ConnLimitConfig], connections: ConnectionLimits, facts: RequestFacts, *, is_at_hand: bool
) -> Json:
    """`in_flight`: how many of this key are under way; `has_room`: whether one more may come."""
    zone, most, value = connections.zone(rule.limit.zone), rule.limit.most, rule.key_for(facts)
    in_flight = zone.counts.get(value, 0)
    has_room = not value or is_at_hand or zone.has_room(value, most)
    why = f"{most} at once for each {zone.config.key} ({_whose(value)})"
    if value:
        why += f", {in_flight} under way"
    if not has_room:
        why += ", so it would get a 429" if in_flight else ", but its zone is full, so it would get a 429"
    elif value and is_at_hand:
        why += ", but the cache answers, which takes no place"
    return {
        "zone": zone.config.name,
        "key": zone.config.key,
        "value": value,
        "most": most,
        "in_flight": in_flight,
        "has_room": has_room,
        "why": why,
    }


def _whose(value: str) -> str:
    return f"this one's is {value}" if value else "this one has none, so it is not limited"


def _describe_rate(rule: LimitRule[RateLimitConfig], zones: Mapping[str, RateZoneConfig], facts: RequestFacts) -> Json:
    """`value`: the request's key, "" when it has none. `undelayed`: how many of the burst need not wait."""
    limit, zone, value = rule.limit, zones[rule.limit.zone], rule.key_for(facts)
    return {
        "zone": zone.name,
        "key": zone.key,
        "value": value,
        "rate_per_s": zone.rate_per_s,
        "burst": limit.burst,
        "undelayed": limit.burst if limit.undelayed is None else min(limit.undelayed, limit.burst),
        "why": f"{_rate_text(zone.rate_per_s)} for each {zone.key} ({_whose(value)}), {_burst_text(limit)}",
    }


def _rate_text(rate_per_s: float) -> str:
    """As the file would have it."""
    return f"{rate_per_s:g}r/s" if rate_per_s >= 1 else f"{rate_per_s * 60:g}r/m"


def _burst_text(limit: RateLimitConfig) -> str:
    undelayed = limit.burst if limit.undelayed is None else min(limit.undelayed, limit.burst)
    if not limit.burst:
        return "none before its time"
    if undelayed == limit.burst:
        return f"{limit.burst} more at once"
    return f"{undelayed} more at once, {limit.burst - undelayed} wait" if undelayed else f"{limit.burst} more wait"


# --- the cache -------------------------------------------------------------------------------------------------------


def explain_cache(request: Request, features: Features, store: CacheStore, now: float) -> Json | None:
    """What the cache would do with the request and what it has for it; None where nothing is cached. `now` is in Unix
    seconds.
    """
    if features.cache is None:
        return None
    rules = _describe_rules(features.cache, features, store) | {"key": _describe_key(features, request)}
    if wants_tunnel(request):
        why = "a WebSocket goes past the cache"
        return {"verdict": Verdict.BYPASS.value, "why": why, "stored": None, "may_be_kept": False} | rules
    judged = judge(request, features, store, now, store.replies.foresee)
    query, decision, _, _ = judged
    return {
        "verdict": decision.verdict.value,
        "why": _why_so(judged, features, store, RequestFacts(request, ""), now),
        "stored": _describe_stored(decision.stored, now) if decision.stored is not None else None,
        "may_be_kept": query.may_be_kept,
    } | rules


def _describe_rules(settings: CacheSettings, features: Features, store: CacheStore) -> Json:
    return {
        "valid_s": {str(status): time_s for status, time_s in sorted(settings.valid_s.items())},
        "stale_if_error_s": settings.stale_if_error_s,
        "stale_while_updating_s": settings.stale_while_updating_s,
        "background_update": features.refreshes,
        "lock": features.collapses,
        "client_control": settings.honours_client,
        "max_reply_bytes": store.replies.max_reply_bytes,
    }


def is_at_hand(cache: Json | None) -> bool:
    """Whether what `explain_cache` told is a reply that no upstream is asked for first."""
    at_hand = (Verdict.HIT.value, Verdict.UPDATING.value, Verdict.REFUSE.value)
    return cache is not None and cache["verdict"] in at_hand


def _describe_key(features: Features, request: Request) -> str | None:
    """What `proxy_cache_key` makes of the request; None: the URL is the key."""
    key = features.cache_choice.key
    return key.render(RequestFacts(request, "")) if key is not None else None


def _describe_stored(stored: StoredReply, now: float) -> Json:
    return {
        "status": stored.status,
        "bytes": len(stored.body),
        "age_s": round(stored.age_s(now), 3),
        "fresh_for_s": round(stored.freshness_s(now), 3),  # negative: stale for so long
        "varies_by": [name for name, _ in stored.vary],
    }


def _why_so(judged: Judgement, features: Features, store: CacheStore, facts: RequestFacts, now: float) -> str:
    query, decision, _, leads = judged
    verdict, stored = decision.verdict, decision.stored
    if verdict is Verdict.BYPASS:
        return _why_past(features, facts)
    if verdict is Verdict.REFUSE:
        return "the client wants it from the cache or not at all, and there is nothing that may be used: 504"
    waits = leads and store.fetches.is_under_way(query.key)
    if stored is not None:
        why = _why_stored(judged, stored, now, waits=waits)
    elif waits:
        why = "nothing is stored for it, but another request asks for the same just now: it waits for that"
    elif query.may_be_kept:
        why = "nothing is stored for it: the upstream is asked, and its reply is kept if the rules allow it"
    else:
        why = "nothing is stored for it: the upstream is asked"
    if query.may_be_kept or verdict in (Verdict.HIT, Verdict.UPDATING):
        return why
    return f"{why}; the reply is not kept, for {_condition_text(features.cache_choice.unkept, facts)}"


def _why_past(features: Features, facts: RequestFacts) -> str:
    request = facts.request
    if features.cache_choice.bypasses(facts):
        return f"proxy_cache_bypass sends it past the cache, for {_condition_text(features.cache_choice.bypass, facts)}"
    if request.method not in ("GET", "HEAD"):
        return f"{request.method} goes past the cache"
    return "it goes past the cache: it asks for a part, or for a state that only the upstream knows"


def _condition_text(texts: Sequence[Template], facts: RequestFacts) -> str:
    found = first_set(texts, facts)
    assert found is not None
    text, value = found
    return f"{text.source} is {value}"


def _why_stored(judged: Judgement, stored: StoredReply, now: float, *, waits: bool) -> str:
    _, decision, renewal, _ = judged
    has = f"a reply is stored, {_age_text(stored, now)}"
    if decision.verdict is Verdict.HIT:
        return f"{has}: it answers, and no upstream is asked"
    if decision.verdict is Verdict.UPDATING and renewal is not None:
        return f"{has}: it answers, and is then fetched anew"
    if decision.verdict is Verdict.UPDATING:
        return f"{has}: it answers, while another request fetches it anew"
    if stored.freshness_s(now) > 0:
        has += ", but to be confirmed first, as " + (
            "it says itself" if stored.always_revalidate else "the client asks"
        )
    if waits:
        return f"{has}: another request asks for it just now, and it waits for that"
    return f"{has}: the upstream is asked " + ("whether it still holds" if decision.conditions else "for another")


def _age_text(stored: StoredReply, now: float) -> str:
    fresh_s = stored.freshness_s(now)
    state = f"fresh for another {fresh_s:.0f} s" if fresh_s > 0 else f"stale for {-fresh_s:.0f} s"
    return f"{stored.age_s(now):.0f} s old and {state}"


# --- the reply's fields ----------------------------------------------------------------------------------------------


def explain_fields(request: Request, fields: ReplyFields, upstream: str) -> Json:
    """What `add_header` and `proxy_hide_header` do to the reply of this upstream, "" for none.

    Not `always`: only to replies of the statuses that nginx means.
    """
    facts = RequestFacts(request, upstream)
    added = [
        {"name": each.name, "value": each.value.render(facts).strip(" \t"), "always": each.is_always}
        for each in fields.added
    ]
    return {"added": added, "hidden": sorted(fields.hidden)}


def explain_own_fields(request: Request, fields: ReplyFields, status: int) -> Json:
    """The same of a reply of this status that the proxy makes itself: what its status gets, and nothing lost."""
    added = [{"name": name, "value": value} for name, value in fields.additions(status, RequestFacts(request, ""))]
    return {"added": added, "hidden": []}
