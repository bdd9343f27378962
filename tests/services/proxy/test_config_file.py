"""proxy.conf: what is understood, and every mistake with its place."""

from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from services.proxy.config_directives import DIRECTIVES, ELSEWHERE
from services.proxy.config_file import ConfigError, load_config, parse_config
from services.proxy.config_values import (
    EjectionConfig,
    HealthCheckConfig,
    HealthKind,
    PolicyName,
    QueueConfig,
    RetryBudgetConfig,
    RetryCause,
    ServerConfig,
    StickyConfig,
)
from services.proxy.routing import Route, RouteTable


def mistakes_of(text: str) -> list[str]:
    """`line:column: message` for each mistake."""
    with pytest.raises(ConfigError) as caught:
        parse_config(text, "f")
    return [line.removeprefix("f:") for line in caught.value.lines()]


def only_location(text: str):
    [host] = parse_config(text).hosts
    [location] = host.locations
    return location


def only_pool(text: str):
    [pool] = parse_config(text).pools
    return pool


# --- what is understood ------------------------------------------------------------------------------------


def test_the_smallest_file() -> None:
    config = parse_config('host "localhost" {\n    proxy_pass http://127.0.0.1:8000;\n}\n')
    [host] = config.hosts
    assert host.names == ("localhost",)
    [location] = host.locations
    assert (location.prefix, location.pool, location.uri) == ("/", "localhost/", None)
    [pool] = config.pools
    assert (pool.name, pool.servers) == ("localhost/", (ServerConfig("127.0.0.1", 8000),))
    assert (pool.policy, pool.health_check) == (PolicyName.ROUND_ROBIN, HealthCheckConfig())


def test_several_proxy_pass_lines_make_a_pool_and_a_repeated_one_has_twice_the_weight() -> None:
    pool = only_pool(
        "host a { proxy_pass http://10.0.0.1:1; proxy_pass http://b:2; proxy_pass http://b:2; dist_policy random; }"
    )
    assert pool.servers == (ServerConfig("10.0.0.1", 1), ServerConfig("b", 2, weight=2))
    assert pool.policy is PolicyName.RANDOM


def test_a_pool_with_everything() -> None:
    text = """
    pool app {
        server backend:8000 resolve weight=3;
        server [2001:db8::1]:81;
        server other;
        policy least-connection;
        health_check http path=/healthz interval=500ms timeout=2s rise=4 fall=5 expect=200,301-302;
    }
    host * { proxy_pass http://app; }
    """
    pool = only_pool(text)
    assert pool.servers == (
        ServerConfig("backend", 8000, is_resolved=True, weight=3),
        ServerConfig("2001:db8::1", 81),
        ServerConfig("other", 80),
    )
    assert pool.policy is PolicyName.LEAST_CONNECTION
    assert pool.health_check == HealthCheckConfig(
        HealthKind.HTTP, 0.5, 2.0, rise=4, fall=5, path="/healthz", expected=((200, 200), (301, 302))
    )
    assert only_location(text).pool == "app"


def test_a_pool_with_every_limit() -> None:
    pool = only_pool("""
    pool app {
        server a:1 max_conns=10 slow_start=5s max_fails=2 fail_timeout=1m;
        server b:1 backup;
        server c:1 down;
        hash $cookie_user consistent;
        sticky cookie route expires=1h domain=example.com path=/x secure httponly samesite=strict;
        ejection fails=3 errors=40% window=20s requests=30 time=5s max_time=2m max_percent=30;
        slow_start 10s;
        queue 100 timeout=5s;
    }
    host * { proxy_pass http://app; }
    """)
    assert pool.servers == (
        ServerConfig("a", 1, max_conns=10, slow_start_s=5, max_fails=2, fail_timeout_s=60),
        ServerConfig("b", 1, is_backup=True),
        ServerConfig("c", 1, is_down=True),
    )
    assert (pool.policy, pool.hash_key and pool.hash_key.source) == (PolicyName.HASH, "$cookie_user")
    assert pool.sticky == StickyConfig("route", 3600, "/x", "example.com", "Strict", is_secure=True)
    assert pool.ejection == EjectionConfig(3, 40, 20, 30, 5, 120, 30)
    assert (pool.slow_start_s, pool.queue) == (10, QueueConfig(100, 5))


