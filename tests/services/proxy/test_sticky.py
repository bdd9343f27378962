"""The cookie that keeps a client with its upstream."""

from http.cookies import SimpleCookie

import pytest

from services.proxy.config_values import PoolConfig, StickyConfig
from services.proxy.sticky import set_cookie, sticky_token
from services.proxy.upstreams import Address, Annotation, Member, Pool, Upstream
from shared.httpcore.message import Request

A, B, C = Address("10.0.0.1", 80), Address("10.0.0.2", 80), Address("10.0.0.3", 80)


def make_pool(key: bytes = b"k" * 32, name: str = "p") -> Pool:
    pool = Pool(PoolConfig(name, (), sticky=StickyConfig("route")), lambda _: None, key)
    pool.set_members(dict.fromkeys((A, B, C), Member()), 0.0)
    return pool


def request_with(cookie: str = "") -> Request:
    return Request("GET", "/", 1, f"Cookie: {cookie}\r\n".encode() if cookie else b"")


def cookie_for(pool: Pool, upstream: Upstream) -> str:
    field = pool.sticky_cookie(request_with(), upstream)
    assert field is not None
    return field[1].partition(";")[0]


def choose(pool: Pool, request: Request) -> Upstream:
    upstream = pool.choose((), request)
    assert upstream is not None
    return upstream


def test_a_client_with_a_cookie_stays_and_gets_no_other_one() -> None:
    pool = make_pool()
    first = choose(pool, request_with())
    request = request_with("theme=dark; " + cookie_for(pool, first))
    assert {choose(pool, request) for _ in range(6)} == {first}
    assert pool.sticky_cookie(request, first) is None


def test_clients_without_one_are_spread_by_the_policy() -> None:
    pool = make_pool()
    assert {choose(pool, request_with()).address for _ in range(3)} == {A, B, C}


def test_one_that_drains_lets_its_clients_go_and_they_get_another_cookie() -> None:
    pool = make_pool()
    first = choose(pool, request_with())
    request = request_with(cookie_for(pool, first))
    pool.annotate(first, Annotation(is_draining=True))
    second = choose(pool, request)
    assert second is not first
    assert pool.sticky_cookie(request, second) is not None
    assert pool.sticky_cookie(request_with(), first) is None, "nobody new is bound to one that drains"


def test_one_that_is_down_full_or_tried_lets_go_too() -> None:
    pool = make_pool()
    first = choose(pool, request_with())
    request = request_with(cookie_for(pool, first))
    others = {upstream for upstream in pool.upstreams if upstream is not first}
    assert pool.choose({first}, request) in others
    first.max_conns = first.in_flight = 1
    assert choose(pool, request) in others
    first.in_flight = 0
    assert choose(pool, request) is first
    pool.note_failure(first, 1.0, "refused")
    assert choose(pool, request) in others


@pytest.mark.parametrize("value", ["", "x", "10.0.0.1:80", sticky_token(b"other key", "p", str(A))])
def test_a_cookie_that_the_proxy_did_not_make_means_nothing(value: str) -> None:
    pool = make_pool()
    assert {choose(pool, request_with(f"route={value}")).address for _ in range(3)} == {A, B, C}


def test_a_cookie_says_nothing_about_its_upstream_and_holds_for_one_pool_and_key() -> None:
    cookies = []
    for key, name in ((b"k" * 32, "p"), (b"k" * 32, "p"), (b"k" * 32, "q"), (b"l" * 32, "p")):
        pool = make_pool(key, name)
        cookies.append(cookie_for(pool, pool.upstreams[0]))
    assert cookies[0] == cookies[1], "it holds after a restart with the same key"
    assert len(set(cookies)) == 3
    assert "10.0" not in "".join(cookies)


def test_its_attributes() -> None:
    config = StickyConfig("route", max_age_s=3600, path="/shop", domain="example.com", same_site="none")
    request = request_with()
    request.scheme = "https"
    name, value = set_cookie(config, "token", request)
    assert name == "Set-Cookie"
    assert value == "route=token; Path=/shop; Domain=example.com; Max-Age=3600; HttpOnly; Secure; SameSite=None"
    plain = SimpleCookie(set_cookie(StickyConfig("route"), "token", request_with())[1])["route"]
    assert (plain.value, plain["path"], plain["secure"], plain["max-age"]) == ("token", "/", "", "")
