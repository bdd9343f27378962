"""The part of `/_proxy/explain` about what comes before an upstream is asked: which limits hold, what the cache has.

Asks `features`, `rate_limits`' configuration and `reply_cache` what they would say of such a request. Nothing is
counted, and nothing stored is used the sooner or kept the longer for it. No sockets, no clock.
"""

from collections.abc import Iterable, Mapping
from typing import Any

from services.proxy.cache_rules import StoredReply
from services.proxy.config_values import LocationConfig
from services.proxy.features import Features, LimitRule
from services.proxy.intake import query_of
from services.proxy.rate_limits import RateLimitConfig, RateZoneConfig
from services.proxy.reply_cache import CacheQuery, Decision, ReplyCache, Verdict
from services.proxy.templates import RequestFacts
from shared.httpcore.message import Request

Json = dict[str, Any]


# --- limits ----------------------------------------------------------------------------------------------------------


def explain_limits(request: Request, location: LocationConfig, zones: Iterable[RateZoneConfig]) -> Json:
    """What of `limit_req` and `client_max_body_size` holds for the request, as a list, a number and a sentence."""
    by_name, facts = {zone.name: zone for zone in zones}, RequestFacts(request, "")
    rates = [_describe_rate(rule, by_name, facts) for rule in location.features.limits]
    max_body = location.settings.max_body_bytes
    body = f"a body of at most {max_body} bytes" if max_body is not None else "a body of any size"
    return {"rates": rates, "max_body_bytes": max_body, "why": "; ".join([*(rate["why"] for rate in rates), body])}


def _describe_rate(rule: LimitRule[RateLimitConfig], zones: Mapping[str, RateZoneConfig], facts: RequestFacts) -> Json:
    """`value`: the request's key, "" when it has none. `undelayed`: how many of the burst need not wait."""
    limit, zone, value = rule.limit, zones[rule.limit.zone], rule.key_for(facts)
    whose = f"this one's is {value}" if value else "this one has none, so it is not limited"
    return {
        "zone": zone.name,
        "key": zone.key,
        "value": value,
        "rate_per_s": zone.rate_per_s,
        "burst": limit.burst,
        "undelayed": limit.burst if limit.undelayed is None else min(limit.undelayed, limit.burst),
        "why": f"{_rate_text(zone.rate_per_s)} for each {zone.key} ({whose}), {_burst_text(limit)}",
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


def explain_cache(request: Request, features: Features, replies: ReplyCache, now: float) -> Json | None:
    """What the cache would do with the request and what it has for it; None where nothing is cached. `now` is in Unix
    seconds.
    """
    settings = features.cache
    if settings is None:
        return None
    query = query_of(request)
    decision = replies.foresee(query, settings, now)
    return {
        "verdict": decision.verdict.value,
        "why": _why_so(decision, query, now),
        "stored": _describe_stored(decision.stored, now) if decision.stored is not None else None,
        "valid_s": {str(status): time_s for status, time_s in sorted(settings.valid_s.items())},
        "stale_if_error_s": settings.stale_if_error_s,
        "lock": features.collapses,
        "client_control": settings.honours_client,
        "max_reply_bytes": replies.max_reply_bytes,
    }


def _describe_stored(stored: StoredReply, now: float) -> Json:
    return {
        "status": stored.status,
        "bytes": len(stored.body),
        "age_s": round(stored.age_s(now), 3),
        "fresh_for_s": round(stored.freshness_s(now), 3),  # negative: stale for so long
        "varies_by": [name for name, _ in stored.vary],
    }


def _why_so(decision: Decision, query: CacheQuery, now: float) -> str:
    verdict, stored = decision.verdict, decision.stored
    if verdict is Verdict.BYPASS:
        if query.method not in ("GET", "HEAD"):
            return f"{query.method} goes past the cache"
        return "it goes past the cache: it asks for a part, or for a state that only the upstream knows"
    if verdict is Verdict.REFUSE:
        return "the client wants it from the cache or not at all, and there is nothing that may be used: 504"
    if stored is None:
        return "nothing is stored for it: the upstream is asked, and its reply is kept if the rules allow it"
    has = f"a reply is stored, {_age_text(stored, now)}"
    if verdict is Verdict.HIT:
        return f"{has}: it answers, and no upstream is asked"
    if stored.freshness_s(now) > 0:
        has += ", but to be confirmed first, as " + (
            "it says itself" if stored.always_revalidate else "the client asks"
        )
    return f"{has}: the upstream is asked " + ("whether it still holds" if decision.conditions else "for another")


def _age_text(stored: StoredReply, now: float) -> str:
    fresh_s = stored.freshness_s(now)
    state = f"fresh for another {fresh_s:.0f} s" if fresh_s > 0 else f"stale for {-fresh_s:.0f} s"
    return f"{stored.age_s(now):.0f} s old and {state}"