@pytest.mark.parametrize(
    ("words", "policy"),
    [
        ("policy least-load;", PolicyName.LEAST_LOAD),
        ("dist_policy ip-hash;", PolicyName.IP_HASH),
        ("least_conn;", PolicyName.LEAST_CONNECTION),
        ("ip_hash;", PolicyName.IP_HASH),
        ("random;", PolicyName.RANDOM),
        ("random two least_conn;", PolicyName.RANDOM),
        ("hash $remote_addr;", PolicyName.HASH),
    ],
)
def test_policies_in_our_words_and_in_nginx_s(words: str, policy: PolicyName) -> None:
    assert only_pool(f"host * {{ proxy_pass http://a:1; {words} }}").policy is policy


def test_ejection_can_be_switched_off() -> None:
    assert only_pool("host * { proxy_pass http://a:1; ejection off; }").ejection == EjectionConfig(fails=0)


@pytest.mark.parametrize(
    ("word", "budget"),
    [
        ("", RetryBudgetConfig(20, 10)),
        ("proxy_retry_budget 50%;", RetryBudgetConfig(50, 10)),
        ("proxy_retry_budget 5% min=0;", RetryBudgetConfig(5, 0)),
        ("proxy_retry_budget off;", None),
    ],
)
def test_retry_budgets(word: str, budget: RetryBudgetConfig | None) -> None:
    assert only_pool(f"host * {{ proxy_pass http://a:1; {word} }}").retry_budget == budget


@pytest.mark.parametrize(
    ("check", "expected"),
    [
        ("health_check;", HealthCheckConfig(HealthKind.TCP, rise=2, fall=3)),
        ("health_check tcp fall=1;", HealthCheckConfig(HealthKind.TCP, rise=2, fall=1)),
        ("health_check uri=/up passes=1 fails=2;", HealthCheckConfig(HealthKind.HTTP, rise=1, fall=2, path="/up")),
        (
            "health_check host=shop.example:81 port=81;",
            HealthCheckConfig(HealthKind.HTTP, rise=2, fall=3, host="shop.example:81", port=81),
        ),
        ("health_check expect=204;", HealthCheckConfig(HealthKind.HTTP, rise=2, fall=3, expected=((204, 204),))),
    ],
)
def test_health_checks_in_our_words_and_in_nginx_s(check: str, expected: HealthCheckConfig) -> None:
    assert only_pool(f"pool p {{ server a:1; {check} }} host * {{ proxy_pass http://p; }}").health_check == expected


@pytest.mark.parametrize(
    ("written", "meant"),
    [
        ("localhost", "localhost"),
        ("Example.COM:8080", "example.com"),
        ('"*"', "*"),
        ("*.Example.com", "*.example.com"),
        ("192.168.56.103:8080", "192.168.56.103"),
        ("[::1]:80", "[::1]"),
        ("[0:0::1]", "[::1]"),
        ("a.b.", "a.b"),
    ],
)
def test_host_names(written: str, meant: str) -> None:
    [host] = parse_config(f"host {written} {{ proxy_pass http://a:1; }}").hosts
    assert host.names == (meant,)


def test_credentials_become_basic_authorization_and_show_nowhere() -> None:
    config = parse_config("pool p { server x:1; } host a { proxy_pass http://u%40x:p%3Aw@p; }")
    location = config.hosts[0].locations[0]
    assert location.authorization == "Basic dUB4OnA6dw=="
    assert "dUB4OnA6dw" not in repr(config)
    [pool] = parse_config("host a { proxy_pass http://u@x:1; proxy_pass http://y:1; }").pools
    assert [server.authorization for server in pool.servers] == ["Basic dTo=", None]


