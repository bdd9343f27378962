"""`limit_conn`: how its words are read, who gets a place, and that a real proxy gives each place back."""

import socket
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest
import requests
from hypothesis import given
from hypothesis import strategies as st

from services.proxy.connection_limits import ConnectionLimits, ConnLimitConfig, ConnZoneConfig, Hold
from tests.processes import wait_until
from tests.services.proxy.conftest import StartProxy
from tests.services.proxy.shaped_site import get, shaped_site
from tests.services.proxy.site import Site
from tests.services.proxy.test_config_features import config_of, facts, features_of, mistakes_of
from tests.services.proxy.upstream_servers import Talk

# --- values ------------------------------------------------------------------------------------------------

ONE = ConnLimitConfig("one", 2)


def limits_of(*zones: ConnZoneConfig) -> ConnectionLimits:
    limits = ConnectionLimits()
    limits.apply(zones or (ConnZoneConfig("one", "$remote_addr", 100),))
    return limits


def hold(limits: ConnectionLimits, key: str, *wanted: ConnLimitConfig) -> Hold:
    found = limits.hold([(each, key) for each in wanted or (ONE,)])
    assert found is not None
    return found


def test_so_many_of_a_key_have_a_place_and_others_have_theirs() -> None:
    limits = limits_of()
    first, second, third = [hold(limits, "a") for _ in range(3)]
    assert [each.take() for each in (first, second, third)] == [True, True, False]
    assert hold(limits, "b").take()
    [zone] = limits.zones
    assert (zone.in_flight, zone.refused, len(zone.counts)) == (3, 1, 2)
    third.release()  # it has none
    first.release()
    first.release()  # it has given it back
    assert zone.in_flight == 2
    assert [hold(limits, "a").take() for _ in range(2)] == [True, False]


def test_who_has_no_key_needs_no_place() -> None:
    assert limits_of().hold([(ONE, "")]) is None


def test_one_refused_by_one_zone_is_counted_in_none() -> None:
    limits = limits_of(ConnZoneConfig("one", "$remote_addr", 9), ConnZoneConfig("site", "$host", 9))
    both = (ConnLimitConfig("one", 5), ConnLimitConfig("site", 1))
    assert hold(limits, "a", *both).take()
    assert not hold(limits, "a", *both).take()
    assert [(zone.in_flight, zone.refused) for zone in limits.zones] == [(1, 0), (1, 1)]


def test_a_full_zone_has_no_room_for_new_keys_and_a_key_without_requests_needs_none() -> None:
    limits = limits_of(ConnZoneConfig("one", "$remote_addr", 1))
    known = hold(limits, "a")
    assert known.take()
    assert not hold(limits, "b").take()
    assert hold(limits, "a").take()
    other = limits_of(ConnZoneConfig("one", "$remote_addr", 1))
    for key in ("a", "b", "c"):
        each = hold(other, key)
        assert each.take()
        each.release()


def test_a_reload_keeps_the_counts_of_zones_that_stay_and_old_places_go_back_where_they_came_from() -> None:
    limits = limits_of()
    held = hold(limits, "a")
    held.take()
    limits.apply([ConnZoneConfig("one", "$remote_addr", 50)])
    [zone] = limits.zones
    assert (zone.in_flight, zone.config.max_keys) == (1, 50)
    limits.apply([ConnZoneConfig("one", "$cookie_a", 50)])
    [anew] = limits.zones
    assert anew.in_flight == 0
    held.release()
    assert (zone.in_flight, anew.in_flight) == (0, 0)


@given(st.lists(st.tuples(st.sampled_from("abc"), st.booleans()), max_size=60))
def test_there_are_never_more_than_the_limit_and_in_the_end_none(steps: list[tuple[str, bool]]) -> None:
    limits = limits_of()
    [zone] = limits.zones
    held: list[tuple[str, Hold]] = []
    for key, ends in steps:
        if ends and held:
            held.pop(0)[1].release()
            continue
        one = hold(limits, key)
        taken = sum(each == key for each, _ in held)
        assert one.take() == (taken < 2)
        if taken < 2:
            held.append((key, one))
        assert zone.in_flight == len(held)
    for _, one in held:
        one.release()
    assert (zone.in_flight, zone.counts) == (0, {})


# --- words -------------------------------------------------------------------------------------------------


