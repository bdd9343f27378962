"""What a place does with requests and replies beside forwarding them: limits, cache, rewriting, gzip, pages, traces.

As the file says it (`FeatureWords`, inherited word by word) and as it is used (`Features`, one per location, made when
the configuration is loaded). The rules themselves are in the rooms that are imported here.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum
from typing import TYPE_CHECKING, Generic, TypeVar

from services.proxy.cache_choice import CacheChoice
from services.proxy.cache_rules import CacheSettings
from services.proxy.config_syntax import Word
from services.proxy.connection_limits import ConnLimitConfig, ConnZoneConfig
from services.proxy.error_pages import NO_PAGES, ErrorPages
from services.proxy.patterns import TextRule
from services.proxy.rate_limits import RateLimitConfig, RateZoneConfig, address_key
from services.proxy.reply_fields import NO_FIELDS, AddedField, ReplyFields
from services.proxy.reply_gzip import GzipSettings
from services.proxy.reply_rewriting import ReplyRules
from services.proxy.templates import RequestFacts, Template
from services.proxy.trusted_hops import Network, RealIpField, TrustedHops
from shared.httpcore.compression import LEVEL, MIN_BYTES

if TYPE_CHECKING:
    from services.proxy.path_rewriting import PathRule

PLAIN_CHOICE = CacheChoice()
_NO_RULES, _NO_GZIP, _NO_HOPS = ReplyRules(), GzipSettings(), TrustedHops()
ADDRESS_KEYS = ("$remote_addr", "$binary_remote_addr")  # the second is nginx's word for the same key


class Tracing(Enum):
    """What becomes of `traceparent`: continued where there is one, begun where there is none, or left alone."""

    CONTINUE = "continue"
    START = "start"
    OFF = "off"


class RedirectWord(Enum):
    """What `proxy_redirect` says without a pattern."""

    DEFAULT = "default"
    OFF = "off"


Limit = TypeVar("Limit", RateLimitConfig, ConnLimitConfig)


@dataclass(frozen=True, slots=True)
class LimitWord(Generic[Limit]):
    """A `limit_req` or `limit_conn`, and where its zone stands; `limit` None: `off`."""

    limit: Limit | None
    zone: Word


@dataclass(frozen=True, slots=True)
class ValidWord:
    """A `proxy_cache_valid`; without statuses those that nginx means, 200, 301 and 302."""

    statuses: tuple[int, ...]
    time_s: float


@dataclass(frozen=True, slots=True)
class PageWord:
    """An `error_page`: the statuses, and the file as it is written."""

    statuses: tuple[int, ...]
    file: Word


@dataclass(frozen=True, slots=True)
class FeatureWords:
    """The words of one block and of those around it. Each field is the value of the directive of about that name."""

    limits: tuple[LimitWord[RateLimitConfig], ...] = ()
    conn_limits: tuple[LimitWord[ConnLimitConfig], ...] = ()
    is_cached: bool = False
    cache_valid: tuple[ValidWord, ...] = ()
    cache_stale_if_error_s: float = 0.0
    cache_lock: bool = False
    cache_use_stale_s: float = 0.0
    cache_background: bool = False
    cache_honours_client: bool = True
    cache_key: Template | None = None
    cache_bypass: tuple[tuple[Template, ...], ...] = ()  # line by line
    cache_unkept: tuple[tuple[Template, ...], ...] = ()
    redirects: tuple[RedirectWord | TextRule, ...] = (RedirectWord.DEFAULT,)
    cookie_paths: tuple[TextRule, ...] = ()
    cookie_domains: tuple[TextRule, ...] = ()
    added_fields: tuple[AddedField, ...] = ()
    hidden_fields: tuple[str, ...] = ()
    passed_fields: tuple[str, ...] = ()
    gzip: bool = False
    gzip_types: frozenset[str] = frozenset()
    gzip_min_bytes: int = MIN_BYTES
    gzip_level: int = LEVEL
    gzip_private: bool = False
    error_pages: tuple[PageWord, ...] = ()
    intercepts_errors: bool = False
    tracing: Tracing = Tracing.CONTINUE


@dataclass(frozen=True, slots=True)
class LimitRule(Generic[Limit]):
    """A limit, and what of a request is its key. Of an address it is the network that one customer has."""

    limit: Limit
    key: Template
    is_address: bool

    def key_for(self, facts: RequestFacts) -> str:
        """The request's key; "" when it has none, and then it is not limited."""
        return address_key(facts.request.remote_ip) if self.is_address else self.key.render(facts)