def test_settings_are_inherited_and_one_proxy_set_header_replaces_all_outer_ones() -> None:
    text = """
    proxy_read_timeout 10s;
    proxy_set_header A 1;
    host h {
        proxy_connect_timeout 250ms;
        proxy_next_upstream off;
        proxy_pass http://a:1;
        location /x { proxy_read_timeout 1m30s; client_max_body_size 2m; proxy_set_header B "$host 2"; }
        location /y { proxy_next_upstream error timeout non_idempotent; proxy_next_upstream_tries 2; }
    }
    """
    [host] = parse_config(text).hosts
    x, y, rest = host.locations
    assert [(location.settings.connect_timeout_s, location.settings.read_timeout_s) for location in (x, y, rest)] == [
        (0.25, 90.0),
        (0.25, 10.0),
        (0.25, 10.0),
    ]
    assert (x.settings.max_body_bytes, rest.settings.max_body_bytes) == (2 * 1024 * 1024, None)
    assert [[name for name, _ in each.settings.set_headers] for each in (x, y, rest)] == [["B"], ["A"], ["A"]]
    assert (x.settings.retry_on, y.settings.retry_on) == (frozenset(), frozenset(RetryCause))
    assert (y.settings.max_tries, rest.settings.max_tries) == (2, 0)
    assert {location.pool for location in host.locations} == {"h/"}


def test_a_location_s_own_pool_takes_policy_and_check_of_its_host() -> None:
    text = "host h { policy random; health_check; location /x { proxy_pass http://a:1; } }"
    pool = only_pool(text)
    assert (pool.name, pool.policy, pool.health_check.kind) == ("h/x", PolicyName.RANDOM, HealthKind.TCP)


def test_a_host_that_answers_may_say_what_holds_for_its_locations_pools() -> None:
    pool = only_pool("host h { return 404; policy random; queue 3; location /x { proxy_pass http://a:1; } }")
    assert (pool.name, pool.policy, pool.queue) == ("h/x", PolicyName.RANDOM, QueueConfig(3))


def test_locations_exact_and_with_a_path_in_proxy_pass() -> None:
    [host] = parse_config(
        "host h { location = /x { proxy_pass http://a:1/y; } location /x { proxy_pass http://a:1; } }"
    ).hosts
    assert [(each.prefix, each.is_exact, each.uri, each.pool) for each in host.locations] == [
        ("/x", True, "/y", "h=/x"),
        ("/x", False, None, "h/x"),
    ]


def test_a_name_without_port_is_a_pool_but_a_dotted_one_and_localhost_are_hosts() -> None:
    config = parse_config("host a { proxy_pass http://localhost; } host b { proxy_pass http://x.example/; }")
    assert [pool.servers[0] for pool in config.pools] == [ServerConfig("localhost", 80), ServerConfig("x.example", 80)]


def test_a_pool_may_be_declared_after_its_use_and_comments_are_skipped() -> None:
    assert only_location("# a\nhost a{proxy_pass http://p;}# b {\npool p{server x:1;}").pool == "p"


def test_files_with_crlf_and_a_byte_order_mark_are_read(tmp_path: Path) -> None:
    path = tmp_path / "proxy.conf"
    path.write_bytes("\ufeffhost a {\r\n  proxy_pass http://b:1;\r\n}\r\n".encode())
    assert load_config(path).hosts[0].names == ("a",)


@pytest.mark.parametrize("name", ["proxy.conf", "compose.conf"])
def test_the_files_that_come_with_the_proxy_are_right(name: str) -> None:
    config = load_config(Path("services/proxy") / name)
    assert config.hosts[0].names == ("*",)