def test_limits_are_inherited_as_a_whole_and_switched_off() -> None:
    zones = "limit_conn_zone $binary_remote_addr zone=one:1m; limit_conn_zone $cookie_s zone=two:256;"
    file = zones + "limit_conn one 10;"
    assert config_of(file=file).features.conn_zones == (
        ConnZoneConfig("one", "$remote_addr", 4096),
        ConnZoneConfig("two", "$cookie_s", 1),
    )
    asked = facts("2001:db8::1", "Cookie: s=42")
    assert features_of(file=file).conn_keys(asked) == [(ConnLimitConfig("one", 10), "20010db800000000/64")]
    assert features_of("limit_conn two 1;", file=file).conn_keys(asked) == [(ConnLimitConfig("two", 1), "42")]
    assert features_of("limit_conn off;", file=file).conn_limits == ()
    assert features_of(file=file).concerns_requests
    assert not features_of(file=file).concerns_replies


ZONE = "limit_conn_zone $remote_addr zone=one:1m;"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("limit_conn_zone $remote_addr;", "takes 2 arguments, got 1"),
        ("limit_conn_zone $remote_addr zone=one;", "a name and a size"),
        ("limit_conn_zone $remote_addr rate=1r/s;", 'got "rate=1r/s", expected one of zone='),
        ("limit_conn_zone all zone=one:1m;", "a key with a variable"),
        (ZONE + ZONE, 'the zone "one" is declared already'),
        (ZONE + "limit_req_zone $host zone=one:1m rate=1r/s;", 'the zone "one" is declared already'),
        ("limit_conn one 5;", 'there is no limit_conn_zone "one"'),
        (ZONE + "limit_conn noe 5;", 'there is no limit_conn_zone "noe" (did you mean "one"?)'),
        (ZONE + "limit_req zone=one;", 'there is no limit_req_zone "one": the zone of that name is of the other kind'),
        (ZONE + "limit_conn one 5; limit_conn one 6;", 'the zone "one" has a limit_conn in this block already'),
        (ZONE + "limit_conn one;", "expected a number after the zone, or off alone"),
        (ZONE + "limit_conn one 0;", 'got "0", expected a whole number from 1 to 65535'),
        (ZONE + "limit_conn zone=one 5;", "expected the zone's name alone, one"),
        (ZONE + "limit_con one 5;", 'did you mean "limit_conn"?'),
        ("limit_conn_status 503;", "it is always 429"),
    ],
)
def test_mistakes_are_named(text: str, expected: str) -> None:
    assert any(expected in mistake for mistake in mistakes_of(text)), mistakes_of(text)


def test_a_zone_that_nothing_names_is_odd() -> None:
    rate = "limit_req_zone $host zone=two:1m rate=1r/s;"
    told = [warning.message for warning in config_of(file=ZONE + rate).warnings]
    assert told == [
        'no limit_conn that is in force names the zone "one"',
        'no limit_req that is in force names the zone "two"',
    ]
    assert config_of("limit_conn one 1; limit_req zone=two;", file=ZONE + rate).warnings == ()


# --- a real proxy ------------------------------------------------------------------------------------------

CONF = """
limit_conn_zone $http_x_key zone=keys:1m;
limit_req_zone $http_x_pace zone=pace:1m rate=20r/s;
limit_req_zone $http_x_pace zone=slow:1m rate=1r/m;
proxy_read_timeout 5s;
host "*" {{
    proxy_pass http://{address};
    limit_conn keys 2;
    location /one/ {{ limit_conn keys 1; }}
    location /paced/ {{ limit_conn keys 1; limit_req zone=pace burst=10; }}
    location /slow/ {{ limit_conn keys 1; limit_req zone=slow burst=1; }}
    location /cached/ {{ limit_conn keys 1; proxy_cache on; proxy_cache_lock on; }}
    location /zipped/ {{ limit_conn keys 1; gzip on; gzip_min_length 1; }}
    location /small/ {{ limit_conn keys 1; client_max_body_size 10; }}
    location /dead/ {{ limit_conn keys 1; proxy_pass http://127.0.0.1:1; }}
}}
"""


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    with shaped_site(tmp_path_factory.mktemp("at_once"), CONF) as site:
        yield site


def zone_of(site: Site) -> dict[str, int]:
    [zone] = requests.get(site.url + "/_proxy/status", timeout=10).json()["limits"]["at_once"]
    return {name: value for name, value in zone.items() if name not in ("zone", "max_keys")}


def is_free(site: Site) -> None:
    wait_until(lambda: zone_of(site)["in_flight"] == 0, why="every place is given back")
    assert zone_of(site)["keys"] == 0


