"""Which rule takes a request, and what its target becomes."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.proxy.config_file import parse_config
from services.proxy.routing import (
    BadPathError,
    NoRoute,
    Route,
    RouteTable,
    SlashRedirect,
    normalize_path,
    upstream_target,
)

HOSTS = """
host "localhost" { proxy_pass http://local:1; }
host "a.example" "a.test" { proxy_pass http://a:1; }
host "*.example" { proxy_pass http://wild:1; }
host "*.deep.example" { proxy_pass http://deep:1; }
host "[::2]" { proxy_pass http://six:1; }
"""


def pool_of(text: str, host: str, path: str = "/") -> str | None:
    decision = RouteTable(parse_config(text)).find(host, path)
    return decision.location.pool if isinstance(decision, Route) else None


@pytest.mark.parametrize(
    ("host", "pool"),
    [
        ("localhost", "localhost/"),
        ("localhost:8080", "localhost/"),
        ("127.0.0.1:8080", "localhost/"),
        ("[::1]:8080", "localhost/"),
        ("127.0.0.2", None),
        ("a.example", "a.example/"),
        ("a.example.", "a.example/"),
        ("a.test:1", "a.example/"),
        ("b.example", "*.example/"),
        ("c.b.example", "*.example/"),
        ("example", None),
        ("x.deep.example", "*.deep.example/"),
        ("deep.example", "*.example/"),
        ("[::2]:9", "[::2]/"),
        ("", None),
        ("example.com", None),
    ],
)
def test_hosts_exact_before_longest_wildcard(host: str, pool: str | None) -> None:
    assert pool_of(HOSTS, host) == pool


def test_the_star_takes_the_rest_even_a_request_without_host() -> None:
    text = HOSTS + 'host "*" { proxy_pass http://rest:1; }'
    assert pool_of(text, "") == pool_of(text, "example.com") == "*/"
    assert pool_of(text, "localhost") == "localhost/"


def test_an_own_block_for_a_loopback_address_wins_over_localhost() -> None:
    text = HOSTS + "host 127.0.0.1 { proxy_pass http://own:1; }"
    assert pool_of(text, "127.0.0.1") == "127.0.0.1/"
    assert pool_of(text, "[::1]") == "localhost/"


def test_an_unknown_host_and_an_unknown_path_are_told_apart() -> None:
    table = RouteTable(parse_config("host a { location /x/ { proxy_pass http://b:1; } }"))
    assert table.find("b", "/x/") == NoRoute(is_host_known=False)
    assert table.find("a", "/y") == NoRoute(is_host_known=True)


LOCATIONS = """
host a {
    proxy_pass http://rest:1;
    location /api/ { proxy_pass http://api:1; }
    location /api/v2/ { proxy_pass http://v2:1; }
    location = /api/v2/ping { proxy_pass http://ping:1; }
    location /img { proxy_pass http://img:1; }
}
"""


@pytest.mark.parametrize(
    ("path", "location"),
    [
        ("/", "/"),
        ("/apix", "/"),
        ("/api/", "/api/"),
        ("/api/v1", "/api/"),
        ("/api/v2/x", "/api/v2/"),
        ("/api/v2/ping", "/api/v2/ping"),
        ("/api/v2/ping/", "/api/v2/"),
        ("/img.png", "/img"),
        ("/%61pi/x", "/api/"),
        ("//api//x", "/api/"),
        ("/x/../api/x", "/api/"),
        ("/api/%2e%2e/x", "/"),
    ],
)
def test_the_longest_prefix_of_the_normal_path_wins(path: str, location: str) -> None:
    decision = RouteTable(parse_config(LOCATIONS)).find("a", path)
    assert isinstance(decision, Route)
    assert decision.location.prefix == location


@pytest.mark.parametrize("path", ["/api", "//api", "/x/../api", "/%61pi"])
def test_a_location_s_path_without_its_last_slash_is_redirected_to_it_on_this_host(path: str) -> None:
    assert RouteTable(parse_config(LOCATIONS)).find("a", path) == SlashRedirect("/api/")


def test_a_location_of_just_that_path_is_no_redirect() -> None:
    text = "host a { location /x { proxy_pass http://b:1; } location /x/ { proxy_pass http://c:1; } }"
    assert pool_of(text, "a", "/x") == "a/x"


@pytest.mark.parametrize(
    ("location", "target", "expected"),
    [
        ("location / { proxy_pass http://b:1; }", "/a%2fb//c?x=%20", "/a%2fb//c?x=%20"),
        ("location /api/ { proxy_pass http://b:1/; }", "/api/users?x=1", "/users?x=1"),
        ("location /api/ { proxy_pass http://b:1/v1/; }", "/api/", "/v1/"),
        ("location /api { proxy_pass http://b:1/v1; }", "/api/users", "/v1/users"),
        ("location /api/ { proxy_pass http://b:1/v1/; }", "/api/a%20b/%C3%A4/100%25", "/v1/a%20b/%C3%A4/100%25"),
        ("location /api/ { proxy_pass http://b:1/v1/; }", "/api/x/../y//z", "/v1/y/z"),
        ("location /api/ { proxy_pass http://b:1/v1/; }", "/api/%ff", "/v1/%FF"),
        ("location = /x { proxy_pass http://b:1/y; }", "/x?q", "/y?q"),
        ("location /api/ { proxy_pass http://b:1/v1/; }", "/api/x?", "/v1/x?"),
        ("location /api/ { proxy_pass http://b:1/v1/; }", "/api/a%3fb%23c", "/v1/a%3Fb%23c"),
    ],
)
def test_a_path_in_proxy_pass_replaces_the_location_s_and_without_one_the_target_passes_untouched(
    location: str, target: str, expected: str
) -> None:
    path, _, query = target.partition("?")
    route = RouteTable(parse_config(f"host a {{ {location} }}")).find("a", path)
    assert isinstance(route, Route)
    assert upstream_target(target, query, route) == expected


@pytest.mark.parametrize("path", ["/..", "/a/../..", "/%2e%2e/x", "/a%00b"])
def test_a_path_above_the_root_and_a_nul_have_no_normal_form(path: str) -> None:
    with pytest.raises(BadPathError):
        normalize_path(path)


@given(st.text(alphabet="/.%2ea", max_size=30))
def test_a_normal_path_never_climbs_and_is_its_own_normal_form(tail: str) -> None:
    try:
        normal = normalize_path("/" + tail)
    except BadPathError:
        return
    assert normal.startswith("/")
    assert not {"..", "."} & set(normal.split("/"))
    if "%" not in normal and normal.isascii():
        assert normalize_path(normal) == normal


def test_five_hundred_hosts_are_found_by_one_look() -> None:
    text = "".join(f"host h{n}.example {{ proxy_pass http://b{n}.x:1; }}\n" for n in range(500))
    table = RouteTable(parse_config(text))
    decision = table.find("h499.example", "/")
    assert isinstance(decision, Route)
    assert decision.location.pool == "h499.example/"


@given(st.sets(st.text(alphabet="/ab-", max_size=5), max_size=12), st.text(alphabet="/ab-", max_size=8))
def test_the_location_is_the_longest_that_the_path_begins_with(tails: set[str], tail: str) -> None:
    prefixes = {"/" + each for each in tails}
    blocks = (f'location "{prefix}" {{ proxy_pass http://b:1; }}' for prefix in prefixes)
    table = RouteTable(parse_config(f"host a {{ {' '.join(blocks)} }}")) if prefixes else None
    path = normalize_path("/" + tail)
    longest = max((prefix for prefix in prefixes if path.startswith(prefix)), key=len, default=None)
    found = table.find("a", path) if table is not None else NoRoute(is_host_known=True)
    if isinstance(found, SlashRedirect):
        assert found.location == path + "/"
        assert path + "/" in prefixes
    else:
        assert (found.location.prefix if isinstance(found, Route) else None) == longest