@pytest.mark.parametrize("path", ["/metrics", "/healthz", "//metrics", "/%6detrics", "/x/../healthz"])
def test_what_a_replica_tells_of_itself_is_not_for_those_outside(path: str) -> None:
    table = RouteTable(load_config(Path("services/proxy/compose.conf")))
    route = table.find("localhost:8080", path)
    assert isinstance(route, Route)
    assert route.location.answer is not None
    assert route.location.answer.status == 404


def test_the_tour_in_the_default_file_is_right() -> None:
    text = Path("services/proxy/proxy.conf").read_text()
    tour = [line[2:] for line in text.partition("A short tour.")[2].splitlines() if line.startswith("# ")]
    config = parse_config("\n".join(tour))
    assert [host.names for host in config.hosts] == [("example.com", "*.example.com")]


# --- mistakes ----------------------------------------------------------------------------------------------

OK = " host ok { proxy_pass http://a:1; }"

MISTAKES = [
    ("", ['1:1: expected at least one host block, such as host "*" { proxy_pass http://127.0.0.1:8000; }']),
    ("host a { proxy_pass http://b:1 }", ["1:31: expected ';' after \"http://b:1\", got '}'"]),
    ("host a { proxy_pass http://b:1\n policy random; }", ["1:31: expected ';' after \"http://b:1\""]),
    ("host a { proxy_pass http://b:1;", ["1:8: this '{' is never closed"]),
    ("host a { proxy_pass http://b:1; } }", ["1:35: this '}' closes nothing"]),
    ("host a { ; proxy_pass http://b:1; }", ["1:10: expected a directive, got ';'"]),
    ("{ }" + OK, ["1:1: expected a name before '{'"]),
    (
        "host a" + "\nhost b { proxy_pass http://a:1; }",
        ['1:1: "host" needs a block { … } after it', "1:7: expected ';' after \"a\""],
    ),
    ("hots a { proxy_pass http://b:1; }", ['1:1: there is no directive "hots" (did you mean "host"?)']),
    ("host a { proxy_passs http://b:1; }", ['1:10: there is no directive "proxy_passs" (did you mean "proxy_pass"?)']),
    ("server a:1;" + OK, ['1:1: "server" may not stand in no block at all, only in a pool block']),
    ("host a { server b:1; }", ['1:10: "server" may not stand in a host block, only in a pool block']),
    ("host { proxy_pass http://b:1; }", ['1:1: "host" takes at least 1 argument, got 0']),
    ("host a { proxy_pass; }", ['1:10: "proxy_pass" takes 1 argument, got 0']),
    ("host a { proxy_pass http://b:1 x; }", ['1:10: "proxy_pass" takes 1 argument, got 2']),
    (
        "host a { proxy_pass http://b:1; policy random; policy random; }",
        ['1:48: "policy" is here twice, first on line 1'],
    ),
    ("host a { proxy_pass http://b:1; policy x dist; }", ['1:33: "policy" takes 1 argument, got 2']),
    (
        "host a { proxy_pass http://b:1; policy roundrobin; }",
        [
            '1:40: got "roundrobin", expected one of round-robin, least-connection, random, least-load, '
            'ip-hash (did you mean "round-robin"?)'
        ],
    ),
    ("host a { proxy_pass b:1; }", ["1:21: expected http://HOST:PORT, http://HOST:PORT/path/ or http://POOL"]),
    (
        "host a { proxy_pass http://u:secret@b:x; }",
        ['1:21: got "b:x", expected a port from 1 to 65535 after the colon'],
    ),
    (
        "host a { proxy_pass http://$host; }",
        ["1:21: variables are not supported here, expected http://HOST:PORT or http://POOL"],
    ),
    (
        "host a { proxy_pass http://b:1/x?y; }",
        ["1:21: expected http://HOST:PORT, http://HOST:PORT/path/ or http://POOL"],
    ),
    (
        "pool app { server x:1; } host a { proxy_pass http://ap; }",
        ['1:46: there is no pool "ap" (did you mean "app"?)'],
    ),
    (
        "host a { proxy_pass http://backend; }",
        ['1:21: there is no pool "backend"; to reach a host of that name write its port, http://backend:80'],
    ),
    (
        "pool p { server x:1; } host a { proxy_pass http://p; proxy_pass http://b:1; }",
        ["1:65: a proxy_pass to a pool stands alone; add servers to the pool instead"],
    ),
    (
        "pool p { server x:1; } host a { proxy_pass http://p; policy random; }",
        ['1:54: "policy" belongs where the servers are listed'],
    ),
    (
        "host a { proxy_pass http://b:1/x; proxy_pass http://c:1; }",
        ["1:46: all proxy_pass lines of a block must have the same path"],
    ),
    (
        "host a { proxy_pass http://b:1; } host A { proxy_pass http://b:1; }",
        ['1:40: the host "a" has a block already, on line 1'],
    ),
    ("host a { }", ["1:1: this host needs a proxy_pass or a location"]),
    ("host a { location /x { } }", ["1:10: this location needs a proxy_pass, here or in its host"]),
    (
        "host a { location /x { proxy_pass http://b:1; } location /x { proxy_pass http://b:1; } }",
        ["1:58: the location /x has a block already, on line 1"],
    ),
    ("host a { location x { proxy_pass http://b:1; } }", ["1:19: got \"x\", expected a path that begins with '/'"]),
    (
        "host a { location ~ /x { proxy_pass http://b:1; } }",
        ["1:19: the modifier ~ is not supported, expected a path, or = and a path"],
    ),
    ("host *a { proxy_pass http://b:1; }", ['1:6: got "*a", expected HOST:PORT, a name or an address with a port']),
    (
        "host 1.2.3 { proxy_pass http://b:1; }",
        ['1:6: got "1.2.3", expected HOST:PORT, a name or an address with a port'],
    ),
    ("host [::g] { proxy_pass http://b:1; }", ['1:6: got "[::g]", expected an IPv6 address between the brackets']),
    ("pool p { }" + OK, ['1:1: the pool "p" needs at least one server']),
    (
        "pool p/x { server a:1; }" + OK,
        ["1:6: got \"p/x\", expected a pool's name: up to 63 letters, digits, '_', '-' and '.'"],
    ),
    ("pool p { server a:1; } pool p { server b:1; }" + OK, ['1:29: the pool "p" is declared already, on line 1']),
    (
        "pool p { server a:1 reslove; }" + OK,
        [
            '1:21: got "reslove", expected one of resolve, weight=, max_conns=, slow_start=, max_fails=, '
            'fail_timeout=, backup, down (did you mean "resolve"?)'
        ],
    ),
    ("pool p { server 10.0.0.1:1 resolve; }" + OK, ["1:28: resolve needs a name to look up, not an address"]),
    ("pool p { server a:1 weight=0; }" + OK, ['1:28: got "0", expected a whole number from 1 to 1000']),
    ("pool p { server a:99999; }" + OK, ['1:17: got "a:99999", expected a port from 1 to 65535 after the colon']),
    (
        "pool p { server a:1; health_check htp; }" + OK,
        ['1:35: got "htp", expected one of tcp, http (did you mean "http"?)'],
    ),
    (
        "pool p { server a:1; health_check tcp path=/x; }" + OK,
        ["1:35: a tcp check knows no path, no status and no host, expected http"],
    ),
    ("pool p { server a:1; health_check rise=2 passes=3; }" + OK, ["1:42: rise is given twice"]),
    (
        "pool p { server a:1; health_check interval=0; }" + OK,
        ['1:44: got "0", expected a time over zero and up to a year, such as 500ms, 5s or 1m30s'],
    ),
    ("proxy_read_timeout 5 s;" + OK, ['1:1: "proxy_read_timeout" takes 1 argument, got 2']),
    (
        "proxy_read_timeout 5x;" + OK,
        ['1:20: got "5x", expected a time over zero and up to a year, such as 500ms, 5s or 1m30s'],
    ),
    ("client_max_body_size 1t;" + OK, ['1:22: got "1t", expected a size in bytes, such as 1024, 64k, 10m or 1g']),
    (
        "pool p { server a:1; proxy_retry_budget 20; }" + OK,
        ['1:41: got "20", expected a share of the requests such as 20%, or off'],
    ),
    (
        "pool p { server a:1; proxy_retry_budget 101%; }" + OK,
        ['1:41: got "101", expected a whole number from 1 to 100'],
    ),
    (
        "pool p { server a:1; proxy_retry_budget 5% mn=1; }" + OK,
        ['1:44: got "mn=1", expected one of min= (did you mean "min"?)'],
    ),
    ("pool p { server a:1; proxy_retry_budget off min=1; }" + OK, ['1:45: "off" stands alone']),
    ("proxy_next_upstream off error;" + OK, ['1:21: "off" stands alone']),
    ("proxy_set_header X $remote_adr;" + OK, ['1:20: there is no variable $remote_adr (did you mean "$remote_addr"?)']),
    ("proxy_set_header X 5$;" + OK, None),
    ("proxy_set_header Connection close;" + OK, ["1:18: Connection is written by the proxy itself and can't be set"]),
    ("proxy_set_header X ä;" + OK, ["1:20: a field's value holds printable ASCII only"]),
    ("proxy_set_header a:b c;" + OK, ['1:18: got "a:b", expected a field name']),
    ('proxy_set_header X "a;\n' + OK, None),
    ("host a { proxy_pass http://b:1; } \x00", ["1:35: got the character U+0000, expected a word, ';', '{' or '}'"]),
]