def test_who_has_too_much_under_way_is_refused_until_some_of_it_is_over(site: Site) -> None:
    goes_on = threading.Event()

    def reply(talk: Talk) -> None:
        goes_on.wait(10)
        talk.reply(b"done")

    url, refused = site.on(reply), zone_of(site)["refused"]
    with ThreadPoolExecutor(2) as pool:
        asked = [pool.submit(get, url, X_Key="greedy") for _ in range(2)]
        wait_until(lambda: zone_of(site)["in_flight"] == 2, why="two are under way")
        answer = get(url, X_Key="greedy")
        assert answer.status_code == 429
        assert (answer.json()["error"]["code"], answer.headers["Retry-After"]) == ("too_many_at_once", "1")
        assert answer.headers["Proxy-Status"] == "weaprous; error=http_request_denied"
        metrics = requests.get(site.url + "/_proxy/metrics", timeout=10).text
        assert 'weaprous_proxy_conn_limit_in_flight{zone="keys"} 2' in metrics
        assert f'weaprous_proxy_conn_limited_total{{zone="keys"}} {refused + 1}' in metrics
        asked_for = {"path": url.removeprefix(site.url), "header": "X-Key: greedy"}
        explained = requests.get(site.url + "/_proxy/explain", asked_for, timeout=10).json()["limits"]["at_once"]
        assert [(each["in_flight"], each["has_room"]) for each in explained] == [(2, False)]
        assert zone_of(site) == {"keys": 1, "in_flight": 2, "refused": refused + 1}
        quick = site.on(lambda talk: talk.reply(b"quick"))
        assert get(quick, X_Key="modest").content == b"quick"
        assert get(quick).content == b"quick"  # who has no key is not limited
        goes_on.set()
        assert [each.result().content for each in asked] == [b"done", b"done"]
    is_free(site)
    assert get(quick, X_Key="greedy").status_code == 200


def chunked(talk: Talk) -> None:
    talk.send("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n", "0\r\n\r\n")


def breaking_off(talk: Talk) -> None:
    talk.send("HTTP/1.1 200 OK\r\nContent-Length: 1000000\r\n\r\nabc")
    talk.close()


def silent(talk: Talk) -> None:
    talk.close()


@pytest.mark.parametrize(
    ("path", "reply", "status"),
    [
        ("/one/", lambda talk: talk.reply(b"small"), 200),
        ("/one/", lambda talk: talk.reply(b"x" * 30_000), 200),
        ("/one/", lambda talk: talk.reply(b"x" * 2_000_000), 200),
        ("/one/", chunked, 200),
        ("/one/", lambda talk: talk.reply(b"", "204 No Content"), 204),
        ("/one/", silent, 502),
        ("/zipped/", lambda talk: talk.reply(b"shrinks " * 5000, "200 OK", "Content-Type: text/plain"), 200),
        ("/cached/", lambda talk: talk.reply(b"kept", "200 OK", "Cache-Control: max-age=60"), 200),
        ("/paced/", lambda talk: talk.reply(b"paced"), 200),
        ("/dead/", silent, 502),
    ],
)
def test_a_place_is_given_back_however_the_reply_came(
    site: Site, path: str, reply: Callable[[Talk], None], status: int
) -> None:
    url = site.on(reply, path)
    with requests.Session() as client:  # one connection: the next request comes when the reply before it is whole
        for _ in range(3):
            answer = client.get(url, headers={"X-Key": "same", "X-Pace": "same"}, timeout=10)
            assert answer.status_code == status
    is_free(site)


def test_a_place_is_given_back_when_a_reply_is_cut_or_a_body_is_refused(site: Site) -> None:
    url = site.on(breaking_off, "/one/")
    for _ in range(2):
        with pytest.raises(requests.exceptions.ChunkedEncodingError):
            get(url, X_Key="cut")
        is_free(site)
    for body in (b"x" * 100, iter([b"x" * 100])):
        answer = requests.post(site.url + "/small/", data=body, headers={"X-Key": "big"}, timeout=10)
        assert answer.status_code == 413
    is_free(site)


@pytest.mark.parametrize("has_begun", [False, True])
def test_a_place_is_given_back_when_its_client_leaves(site: Site, has_begun: bool) -> None:
    left = threading.Event()

    def reply(talk: Talk) -> None:
        if has_begun:
            talk.send("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n")
        left.wait(10)

    path = site.on(reply, "/one/").removeprefix(site.url)
    with socket.create_connection(("127.0.0.1", site.proxy.port), timeout=10) as sock:
        sock.sendall(f"GET {path} HTTP/1.1\r\nHost: a\r\nX-Key: leaver\r\n\r\n".encode())
        wait_until(lambda: zone_of(site)["in_flight"] == 1, why="it is under way")
        if has_begun:
            assert sock.recv(1000).startswith(b"HTTP/1.1 200 ")
    is_free(site)
    left.set()


