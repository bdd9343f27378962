"""The order of `rewrite` lines and locations, as in nginx."""

import pytest

from services.proxy.config_file import parse_config
from services.proxy.rewritten_routes import Redirect, Routed, find_route, has_rewrites
from services.proxy.routing import BadPathError, NoRoute, Route, RouteTable, SlashRedirect
from shared.httpcore.errors import HttpError
from shared.httpcore.message import Request

TEXT = """
host shop {
    rewrite ^/old/(.*)$ /new/$1;
    rewrite ^/short$ /api/users?page=1 last;
    rewrite ^/gone$ https://other.example/gone permanent;
    proxy_pass http://h:1;
    location /new/ { proxy_pass http://h:2/v2/; }
    location /api/ { proxy_pass http://h:3; rewrite ^/api(/.*)$ $1 break; }
    location /kept/ { proxy_pass http://h:4/base/; rewrite ^/kept/(.*)$ /other/$1 break; }
    location /move/ { rewrite ^/move/(.*)$ /new/$1 last; }
    location /loop/ { rewrite ^/loop/(.*)$ /loop/x$1; }
    location /leave/ { rewrite ^ /landing? redirect; }
    location = /exact { proxy_pass http://h:5/e; }
    location /to-exact { rewrite ^ /exact; }
    location /slash/ { proxy_pass http://h:6; }
    location /to-slash { rewrite ^ /slash; }
}
host plain { proxy_pass http://h:1; }
host api { location /a/ { proxy_pass http://h:1; } }
"""
CONFIG = parse_config(TEXT)
TABLE = RouteTable(CONFIG)


def route(target: str, host: str = "shop") -> Routed:
    request = Request("GET", target)
    request.host = host
    return find_route(TABLE, request)


@pytest.mark.parametrize(
    ("target", "prefix", "upstream_s"),
    [
        ("/x%20y?q=%20", "/", "/x%20y?q=%20"),
        ("/old/x%20y?q=1", "/new/", "/v2/x%20y?q=1"),
        ("/short?z=2", "/api/", "/users?page=1&z=2"),
        ("/api/users?z", "/api/", "/users?z"),
        ("/kept/a?b", "/kept/", "/other/a?b"),
        ("/move/a", "/new/", "/v2/a"),
        ("/new/a?", "/new/", "/v2/a?"),
        ("/to-exact?b", "/exact", "/e?b"),
    ],
)
def test_where_a_request_goes(target: str, prefix: str, upstream_s: str) -> None:
    found = route(target)
    assert isinstance(found.decision, Route)
    assert (found.decision.location.prefix, found.target) == (prefix, upstream_s)


def test_redirects_end_it() -> None:
    assert route("/gone?x") == Redirect(301, "https://other.example/gone?x")
    assert route("/leave/a?x") == Redirect(302, "/landing")


def test_going_round_in_circles_ends() -> None:
    with pytest.raises(HttpError, match="round more than 10 times"):
        route("/loop/a")


def test_what_has_no_location_or_lacks_its_slash_is_told_after_rewriting_as_before() -> None:
    assert route("/b", host="api") == Routed(NoRoute(is_host_known=True))
    assert route("/b", host="nobody") == Routed(NoRoute(is_host_known=False))
    assert route("/to-slash") == Routed(SlashRedirect("/slash/"))
    with pytest.raises(BadPathError):
        route("/../x")


def test_a_host_without_rewrites_needs_none_of_it() -> None:
    assert [has_rewrites(host) for host in CONFIG.hosts] == [True, False, False]