MISTAKES += [
    ("upstream p { server a:1; }" + OK, ['1:1: there is no directive "upstream": write pool NAME { … }']),
    (
        "pool p { server a:1; policy hash; }" + OK,
        ["1:29: hash is a word of its own, expected hash KEY; in place of policy"],
    ),
    (
        "pool p { server a:1; hash user; }" + OK,
        ['1:27: got "user", expected a key with a variable, such as $http_x_user, $cookie_user or $remote_addr'],
    ),
    (
        "pool p { server a:1; hash $http_x consistant; }" + OK,
        ['1:35: got "consistant", expected one of consistent (did you mean "consistent"?)'],
    ),
    (
        "pool p { server a:1; hash $htp_x; }" + OK,
        None,
    ),
    ("pool p { server a:1; policy random; ip_hash; }" + OK, ['1:37: "ip_hash" is here twice, first on line 1']),
    (
        "pool p { server a:1 weigth=2; }" + OK,
        [
            '1:21: got "weigth=2", expected one of resolve, weight=, max_conns=, slow_start=, max_fails=, '
            'fail_timeout=, backup, down (did you mean "weight"?)'
        ],
    ),
    ("pool p { server a:1 weight=2 weight=3; }" + OK, ["1:30: weight is given twice"]),
    ("pool p { server a:1 backup=yes; }" + OK, None),
    ("pool p { server a:1 down; }" + OK, ['1:1: the pool "p" needs a server that is not down']),
    ("pool p { server a:1; sticky learn x; }" + OK, ['1:29: got "learn", expected one of cookie']),
    (
        "pool p { server a:1; sticky cookie a=b; }" + OK,
        ['1:36: got "a=b", expected a name without spaces, quotes, brackets or any of ,;:=/?@'],
    ),
    ("pool p { server a:1; queue 0; }" + OK, ['1:28: got "0", expected a whole number from 1 to 1000000']),
    (
        "pool p { server a:1; queue 5 timout=1s; }" + OK,
        ['1:30: got "timout=1s", expected one of timeout= (did you mean "timeout"?)'],
    ),
    ("pool p { server a:1; ejection errors=0%; }" + OK, ['1:38: got "0", expected a whole number from 1 to 100']),
    ("pool p { server a:1; ejection off fails=2; }" + OK, ['1:35: "off" stands alone']),
    ("host a { return; }", ['1:10: "return" takes 1 or 2 arguments, got 0']),
    ("host a { return 299; }", ['1:17: got "299", expected a status code that HTTP has, such as 204, 301, 403 or 404']),
    ("host a { return 301; }", ["1:17: expected the URL that the 301 leads to after it"]),
    (
        "host a { return 301 there; }",
        ['1:21: got "there", expected a URL such as https://$host$request_uri, or a path'],
    ),
    (
        "host a { return 200 $remote_adr; }",
        ['1:21: there is no variable $remote_adr (did you mean "$remote_addr"?)'],
    ),
    (
        "host a { return 204;\n proxy_pass http://b:1; }",
        ["2:2: proxy_pass and return exclude each other, the other is on line 1"],
    ),
    (
        "host a { return 204; policy random; }",
        ['1:22: "policy" belongs where the servers are listed'],
    ),
    (
        "deny 10.0.0.1/8;" + OK,
        [
            '1:6: got "10.0.0.1/8", expected all, an address, or a network such as 192.0.2.0/24 with no bit set '
            "behind the mask"
        ],
    ),
]


