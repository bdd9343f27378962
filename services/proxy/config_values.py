"""What a `proxy.conf` says, as frozen values with every default filled in. No grammar, no sockets.

`config_file` makes these from text; `routing`, `upstreams`, `health` and `forward` live by them. Times in
seconds, sizes in bytes.
"""

from dataclasses import dataclass, field
from enum import Enum
from ipaddress import IPv4Network, IPv6Network
from typing import TYPE_CHECKING, Literal

from services.proxy.config_syntax import Mistake, Position
from services.proxy.features import NO_FEATURES, PLAIN_FILE, PLAIN_WORDS, Features, FeatureWords, WholeFileFeatures
from services.proxy.reply_fields import NO_FIELDS, ReplyFields
from services.proxy.rewriting import HeaderPlan, make_header_plan
from services.proxy.templates import Template
from services.proxy.upstream_tls import UpstreamTls

if TYPE_CHECKING:
    from services.proxy.path_rewriting import PathRule


class PolicyName(Enum):
    """How a pool chooses among the upstreams that may be used."""

    ROUND_ROBIN = "round-robin"
    LEAST_CONNECTION = "least-connection"
    RANDOM = "random"
    LEAST_LOAD = "least-load"
    IP_HASH = "ip-hash"
    HASH = "hash"


@dataclass(frozen=True, slots=True)
class PolicyChoice:
    """A policy and, for `hash`, what of the request is hashed."""

    name: PolicyName
    hash_key: Template | None = None


class HealthKind(Enum):
    """What is asked of an upstream: nothing until a connect fails, a TCP connection, or an HTTP reply."""

    ON_FAILURE = "on-failure"
    TCP = "tcp"
    HTTP = "http"


class RetryCause(Enum):
    """The words of `proxy_next_upstream`."""

    ERROR = "error"
    TIMEOUT = "timeout"
    NON_IDEMPOTENT = "non_idempotent"


@dataclass(frozen=True, slots=True)
class ServerConfig:
    """One `server` line, or one `proxy_pass` line with an address.

    With `is_resolved` the name stands for every address behind it. `authorization` is the whole field value.
    None where the pool's own word holds.
    """

    host: str
    port: int
    is_resolved: bool = False
    weight: int = 1
    authorization: str | None = field(default=None, repr=False)
    max_conns: int = 0  # requests under way at the same time; 0: no limit
    is_backup: bool = False  # asked only when no other can be
    is_down: bool = False  # not asked at all
    slow_start_s: float | None = None
    max_fails: int | None = None
    fail_timeout_s: float | None = None


@dataclass(frozen=True, slots=True)
class HealthCheckConfig:
    """When an upstream counts as down, and as up again.

    `fall` failures in a row take it out, `rise` passed checks in a row bring it back. `expected` holds
    inclusive ranges of status codes. `host` "" and `port` 0: the upstream's own.
    """

    kind: HealthKind = HealthKind.ON_FAILURE
    interval_s: float = 1.0
    timeout_s: float = 1.0
    rise: int = 1
    fall: int = 1
    path: str = "/"
    expected: tuple[tuple[int, int], ...] = ((200, 399),)
    host: str = ""
    port: int = 0

    def is_expected(self, status: int) -> bool:
        """Whether a reply with this status passes the check."""
        return any(low <= status <= high for low, high in self.expected)


@dataclass(frozen=True, slots=True)
class EjectionConfig:
    """When an upstream is left out for what requests met there, and for how long.

    `fails` attempts in a row that broke (0: never), or `errors_percent` of at least `requests` replies within
    `window_s` with a status of 5xx (0: never). Out for `time_s`, twice as long each time it happens again, at
    most `max_time_s`; then one request at a time tries it. At most `max_percent` of a pool are out at once.
    """

    fails: int = 5
    errors_percent: int = 0
    window_s: float = 10.0
    requests: int = 20
    time_s: float = 10.0
    max_time_s: float = 300.0
    max_percent: int = 50


@dataclass(frozen=True, slots=True)
class StickyConfig:
    """The cookie by which a client stays with its upstream. `max_age_s` None: as long as the browser runs."""

    cookie: str
    max_age_s: float | None = None
    path: str = "/"
    domain: str = ""
    same_site: Literal["Strict", "Lax", "None"] = "Lax"
    is_secure: bool = False  # set for HTTPS in any case
    is_http_only: bool = True  # always: no script has a use for it


