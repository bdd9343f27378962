"""What a `proxy.conf` says, as frozen values with every default filled in. No grammar, no sockets.

`config_file` makes these from text; `routing`, `upstreams`, `health` and `forward` live by them. Times in
seconds, sizes in bytes.
"""

from dataclasses import dataclass, field
from enum import Enum

from services.proxy.rewriting import HeaderPlan, make_header_plan
from services.proxy.templates import Template


class PolicyName(Enum):
    """How a pool chooses among the upstreams that may be used."""

    ROUND_ROBIN = "round-robin"
    LEAST_CONNECTION = "least-connection"
    RANDOM = "random"


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
    """

    host: str
    port: int
    is_resolved: bool = False
    weight: int = 1
    authorization: str | None = field(default=None, repr=False)


@dataclass(frozen=True, slots=True)
class HealthCheckConfig:
    """When an upstream counts as down, and as up again.

    `fall` failures in a row take it out, `rise` passed checks in a row bring it back. `expected` holds
    inclusive ranges of status codes.
    """

    kind: HealthKind = HealthKind.ON_FAILURE
    interval_s: float = 1.0
    timeout_s: float = 1.0
    rise: int = 1
    fall: int = 1
    path: str = "/"
    expected: tuple[tuple[int, int], ...] = ((200, 399),)

    def is_expected(self, status: int) -> bool:
        """Whether a reply with this status passes the check."""
        return any(low <= status <= high for low, high in self.expected)


@dataclass(frozen=True, slots=True)
class PoolConfig:
    """The upstreams that stand for each other. A pool made of `proxy_pass` lines is named after its place."""

    name: str
    servers: tuple[ServerConfig, ...]
    policy: PolicyName = PolicyName.ROUND_ROBIN
    health_check: HealthCheckConfig = HealthCheckConfig()


@dataclass(frozen=True, slots=True)
class ForwardSettings:
    """How requests of one place are forwarded: nginx's `proxy_…`. Inherited from file to host to location."""

    connect_timeout_s: float = 5.0
    read_timeout_s: float = 60.0
    send_timeout_s: float = 60.0
    max_body_bytes: int | None = None  # None: no limit
    retry_on: frozenset[RetryCause] = frozenset({RetryCause.ERROR})
    max_tries: int = 0  # 0: every upstream once
    set_headers: tuple[tuple[str, Template], ...] = ()


@dataclass(frozen=True, slots=True)
class LocationConfig:
    """The requests of one host below one path, and where they go.

    `uri` is the path of `proxy_pass`, which replaces `prefix`; None passes the target on as it came.
    """

    prefix: str
    pool: str
    is_exact: bool = False
    uri: str | None = None
    authorization: str | None = field(default=None, repr=False)
    settings: ForwardSettings = ForwardSettings()
    headers: HeaderPlan = field(default_factory=make_header_plan)
    line: int = 0


@dataclass(frozen=True, slots=True)
class HostConfig:
    """One `host` block: its names in lower case without port, and its locations in the order written."""

    names: tuple[str, ...]
    locations: tuple[LocationConfig, ...]
    line: int = 0


@dataclass(frozen=True, slots=True)
class ProxyConfig:
    """A whole file, checked: every pool that a location names is there."""

    hosts: tuple[HostConfig, ...]
    pools: tuple[PoolConfig, ...]