@pytest.mark.parametrize(("text", "expected"), MISTAKES, ids=[text for text, _ in MISTAKES])
def test_each_mistake_has_its_place_and_says_what_was_expected(text: str, expected: list[str] | None) -> None:
    found = mistakes_of(text)
    if expected is not None:
        assert found == expected


def test_a_password_never_shows_in_a_message() -> None:
    for url in (
        "http://u:secret@b:x",
        "http://u:secret@p",
        "https://u:secret@b",
        "https://u:secret@b:x",
        "http://u:secret@b:1/ä",
        "ftp://u:secret@b",
    ):
        assert "secret" not in "".join(mistakes_of(f"host a {{ proxy_pass {url}; }}"))


def test_all_mistakes_are_found_in_one_go_in_the_order_of_the_file() -> None:
    text = """pool app {
    servr backend:8000;
    server backend:99999;
    policy roundrobin
    health_check htp;
}
host "localhost" {
    proxy_pass http://127.0.0.1:8000
    policy random;
    location api { }
    proxy_set_header X $nothing;
}
host localhost { proxy_pass http://ap; }
"""
    places = [tuple(map(int, mistake.split(":")[:2])) for mistake in mistakes_of(text)]
    assert places == [(2, 5), (3, 12), (4, 12), (4, 22), (5, 18), (8, 37), (10, 14), (11, 24), (13, 6), (13, 29)]


