"""The words for clients behind proxies, limits, cache, rewriting, gzip, pages and traces: what they mean and their
mistakes.
"""

from ipaddress import ip_network
from pathlib import Path

import pytest

from services.proxy.cache_rules import CacheSettings
from services.proxy.config_file import ConfigError, load_config, parse_config
from services.proxy.config_values import LocationConfig, ProxyConfig
from services.proxy.features import CacheSize, Features, Tracing
from services.proxy.path_rewriting import Flag
from services.proxy.rate_limits import RateLimitConfig, RateZoneConfig
from services.proxy.reply_gzip import GzipSettings
from services.proxy.reply_rewriting import DefaultRedirect
from services.proxy.templates import RequestFacts
from services.proxy.trusted_hops import RealIpField, TrustedHops
from shared.httpcore.message import Request


def config_of(location: str = "", host: str = "", file: str = "") -> ProxyConfig:
    return parse_config(
        f"{file}\nhost a {{ {host}\n proxy_pass http://127.0.0.1:80;\n location /x/ {{ {location} }} }}"
    )


def location_of(location: str = "", host: str = "", file: str = "") -> LocationConfig:
    [found] = config_of(location, host, file).hosts
    return found.locations[0]


def features_of(location: str = "", host: str = "", file: str = "") -> Features:
    return location_of(location, host, file).features


def mistakes_of(text: str) -> list[str]:
    with pytest.raises(ConfigError) as caught:
        parse_config(text + '\nhost "*" { proxy_pass http://127.0.0.1:80; }')
    return [line.partition(" ")[2] for line in caught.value.lines()]


def facts(remote_ip: str = "9.9.9.9", *lines: str) -> RequestFacts:
    request = Request("GET", "/", 1, "".join(f"{line}\r\n" for line in lines).encode())
    request.remote_ip = remote_ip
    return RequestFacts(request, "10.0.0.1:80")


def test_without_words_nothing_is_done_but_what_nginx_does_as_well() -> None:
    features = features_of()
    assert features == Features(reply_rules=features.reply_rules)
    assert not features.concerns_requests
    assert not features.concerns_replies
    [default] = features.reply_rules.redirects
    assert isinstance(default, DefaultRedirect)
    assert config_of().features.hops == TrustedHops()
    assert not config_of().features.expects_proxy_header("10.0.0.1")
    assert config_of().pools[0].proxy_protocol == 0


def test_trusted_hops_and_proxy_protocol() -> None:
    whole = config_of(
        file="set_real_ip_from 10.0.0.0/8 192.0.2.1; set_real_ip_from 2001:db8::/32; real_ip_header forwarded;"
        "real_ip_recursive off; proxy_protocol_from 172.16.0.0/12;",
        host="send_proxy_protocol v2;",
    )
    networks = tuple(map(ip_network, ("10.0.0.0/8", "192.0.2.1/32", "2001:db8::/32")))
    assert whole.features.hops == TrustedHops(networks, RealIpField.FORWARDED, is_recursive=False)
    assert whole.features.expects_proxy_header("172.16.5.5")
    assert not whole.features.expects_proxy_header("172.32.0.1")
    assert whole.pools[0].proxy_protocol == 2


def test_limits_are_inherited_as_a_whole_and_switched_off() -> None:
    zones = "limit_req_zone $remote_addr zone=one:1m rate=10r/s; limit_req_zone $cookie_s zone=two:256 rate=30r/m;"
    file = zones + "limit_req zone=one burst=5 nodelay;"
    whole = config_of(file=file)
    assert whole.features.rate_zones == (
        RateZoneConfig("one", "$remote_addr", 10.0, 4096),
        RateZoneConfig("two", "$cookie_s", 0.5, 1),
    )
    asked = facts("2001:db8::1", "Cookie: s=42")
    assert features_of(file=file).limit_keys(asked) == [(RateLimitConfig("one", 5, None), "20010db800000000/64")]
    own = "limit_req zone=two burst=2 delay=1; limit_req zone=one;"
    assert features_of(own, file=file).limit_keys(asked) == [
        (RateLimitConfig("two", 2, 1), "42"),
        (RateLimitConfig("one", 0, 0), "20010db800000000/64"),
    ]
    assert features_of("limit_req off;", file=file).limits == ()


