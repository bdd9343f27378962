"""A real proxy that limits, compresses, rewrites and replaces what it forwards, before a real upstream."""

import gzip
import socket
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import pytest
import requests

from tests.processes import wait_until
from tests.services.proxy.conftest import StartProxy
from tests.services.proxy.shaped_site import HTML, TEXT, counting, get
from tests.services.proxy.site import Site
from tests.services.proxy.upstream_servers import Talk, Upstream

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