@dataclass(frozen=True, slots=True)
class QueueConfig:
    """How many requests may wait for a free place when all upstreams are full, and how long each."""

    size: int
    timeout_s: float = 60.0


@dataclass(frozen=True, slots=True)
class RetryBudgetConfig:
    """How much of what fails may be sent again: a share of the pool's requests, and so many a second in any case."""

    percent: int = 20
    min_per_s: int = 10


@dataclass(frozen=True, slots=True)
class PoolConfig:
    """The upstreams that stand for each other. A pool made of `proxy_pass` lines is named after its place."""

    name: str
    servers: tuple[ServerConfig, ...]
    policy: PolicyName = PolicyName.ROUND_ROBIN
    health_check: HealthCheckConfig = HealthCheckConfig()
    hash_key: Template | None = None
    ejection: EjectionConfig = EjectionConfig()
    sticky: StickyConfig | None = None
    queue: QueueConfig | None = None
    retry_budget: RetryBudgetConfig | None = RetryBudgetConfig()  # None: no bound
    tls: UpstreamTls | None = None  # None: in the clear
    proxy_protocol: int = 0  # the version of the header that connections begin with; 0: none
    slow_start_s: float = 0.0  # over this time the share of one that comes or comes back grows to its weight


@dataclass(frozen=True, slots=True)
class AddressRule:
    """One `allow` or `deny`; `network` None means all."""

    network: IPv4Network | IPv6Network | None
    is_allowed: bool


@dataclass(frozen=True, slots=True)
class Answer:
    """A `return`: the proxy's own reply. `text` is the body, or where a redirect leads; None: the status's page."""

    status: int
    text: Template | None = None
    is_redirect: bool = False


@dataclass(frozen=True, slots=True)
class ForwardSettings:
    """How requests of one place are forwarded: nginx's `proxy_…`. Inherited from file to host to location."""

    connect_timeout_s: float = 5.0
    read_timeout_s: float = 60.0
    send_timeout_s: float = 60.0
    max_body_bytes: int | None = None  # None: no limit
    retry_on: frozenset[RetryCause] = frozenset({RetryCause.ERROR, RetryCause.TIMEOUT})
    max_tries: int = 0  # 0: every upstream once
    set_headers: tuple[tuple[str, Template], ...] = ()
    features: FeatureWords = PLAIN_WORDS
    address_rules: tuple[AddressRule, ...] = ()  # the first that fits decides; none fits: allowed


@dataclass(frozen=True, slots=True)
class LocationConfig:
    """The requests of one host below one path, and where they go.

    `uri` is the path of `proxy_pass`, which replaces `prefix`; None passes the target on as it came. With an
    `answer` nothing is forwarded, and `pool` is "".
    """

    prefix: str
    pool: str
    is_exact: bool = False
    uri: str | None = None
    authorization: str | None = field(default=None, repr=False)
    settings: ForwardSettings = ForwardSettings()
    headers: HeaderPlan = field(default_factory=make_header_plan)
    line: int = 0
    answer: Answer | None = None
    features: Features = NO_FEATURES


@dataclass(frozen=True, slots=True)
class HostConfig:
    """One `host` block: its names in lower case without port, and its locations in the order written.

    `rewrites` change the path before the location is chosen; where they redirect, the reply gets `redirect_fields`.
    """

    names: tuple[str, ...]
    locations: tuple[LocationConfig, ...]
    line: int = 0
    rewrites: "tuple[PathRule, ...]" = ()
    redirect_fields: ReplyFields = NO_FIELDS


@dataclass(frozen=True, slots=True)
class ProxyConfig:
    """A whole file, checked: every pool that a location names is there.

    `warnings`: what is odd in it but can be used. `names`: where each name stands that must be looked up.
    """

    hosts: tuple[HostConfig, ...]
    pools: tuple[PoolConfig, ...]
    features: WholeFileFeatures = PLAIN_FILE
    warnings: tuple[Mistake, ...] = field(default=(), compare=False)
    names: tuple[tuple[str, Position], ...] = field(default=(), compare=False, repr=False)
