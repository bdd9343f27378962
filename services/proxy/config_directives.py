"""Every directive of `proxy.conf`: where it may stand, how many arguments it takes, its default, what it
means.

The table is also what `docs/proxy-conf.md` is checked against. `config_scope` reads blocks with it.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from enum import Enum

from services.proxy.config_arguments import (
    ArgumentError,
    did_you_mean,
    is_ip,
    one_of,
    parse_count,
    parse_field_name,
    parse_host_port,
    parse_pass_target,
    parse_size_bytes,
    parse_status_ranges,
    parse_time_s,
    refuse,
)
from services.proxy.config_syntax import Position, Word
from services.proxy.config_values import (
    HealthCheckConfig,
    HealthKind,
    PolicyName,
    RetryCause,
    ServerConfig,
)
from services.proxy.templates import PREFIXES, VARIABLES, TemplateError, parse_template


class Context(Enum):
    """The places where directives stand."""

    FILE = "file"
    HOST = "host"
    LOCATION = "location"
    POOL = "pool"


Reader = Callable[[Sequence[Word]], object]


@dataclass(frozen=True, slots=True)
class DirectiveSpec:
    """One directive. `read` is None for those that open a block; `most` None: any number of arguments."""

    contexts: frozenset[Context]
    least: int
    most: int | None
    read: Reader | None
    default: str = ""
    is_repeatable: bool = False
    same_as: str = ""  # another word for that directive


def _read_time(words: Sequence[Word]) -> float:
    return parse_time_s(words[0])


def _read_max_body(words: Sequence[Word]) -> int | None:
    return parse_size_bytes(words[0]) or None  # nginx: 0 means no limit


def _read_policy(words: Sequence[Word]) -> PolicyName:
    return PolicyName(one_of(words[0], tuple(policy.value for policy in PolicyName)))


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
    try:
        template = parse_template(value.text)
    except TemplateError as error:
        known = ["$" + variable for variable in VARIABLES]
        wrong = str(error).rpartition(" ")[2]
        hint = did_you_mean(wrong, known) or f"; known are {', '.join(known)}, " + ", ".join(
            f"${prefix}NAME" for prefix in PREFIXES
        )
        raise ArgumentError(value.position, f"{error}{hint}") from None
    return parse_field_name(name), template


def _read_server(words: Sequence[Word]) -> ServerConfig:
    host, port = parse_host_port(words[0])
    server = ServerConfig(host, port or 80)
    for word in words[1:]:
        name, _, value = word.text.partition("=")
        if word.text == "resolve":
            if is_ip(host):
                raise ArgumentError(word.position, "resolve needs a name to look up, not an address")
            server = replace(server, is_resolved=True)
        elif name == "weight":
            server = replace(server, weight=parse_count(_value_word(word, value), 1, 1000))
        else:
            refuse(word, f"resolve or weight=N{did_you_mean(name, ('resolve', 'weight'))}")
    return server


def _value_word(word: Word, value: str) -> Word:
    """The part after `name=` as a word of its own, at its own place."""
    start = Position(word.position.line, word.position.column + len(word.text) - len(value))
    return Word(value, start, word.end)


# A health check's options, ours and nginx's words for the same thing.
_CHECK_OPTIONS = {
    "interval": "interval",
    "timeout": "timeout",
    "rise": "rise",
    "passes": "rise",
    "fall": "fall",
    "fails": "fall",
    "path": "path",
    "uri": "path",
    "expect": "expect",
}
_CHECK_OPTION_NAMES = tuple(_CHECK_OPTIONS)
_HTTP_ONLY = ("path", "expect")
ACTIVE_CHECK_DEFAULTS = HealthCheckConfig(kind=HealthKind.TCP, rise=2, fall=3)


def _read_health_check(words: Sequence[Word]) -> HealthCheckConfig:
    options: dict[str, tuple[Word, Word]] = {}
    kinds = [word for word in words if "=" not in word.text]
    if len(kinds) > 1 or (kinds and kinds[0] is not words[0]):
        refuse(kinds[-1], "options as NAME=VALUE after tcp or http")
    for word in words:
        if word in kinds:
            continue
        name, _, value = word.text.partition("=")
        if name not in _CHECK_OPTIONS:
            refuse(word, f"one of {', '.join(_CHECK_OPTION_NAMES)}{did_you_mean(name, _CHECK_OPTION_NAMES)}")
        if _CHECK_OPTIONS[name] in options:
            raise ArgumentError(word.position, f"{_CHECK_OPTIONS[name]} is given twice")
        options[_CHECK_OPTIONS[name]] = word, _value_word(word, value)
    has_http_option = any(name in options for name in _HTTP_ONLY)
    kind = one_of(kinds[0], ("tcp", "http")) if kinds else ("http" if has_http_option else "tcp")
    if kind == "tcp" and has_http_option:
        raise ArgumentError(kinds[0].position, "a tcp check knows no path and no status, expected http")
    return _health_check(HealthKind(kind), options)


def _health_check(kind: HealthKind, options: dict[str, tuple[Word, Word]]) -> HealthCheckConfig:
    check = replace(ACTIVE_CHECK_DEFAULTS, kind=kind)
    for name, (word, value) in options.items():
        if name == "interval":
            check = replace(check, interval_s=parse_time_s(value))
        elif name == "timeout":
            check = replace(check, timeout_s=parse_time_s(value))
        elif name == "rise":
            check = replace(check, rise=parse_count(value, 1, 1000))
        elif name == "fall":
            check = replace(check, fall=parse_count(value, 1, 1000))
        elif name == "expect":
            check = replace(check, expected=parse_status_ranges(word, value.text))
        elif (
            not value.text.startswith("/")
            or not value.text.isascii()
            or not value.text.isprintable()
            or " " in value.text
        ):
            refuse(word, "path=/a/path")
        else:
            check = replace(check, path=value.text)
    return check


_ANYWHERE = frozenset({Context.FILE, Context.HOST, Context.LOCATION})
_SERVED = frozenset({Context.HOST, Context.LOCATION})
_CHOOSING = frozenset({Context.HOST, Context.LOCATION, Context.POOL})

DIRECTIVES: dict[str, DirectiveSpec] = {
    "host": DirectiveSpec(frozenset({Context.FILE}), 1, None, None, is_repeatable=True),
    "pool": DirectiveSpec(frozenset({Context.FILE}), 1, 1, None, is_repeatable=True),
    "location": DirectiveSpec(frozenset({Context.HOST}), 1, 2, None, is_repeatable=True),
    "proxy_pass": DirectiveSpec(_SERVED, 1, 1, _read_pass, is_repeatable=True),
    "server": DirectiveSpec(frozenset({Context.POOL}), 1, None, _read_server, is_repeatable=True),
    "policy": DirectiveSpec(_CHOOSING, 1, 1, _read_policy, "round-robin"),
    "dist_policy": DirectiveSpec(_CHOOSING, 1, 1, _read_policy, "round-robin", same_as="policy"),
    "health_check": DirectiveSpec(_CHOOSING, 0, None, _read_health_check, "none: a TCP check after a failed connect"),
    "proxy_set_header": DirectiveSpec(_ANYWHERE, 2, 2, _read_set_header, "see below", is_repeatable=True),
    "proxy_connect_timeout": DirectiveSpec(_ANYWHERE, 1, 1, _read_time, "5s"),
    "proxy_read_timeout": DirectiveSpec(_ANYWHERE, 1, 1, _read_time, "60s"),
    "proxy_send_timeout": DirectiveSpec(_ANYWHERE, 1, 1, _read_time, "60s"),
    "proxy_next_upstream": DirectiveSpec(_ANYWHERE, 1, None, _read_retry_causes, "error"),
    "proxy_next_upstream_tries": DirectiveSpec(_ANYWHERE, 1, 1, _read_tries, "0"),
    "client_max_body_size": DirectiveSpec(_ANYWHERE, 1, 1, _read_max_body, "0"),
}
