"""What becomes of a request before it is forwarded: who sent it, whether it may come yet, whether the cache has it. No
sockets, no clock.

Owns what outlives requests: who is known, rates, the cache and the fetches that others wait for. What is then done with
the reply is `reply_work`'s. `Features.concerns_requests` says whether a location needs any of this.
"""

from dataclasses import dataclass

from services.proxy.cache_judging import judge
from services.proxy.cache_rules import Pairs
from services.proxy.cache_work import CacheStore, CacheWork
from services.proxy.config_values import ProxyConfig
from services.proxy.connection_limits import ConnectionLimits, Hold
from services.proxy.failures import failure_response
from services.proxy.features import PLAIN_FILE, Features, WholeFileFeatures
from services.proxy.forwarding_fields import ClientFinder, remember_view
from services.proxy.moments import Moment
from services.proxy.rate_limits import RateLimits
from services.proxy.reply_cache import ReplyCache, Verdict
from services.proxy.reply_work import ReplyWork
from services.proxy.retries import Outcome
from services.proxy.rewriting import wants_tunnel
from services.proxy.templates import RequestFacts
from shared.httpcore.message import Request, Response

RATE_LIMITED = Outcome(429, "rate_limited", "this client asks too often")
CROWDED = Outcome(429, "too_many_at_once", "this client has too much under way")
ONLY_IF_CACHED = Outcome(504, "only_if_cached", "the cache has no reply that may be used, and none was to be fetched")


@dataclass(frozen=True, slots=True)
class Taken:
    """What to do with a request: answer it with `response`; or forward it after `delay_s`, with `conditions` in place
    of its own If-None-Match and If-Modified-Since (empty: its own pass), and have `work` look at the reply.

    `waits_for`: another may be fetching the same, so that key is joined in `store.fetches` first. Who is told to
    wait and then that the reply is there asks `look_up` again; who is told to go on uses this value.

    `hold`: the places to be taken before it is forwarded and given back when it is over; who gets none is `crowded`.
    `refresh`: the `response` is stale, and this is to fetch it anew while nobody waits.
    """

    response: Response | None = None
    delay_s: float = 0.0
    work: ReplyWork | None = None
    conditions: Pairs = ()
    waits_for: str = ""
    hold: Hold | None = None
    refresh: "Refresh | None" = None

    @property
    def is_plain(self) -> bool:
        """Whether the request is just forwarded."""
        return self.response is None and self.work is None and not self.delay_s and self.hold is None


@dataclass(frozen=True, slots=True)
class Refresh:
    """A fetch for the cache alone, by the request of a client who has a stale reply. `features` are what of the place's
    a reply goes through before it is kept.
    """

    work: CacheWork
    features: Features


_FORWARD = Taken()


class Intake:
    """The front of the proxy. One lives as long as the process; `apply` follows a reload."""

    def __init__(self) -> None:
        self._whole = PLAIN_FILE
        self.verdicts = dict.fromkeys(Verdict, 0)  # how often the cache said so, since the start
        self.delayed_count = self.refused_count = 0  # by rate limits
        self.limits = RateLimits()
        self.connections = ConnectionLimits()
        self.store = _new_store(PLAIN_FILE)
        self._finder: ClientFinder | None = None  # None: nobody's word counts

    def apply(self, config: ProxyConfig) -> None:
        """This configuration is in force. Rates go on; the cache is another, for a URL may lead elsewhere now. What is
        under way by the configuration before ends with the cache before.
        """
        features = self._whole = config.features
        self._finder = ClientFinder(features.hops) if features.hops.networks else None
        self.limits.apply(features.rate_zones)
        self.connections.apply(features.conn_zones)
        self.store = _new_store(features)

    def expects_proxy_header(self, peer_ip: str) -> bool:
        """Whether a connection from there must begin with a PROXY header."""
        return self._whole.expects_proxy_header(peer_ip)

    def identify(self, request: Request) -> None:
        """Who sent it: from now on the request says so, too. A hook, called before anybody asks for its address."""
        if self._finder is not None:
            remember_view(request, self._finder.view(request))

    def take(self, request: Request, features: Features, now: Moment) -> Taken:
        """What to do with a request for a location with these features."""
        delay_s = 0.0
        if features.limits:
            admission = self.limits.admit(features.limit_keys(RequestFacts(request, "")), now.steady_s)
            if not admission.is_allowed:
                self.refused_count += 1
                return Taken(failure_response(request, RATE_LIMITED, "proxy", features.pages, admission.retry_after_s))
            delay_s = admission.delay_s
            self.delayed_count += delay_s > 0
        taken = self.look_up(request, features, self.store, now, delay_s)
        if features.conn_limits and taken.response is None:  # what is at hand holds nobody up
            hold = self.connections.hold(features.conn_keys(RequestFacts(request, "")))
            return Taken(None, delay_s, taken.work, taken.conditions, taken.waits_for, hold)
        return taken

    def crowded(self, request: Request, features: Features) -> Response:
        """The reply to a request that found no place."""
        return failure_response(request, CROWDED, "proxy", features.pages)

    def look_up(
        self, request: Request, features: Features, store: CacheStore, now: Moment, delay_s: float = 0.0
    ) -> Taken:
        """As `take`, for a request that was admitted. `store` is that of the configuration that `features` are of."""
        if features.cache is None or wants_tunnel(request):
            work = ReplyWork(request, features) if features.concerns_replies else None
            return Taken(None, delay_s, work) if work is not None or delay_s else _FORWARD
        query, decision, renewal, leads = judge(request, features, store, now.unix_s, store.replies.look_up)
        self.verdicts[decision.verdict] += 1
        if decision.verdict is Verdict.REFUSE:
            return Taken(failure_response(request, ONLY_IF_CACHED, "proxy", features.pages))
        work = ReplyWork(request, features, CacheWork(store, query, decision, features.cache, leads=leads))
        if decision.verdict in (Verdict.HIT, Verdict.UPDATING):
            refresh = (
                _refresh(features, CacheWork(store, query, renewal, features.cache)) if renewal is not None else None
            )
            return Taken(work.answer_from_cache(now), delay_s, refresh=refresh)
        return Taken(None, delay_s, work, decision.conditions, query.key if leads else "")


def _refresh(features: Features, work: CacheWork) -> Refresh:
    """The fetch by which a stale reply becomes fresh without its client's waiting."""
    return Refresh(work, Features(cache=features.cache, reply_rules=features.reply_rules))


def _new_store(whole: WholeFileFeatures) -> CacheStore:
    return CacheStore(ReplyCache(whole.cache_size.max_bytes, whole.cache_size.max_reply_bytes))