def test_a_place_is_given_back_when_its_client_leaves_in_the_middle_of_its_body(site: Site) -> None:
    left = threading.Event()
    path = site.on(lambda talk: left.wait(10) and None, "/one/").removeprefix(site.url)
    with socket.create_connection(("127.0.0.1", site.proxy.port), timeout=10) as sock:
        sock.sendall(f"POST {path} HTTP/1.1\r\nHost: a\r\nX-Key: leaver\r\nContent-Length: 1000\r\n\r\nabc".encode())
        wait_until(lambda: zone_of(site)["in_flight"] == 1, why="it is under way")
    is_free(site)
    left.set()


def test_a_tunnel_has_its_place_as_long_as_it_lasts(site: Site) -> None:
    over = threading.Event()

    def switch(talk: Talk) -> None:
        talk.send("HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n")
        over.wait(10)
        talk.close()

    path = site.on(switch, "/one/").removeprefix(site.url)
    asking = f"GET {path} HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nX-Key: tunnel\r\n"
    asking += "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n"
    with socket.create_connection(("127.0.0.1", site.proxy.port), timeout=10) as sock:
        sock.sendall(asking.encode())
        assert sock.recv(1000).startswith(b"HTTP/1.1 101 ")
        assert zone_of(site)["in_flight"] == 1
        assert get(site.url + "/one/x", X_Key="tunnel").status_code == 429
        over.set()
        assert sock.recv(1000) == b""
    is_free(site)


def test_what_waits_for_its_turn_by_rate_has_no_place_yet(site: Site) -> None:
    def delayed() -> int:
        return int(requests.get(site.url + "/_proxy/status", timeout=10).json()["limits"]["delayed"])

    url, before = site.on(lambda talk: talk.reply(b"paced"), "/slow/"), delayed()
    assert get(url, X_Key="in line", X_Pace="in line").content == b"paced"
    with socket.create_connection(("127.0.0.1", site.proxy.port), timeout=10) as sock:
        path = url.removeprefix(site.url)
        sock.sendall(f"GET {path} HTTP/1.1\r\nHost: a\r\nX-Key: in line\r\nX-Pace: in line\r\n\r\n".encode())
        wait_until(lambda: delayed() == before + 1, why="the second waits for its minute")
        assert zone_of(site)["in_flight"] == 0
    is_free(site)


def test_what_the_cache_has_needs_no_place(site: Site) -> None:
    goes_on = threading.Event()

    def hold_up(talk: Talk) -> None:
        goes_on.wait(10)
        talk.reply(b"late")

    kept = site.on(lambda talk: talk.reply(b"kept", "200 OK", "Cache-Control: max-age=60"), "/cached/")
    assert get(kept).content == b"kept"
    with ThreadPoolExecutor(1) as pool:
        under_way = pool.submit(get, site.on(hold_up, "/one/"), X_Key="busy")
        wait_until(lambda: zone_of(site)["in_flight"] == 1, why="it is under way")
        assert get(kept, X_Key="busy").content == b"kept"
        refused = get(site.on(hold_up, "/cached/"), X_Key="busy")  # and leads nobody who waits for its fetch
        assert refused.status_code == 429
        goes_on.set()
        assert under_way.result().content == b"late"
    is_free(site)


def test_a_reload_forgets_nobody_who_is_under_way(start_proxy: StartProxy, site: Site) -> None:
    goes_on = threading.Event()

    def reply(talk: Talk) -> None:
        goes_on.wait(10)
        talk.reply(b"done")

    path = site.on(reply).removeprefix(site.url)
    proxy = start_proxy(CONF.format(address=site.upstream.address))
    other = Site(proxy, site.upstream)
    with ThreadPoolExecutor(1) as pool:
        under_way = pool.submit(get, proxy.url + path, X_Key="same")
        wait_until(lambda: zone_of(other)["in_flight"] == 1, why="it is under way")
        assert requests.post(proxy.url + "/_proxy/reload", timeout=10).status_code == 200
        assert zone_of(other)["in_flight"] == 1
        assert get(proxy.url + "/one/x", X_Key="same").status_code == 429
        goes_on.set()
        under_way.result()
    is_free(other)