@dataclass(frozen=True, slots=True)
class Features:
    """What one location does. `cache` None: nothing is stored; `collapses`: who miss together ask once;
    `refreshes`: who is answered with a stale reply need not wait for the new one.

    `rewrites` are the location's own; those of its host come before the location is chosen.
    """

    limits: tuple[LimitRule[RateLimitConfig], ...] = ()
    conn_limits: tuple[LimitRule[ConnLimitConfig], ...] = ()
    cache: CacheSettings | None = None
    cache_choice: CacheChoice = PLAIN_CHOICE
    collapses: bool = False
    refreshes: bool = False
    reply_rules: ReplyRules = _NO_RULES
    reply_fields: ReplyFields = NO_FIELDS
    rewrites: "tuple[PathRule, ...]" = ()
    gzip: GzipSettings = _NO_GZIP
    pages: ErrorPages = NO_PAGES
    intercepts_errors: bool = False
    tracing: Tracing = Tracing.CONTINUE

    @property
    def concerns_requests(self) -> bool:
        """Whether a request takes the way through `intake`. (Rewriting comes before, when its place is looked for.)"""
        return bool(self.limits or self.conn_limits) or self.concerns_replies

    @property
    def concerns_replies(self) -> bool:
        """Whether each reply is to be looked at; redirects and cookies are named by `reply_rules.touched`."""
        return self.cache is not None or self.gzip.is_on or self.intercepts_errors or bool(self.reply_fields)

    @property
    def only_decorates(self) -> bool:
        """Whether replies just get other fields, and nothing else is to be done that takes the way through `intake`."""
        return bool(self.reply_fields) and not (
            self.limits or self.conn_limits or self.cache is not None or self.gzip.is_on or self.intercepts_errors
        )

    def limit_keys(self, facts: RequestFacts) -> list[tuple[RateLimitConfig, str]]:
        """The limits with this request's keys, for `RateLimits.admit`."""
        return [(rule.limit, rule.key_for(facts)) for rule in self.limits]

    def conn_keys(self, facts: RequestFacts) -> list[tuple[ConnLimitConfig, str]]:
        """The same for `ConnectionLimits.hold`."""
        return [(rule.limit, rule.key_for(facts)) for rule in self.conn_limits]


ZoneConfig = TypeVar("ZoneConfig", RateZoneConfig, ConnZoneConfig)


@dataclass(frozen=True, slots=True)
class ZoneWord(Generic[ZoneConfig]):
    """A `limit_req_zone` or `limit_conn_zone`: the zone and the template of its key."""

    config: ZoneConfig
    key: Template


@dataclass(frozen=True, slots=True)
class CacheSize:
    """A `proxy_cache_size`: bytes in all, and of one reply at most."""

    max_bytes: int = 64 * 1024 * 1024
    max_reply_bytes: int = 1024 * 1024


@dataclass(frozen=True, slots=True)
class WholeFileFeatures:
    """What holds for the whole proxy.

    `hops`: whose word on clients counts. `proxy_protocol_from`: who must begin with a PROXY header; none: nobody may.
    """

    hops: TrustedHops = _NO_HOPS
    proxy_protocol_from: tuple[Network, ...] = ()
    rate_zones: tuple[RateZoneConfig, ...] = ()
    conn_zones: tuple[ConnZoneConfig, ...] = ()
    cache_size: CacheSize = CacheSize()

    def expects_proxy_header(self, peer_ip: str) -> bool:
        """Whether a connection from there must begin with a PROXY header; from anybody else none is looked for."""
        return bool(self.proxy_protocol_from) and TrustedHops(self.proxy_protocol_from).trusts(peer_ip)


def join_hops(
    networks: Sequence[tuple[Network, ...]], real_ip_field: RealIpField | None, is_recursive: bool | None
) -> TrustedHops:
    """The value of `set_real_ip_from`, `real_ip_header` and `real_ip_recursive`; None where a word is not there."""
    return TrustedHops(
        tuple(network for line in networks for network in line),
        real_ip_field or RealIpField.X_FORWARDED_FOR,
        is_recursive is not False,
    )


PLAIN_WORDS = FeatureWords()
NO_FEATURES = Features()
PLAIN_FILE = WholeFileFeatures()