def test_the_cache() -> None:
    file = "proxy_cache_size 10m max_reply=64k; proxy_cache on; proxy_cache_lock on;"
    whole = config_of(file=file)
    assert whole.features.cache_size == CacheSize(10 * 1024**2, 64 * 1024)
    inner = features_of(
        "proxy_cache_valid 1m; proxy_cache_valid 404 410 5s; proxy_cache_stale_if_error 1h;"
        "proxy_cache_client_control off;",
        file=file,
    )
    assert inner.cache == CacheSettings({200: 60.0, 301: 60.0, 302: 60.0, 404: 5.0, 410: 5.0}, 3600.0, False)
    assert inner.collapses
    off = features_of("proxy_cache off;", file=file)
    assert (off.cache, off.collapses) == (None, False)


def test_rewriting_of_paths_stays_with_its_block() -> None:
    host = config_of("rewrite ^/x/y /z break;", 'rewrite "^/(\\d{3})$" /n?id=$1? permanent; rewrite a /b;').hosts[0]
    assert [(rule.regex.pattern, rule.flag) for rule in host.rewrites] == [
        ("^/(\\d{3})$", Flag.PERMANENT),
        ("a", Flag.NONE),
    ]
    assert [rule.flag for rule in host.locations[0].features.rewrites] == [Flag.BREAK]
    assert host.locations[1].features.rewrites == ()


def test_rewriting_of_replies() -> None:
    rules = features_of(
        "proxy_redirect http://old/ /x/; proxy_redirect default; proxy_redirect ~^http://(.)\\.lan/ /$1/;"
        "proxy_cookie_path / /x/; proxy_cookie_domain app.lan $host; proxy_pass http://127.0.0.1:9/y/;"
    ).reply_rules
    first, default, third = rules.redirects
    assert first.apply("http://old/a", facts()) == "/x/a"
    assert default.apply("http://10.0.0.1/y/a", facts()) == "/x/a"
    assert third.apply("http://b.lan/a", facts()) == "/b/"
    assert [len(rules.cookie_paths), len(rules.cookie_domains)] == [1, 1]
    assert features_of("proxy_redirect off;").reply_rules.redirects == ()


def test_gzip_pages_and_traces(tmp_path: Path) -> None:
    (tmp_path / "oops.html").write_text("oops {{status}}", encoding="utf-8")
    path = tmp_path / "proxy.conf"
    path.write_text(
        "gzip on; gzip_types text/html Application/JSON; gzip_min_length 10; gzip_comp_level 9; gzip_private on;\n"
        "error_page 500 502 oops.html; proxy_intercept_errors on; trace_context start;\n"
        'host "*" { proxy_pass http://127.0.0.1:80; location /x/ { error_page 404 oops.html; } }',
        encoding="utf-8",
    )
    inner, outer = [location.features for location in load_config(path).hosts[0].locations]
    types = frozenset({"text/html", "application/json"})
    assert outer.gzip == GzipSettings(True, types, 10, 9, True)
    assert (outer.intercepts_errors, outer.tracing) == (True, Tracing.START)
    assert [outer.pages.find(status) is not None for status in (404, 500, 502)] == [False, True, True]
    assert [inner.pages.find(status) is not None for status in (404, 500, 502)] == [True, False, False]


