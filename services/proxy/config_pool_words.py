"""What the words of a pool mean: `server`, `policy` and `hash`, `health_check`, `ejection`, `sticky`, `queue`,
`proxy_retry_budget`.

Each reader takes the arguments of one directive and returns a value of `config_values`, or raises
ArgumentError. `config_directives` says where each may stand.
"""

from collections.abc import Sequence
from dataclasses import replace

from services.proxy.config_arguments import (
    ArgumentError,
    did_you_mean,
    is_ip,
    one_of,
    parse_check_path,
    parse_count,
    parse_host_port,
    parse_host_value,
    parse_percent,
    parse_status_ranges,
    parse_time_s,
    parse_token,
    refuse,
)
from services.proxy.config_options import Option, read_options
from services.proxy.config_syntax import Word
from services.proxy.config_values import (
    EjectionConfig,
    HealthCheckConfig,
    HealthKind,
    PolicyChoice,
    PolicyName,
    QueueConfig,
    RetryBudgetConfig,
    ServerConfig,
    StickyConfig,
)
from services.proxy.templates import PREFIXES, VARIABLES, Template, TemplateError, parse_template


def _fails(word: Word) -> int:
    return parse_count(word, 0, 1_000)


SERVER_OPTIONS = {
    "resolve": Option("is_resolved"),
    "weight": Option("weight", lambda word: parse_count(word, 1, 1_000)),
    "max_conns": Option("max_conns", lambda word: parse_count(word, 0, 1_000_000)),
    "slow_start": Option("slow_start_s", parse_time_s),
    "max_fails": Option("max_fails", _fails),
    "fail_timeout": Option("fail_timeout_s", parse_time_s),
    "backup": Option("is_backup"),
    "down": Option("is_down"),
}


def read_server(words: Sequence[Word]) -> ServerConfig:
    """`server HOST[:PORT] [OPTION]…;`"""
    host, port = parse_host_port(words[0])
    server = ServerConfig(host, port or 80, **read_options(words[1:], SERVER_OPTIONS))
    if server.is_resolved and is_ip(host):
        at = next(word for word in words if word.text == "resolve")
        raise ArgumentError(at.position, "resolve needs a name to look up, not an address")
    return server


# --- choice --------------------------------------------------------------------------------------------------

_NAMED_POLICIES = tuple(policy.value for policy in PolicyName if policy is not PolicyName.HASH)


def read_policy(words: Sequence[Word]) -> PolicyChoice:
    """`policy NAME;`"""
    if words[0].text == "hash":
        raise ArgumentError(words[0].position, "hash is a word of its own, expected hash KEY; in place of policy")
    return PolicyChoice(PolicyName(one_of(words[0], _NAMED_POLICIES)))


def read_hash(words: Sequence[Word]) -> PolicyChoice:
    """`hash KEY [consistent];`: always consistent, whether it says so or not."""
    if len(words) > 1:
        one_of(words[1], ("consistent",))
    key = read_template(words[0])
    if all(isinstance(part, str) for part in key.parts):
        refuse(words[0], "a key with a variable, such as $http_x_user, $cookie_user or $remote_addr")
    return PolicyChoice(PolicyName.HASH, key)


def read_least_conn(_: Sequence[Word]) -> PolicyChoice:
    """nginx's word for least-connection."""
    return PolicyChoice(PolicyName.LEAST_CONNECTION)


def read_ip_hash(_: Sequence[Word]) -> PolicyChoice:
    """nginx's word for ip-hash."""
    return PolicyChoice(PolicyName.IP_HASH)


def read_random(words: Sequence[Word]) -> PolicyChoice:
    """nginx's word for random; of two by fewest connections is what ours always is."""
    for word, expected in zip(words, ("two", "least_conn"), strict=False):
        one_of(word, (expected,))
    return PolicyChoice(PolicyName.RANDOM)


def read_template(word: Word) -> Template:
    """A text with variables. ArgumentError names those there are."""
    try:
        return parse_template(word.text)
    except TemplateError as error:
        if error.instead:
            raise ArgumentError(word.position, f"{error}: {error.instead}") from None
        known = ["$" + variable for variable in VARIABLES]
        wrong = str(error).rpartition(" ")[2]
        hint = did_you_mean(wrong, known) or f"; known are {', '.join(known)}, " + ", ".join(
            f"${prefix}NAME" for prefix in PREFIXES
        )
        raise ArgumentError(word.position, f"{error}{hint}") from None


def read_ssl_name(words: Sequence[Word]) -> str:
    """`proxy_ssl_name NAME;`, a host's name or an address."""
    host, port = parse_host_port(words[0])
    if port is not None or not host:
        refuse(words[0], "a name or an address without a port")
    return host


