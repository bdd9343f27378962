"""Every directive of `proxy.conf`: where it may stand, how many arguments it takes, its default, what it
means.

The table is also what `docs/proxy-conf.md` is checked against. `config_scope` reads blocks with it. A new
word is a row here, a reader of its arguments, and the field of `ForwardSettings` or `PoolConfig` that it sets.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import Enum

from services.proxy.config_arguments import (
    ArgumentError,
    one_of,
    parse_count,
    parse_field_name,
    parse_network,
    parse_pass_target,
    parse_size_bytes,
    parse_time_s,
    refuse,
)
from services.proxy.config_feature_words import (
    read_add_header,
    read_cache_key,
    read_cache_size,
    read_cache_valid,
    read_conditions,
    read_cookie_domain,
    read_cookie_path,
    read_error_page,
    read_gzip_level,
    read_gzip_min_length,
    read_gzip_types,
    read_hidden_field,
    read_limit_conn,
    read_limit_conn_zone,
    read_limit_req,
    read_limit_req_zone,
    read_networks,
    read_real_ip_header,
    read_redirect,
    read_rewrite,
    read_send_proxy_protocol,
    read_switch,
    read_tracing,
    read_use_stale,
)
from services.proxy.config_pool_words import (
    read_ejection,
    read_hash,
    read_health_check,
    read_ip_hash,
    read_least_conn,
    read_policy,
    read_queue,
    read_random,
    read_retry_budget,
    read_server,
    read_ssl_name,
    read_ssl_server_name,
    read_sticky,
    read_template,
)
from services.proxy.config_syntax import Word
from services.proxy.config_values import AddressRule, Answer, RetryCause
from services.proxy.templates import Template
from shared.httpcore.serializing import REASONS


class Context(Enum):
    """The places where directives stand."""

    FILE = "file"
    HOST = "host"
    LOCATION = "location"
    POOL = "pool"


Reader = Callable[[Sequence[Word]], object]


@dataclass(frozen=True, slots=True)
class DirectiveSpec:
    """One directive. `read` is None for those that open a block; `most` None: any number of arguments.

    `setting` is the field of `ForwardSettings` that it sets, for this block and those inside; a repeatable one
    sets a tuple. `pool_field` is the field of `PoolConfig`, `tls_field` that of `TlsWords`, `feature` that of
    `FeatureWords`.
    """

    contexts: frozenset[Context]
    least: int
    most: int | None
    read: Reader | None
    default: str = ""
    is_repeatable: bool = False
    same_as: str = ""  # another word for that directive
    setting: str = ""
    pool_field: str = ""
    tls_field: str = ""
    feature: str = ""


def _read_time(words: Sequence[Word]) -> float:
    return parse_time_s(words[0])


def _read_path(words: Sequence[Word]) -> str:
    return words[0].text


def _read_max_body(words: Sequence[Word]) -> int | None:
    return parse_size_bytes(words[0]) or None  # nginx: 0 means no limit


def _read_pass(words: Sequence[Word]) -> object:
    return parse_pass_target(words[0])


def _read_tries(words: Sequence[Word]) -> int:
    return parse_count(words[0], 0, 1000)


def _read_retry_causes(words: Sequence[Word]) -> frozenset[RetryCause]:
    known = (*(cause.value for cause in RetryCause), "off")
    names = [one_of(word, known) for word in words]
    if "off" in names and len(names) > 1:
        raise ArgumentError(words[names.index("off")].position, '"off" stands alone')
    return frozenset(RetryCause(name) for name in names if name != "off")


def _read_set_header(words: Sequence[Word]) -> object:
    name, value = words
    if not value.text.isascii() or any(ord(char) < 0x20 or ord(char) == 0x7F for char in value.text):
        raise ArgumentError(value.position, "a field's value holds printable ASCII only")
    template = read_template(value)
    return parse_field_name(name), template


def _read_allow(words: Sequence[Word]) -> AddressRule:
    return AddressRule(parse_network(words[0]), is_allowed=True)


def _read_deny(words: Sequence[Word]) -> AddressRule:
    return AddressRule(parse_network(words[0]), is_allowed=False)


_REDIRECTS = (301, 302, 303, 307, 308)
_URL_STARTS = ("http://", "https://", "$scheme://", "/")


def _read_return(words: Sequence[Word]) -> Answer:
    """`return CODE;`, `return CODE TEXT;`, `return 30x URL;` or `return URL;`, which means 302."""
    if len(words) == 1 and not words[0].text.isdigit():
        return Answer(302, _read_location(words[0]), is_redirect=True)
    status = parse_count(words[0], 200, 599)
    if status not in REASONS:
        refuse(words[0], "a status code that HTTP has, such as 204, 301, 403 or 404")
    if status in _REDIRECTS:
        if len(words) == 1:
            raise ArgumentError(words[0].position, f"expected the URL that the {status} leads to after it")
        return Answer(status, _read_location(words[1]), is_redirect=True)
    return Answer(status, read_template(words[1]) if len(words) > 1 else None)


def _read_location(word: Word) -> Template:
    template = read_template(word)
    is_plain = word.text.isascii() and word.text.isprintable() and " " not in word.text
    if not is_plain or not word.text.startswith(_URL_STARTS):
        refuse(word, "a URL such as https://$host$request_uri, or a path")
    return template


_FILE = frozenset({Context.FILE})
_POOL = frozenset({Context.POOL})
_ANYWHERE = frozenset({Context.FILE, Context.HOST, Context.LOCATION})
_SERVED = frozenset({Context.HOST, Context.LOCATION})
_CHOOSING = frozenset({Context.HOST, Context.LOCATION, Context.POOL})

DIRECTIVES: dict[str, DirectiveSpec] = {
    "host": DirectiveSpec(_FILE, 1, None, None, is_repeatable=True),
    "pool": DirectiveSpec(_FILE, 1, 1, None, is_repeatable=True),
    "location": DirectiveSpec(frozenset({Context.HOST}), 1, 2, None, is_repeatable=True),
    "proxy_pass": DirectiveSpec(_SERVED, 1, 1, _read_pass, is_repeatable=True),
    "return": DirectiveSpec(_SERVED, 1, 2, _read_return),
    # --- pools -----------------------------------------------------------------------------------------------
    "server": DirectiveSpec(_POOL, 1, None, read_server, is_repeatable=True),
    "policy": DirectiveSpec(_CHOOSING, 1, 1, read_policy, "round-robin"),
    "dist_policy": DirectiveSpec(_CHOOSING, 1, 1, read_policy, "round-robin", same_as="policy"),
    "hash": DirectiveSpec(_CHOOSING, 1, 2, read_hash, same_as="policy"),
    "ip_hash": DirectiveSpec(_CHOOSING, 0, 0, read_ip_hash, same_as="policy"),
    "least_conn": DirectiveSpec(_CHOOSING, 0, 0, read_least_conn, same_as="policy"),
    "random": DirectiveSpec(_CHOOSING, 0, 2, read_random, same_as="policy"),
    "sticky": DirectiveSpec(_CHOOSING, 2, None, read_sticky, pool_field="sticky"),
    "health_check": DirectiveSpec(
        _CHOOSING, 0, None, read_health_check, "none: a TCP check after a failed connect", pool_field="health_check"
    ),
    "ejection": DirectiveSpec(_CHOOSING, 1, None, read_ejection, "fails=5", pool_field="ejection"),
    "slow_start": DirectiveSpec(_CHOOSING, 1, 1, _read_time, "none", pool_field="slow_start_s"),
    "queue": DirectiveSpec(_CHOOSING, 1, 2, read_queue, "none", pool_field="queue"),
    "proxy_retry_budget": DirectiveSpec(_CHOOSING, 1, 2, read_retry_budget, "20% min=10", pool_field="retry_budget"),
    "proxy_ssl_verify": DirectiveSpec(_CHOOSING, 1, 1, read_switch, "on", tls_field="is_verified"),
    "proxy_ssl_trusted_certificate": DirectiveSpec(_CHOOSING, 1, 1, _read_path, "the system's", tls_field="ca_file"),
    "proxy_ssl_name": DirectiveSpec(_CHOOSING, 1, 1, read_ssl_name, "the server's", tls_field="name"),
    "proxy_ssl_server_name": DirectiveSpec(_CHOOSING, 1, 1, read_ssl_server_name, "on", tls_field="sends_name"),
    "proxy_ssl_certificate": DirectiveSpec(_CHOOSING, 1, 1, _read_path, "none", tls_field="certificate"),
    "proxy_ssl_certificate_key": DirectiveSpec(_CHOOSING, 1, 1, _read_path, "in the same file", tls_field="key"),
    # --- requests --------------------------------------------------------------------------------------------
    "allow": DirectiveSpec(_ANYWHERE, 1, 1, _read_allow, "all", is_repeatable=True, setting="address_rules"),
    "deny": DirectiveSpec(_ANYWHERE, 1, 1, _read_deny, is_repeatable=True, same_as="allow"),
    "client_max_body_size": DirectiveSpec(_ANYWHERE, 1, 1, _read_max_body, "0", setting="max_body_bytes"),
    "proxy_set_header": DirectiveSpec(
        _ANYWHERE, 2, 2, _read_set_header, "see below", is_repeatable=True, setting="set_headers"
    ),
    "proxy_connect_timeout": DirectiveSpec(_ANYWHERE, 1, 1, _read_time, "5s", setting="connect_timeout_s"),
    "proxy_read_timeout": DirectiveSpec(_ANYWHERE, 1, 1, _read_time, "60s", setting="read_timeout_s"),
    "proxy_send_timeout": DirectiveSpec(_ANYWHERE, 1, 1, _read_time, "60s", setting="send_timeout_s"),
    "proxy_next_upstream": DirectiveSpec(_ANYWHERE, 1, None, _read_retry_causes, "error timeout", setting="retry_on"),
    "proxy_next_upstream_tries": DirectiveSpec(_ANYWHERE, 1, 1, _read_tries, "0", setting="max_tries"),
    # --- clients behind other proxies -------------------------------------------------------------------------
    "set_real_ip_from": DirectiveSpec(_FILE, 1, None, read_networks, "none", is_repeatable=True),
    "real_ip_header": DirectiveSpec(_FILE, 1, 1, read_real_ip_header, "X-Forwarded-For"),
    "real_ip_recursive": DirectiveSpec(_FILE, 1, 1, read_switch, "on"),
    "proxy_protocol_from": DirectiveSpec(_FILE, 1, None, read_networks, "none", is_repeatable=True),
    "send_proxy_protocol": DirectiveSpec(_CHOOSING, 1, 1, read_send_proxy_protocol, "off", pool_field="proxy_protocol"),
    "trace_context": DirectiveSpec(_ANYWHERE, 1, 1, read_tracing, "continue", feature="tracing"),
    # --- limits and cache --------------------------------------------------------------------------------------
    "limit_req_zone": DirectiveSpec(_FILE, 3, 3, read_limit_req_zone, is_repeatable=True),
    "limit_req": DirectiveSpec(_ANYWHERE, 1, 4, read_limit_req, "off", is_repeatable=True, feature="limits"),
    "limit_conn_zone": DirectiveSpec(_FILE, 2, 2, read_limit_conn_zone, is_repeatable=True),
    "limit_conn": DirectiveSpec(_ANYWHERE, 1, 2, read_limit_conn, "off", is_repeatable=True, feature="conn_limits"),
    "proxy_cache_size": DirectiveSpec(_FILE, 1, 2, read_cache_size, "64m max_reply=1m"),
    "proxy_cache": DirectiveSpec(_ANYWHERE, 1, 1, read_switch, "off", feature="is_cached"),
    "proxy_cache_valid": DirectiveSpec(
        _ANYWHERE, 1, None, read_cache_valid, "none", is_repeatable=True, feature="cache_valid"
    ),
    "proxy_cache_stale_if_error": DirectiveSpec(_ANYWHERE, 1, 1, _read_time, "none", feature="cache_stale_if_error_s"),
    "proxy_cache_lock": DirectiveSpec(_ANYWHERE, 1, 1, read_switch, "off", feature="cache_lock"),
    "proxy_cache_use_stale": DirectiveSpec(_ANYWHERE, 1, None, read_use_stale, "off", feature="cache_use_stale_s"),
    "proxy_cache_background_update": DirectiveSpec(_ANYWHERE, 1, 1, read_switch, "off", feature="cache_background"),
    "proxy_cache_client_control": DirectiveSpec(_ANYWHERE, 1, 1, read_switch, "on", feature="cache_honours_client"),
    "proxy_cache_key": DirectiveSpec(_ANYWHERE, 1, 1, read_cache_key, "the URL", feature="cache_key"),
    "proxy_cache_bypass": DirectiveSpec(
        _ANYWHERE, 1, None, read_conditions, "none", is_repeatable=True, feature="cache_bypass"
    ),
    "proxy_no_cache": DirectiveSpec(
        _ANYWHERE, 1, None, read_conditions, "none", is_repeatable=True, feature="cache_unkept"
    ),
    # --- rewriting ---------------------------------------------------------------------------------------------
    "rewrite": DirectiveSpec(_SERVED, 2, 3, read_rewrite, is_repeatable=True),
    "proxy_redirect": DirectiveSpec(_ANYWHERE, 1, 2, read_redirect, "default", is_repeatable=True, feature="redirects"),
    "proxy_cookie_path": DirectiveSpec(
        _ANYWHERE, 2, 2, read_cookie_path, "none", is_repeatable=True, feature="cookie_paths"
    ),
    "proxy_cookie_domain": DirectiveSpec(
        _ANYWHERE, 2, 2, read_cookie_domain, "none", is_repeatable=True, feature="cookie_domains"
    ),
    # --- replies -----------------------------------------------------------------------------------------------
    "add_header": DirectiveSpec(_ANYWHERE, 2, 3, read_add_header, "none", is_repeatable=True, feature="added_fields"),
    "proxy_hide_header": DirectiveSpec(
        _ANYWHERE, 1, 1, read_hidden_field, "none", is_repeatable=True, feature="hidden_fields"
    ),
    "proxy_pass_header": DirectiveSpec(
        _ANYWHERE, 1, 1, read_hidden_field, "none", is_repeatable=True, feature="passed_fields"
    ),
    "gzip": DirectiveSpec(_ANYWHERE, 1, 1, read_switch, "off", feature="gzip"),
    "gzip_types": DirectiveSpec(_ANYWHERE, 1, None, read_gzip_types, "what shrinks", feature="gzip_types"),
    "gzip_min_length": DirectiveSpec(_ANYWHERE, 1, 1, read_gzip_min_length, "1k", feature="gzip_min_bytes"),
    "gzip_comp_level": DirectiveSpec(_ANYWHERE, 1, 1, read_gzip_level, "5", feature="gzip_level"),
    "gzip_private": DirectiveSpec(_ANYWHERE, 1, 1, read_switch, "off", feature="gzip_private"),
    "error_page": DirectiveSpec(_ANYWHERE, 2, None, read_error_page, "none", is_repeatable=True, feature="error_pages"),
    "proxy_intercept_errors": DirectiveSpec(_ANYWHERE, 1, 1, read_switch, "off", feature="intercepts_errors"),
}
# Words of nginx that people try, and what there is in their place.
ELSEWHERE = {
    "upstream": "write pool NAME { … }",
    "server_name": "the names stand behind host",
    "listen": "the ports are flags, --server-port and --tls-port",
    "http": "hosts and pools stand by themselves",
    "events": "hosts and pools stand by themselves",
    "keepalive": "connections to upstreams are always kept",
    "proxy_http_version": "it is always 1.1",
    "resolver": "the system's resolver is asked",
    "zone": "there is one process, which knows all",
    "ssl_certificate": "certificates are flags, --tls-certificate and --tls-key",
    "root": "files are an upstream's matter",
    "try_files": "files are an upstream's matter",
    "if": "there are locations, and proxy_cache_bypass for what depends on a request",
    "expires": "write add_header Cache-Control max-age=SECONDS",
    "more_set_headers": "write proxy_hide_header, and add_header with always",
    "server_tokens": "the proxy names itself in no reply",
    "stub_status": "the figures are at /_proxy/metrics and /_proxy/status",
    "proxy_buffering": "bodies pass as they come",
    "proxy_request_buffering": "bodies pass as they come",
    "proxy_buffers": "bodies pass as they come",
    "proxy_buffer_size": "bodies pass as they come",
    "proxy_cache_path": "replies are kept in memory, write proxy_cache_size SIZE",
    "proxy_cache_revalidate": "a stale reply is always asked about with its validators",
    "proxy_cache_lock_timeout": "it is always 5 seconds",
    "proxy_cache_methods": "replies to GET are kept, and answer HEAD as well",
    "proxy_ignore_client_abort": "a client that leaves always frees the upstream",
    "gzip_vary": "it is always on",
    "gzip_proxied": "what is private is left alone, see gzip_private",
    "access_log": "it is a flag, --access-log",
    "log_format": "it is a flag, --log-format",
    "worker_processes": "there is one process",
    "worker_connections": "it is a flag, --max-connections",
    "limit_req_status": "it is always 429",
    "limit_conn_status": "it is always 429",
    "include": "the rules are one file",
}
SETTINGS = {name: spec for name, spec in DIRECTIVES.items() if spec.setting}
POOL_WORDS = {name: spec for name, spec in DIRECTIVES.items() if name == "policy" or spec.pool_field or spec.tls_field}
TLS_WORDS = {name: spec for name, spec in DIRECTIVES.items() if spec.tls_field}