@pytest.mark.parametrize(
    ("word", "requests", "replies"),
    [
        ("limit_req zone=z;", True, False),
        ("rewrite ^/x /y break;", False, False),
        ("proxy_cache on;", True, True),
        ("gzip on;", True, True),
        ("proxy_intercept_errors on;", True, True),
        ("proxy_redirect off;", False, False),
    ],
)
def test_what_has_to_be_looked_at_is_known_beforehand(word: str, requests: bool, replies: bool) -> None:
    features = features_of(word, file="limit_req_zone $remote_addr zone=z:1m rate=1r/s;")
    assert (features.concerns_requests, features.concerns_replies) == (requests, replies)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("set_real_ip_from all;", 'got "all", expected the networks of proxies that are yours'),
        ("set_real_ip_from 0.0.0.0/0;", "expected the networks of proxies that are yours"),
        ("proxy_protocol_from ten;", 'got "ten", expected all, an address'),
        ("real_ip_header X-Fowarded-For;", "expected one of X-Forwarded-For, X-Real-IP, Forwarded"),
        ("limit_req_zone $remote_addr zone=one:1m;", "takes 3 arguments, got 2"),
        ("limit_req_zone $remote_addr zone=one:1m burst=1;", "expected one of zone=, rate="),
        ("limit_req_zone $remote_addr zone=one rate=1r/s;", "a name and a size"),
        ("limit_req_zone $remote_addr zone=one:1m rate=1/s;", "a rate such as"),
        ("limit_req_zone $remote_addr zone=one:1m rate=0r/s;", "a rate such as"),
        ("limit_req_zone all zone=one:1m rate=1r/s;", "a key with a variable"),
        ("limit_req burst=5;", "expected zone= as well"),
        ("gzip maybe;", "expected one of on, off"),
        ("gzip_comp_level 10;", "a whole number from 1 to 9"),
        ("gzip_types json;", "a media type"),
        ("trace_context begin;", "expected one of continue, start, off"),
        ("proxy_cache_valid 99 1m;", "a whole number from 200 to 599"),
        ("proxy_redirect on;", "expected one of default, off"),
        ("proxy_redirect ~( /x;", "expected a regular expression"),
        ("proxy_cookie_path /a /$2;", "a text has no groups"),
        ("error_page 200 x.html;", "a whole number from 300 to 599"),
        ("error_page 502 nowhere.html;", "nowhere.html can't be read"),
        ("host x { proxy_pass http://h:1; rewrite ^/a b; }", "begins with /"),
        ("host x { proxy_pass http://h:1; rewrite ^/a /b lats; }", 'did you mean "last"?'),
        ('host x { proxy_pass http://h:1; rewrite ^/a "/b c"; }', "printable ASCII"),
        ("rewrite ^/a /b;", "may not stand in no block"),
        ("pool p { server h:1; send_proxy_protocol v3; }", "expected one of v1, v2, off"),
        ("limit_req zone=tow; limit_req_zone $remote_addr zone=two:1m rate=1r/s;", 'did you mean "two"?'),
    ],
)
def test_mistakes_are_named(text: str, expected: str) -> None:
    assert any(expected in mistake for mistake in mistakes_of(text)), mistakes_of(text)


def test_a_page_that_is_missing_is_said_once_however_many_locations_inherit_it() -> None:
    text = "error_page 502 nowhere.html; host x { proxy_pass http://h:1; location /a { } location /b { } }"
    assert len(mistakes_of(text)) == 1


def test_two_zones_of_a_name_are_one_too_many() -> None:
    zone = "limit_req_zone $remote_addr zone=one:1m rate=1r/s;"
    assert mistakes_of(zone + zone) == ['the zone "one" is declared already']


def test_what_may_take_for_ever_or_changes_nothing_is_warned_of() -> None:
    warnings = config_of(
        "rewrite ^/(a+)+$ /b; proxy_cookie_path ~(a*)*b /;", "proxy_redirect ~(b+)+ /;", "real_ip_recursive on;"
    ).warnings
    told = [warning.message for warning in warnings]
    assert sum("may take very long" in message for message in told) == 3
    assert sum("changes nothing" in message for message in told) == 1
