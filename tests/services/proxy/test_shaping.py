"""A real proxy that limits, caches, rewrites, compresses and replaces what it forwards, before a real upstream."""

import gzip
import itertools
import json
import re
import signal
import socket
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
import requests

from shared.httpcore.proxy_protocol import ProxyHeader, parse_proxy_header
from tests.processes import Service, service_environment, wait_until
from tests.services.proxy.conftest import StartProxy
from tests.services.proxy.site import Site
from tests.services.proxy.upstream_servers import Reply, Talk, Upstream

CONF = """
limit_req_zone $http_x_key zone=keys:1m rate=1r/m;
limit_req_zone $http_x_pace zone=pace:1m rate=5r/s;
error_page 502 504 sorry.html;
proxy_read_timeout 5s;
pool quick {{ server {address}; }}
host shop.example {{
    rewrite ^/old/(.*)$ /new/$1;
    rewrite ^/gone$ https://elsewhere.example/ permanent;
    proxy_pass http://quick;
    location /api/ {{ rewrite ^/api(/.*)$ $1 break; }}
}}
host "*" {{
    proxy_pass http://quick;
    location /limited/ {{ limit_req zone=keys burst=1 nodelay; }}
    location /queued/ {{ limit_req zone=pace burst=5; proxy_cache on; proxy_cache_lock on; }}
    location /paced/ {{ limit_req zone=pace burst=5; }}
    location /cached/ {{ proxy_cache on; }}
    location /guessed/ {{ proxy_cache on; proxy_cache_valid 1h; proxy_cache_stale_if_error 1h; proxy_cache_lock on; }}
    location /zipped/ {{ gzip on; }}
    location /both/ {{ gzip on; proxy_cache on; }}
    location /own/ {{ proxy_pass http://quick/theirs/; proxy_cookie_path /theirs/ /own/; }}
    location /pages/ {{ proxy_intercept_errors on; error_page 404 sorry.html; }}
    location /nowhere/ {{ proxy_pass http://127.0.0.1:1; }}
    location /closed/ {{ deny all; error_page 403 sorry.html; }}
    location /small/ {{ client_max_body_size 1k; error_page 413 sorry.html; }}
    location /traced/ {{ trace_context start; }}
    location /untraced/ {{ trace_context off; }}
}}
"""
SORRY = "<title>Sorry {{status}}</title> {{code}} {{request_id}} {{message}}"
TEXT = b"what shrinks well, " * 400
HTML = {"Accept": "text/html"}