def test_a_missing_file_and_one_that_is_no_text_are_mistakes_too(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"none\.conf:1:1: can't be read: No such file"):
        load_config(tmp_path / "none.conf")
    path = tmp_path / "latin.conf"
    path.write_bytes(b"# a\n# \xe4\n")
    with pytest.raises(ConfigError, match=r":2:3: is not UTF-8 from here on"):
        load_config(path)


# --- anything at all ---------------------------------------------------------------------------------------

WORDS = st.sampled_from(
    [
        *DIRECTIVES,
        *("{", "}", ";", '"', "'", "\\", "#", "\n", "=", "${", "$", "\x00", "\u2028", "é"),
        *("a:1", "http://a:1", "http://p", "p", "*", "/x", "10s", "5m", "resolve", "weight=2", "tcp", "path=/"),
        *("$host", "round-robin"),
    ]
)


@settings(max_examples=300, deadline=None)
@given(
    st.one_of(
        st.text(max_size=200), st.lists(WORDS, max_size=60).map(" ".join), st.lists(WORDS, max_size=60).map("".join)
    )
)
def test_any_text_is_either_understood_or_refused_with_places_inside_it(text: str) -> None:
    try:
        config = parse_config(text)
    except ConfigError as error:
        check_mistakes(text, error)
    else:
        names = {pool.name for pool in config.pools}
        locations = [location for host in config.hosts for location in host.locations]
        assert all((location.pool in names) != (location.answer is not None) for location in locations)