def read_ssl_server_name(words: Sequence[Word]) -> bool:
    """`proxy_ssl_server_name on;`: it is never off, for a server with several certificates could not choose."""
    if words[0].text != "on":
        refuse(words[0], "on: the name is always sent (SNI)")
    return True


STICKY_OPTIONS = {
    "expires": Option("max_age_s", parse_time_s),
    "path": Option("path", parse_check_path),
    "domain": Option("domain", parse_token),
    "samesite": Option("same_site", lambda word: one_of(word, ("lax", "strict", "none")).capitalize()),
    "secure": Option("is_secure"),
    "httponly": Option("is_http_only"),
}


def read_sticky(words: Sequence[Word]) -> StickyConfig:
    """`sticky cookie NAME [OPTION]…;`"""
    one_of(words[0], ("cookie",))
    return StickyConfig(parse_token(words[1]), **read_options(words[2:], STICKY_OPTIONS))


QUEUE_OPTIONS = {"timeout": Option("timeout_s", parse_time_s)}


def read_queue(words: Sequence[Word]) -> QueueConfig:
    """`queue N [timeout=TIME];`"""
    return QueueConfig(parse_count(words[0], 1, 1_000_000), **read_options(words[1:], QUEUE_OPTIONS))


RETRY_BUDGET_OPTIONS = {"min": Option("min_per_s", lambda word: parse_count(word, 0, 100_000))}


def read_retry_budget(words: Sequence[Word]) -> RetryBudgetConfig | None:
    """`proxy_retry_budget PERCENT% [min=N];` or `proxy_retry_budget off;`"""
    if words[0].text == "off":
        if len(words) > 1:
            raise ArgumentError(words[1].position, '"off" stands alone')
        return None
    if not words[0].text.endswith("%"):
        refuse(words[0], "a share of the requests such as 20%, or off")
    return RetryBudgetConfig(parse_percent(words[0]), **read_options(words[1:], RETRY_BUDGET_OPTIONS))


# --- health --------------------------------------------------------------------------------------------------

# A health check's options, ours and nginx's words for the same thing.
CHECK_OPTIONS = {
    "interval": Option("interval_s", parse_time_s),
    "timeout": Option("timeout_s", parse_time_s),
    "rise": Option("rise", lambda word: parse_count(word, 1, 1_000)),
    "passes": Option("rise", lambda word: parse_count(word, 1, 1_000)),
    "fall": Option("fall", lambda word: parse_count(word, 1, 1_000)),
    "fails": Option("fall", lambda word: parse_count(word, 1, 1_000)),
    "path": Option("path", parse_check_path),
    "uri": Option("path", parse_check_path),
    "expect": Option("expected", parse_status_ranges),
    "host": Option("host", parse_host_value),
    "port": Option("port", lambda word: parse_count(word, 1, 65_535)),
}
_HTTP_ONLY = ("path", "expected", "host")
ACTIVE_CHECK_DEFAULTS = HealthCheckConfig(kind=HealthKind.TCP, rise=2, fall=3)


def read_health_check(words: Sequence[Word]) -> HealthCheckConfig:
    """`health_check [tcp or http] [OPTION]…;`"""
    has_kind = bool(words) and "=" not in words[0].text
    kind = one_of(words[0], ("tcp", "http")) if has_kind else ""
    options = read_options(words[has_kind:], CHECK_OPTIONS)
    has_http_option = any(name in options for name in _HTTP_ONLY)
    if kind == "tcp" and has_http_option:
        raise ArgumentError(words[0].position, "a tcp check knows no path, no status and no host, expected http")
    return replace(ACTIVE_CHECK_DEFAULTS, kind=HealthKind(kind or ("http" if has_http_option else "tcp")), **options)


EJECTION_OPTIONS = {
    "fails": Option("fails", _fails),
    "errors": Option("errors_percent", parse_percent),
    "window": Option("window_s", parse_time_s),
    "requests": Option("requests", lambda word: parse_count(word, 1, 1_000_000)),
    "time": Option("time_s", parse_time_s),
    "max_time": Option("max_time_s", parse_time_s),
    "max_percent": Option("max_percent", parse_percent),
}


def read_ejection(words: Sequence[Word]) -> EjectionConfig:
    """`ejection [OPTION]…;` or `ejection off;`"""
    if words[0].text == "off":
        if len(words) > 1:
            raise ArgumentError(words[1].position, '"off" stands alone')
        return EjectionConfig(fails=0)
    return EjectionConfig(**read_options(words, EJECTION_OPTIONS))