@pytest.fixture(scope="module")
def shaped(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    folder = tmp_path_factory.mktemp("shaped")
    (folder / "sorry.html").write_text(SORRY)
    upstream = Upstream(name="u1")
    path = folder / "proxy.conf"
    path.write_text(CONF.format(address=upstream.address))
    proxy = Service("services.proxy", ("--config", str(path)), service_environment(), folder / "log")
    proxy.wait_healthy()
    yield Site(proxy, upstream)
    assert "Traceback" not in proxy.output, proxy.output
    proxy.kill()
    upstream.close()


def get(url: str, **fields: str) -> requests.Response:
    headers = {name.replace("_", "-"): value for name, value in fields.items()}
    return requests.get(url, headers=headers, timeout=10, allow_redirects=False)


def counting(*fields: str, body: Callable[[int], bytes] = lambda count: b"reply %d" % count) -> Reply:
    """Each reply says which it is."""
    counter = itertools.count(1)
    return lambda talk: talk.reply(body(next(counter)), "200 OK", *fields)


# --- limits ------------------------------------------------------------------------------------------------


def test_who_asks_too_often_is_told_when_to_come_again_and_others_are_served(shaped: Site) -> None:
    answers = [get(shaped.url + "/limited/x", X_Key="greedy") for _ in range(3)]
    assert [answer.status_code for answer in answers] == [200, 200, 429]
    refused = answers[-1]
    assert refused.json()["error"]["code"] == "rate_limited"
    assert refused.json()["error"]["source"] == "proxy"
    assert 0 < int(refused.headers["Retry-After"]) <= 60
    assert get(shaped.url + "/limited/x", X_Key="modest").status_code == 200
    assert get(shaped.url + "/limited/x").status_code == 200  # who has no key is not limited


def test_a_burst_waits_its_turn_and_one_that_leaves_meanwhile_is_forgotten(shaped: Site) -> None:
    seen = len(shaped.upstream.requests)
    with socket.create_connection(("127.0.0.1", shaped.proxy.port)) as sock:
        for _ in range(2):
            request = b"GET /paced/left HTTP/1.1\r\nHost: a\r\nX-Pace: one\r\n\r\n"
            sock.sendall(request)
            if not sock.recv(1024):
                break
    with ThreadPoolExecutor(4) as pool:
        answers = list(pool.map(lambda _: get(shaped.url + "/paced/x", X_Pace="two").status_code, range(4)))
    assert answers == [200] * 4
    wait_until(lambda: shaped.in_flight() == 0, why="nothing is under way")
    assert len(shaped.upstream.requests) - seen <= 6


# --- cache -------------------------------------------------------------------------------------------------


def test_a_fresh_reply_is_answered_from_memory_for_head_and_conditions_too(shaped: Site) -> None:
    date = "Date: Sun, 06 Nov 2044 08:49:37 GMT"
    url = shaped.on(counting("Cache-Control: max-age=60", 'ETag: "1"', "Content-Type: text/plain", date), "/cached/")
    first, second = get(url), get(url)
    assert (first.text, second.text) == ("reply 1", "reply 1")
    assert "stored" in first.headers["Cache-Status"]
    assert "hit" in second.headers["Cache-Status"]
    assert int(second.headers["Age"]) >= 0
    assert second.headers["Date"] == first.headers["Date"]
    assert second.headers["X-Request-Id"] != first.headers["X-Request-Id"]
    head = requests.head(url, timeout=10)
    assert (head.status_code, head.headers["Content-Length"], head.content) == (200, "7", b"")
    assert get(url, If_None_Match='"1"').status_code == 304
    assert get(url + "?other", If_None_Match='"1"').text != "reply 1"  # another URL
    requests.post(url, data=b"x", timeout=10)
    assert get(url).text != "reply 1"  # a write makes it go


def test_a_stale_reply_is_asked_about_with_its_own_validator_and_the_client_s_holds_against_the_answer(
    shaped: Site,
) -> None:
    asked: list[str | None] = []

    def reply(talk: Talk) -> None:
        asked.append(talk.request.get("if-none-match"))
        if asked[-1] == '"v1"':
            talk.send('HTTP/1.1 304 Not Modified\r\nETag: "v1"\r\nCache-Control: max-age=0\r\n\r\n')
        else:
            talk.reply(b"the body", "200 OK", 'ETag: "v1"', "Cache-Control: max-age=0")

    url = shaped.on(reply, "/cached/")
    assert get(url).text == "the body"
    answer = get(url, If_None_Match='"else"')
    assert (answer.status_code, answer.text) == (200, "the body")
    assert get(url, If_None_Match='"v1"').status_code == 304
    assert asked == [None, '"v1"', '"v1"']


def test_what_may_not_be_stored_is_not_and_a_cut_reply_is_not_either(shaped: Site) -> None:
    for field in ("Cache-Control: private, max-age=60", "Cache-Control: no-store", "Set-Cookie: a=1"):
        url = shaped.on(counting("Cache-Control: max-age=60", field), "/cached/")
        assert [get(url).text for _ in range(2)] == ["reply 1", "reply 2"], field

    def cut(talk: Talk) -> None:
        talk.send("HTTP/1.1 200 OK\r\nContent-Length: 100\r\nCache-Control: max-age=60\r\n\r\nhalf")
        talk.close()

    url = shaped.on(cut, "/cached/")
    with pytest.raises(requests.RequestException):
        get(url)
    shaped.upstream.by_path[url.removeprefix(shaped.url)] = lambda talk: talk.reply(b"whole")
    assert get(url).text == "whole"


def test_many_who_miss_together_ask_once_and_a_leader_who_leaves_has_a_successor(shaped: Site) -> None:
    release, begun = threading.Event(), threading.Event()
    counter = itertools.count(1)

    def slow(talk: Talk) -> None:
        body = b"fetch %d" % next(counter)
        begun.set()
        release.wait(10)
        talk.reply(body)

    url = shaped.on(slow, "/guessed/")
    path = url.removeprefix(shaped.url)
    leader = socket.create_connection(("127.0.0.1", shaped.proxy.port))
    leader.sendall(f"GET {path} HTTP/1.1\r\nHost: {shaped.url.removeprefix('http://')}\r\n\r\n".encode())
    assert begun.wait(10)
    begun.clear()
    with ThreadPoolExecutor(6) as pool:
        waiting = [pool.submit(get, url) for _ in range(6)]
        leader.close()
        assert begun.wait(10)  # one of them goes on
        release.set()
        answers = {future.result().text for future in waiting}
    assert answers == {"fetch 2"}
    assert next(counter) == 3


def test_who_waited_for_a_304_that_took_the_reply_away_asks_without_its_validator(shaped: Site) -> None:
    release, begun = threading.Event(), threading.Event()

    def reply(talk: Talk) -> None:
        if talk.request.get("if-none-match"):
            begun.set()
            release.wait(10)
            talk.send('HTTP/1.1 304 Not Modified\r\nETag: "1"\r\nCache-Control: no-store\r\n\r\n')
        else:
            talk.reply(b"whole", "200 OK", 'ETag: "1"', "Cache-Control: max-age=0")

    url = shaped.on(reply, "/guessed/")
    assert get(url).text == "whole"
    before = looked_up(shaped.proxy)
    with ThreadPoolExecutor(2) as pool:
        waiting = [pool.submit(get, url) for _ in range(2)]
        assert begun.wait(10)
        wait_until(lambda: looked_up(shaped.proxy) == before + 2, why="one leads and one waits")
        release.set()
        answers = [future.result() for future in waiting]
    assert [(answer.status_code, answer.text) for answer in answers] == [(200, "whole")] * 2


def test_one_who_leaves_before_his_turn_does_not_end_the_wait_of_others(shaped: Site) -> None:
    release, begun = threading.Event(), threading.Event()

    def slow(talk: Talk) -> None:
        begun.set()
        release.wait(10)
        talk.reply(b"here", "200 OK", "Cache-Control: max-age=60")

    url = shaped.on(slow, "/queued/")
    path = url.removeprefix(shaped.url)
    before = looked_up(shaped.proxy)
    with ThreadPoolExecutor(2) as pool:
        waiting = [pool.submit(get, url)]
        assert begun.wait(10)
        waiting.append(pool.submit(get, url))
        wait_until(lambda: looked_up(shaped.proxy) == before + 2, why="one leads and one waits")
        request = f"GET {path} HTTP/1.1\r\nHost: {shaped.url.removeprefix('http://')}\r\nX-Pace: three\r\n\r\n"
        socks = [socket.create_connection(("127.0.0.1", shaped.proxy.port)) for _ in range(5)]
        for sock in socks:
            sock.sendall(request.encode())
        wait_until(lambda: looked_up(shaped.proxy) == before + 7, why="four of them are delayed")
        for sock in socks:
            sock.close()
        for _ in range(3):
            get(shaped.url + "/x")
        release.set()
        assert [future.result().text for future in waiting] == ["here", "here"]
    assert sum(each.target == path for each in shaped.upstream.requests) == 1


def test_a_stale_reply_stands_in_when_the_upstream_fails(shaped: Site) -> None:
    url = shaped.on(lambda talk: talk.reply(b"good", "200 OK", "Cache-Control: max-age=0"), "/guessed/")
    assert get(url).text == "good"
    path = url.removeprefix(shaped.url)
    shaped.upstream.by_path[path] = lambda talk: talk.reply(b"bad", "503 No")
    assert get(url).text == "good"
    shaped.upstream.by_path[path] = lambda talk: talk.close()
    answer = get(url)
    assert (answer.status_code, answer.text) == (200, "good")
    assert "stale" in answer.headers["Cache-Status"] or "fwd" in answer.headers["Cache-Status"]


def test_what_a_get_with_a_body_was_told_is_told_to_nobody_else(shaped: Site) -> None:
    def reply(talk: Talk) -> None:
        talk.reply(b"told " + talk.read_body(), "200 OK", "Cache-Control: max-age=60")

    url = shaped.on(reply, "/cached/")
    assert requests.get(url, data=b"a lie", timeout=10).text == "told a lie"
    assert get(url).text == "told "


def test_a_websocket_is_asked_for_where_replies_are_cached(shaped: Site) -> None:
    def reply(talk: Talk) -> None:
        if talk.request.get("upgrade"):
            talk.send("HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\nhello")
            talk.wait_end()
        else:
            talk.reply(b"a page", "200 OK", "Cache-Control: max-age=60")

    url = shaped.on(reply, "/guessed/")
    assert get(url).text == "a page"
    request = (
        f"GET {url.removeprefix(shaped.url)} HTTP/1.1\r\nHost: {shaped.url.removeprefix('http://')}\r\n"
        "Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n"
        "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
    )
    assert shaped.talk(request.encode(), until_end=False).startswith(b"HTTP/1.1 101 ")


def test_a_large_reply_passes_a_place_that_caches_but_is_not_kept(shaped: Site) -> None:
    size = 3 * 1024 * 1024
    url = shaped.on(counting("Cache-Control: max-age=60", body=lambda count: bytes([count]) * size), "/cached/")
    assert get(url).content == b"\1" * size
    assert get(url).content == b"\2" * size


def test_status_and_metrics_count_what_the_cache_and_the_limits_did(shaped: Site) -> None:
    url = shaped.on(counting("Cache-Control: max-age=60"), "/cached/")

    def told() -> dict[str, int]:
        status = requests.get(shaped.url + "/_proxy/status", timeout=10).json()
        return {
            **status["cache"]["verdicts"],
            "refused": status["limits"]["refused"],
            "bytes": status["cache"]["bytes"],
        }

    before = told()
    for _ in range(3):
        get(url)
        get(shaped.url + "/limited/x", X_Key="counted")
    after = told()
    assert after["hit"] - before["hit"] == 2
    assert after["miss"] - before["miss"] == 1
    assert after["refused"] - before["refused"] == 1
    assert after["bytes"] > before["bytes"]
    metrics = requests.get(shaped.url + "/_proxy/metrics", timeout=10).text
    assert f'weaprous_proxy_cache_lookups_total{{verdict="hit"}} {after["hit"]}' in metrics
    assert f"weaprous_proxy_cache_bytes {after['bytes']}\n" in metrics
    assert f'weaprous_proxy_rate_limited_total{{result="refused"}} {after["refused"]}' in metrics


# --- gzip --------------------------------------------------------------------------------------------------


def zipped(url: str, path: str = "/zipped/") -> requests.Response:
    return get(url, Accept_Encoding="gzip")


@pytest.mark.parametrize("is_chunked", [False, True])
def test_a_reply_that_shrinks_is_compressed_for_who_takes_it(shaped: Site, is_chunked: bool) -> None:
    def reply(talk: Talk) -> None:
        fields = 'Content-Type: text/plain\r\nETag: "a"\r\n'
        if is_chunked:
            talk.send(f"HTTP/1.1 200 OK\r\n{fields}Transfer-Encoding: chunked\r\n\r\n")
            for start in range(0, len(TEXT), 1000):
                part = TEXT[start : start + 1000]
                talk.send(b"%x\r\n" % len(part), part, b"\r\n")
            talk.send("0\r\n\r\n")
        else:
            talk.reply(TEXT, "200 OK", *fields.split("\r\n")[:-1])

    url = shaped.on(reply, "/zipped/")
    raw = requests.get(url, headers={"Accept-Encoding": "gzip"}, timeout=10, stream=True).raw
    packed = raw.read(decode_content=False)
    assert gzip.decompress(packed) == TEXT
    assert len(packed) < len(TEXT) // 5
    assert raw.headers["Content-Encoding"] == "gzip"
    assert raw.headers["ETag"] == 'W/"a"'
    assert "content-length" not in raw.headers
    plain = get(url, Accept_Encoding="identity")
    assert plain.content == TEXT
    assert "Content-Encoding" not in plain.headers
    assert "Accept-Encoding" in plain.headers["Vary"]
    head = requests.head(url, headers={"Accept-Encoding": "gzip"}, timeout=10)
    assert head.headers["Content-Encoding"] == "gzip"


def test_http_1_0_gets_it_as_it_came(shaped: Site) -> None:
    url = shaped.on(lambda talk: talk.reply(TEXT, "200 OK", "Content-Type: text/plain"), "/zipped/")
    path = url.removeprefix(shaped.url).encode()
    answer = shaped.talk(b"GET " + path + b" HTTP/1.0\r\nHost: a\r\nAccept-Encoding: gzip\r\n\r\n")
    assert answer.endswith(TEXT)


def test_an_upstream_that_breaks_off_is_seen_to_break_off_through_gzip(shaped: Site) -> None:
    def reply(talk: Talk) -> None:
        talk.send(b"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: 100000\r\n\r\n", TEXT)
        talk.close()

    with pytest.raises(requests.exceptions.ChunkedEncodingError):
        zipped(shaped.on(reply, "/zipped/"))


def test_each_part_of_a_stream_can_be_read_when_it_arrives(shaped: Site) -> None:
    more = threading.Event()

    def reply(talk: Talk) -> None:
        talk.send("HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nTransfer-Encoding: chunked\r\n\r\n")
        talk.send(b"3e8\r\n", b"a" * 1000, b"\r\n")
        more.wait(10)
        talk.send(b"3e8\r\n", b"b" * 1000, b"\r\n0\r\n\r\n")

    answer = requests.get(shaped.on(reply, "/zipped/"), headers={"Accept-Encoding": "gzip"}, stream=True, timeout=10)
    parts = answer.iter_content(1000)
    assert next(parts) == b"a" * 1000
    more.set()
    assert b"".join(parts) == b"b" * 1000


def test_what_is_cached_is_compressed_for_each_client_as_it_takes_it(shaped: Site) -> None:
    url = shaped.on(
        counting("Cache-Control: max-age=60", "Content-Type: text/plain", body=lambda n: b"%d" % n + TEXT), "/both/"
    )
    assert get(url, Accept_Encoding="identity").content == b"1" + TEXT
    hit = zipped(url)
    assert hit.content == b"1" + TEXT
    assert hit.headers["Content-Encoding"] == "gzip"
    assert get(url, Accept_Encoding="identity").content == b"1" + TEXT


def test_a_long_hit_is_compressed_while_it_is_sent_and_others_are_served_meanwhile(shaped: Site) -> None:
    long = TEXT * 120
    url = shaped.on(
        counting("Cache-Control: max-age=60", "Content-Type: text/plain", body=lambda count: b"%d" % count + long),
        "/both/",
    )
    assert get(url, Accept_Encoding="identity").content == b"1" + long
    for _ in range(2):
        hit = zipped(url)
        assert hit.content == b"1" + long
        assert "hit" in hit.headers["Cache-Status"]
        assert hit.headers["Transfer-Encoding"] == "chunked"
    head = requests.head(url, headers={"Accept-Encoding": "gzip"}, timeout=10)
    assert (head.headers["Content-Encoding"], head.content) == ("gzip", b"")
    sock = socket.create_connection(("127.0.0.1", shaped.proxy.port))
    path, host = url.removeprefix(shaped.url), shaped.url.removeprefix("http://")
    sock.sendall(f"GET {path} HTTP/1.1\r\nHost: {host}\r\nAccept-Encoding: gzip\r\n\r\n".encode())
    sock.close()
    assert zipped(url).content == b"1" + long


# --- rewriting ---------------------------------------------------------------------------------------------


def at_shop(site: Site, path: str) -> requests.Response:
    return get(site.url + path, Host="shop.example")


def test_rewrite_lines_change_the_path_and_the_query_stays(shaped: Site) -> None:
    assert at_shop(shaped, "/old/a%20b?x=1").json()["target"] == "/new/a%20b?x=1"
    assert at_shop(shaped, "/api/v1?q").json()["target"] == "/v1?q"
    gone = at_shop(shaped, "/gone")
    assert (gone.status_code, gone.headers["Location"]) == (301, "https://elsewhere.example/")
    told = requests.get(
        shaped.url + "/_proxy/explain", params={"host": "shop.example", "path": "/old/x?y"}, timeout=10
    ).json()
    assert told["upstream_target"] == "/new/x?y"


def test_redirects_and_cookies_of_the_upstream_name_the_proxy(shaped: Site) -> None:
    location = f"http://{shaped.upstream.address}/theirs/next"

    def reply(talk: Talk) -> None:
        talk.reply(b"", "302 Found", f"Location: {location}", "Set-Cookie: a=1; Path=/theirs/x")

    shaped.upstream.by_path["/theirs/go"] = reply
    for _ in range(2):
        answer = get(shaped.url + "/own/go")
        assert answer.headers["Location"] == "/own/next"
        assert answer.headers["Set-Cookie"] == "a=1; Path=/own/x"
    elsewhere = shaped.on(lambda talk: talk.reply(b"", "302 Found", "Location: https://other.example/theirs/"), "/own/")
    shaped.upstream.by_path["/theirs/out"] = shaped.upstream.by_path[elsewhere.removeprefix(shaped.url)]
    assert get(shaped.url + "/own/out").headers["Location"] == "https://other.example/theirs/"


# --- error pages -------------------------------------------------------------------------------------------


def test_a_browser_gets_the_operator_s_page_and_a_program_json(shaped: Site) -> None:
    page = requests.get(shaped.url + "/nowhere/x", headers=HTML, timeout=10)
    assert (page.status_code, page.headers["Content-Type"]) == (502, "text/html; charset=utf-8")
    assert page.text.startswith("<title>Sorry 502</title> connect_failed ")
    assert page.headers["X-Request-Id"] in page.text
    assert requests.get(shaped.url + "/nowhere/x", timeout=10).json()["error"]["source"] == "upstream"


def test_what_is_denied_here_has_the_page_as_well(shaped: Site) -> None:
    page = requests.get(shaped.url + "/closed/x", headers=HTML, timeout=10)
    assert (page.status_code, page.text[:24]) == (403, "<title>Sorry 403</title>")
    assert requests.get(shaped.url + "/closed/x", timeout=10).json()["error"]["code"] == "address_denied"
    for body in (b"x" * 2000, iter([b"x" * 900] * 3)):  # its length is known, or shows in time
        page = requests.post(shaped.url + "/small/x", data=body, headers=HTML, timeout=10)
        assert (page.status_code, page.text[:24]) == (413, "<title>Sorry 413</title>")


def test_an_upstream_s_own_error_is_replaced_where_asked(shaped: Site) -> None:
    url = shaped.on(lambda talk: talk.reply(b"their words", "404 Not Found"), "/pages/")
    assert requests.get(url, headers=HTML, timeout=10).text.startswith("<title>Sorry 404</title> upstream_error")
    assert requests.get(url, timeout=10).text == "their words"
    other = shaped.on(lambda talk: talk.reply(b"theirs", "404 Not Found"), "/elsewhere/")
    assert requests.get(other, headers=HTML, timeout=10).text == "theirs"


# --- traces ------------------------------------------------------------------------------------------------

PARENT = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"


def fields_at(url: str, **fields: str) -> dict[str, str]:
    return {name.lower(): value for name, value in get(url, **fields).json()["fields"]}


def test_a_trace_goes_on_under_a_parent_of_our_own(shaped: Site) -> None:
    got = fields_at(shaped.url + "/t", traceparent=PARENT, tracestate="a=1")
    version, trace, parent, flags = got["traceparent"].split("-")
    assert (version, trace, flags) == ("00", PARENT.split("-")[1], "01")
    assert parent != PARENT.split("-")[2]
    assert got["tracestate"] == "a=1"
    wait_until(lambda: f"trace_id={trace} span_id={parent}" in shaped.proxy.output, why="the log names the span")
    again = fields_at(shaped.url + "/t", traceparent=PARENT, tracestate="a=1")
    assert again["traceparent"] != got["traceparent"]


def test_a_malformed_trace_is_not_passed_on_and_none_is_begun_unasked(shaped: Site) -> None:
    got = fields_at(shaped.url + "/t", traceparent="00-zz", tracestate="a=1")
    assert re.fullmatch(r"00-[0-9a-f]{32}-[0-9a-f]{16}-01", got["traceparent"])
    assert "tracestate" not in got
    assert "traceparent" not in fields_at(shaped.url + "/t")
    assert "traceparent" in fields_at(shaped.url + "/traced/t")
    assert fields_at(shaped.url + "/untraced/t", traceparent="00-zz")["traceparent"] == "00-zz"


# --- who the client is -------------------------------------------------------------------------------------


def test_behind_a_trusted_hop_the_client_is_whom_it_names_for_rules_log_and_upstream(
    start_proxy: StartProxy, start_upstream: Callable[..., Upstream]
) -> None:
    upstream = start_upstream()
    proxy = start_proxy(
        "set_real_ip_from 127.0.0.0/8;"
        f'host "*" {{ proxy_pass http://{upstream.address}; location /in/ {{ allow 192.0.2.0/24; deny all; }} }}',
        "--access-log",
        "on",
    )
    got = fields_at(proxy.url + "/x", X_Forwarded_For="6.6.6.6, 192.0.2.7", X_Forwarded_Proto="https")
    assert got["x-real-ip"] == "192.0.2.7"
    assert got["x-forwarded-for"] == "6.6.6.6, 192.0.2.7, 127.0.0.1"
    assert got["x-forwarded-proto"] == "https"
    assert got["forwarded"].startswith("for=192.0.2.7;")
    other = fields_at(proxy.url + "/x", X_Forwarded_For="192.0.2.8")
    assert other["x-real-ip"] == "192.0.2.8"
    assert get(proxy.url + "/in/x", X_Forwarded_For="192.0.2.9").status_code == 200
    assert get(proxy.url + "/in/x", X_Forwarded_For="198.51.100.1").status_code == 403
    wait_until(lambda: "remote=198.51.100.1" in proxy.output, why="the log names the client")


def test_behind_a_trusted_hop_a_keyless_proxy_s_own_paths_are_closed_to_strangers(
    start_proxy: StartProxy, start_upstream: Callable[..., Upstream]
) -> None:
    proxy = start_proxy(f'set_real_ip_from 127.0.0.1; host "*" {{ proxy_pass http://{start_upstream().address}; }}')
    assert get(proxy.url + "/_proxy/status").status_code == 200
    assert get(proxy.url + "/_proxy/status", X_Forwarded_For="198.51.100.1").status_code in (401, 403)


def test_a_proxy_header_in_front_names_the_client_and_whoever_must_send_one_and_does_not_is_cut(
    start_proxy: StartProxy, start_upstream: Callable[..., Upstream]
) -> None:
    upstream = start_upstream()
    proxy = start_proxy(
        f'proxy_protocol_from 127.0.0.2; host "*" {{ proxy_pass http://{upstream.address}; }}',
    )

    def talk(data: bytes) -> bytes:
        with socket.create_connection(("127.0.0.1", proxy.port), 10, ("127.0.0.2", 0)) as sock:
            sock.sendall(data)
            try:
                return b"".join(iter(lambda: sock.recv(65536), b""))
            except ConnectionResetError:
                return b""

    request = b"GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n"
    head, _, body = talk(b"PROXY TCP4 192.0.2.5 192.0.2.1 5555 80\r\n" + request).partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 200 ")
    assert ["X-Real-IP", "192.0.2.5"] in json.loads(body)["fields"]
    assert talk(request) == b""
    assert get(proxy.url + "/x").status_code == 200  # others need none


@pytest.mark.parametrize("version", ["v1", "v2"])
def test_a_proxy_header_goes_before_each_connection_to_an_upstream_that_wants_one(
    start_proxy: StartProxy, version: str
) -> None:
    listener = socket.create_server(("127.0.0.1", 0))
    headers: list[ProxyHeader] = []

    def serve() -> None:
        while True:
            try:
                sock, _ = listener.accept()
            except OSError:
                return
            with sock:
                data = b""
                while (header := parse_proxy_header(data) if data else None) is None:
                    data += sock.recv(1024)
                headers.append(header)
                while b"\r\n\r\n" not in data[header.size :]:
                    data += sock.recv(1024)
                sock.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")
                while sock.recv(1024):
                    pass

    threading.Thread(target=serve, daemon=True).start()
    port = listener.getsockname()[1]
    proxy = start_proxy(f'host "*" {{ proxy_pass http://127.0.0.1:{port}; send_proxy_protocol {version}; }}')
    with requests.Session() as session:
        assert [session.get(proxy.url + "/x", timeout=10).text for _ in range(2)] == ["ok", "ok"]
    listener.close()
    assert len(headers) == 2  # none is used again
    for header in headers:
        assert header.source is not None
        assert header.destination is not None
        assert (header.source.address, header.destination.port) == ("127.0.0.1", proxy.port)


def test_a_connection_that_began_with_a_proxy_header_serves_nobody_else_whatever_is_reloaded(
    start_proxy: StartProxy,
) -> None:
    listener = socket.create_server(("127.0.0.1", 0))
    begun, release, connections = threading.Event(), threading.Event(), list[bytes]()

    def serve(sock: socket.socket) -> None:
        with sock:
            number = len(connections)
            connections.append(b"")
            while True:
                data = b""
                while b"\r\n\r\n" not in data:
                    if not (more := sock.recv(1024)):
                        return
                    data += more
                connections[number] += data
                begun.set()
                release.wait(10)
                sock.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")

    def accept() -> None:
        while True:
            try:
                sock, _ = listener.accept()
            except OSError:
                return
            threading.Thread(target=serve, args=(sock,), daemon=True).start()

    threading.Thread(target=accept, daemon=True).start()
    text = f'host "*" {{ proxy_pass http://127.0.0.1:{listener.getsockname()[1]}; send_proxy_protocol %s; }}'
    proxy = start_proxy(text % "v1")
    with ThreadPoolExecutor(1) as pool:
        first = pool.submit(get, proxy.url)
        assert begun.wait(10)
        proxy.config.write_text(text % "off")  # type: ignore[attr-defined]
        assert requests.post(proxy.url + "/_proxy/reload", timeout=10).status_code == 200
        release.set()
        assert first.result().text == "ok"
    for _ in range(2):
        assert get(proxy.url).text == "ok"
    listener.close()
    assert [each[:6] for each in connections] == [b"PROXY ", b"GET / "]  # the second is kept and used again


# --- reload ------------------------------------------------------------------------------------------------


def test_a_reload_brings_words_into_force_and_takes_them_out_again(
    start_proxy: StartProxy, start_upstream: Callable[..., Upstream]
) -> None:
    upstream = start_upstream(counting("Cache-Control: max-age=60"))
    plain = f'host "*" {{ proxy_pass http://{upstream.address}; }}'
    proxy = start_proxy(plain)
    path: Path = proxy.config  # type: ignore[attr-defined]

    def reload(text: str, version: int) -> None:
        path.write_text(text)
        proxy.send_signal(signal.SIGHUP)
        status = proxy.url + "/_proxy/status"
        wait_until(lambda: requests.get(status, timeout=10).json()["config"]["version"] == version, why="reloaded")

    assert [get(proxy.url).text for _ in range(2)] == ["reply 1", "reply 2"]
    reload("proxy_cache on; " + plain, 2)
    assert [get(proxy.url).text for _ in range(2)] == ["reply 3", "reply 3"]
    reload(plain, 3)
    assert get(proxy.url).text == "reply 4"


def test_who_waits_while_a_reload_takes_over_is_answered_by_the_old_upstream_and_the_new_is_asked_anew(
    start_proxy: StartProxy, start_upstream: Callable[..., Upstream]
) -> None:
    begun, release = threading.Event(), threading.Event()

    def slow(talk: Talk) -> None:
        begun.set()
        release.wait(10)
        talk.reply(b"old", "200 OK", "Cache-Control: max-age=60")

    old, new = start_upstream(slow), start_upstream(lambda talk: talk.reply(b"new"))
    text = 'proxy_cache on; proxy_cache_lock on; host "*" {{ proxy_pass http://{}; }}'
    proxy = start_proxy(text.format(old.address))
    with ThreadPoolExecutor(2) as pool:
        waiting = [pool.submit(get, proxy.url) for _ in range(2)]
        assert begun.wait(10)
        wait_until(lambda: looked_up(proxy) == 2, why="both are under way")
        proxy.config.write_text(text.format(new.address))  # type: ignore[attr-defined]
        assert requests.post(proxy.url + "/_proxy/reload", timeout=10).status_code == 200
        release.set()
        assert {future.result().text for future in waiting} == {"old"}
    assert len(old.requests) == 1
    assert get(proxy.url).text == "new"


def looked_up(proxy: Service) -> int:
    verdicts = requests.get(proxy.url + "/_proxy/status", timeout=10).json()["cache"]["verdicts"]
    return sum(verdicts.values())


def test_a_client_that_leaves_before_its_reply_is_in_the_log(
    start_proxy: StartProxy, start_upstream: Callable[..., Upstream]
) -> None:
    begun = threading.Event()

    def hang(talk: Talk) -> None:
        begun.set()
        talk.wait_end()

    upstream = start_upstream(hang)
    proxy = start_proxy(f'host "*" {{ proxy_pass http://{upstream.address}; }}', "--access-log", "on")
    with socket.create_connection(("127.0.0.1", proxy.port)) as sock:
        sock.sendall(b"GET /left HTTP/1.1\r\nHost: a\r\n\r\n")
        assert begun.wait(10)
    wait_until(lambda: "target=/left status=499" in proxy.output, why="a 499 in the log")