def check_mistakes(text: str, error: ConfigError) -> None:
    lines = text.split("\n")
    assert error.mistakes
    for mistake in error.mistakes:
        assert 1 <= mistake.position.line <= len(lines)
        assert 1 <= mistake.position.column <= len(lines[mistake.position.line - 1]) + 1
        assert mistake.message


def test_a_word_of_nginx_that_is_one_of_ours_needs_no_explanation() -> None:
    assert not set(ELSEWHERE) & set(DIRECTIVES)


# --- what is odd but can be used -----------------------------------------------------------------------------

WARNINGS = [
    ("pool p { server a:1; }" + OK, ['1:6: nothing is passed to the pool "p"']),
    (
        "host a { proxy_pass http://b:1; location / { return 204; } }",
        ["1:10: this proxy_pass is shadowed: location / takes all that is left"],
    ),
    ("host a { proxy_pass http://b:1; location / { return 204; } location /x { } }", []),
    (
        "host a { return 204; location /a//b { return 204; } }",
        ["1:31: no path is ever like this: they are compared percent-decoded and resolved, as /a/b"],
    ),
    (
        "host a { return 204; location /a%20b { return 204; } }",
        ["1:31: no path is ever like this: they are compared percent-decoded and resolved, as /a b"],
    ),
    (
        "host a { return 204; location /_proxy/status { return 204; } }",
        ["1:31: never reached: /_proxy is the proxy's own"],
    ),
    ("host a { proxy_pass http://b:1; queue 5; }", ["1:33: without max_conns= on a server nobody ever waits"]),
    (
        "host a { queue 5; location /x { proxy_pass http://b:1; } location /y { proxy_pass http://b:1; } }",
        ["1:10: without max_conns= on a server nobody ever waits"],
    ),
    (
        "host a { proxy_pass http://b:1; ip_hash; slow_start 5s; }",
        ["1:33: a policy that hashes knows no slow start"],
    ),
    (
        "pool p { server a:1 backup; } host a { proxy_pass http://p; }",
        ['1:1: the pool "p" has nothing but backups'],
    ),
]


@pytest.mark.parametrize(("text", "expected"), WARNINGS, ids=[text for text, _ in WARNINGS])
def test_a_warning_has_its_place_too_and_the_file_can_be_used(text: str, expected: list[str]) -> None:
    warnings = parse_config(text).warnings
    assert [f"{each.position.line}:{each.position.column}: {each.message}" for each in warnings] == expected


def test_a_file_with_mistakes_is_told_its_warnings_as_well() -> None:
    text = "host a { return 204; location /x/../y { return 204; } location z { return 204; } }"
    first, second = mistakes_of(text)
    assert first.startswith("1:31: warning: no path is ever like this")
    assert second.startswith('1:64: got "z"')


def test_the_names_that_must_be_looked_up_are_known_with_their_places() -> None:
    text = "pool p { server b.example:1 resolve; server 10.0.0.1:1; } host a { proxy_pass http://c.example:1; }"
    names = [(name, position.column) for name, position in parse_config(text).names]
    assert names == [("b.example", 17), ("c.example", 79)]


def test_deep_nesting_costs_no_stack() -> None:
    assert mistakes_of("host a {" * 20_000)


def test_an_old_file_may_leave_out_the_semicolon_after_dist_policy() -> None:
    old = (
        'host "app2.local" {\n    proxy_pass http://a:1;\n    proxy_pass http://b:1;\n    dist_policy round-robin\n}\n'
    )
    assert parse_config(old) == parse_config(old.replace("round-robin", "round-robin;"))
