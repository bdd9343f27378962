"""What the words of `features` mean: `limit_req`, `proxy_cache`, `rewrite`, `proxy_redirect`, `gzip`, `error_page` and
their kind.

Each reader takes the arguments of one directive and returns a value, or raises ArgumentError. `config_directives` says
where each may stand; what several mean together is `config_features`'.
"""

import re
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any

from services.proxy.config_arguments import (
    ArgumentError,
    one_of,
    parse_count,
    parse_network,
    parse_reply_field_name,
    parse_size_bytes,
    parse_time_s,
    parse_token,
    refuse,
)
from services.proxy.config_options import Option, read_options
from services.proxy.config_pool_words import read_template
from services.proxy.config_syntax import Word
from services.proxy.connection_limits import ConnLimitConfig, ConnZoneConfig
from services.proxy.features import (
    ADDRESS_KEYS,
    CacheSize,
    LimitWord,
    PageWord,
    RedirectWord,
    Tracing,
    ValidWord,
    ZoneWord,
)
from services.proxy.path_rewriting import Flag, PathRule, parse_path_rule
from services.proxy.patterns import TextRule, parse_text_rule
from services.proxy.rate_limits import BYTES_A_KEY, RateLimitConfig, RateZoneConfig
from services.proxy.reply_fields import AddedField
from services.proxy.templates import Template, parse_template
from services.proxy.trusted_hops import Network, RealIpField

# nginx's values for proxy_cache_valid without a status.
VALID_STATUSES = (200, 301, 302)
# How long a reply that is stale is used while it is fetched anew, when nothing is said. In nginx what nobody asked for
# in that time is gone (`inactive`).
UPDATING_S = 600.0
# What else nginx has for proxy_cache_use_stale.
_FAILURES = frozenset(
    {"error", "timeout", "invalid_header"} | {f"http_{status}" for status in (403, 404, 429, 500, 502, 503, 504)}
)
_RATE = re.compile(r"([0-9]{1,6})r/([sm])", re.ASCII)
_MEDIA_TYPE = re.compile(r"[a-z0-9!#$&^_.+-]+/[a-z0-9!#$&^_.+-]+", re.ASCII)


def read_switch(words: Sequence[Word]) -> bool:
    """`WORD on|off;`"""
    return one_of(words[0], ("on", "off")) == "on"


# --- whom to believe -----------------------------------------------------------------------------------------


def read_networks(words: Sequence[Word]) -> tuple[Network, ...]:
    """`WORD NETWORK…;` Deliberate: not `all`, by which anybody could claim to be anybody."""
    return tuple(_network(word) for word in words)


def _network(word: Word) -> Network:
    network = parse_network(word)
    if network is None or network.prefixlen == 0:
        refuse(word, "the networks of proxies that are yours: not everybody")
    return network


def read_real_ip_header(words: Sequence[Word]) -> RealIpField:
    """`real_ip_header NAME;`"""
    known = {each.value.lower(): each for each in RealIpField}
    if words[0].text.lower() not in known:
        one_of(words[0], tuple(each.value for each in RealIpField))
    return known[words[0].text.lower()]


# --- limits --------------------------------------------------------------------------------------------------


