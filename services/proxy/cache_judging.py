"""What the cache says of a request for a place: under which key, whether it has an answer, whom its fetch serves.
Values in, values out.

`intake` does what it says, `/_proxy/explain` tells it. What is stored is `reply_cache`'s, the rules are `cache_rules`'.
"""

from collections.abc import Callable
from dataclasses import replace

from services.proxy.cache_rules import CacheSettings, may_use_while_updating, read_traits
from services.proxy.cache_work import CacheStore
from services.proxy.features import PLAIN_CHOICE, Features
from services.proxy.forwarding_fields import client_view, port_of
from services.proxy.reply_cache import BYPASSED, CacheQuery, Decision, Verdict
from services.proxy.templates import RequestFacts
from shared.httpcore.message import Request

# `ReplyCache.look_up`, or `foresee` for who only wants to know.
Ask = Callable[[CacheQuery, CacheSettings, float], Decision]


# The request as the cache sees it; what becomes of it; for a stale reply that answers and is to be fetched anew by this
# request while nobody waits, the decision to fetch it by; whether it leads: what it fetches may serve others, who then
# wait for it, as it may for them. No NamedTuple: the interpreter unpacks a plain tuple at a third of the price.
Judgement = tuple[CacheQuery, Decision, Decision | None, bool]


def judge(request: Request, features: Features, store: CacheStore, now: float, ask: Ask) -> Judgement:
    """What becomes of a request for a place that has a cache; `now` in Unix seconds. Nothing but `ask` changes
    anything.
    """
    settings, query = features.cache, query_of(request)
    assert settings is not None
    if features.cache_choice is PLAIN_CHOICE:
        decision = ask(query, settings, now)
    else:
        query, decision = _judge_by_choice(query, request, features, now, ask)
    if decision.verdict is Verdict.HIT:
        return query, decision, None, False
    stale = decision.stored if decision.verdict is Verdict.STALE else None
    may_be_stale = stale is not None and may_use_while_updating(stale, query.traits, settings, now)
    if may_be_stale:
        is_renewed = features.refreshes and store.may_refresh and _is_for_all(query)
        if is_renewed or store.fetches.is_under_way(query.key):
            return query, Decision(Verdict.UPDATING, stale), decision if is_renewed else None, False
    return query, decision, None, (features.collapses or may_be_stale) and _may_be_shared(decision, query)


def _judge_by_choice(
    query: CacheQuery, request: Request, features: Features, now: float, ask: Ask
) -> tuple[CacheQuery, Decision]:
    """What the operator's own words make of it."""
    choice, settings, facts = features.cache_choice, features.cache, RequestFacts(request, "")
    assert settings is not None
    query = replace(query, own_key=choice.key_for(facts), may_be_kept=choice.keeps(facts))
    if choice.bypasses(facts):
        return query, BYPASSED
    decision = ask(query, settings, now)
    if decision.conditions and not query.may_be_kept:  # what comes is its own, and whole
        decision = replace(decision, conditions=())
    return query, decision


def _may_be_shared(decision: Decision, query: CacheQuery) -> bool:
    """Whether another's fetch may serve this request, and this one's others: what comes will mostly be stored. A 304 to
    the client's own condition is not, and neither is what one gets who proves who he is.
    """
    if not _is_for_all(query):
        return False
    has_condition = "if-none-match" in query.headers or "if-modified-since" in query.headers
    return bool(decision.conditions) or (decision.verdict in (Verdict.MISS, Verdict.STALE) and not has_condition)


def _is_for_all(query: CacheQuery) -> bool:
    """Whether what comes may mostly be kept, as far as the request says."""
    traits = query.traits
    return query.method == "GET" and query.may_be_kept and not traits.no_store and not traits.has_authorization


def query_of(request: Request) -> CacheQuery:
    """The request as the cache sees it, by its URL."""
    headers, own_site, view = request.headers, f"{request.scheme}://{request.host}", client_view(request)
    port = view.by_name["X-Forwarded-Port"]
    is_plain = view.site == own_site and port == port_of(request.host, request.scheme)
    return CacheQuery(
        method=request.method,
        site=view.site,
        target=request.target,
        headers=headers,
        traits=read_traits(headers),
        has_body=request.has_body,
        place="" if is_plain else f"{own_site} {port} ",
    )