def _zone_and_size(word: Word) -> tuple[str, int]:
    name, colon, _ = word.text.partition(":")
    if not colon:
        refuse(word, "a name and a size, such as one:1m")
    size = Word(word.text[len(name) + 1 :], word.position, word.end)
    return parse_token(Word(name, word.position, word.end)), max(parse_size_bytes(size) // BYTES_A_KEY, 1)


def _rate_per_s(word: Word) -> float:
    found = _RATE.fullmatch(word.text)
    if found is None or int(found[1]) == 0:
        refuse(word, "a rate such as 10r/s or 30r/m")
    return int(found[1]) / (1 if found[2] == "s" else 60)


_CONN_ZONE_OPTIONS = {"zone": Option("zone", _zone_and_size)}
_RATE_ZONE_OPTIONS = {**_CONN_ZONE_OPTIONS, "rate": Option("rate_per_s", _rate_per_s)}


def _read_zone(words: Sequence[Word], known: Mapping[str, Option]) -> tuple[Template, dict[str, Any]]:
    options = read_options(words[1:], known)
    missing = [f"{name}=" for name, option in known.items() if option.field not in options]
    if missing:
        raise ArgumentError(words[-1].end, f"expected {' and '.join(missing)} as well")
    is_address = words[0].text in ADDRESS_KEYS
    key = parse_template(ADDRESS_KEYS[0]) if is_address else read_template(words[0])
    if key.is_constant:
        refuse(words[0], "a key with a variable, such as $remote_addr or $cookie_session")
    return key, options


def read_limit_req_zone(words: Sequence[Word]) -> ZoneWord[RateZoneConfig]:
    """`limit_req_zone KEY zone=NAME:SIZE rate=RATE;`"""
    key, options = _read_zone(words, _RATE_ZONE_OPTIONS)
    name, max_keys = options["zone"]
    return ZoneWord(RateZoneConfig(name, key.source, options["rate_per_s"], max_keys), key)


def read_limit_conn_zone(words: Sequence[Word]) -> ZoneWord[ConnZoneConfig]:
    """`limit_conn_zone KEY zone=NAME:SIZE;`"""
    key, options = _read_zone(words, _CONN_ZONE_OPTIONS)
    name, max_keys = options["zone"]
    return ZoneWord(ConnZoneConfig(name, key.source, max_keys), key)


_LIMIT_OPTIONS = {
    "zone": Option("zone", lambda word: word),
    "burst": Option("burst", lambda word: parse_count(word, 0, 1_000_000)),
    "delay": Option("undelayed", lambda word: parse_count(word, 0, 1_000_000)),
    "nodelay": Option("undelayed", value=None),
}


def read_limit_req(words: Sequence[Word]) -> LimitWord[RateLimitConfig]:
    """`limit_req zone=NAME [burst=N] [nodelay | delay=N];` or `limit_req off;`"""
    if words[0].text == "off" and len(words) == 1:
        return LimitWord(None, words[0])
    options = read_options(words, _LIMIT_OPTIONS)
    if "zone" not in options:
        raise ArgumentError(words[-1].end, "expected zone= as well, or off")
    zone: Word = options.pop("zone")
    return LimitWord(RateLimitConfig(zone.text, **options), zone)


def read_limit_conn(words: Sequence[Word]) -> LimitWord[ConnLimitConfig]:
    """`limit_conn ZONE N;` or `limit_conn off;`"""
    zone = words[0]
    if len(words) == 1:
        if zone.text != "off":
            raise ArgumentError(zone.end, "expected a number after the zone, or off alone")
        return LimitWord(None, zone)
    if "=" in zone.text:  # as limit_req has it
        refuse(zone, f"the zone's name alone, {zone.text.partition('=')[2]}")
    return LimitWord(ConnLimitConfig(zone.text, parse_count(words[1], 1, 65_535)), zone)


# --- cache ---------------------------------------------------------------------------------------------------


def read_cache_size(words: Sequence[Word]) -> CacheSize:
    """`proxy_cache_size SIZE [max_reply=SIZE];`"""
    options = read_options(words[1:], {"max_reply": Option("max_reply_bytes", parse_size_bytes)})
    return CacheSize(parse_size_bytes(words[0]), **options)


def read_cache_valid(words: Sequence[Word]) -> ValidWord:
    """`proxy_cache_valid [STATUS…] TIME;`"""
    statuses = tuple(parse_count(word, 200, 599) for word in words[:-1])
    return ValidWord(statuses or VALID_STATUSES, parse_time_s(words[-1]))


def read_use_stale(words: Sequence[Word]) -> float:
    """`proxy_cache_use_stale updating[=TIME];` or `off;`: how long past its freshness, in seconds."""
    for word in words:
        if word.text in _FAILURES:
            message = "a stale reply stands in for failures by proxy_cache_stale_if_error TIME, which says how long"
            raise ArgumentError(word.position, f'got "{word.text}", expected updating, updating=TIME or off: {message}')
    if len(words) > 1:
        refuse(words[1], "nothing more")
    word = words[0]
    name, sign, time = word.text.partition("=")
    if sign and name == "updating":
        return parse_time_s(Word(time, word.position, word.end))
    return {"updating": UPDATING_S, "off": 0.0}[one_of(word, ("updating", "off"))]


def read_cache_key(words: Sequence[Word]) -> Template:
    """`proxy_cache_key TEXT;`"""
    key = read_template(words[0])
    if key.is_constant:
        refuse(words[0], "a key with a variable, such as $request_uri")
    return key


def read_conditions(words: Sequence[Word]) -> tuple[Template, ...]:
    """`WORD TEXT…;`, each a condition on the request."""
    for word in words:
        if read_template(word).is_constant:
            refuse(word, "something of the request, such as $cookie_nocache or $http_authorization")
    return tuple(read_template(word) for word in words)


# --- rewriting -----------------------------------------------------------------------------------------------


def read_rewrite(words: Sequence[Word]) -> PathRule:
    """`rewrite REGEX REPLACEMENT [FLAG];`"""
    flag = one_of(words[2], tuple(flag.value for flag in Flag if flag.value)) if len(words) > 2 else ""
    _want_printable(words[1])
    try:
        return parse_path_rule(words[0].text, words[1].text, flag)
    except ValueError as error:
        raise ArgumentError(words[0].position, str(error)) from None


def read_redirect(words: Sequence[Word]) -> RedirectWord | TextRule:
    """`proxy_redirect default;`, `off;` or `FROM TO;`"""
    if len(words) == 1:
        return RedirectWord(one_of(words[0], tuple(word.value for word in RedirectWord)))
    return _text_rule(words)


def _text_rule(words: Sequence[Word], *, is_whole: bool = False) -> TextRule:
    _want_printable(words[1])
    try:
        return parse_text_rule(words[0].text, words[1].text, is_whole=is_whole)
    except ValueError as error:
        raise ArgumentError(words[0].position, str(error)) from None


def _want_printable(word: Word) -> None:
    if not word.text.isascii() or not word.text.isprintable() or " " in word.text:
        refuse(word, "printable ASCII without spaces")


read_cookie_path: Callable[[Sequence[Word]], TextRule] = _text_rule
read_cookie_domain = partial(_text_rule, is_whole=True)


# --- replies -------------------------------------------------------------------------------------------------


def read_add_header(words: Sequence[Word]) -> AddedField:
    """`add_header NAME VALUE [always];`"""
    name, value = parse_reply_field_name(words[0], "added"), words[1]
    if not value.text.isascii() or any(ord(char) < 0x20 or ord(char) == 0x7F for char in value.text):
        raise ArgumentError(value.position, "a field's value holds printable ASCII only")
    return AddedField(name, read_template(value), is_always=len(words) > 2 and bool(one_of(words[2], ("always",))))


def read_hidden_field(words: Sequence[Word]) -> str:
    """`proxy_hide_header NAME;` or `proxy_pass_header NAME;`: the name in lower case."""
    return parse_reply_field_name(words[0], "hidden").lower()


def read_gzip_types(words: Sequence[Word]) -> frozenset[str]:
    """`gzip_types TYPE…;`"""
    for word in words:
        if _MEDIA_TYPE.fullmatch(word.text.lower()) is None:
            refuse(word, "a media type such as application/json")
    return frozenset(word.text.lower() for word in words)


def read_gzip_min_length(words: Sequence[Word]) -> int:
    """`gzip_min_length SIZE;`"""
    return parse_size_bytes(words[0])


def read_gzip_level(words: Sequence[Word]) -> int:
    """`gzip_comp_level N;`"""
    return parse_count(words[0], 1, 9)


def read_error_page(words: Sequence[Word]) -> PageWord:
    """`error_page STATUS… FILE;`"""
    return PageWord(tuple(parse_count(word, 300, 599) for word in words[:-1]), words[-1])


def read_tracing(words: Sequence[Word]) -> Tracing:
    """`trace_context continue|start|off;`"""
    return Tracing(one_of(words[0], tuple(each.value for each in Tracing)))


def read_send_proxy_protocol(words: Sequence[Word]) -> int:
    """`send_proxy_protocol v1|v2|off;`: the version, 0 for none."""
    return {"off": 0, "v1": 1, "v2": 2}[one_of(words[0], ("v1", "v2", "off"))]
