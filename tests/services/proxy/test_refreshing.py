"""Stale replies while they are fetched anew: `proxy_cache_use_stale updating`, `proxy_cache_background_update` and
`stale-while-revalidate`, through a real proxy.
"""

import re
import socket
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest
import requests

from tests.processes import wait_until
from tests.services.proxy.conftest import StartProxy
from tests.services.proxy.shaped_site import get, shaped_site
from tests.services.proxy.site import Site
from tests.services.proxy.test_config_features import features_of, mistakes_of
from tests.services.proxy.upstream_servers import Talk

CONF = """
proxy_read_timeout 5s;
proxy_cache on;
proxy_cache_size 1m max_reply=50k;
limit_req_zone $http_x_pace zone=pace:1m rate=20r/s;
host "*" {{
    proxy_pass http://{address};
    proxy_cache_use_stale updating;
    location /meanwhile/ {{ proxy_cache_valid 1s; }}
    location /behind/ {{ proxy_cache_background_update on; }}
    location /hasty/ {{ proxy_cache_background_update on; proxy_read_timeout 300ms; }}
    location /brisk/ {{ proxy_cache_background_update on; proxy_read_timeout 100ms; }}
    location /paced/ {{ proxy_cache_background_update on; limit_req zone=pace burst=5; }}
    location /plain/ {{ proxy_cache_use_stale off; proxy_cache_background_update on; }}
}}
"""
STALE = "Cache-Control: max-age=0"


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    with shaped_site(tmp_path_factory.mktemp("refreshing"), CONF) as site:
        yield site


class Slow:
    """An upstream's replies, the first at once, each of the others when it may go on. Each says which it is."""

    def __init__(self, *fields: str) -> None:
        self.fields = fields or (STALE, 'ETag: "1"')
        self.asked: list[dict[str, str]] = []
        self.may_go_on = threading.Semaphore(0)
        self.reply: Callable[[Talk, int], None] = self.in_full

    def __call__(self, talk: Talk) -> None:
        self.asked.append({name: talk.request.get(name) or "" for name in ("if-none-match", "x-who")})
        count = len(self.asked)
        if count > 1:
            self.may_go_on.acquire(timeout=10)
        self.reply(talk, count)

    def in_full(self, talk: Talk, count: int) -> None:
        talk.reply(b"reply %d" % count, "200 OK", *self.fields)


def refreshing(site: Site) -> int:
    return int(requests.get(site.url + "/_proxy/status", timeout=10).json()["cache"]["refreshing"])


def is_done(site: Site) -> None:
    wait_until(lambda: refreshing(site) == 0 and site.in_flight() == 0, why="nothing is fetched any more")


# --- words -------------------------------------------------------------------------------------------------


def test_the_words() -> None:
    file = "proxy_cache on; proxy_cache_use_stale updating; proxy_cache_background_update on;"
    outer, inner = features_of(file=file), features_of("proxy_cache_use_stale updating=1h;", file=file)
    assert outer.cache is not None
    assert inner.cache is not None
    assert (outer.cache.stale_while_updating_s, inner.cache.stale_while_updating_s) == (600.0, 3600.0)
    assert (outer.refreshes, features_of("proxy_cache_background_update off;", file=file).refreshes) == (True, False)
    assert not features_of("proxy_cache off;", file=file).refreshes
    off = features_of("proxy_cache_use_stale off;", file=file).cache
    assert off is not None
    assert off.stale_while_updating_s == 0


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("proxy_cache_use_stale updateing;", 'did you mean "updating"?'),
        ("proxy_cache_use_stale updating=soon;", 'got "soon", expected a time'),
        ("proxy_cache_use_stale updating off;", 'got "off", expected nothing more'),
        (
            "proxy_cache_use_stale updating http_500;",
            'got "http_500", expected updating, updating=TIME or off: a stale',
        ),
        ("proxy_cache_use_stale error timeout;", "by proxy_cache_stale_if_error TIME, which says how long"),
        ("proxy_cache_background_update yes;", "expected one of on, off"),
    ],
)
def test_mistakes_are_named(text: str, expected: str) -> None:
    assert any(expected in mistake for mistake in mistakes_of(text)), mistakes_of(text)


# --- while another fetches ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("path", "field"), [("/meanwhile/", STALE), ("/plain/", "Cache-Control: max-age=0, stale-while-revalidate=60")]
)
def test_while_one_fetches_the_others_have_the_stale_reply(site: Site, path: str, field: str) -> None:
    slow = Slow(field, 'ETag: "1"')
    url = site.on(slow, path)
    assert get(url).text == "reply 1"
    with ThreadPoolExecutor(1) as pool:
        first = pool.submit(get, url) if path == "/meanwhile/" else None
        if first is None:  # its place fetches in the background
            assert get(url).text == "reply 1"
        wait_until(lambda: len(slow.asked) == 2, why="one fetches")
        answers = [get(url) for _ in range(3)] + [requests.head(url, timeout=10)]
        for answer in answers:
            assert re.fullmatch(r"weaprous; hit; ttl=-?[0-9]+; detail=updating", answer.headers["Cache-Status"])
        assert [answer.text for answer in answers] == ["reply 1"] * 3 + [""]
        slow.may_go_on.release()
        if first is not None:
            assert first.result().text == "reply 2"
    is_done(site)
    assert len(slow.asked) == 2
    metrics = requests.get(site.url + "/_proxy/metrics", timeout=10).text
    assert 'weaprous_proxy_cache_lookups_total{verdict="updating"}' in metrics


def test_what_must_be_asked_about_first_is_never_used_stale(site: Site) -> None:
    for word in ("no-cache", "max-age=0, must-revalidate", "s-maxage=0", "max-age=0, stale-while-revalidate=0"):
        slow = Slow(f"Cache-Control: {word}", 'ETag: "1"')
        url = site.on(slow, "/behind/")
        slow.may_go_on.release()
        assert [get(url).text for _ in range(2)] == ["reply 1", "reply 2"], word


def test_a_client_that_says_how_old_it_may_be_gets_none_that_is_stale(site: Site) -> None:
    slow = Slow()
    url = site.on(slow, "/behind/")
    assert get(url).text == "reply 1"
    for count, word in enumerate(("no-cache", "max-age=10", "min-fresh=1"), 2):
        slow.may_go_on.release()
        assert get(url, Cache_Control=word).text == f"reply {count}"


# --- in the background -------------------------------------------------------------------------------------


def test_who_finds_a_stale_reply_has_it_at_once_and_the_next_one_has_the_new_one(site: Site) -> None:
    slow = Slow("Cache-Control: max-age=0", 'ETag: "1"')
    url = site.on(slow, "/behind/")
    assert get(url, X_Who="one").text == "reply 1"
    assert get(url, X_Who="two", If_None_Match='"else"').text == "reply 1"
    wait_until(lambda: len(slow.asked) == 2, why="it is fetched")
    assert slow.asked[1] == {"if-none-match": '"1"', "x-who": "two"}  # by the cache's condition, not the client's
    assert refreshing(site) == 1
    assert [get(url).text for _ in range(3)] == ["reply 1"] * 3
    assert len(slow.asked) == 2
    slow.fields = ("Cache-Control: max-age=60",)
    slow.may_go_on.release()
    is_done(site)
    assert [get(url).text for _ in range(2)] == ["reply 2"] * 2
    assert len(slow.asked) == 2


def in_chunks(talk: Talk, count: int) -> None:
    talk.send("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nCache-Control: max-age=60\r\n\r\n6\r\nreply \r\n")
    talk.send(f"1\r\n{count}\r\n0\r\n\r\n")


def until_the_end(talk: Talk, count: int) -> None:
    talk.send(f"HTTP/1.1 200 OK\r\nCache-Control: max-age=60\r\n\r\nreply {count}")
    talk.close()


def in_parts(talk: Talk, count: int) -> None:
    body = b"reply %d" % count
    talk.send(f"HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: {len(body)}\r\n")
    for octet in b"Cache-Control: max-age=60\r\n\r\n" + body:
        talk.send(bytes([octet]))


def unchanged(talk: Talk, count: int) -> None:
    talk.send('HTTP/1.1 304 Not Modified\r\nETag: "1"\r\nCache-Control: max-age=60\r\n\r\n')


@pytest.mark.parametrize(
    ("reply", "text"),
    [(in_chunks, "reply 2"), (until_the_end, "reply 2"), (in_parts, "reply 2"), (unchanged, "reply 1")],
)
def test_a_new_reply_is_kept_however_it_comes(site: Site, reply: Callable[[Talk, int], None], text: str) -> None:
    slow = Slow()
    url = site.on(slow, "/behind/")
    assert get(url).text == "reply 1"
    slow.reply = reply
    slow.may_go_on.release()
    assert get(url).text == "reply 1"
    is_done(site)
    assert [get(url).text for _ in range(2)] == [text] * 2
    assert len(slow.asked) == 2


def broken(talk: Talk, count: int) -> None:
    talk.send("HTTP/1.1 200 OK\r\nCache-Control: max-age=60\r\nContent-Length: 100\r\n\r\nhalf")
    talk.close()


def ambiguous(talk: Talk, count: int) -> None:
    talk.send("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nCache-Control: max-age=60\r\n\r\nnonsense\r\n")


def nothing(talk: Talk, count: int) -> None:
    talk.close()


def failed(talk: Talk, count: int) -> None:
    talk.reply(b"oh", "503 Service Unavailable")


def switching(talk: Talk, count: int) -> None:
    talk.send("HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n")


@pytest.mark.parametrize("reply", [broken, ambiguous, nothing, failed, switching])
def test_after_a_fetch_that_failed_the_stale_reply_stays_and_the_next_one_tries_again(
    site: Site, reply: Callable[[Talk, int], None]
) -> None:
    slow = Slow()
    url = site.on(slow, "/behind/")
    assert get(url).text == "reply 1"
    slow.reply = reply
    slow.may_go_on.release(10)
    assert get(url).text == "reply 1"
    is_done(site)
    tried = len(slow.asked)
    slow.reply, slow.fields = slow.in_full, ("Cache-Control: max-age=60",)
    assert get(url).text == "reply 1"
    is_done(site)
    assert get(url).text == f"reply {tried + 1}"


def test_an_upstream_that_is_silent_is_waited_for_as_long_as_ever_and_by_nobody(site: Site) -> None:
    slow = Slow()
    url = site.on(slow, "/hasty/")
    assert get(url).text == "reply 1"
    assert get(url).text == "reply 1"
    wait_until(lambda: len(slow.asked) >= 2, why="it is fetched")
    is_done(site)  # by the time-out
    assert get(url).text == "reply 1"
    slow.may_go_on.release(10)
    is_done(site)


def test_a_fetch_whose_body_never_ends_does(site: Site) -> None:
    slow, is_left = Slow(), threading.Event()
    url = site.on(slow, "/brisk/")
    assert get(url).text == "reply 1"

    def drip(talk: Talk, count: int) -> None:
        talk.send("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nCache-Control: max-age=60\r\n\r\n")
        try:
            for _ in range(1000):
                talk.send("1\r\nx\r\n")
                time.sleep(0.01)
        except OSError:
            is_left.set()

    slow.reply = drip
    slow.may_go_on.release()
    assert get(url).text == "reply 1"
    assert is_left.wait(20)
    is_done(site)
    assert get(url).text == "reply 1"
    is_done(site)


@pytest.mark.parametrize(
    "fields",
    [("Cache-Control: private",), ("Cache-Control: max-age=60", "Set-Cookie: a=1"), ("X-Large: yes",)],
)
def test_a_new_reply_that_may_not_be_kept_takes_the_old_one_away(site: Site, fields: tuple[str, ...]) -> None:
    slow = Slow()
    url = site.on(slow, "/behind/")
    assert get(url).text == "reply 1"
    slow.fields = fields
    if "X-Large: yes" in fields:
        slow.reply = lambda talk, count: talk.reply(b"x" * 60_000, "200 OK", "Cache-Control: max-age=60")
    slow.may_go_on.release(10)
    assert get(url).text == "reply 1"
    is_done(site)
    assert get(url).text != "reply 1"


def test_one_who_proves_who_he_is_fetches_for_himself(site: Site) -> None:
    slow = Slow("Cache-Control: public, max-age=0", 'ETag: "1"')
    url = site.on(slow, "/behind/")
    assert get(url).text == "reply 1"
    slow.may_go_on.release()
    assert get(url, Authorization="Basic x").text == "reply 2"
    assert refreshing(site) == 0


def test_who_waits_for_his_turn_is_answered_and_has_it_fetched_then(site: Site) -> None:
    slow = Slow()
    url = site.on(slow, "/paced/")
    slow.may_go_on.release(10)
    with ThreadPoolExecutor(3) as pool:
        texts = list(pool.map(lambda _: get(url, X_Pace="one").text, range(3)))
    assert all(text.startswith("reply ") for text in texts)
    is_done(site)
    assert get(url).text.startswith("reply ")
    is_done(site)


def test_more_keys_than_may_be_fetched_at_once_are_fetched_by_those_who_ask(site: Site) -> None:
    asked: list[str] = []
    goes_on = threading.Event()

    def reply(talk: Talk) -> None:
        asked.append(talk.request.target)
        count = len(asked)
        if count > 70:
            goes_on.wait(20)
        talk.reply(b"reply %d" % count, "200 OK", STALE, 'ETag: "1"')

    url = site.on(reply, "/behind/")
    for number in range(70):
        get(f"{url}?{number}")
    with ThreadPoolExecutor(70) as pool:
        asking = [pool.submit(get, f"{url}?{number}") for number in range(70)]
        wait_until(lambda: len(asked) == 140, why="all are fetched")
        assert refreshing(site) == 64
        goes_on.set()
        numbers = [int(each.result().text.partition(" ")[2]) for each in asking]
    assert sum(number > 70 for number in numbers) == 6
    is_done(site)


@pytest.mark.parametrize(("version", "start"), [("v1", b"PROXY UNKNOWN"), ("v2", b"\r\n\r\n\0\r\nQUIT\n\x20")])
def test_the_proxy_asks_for_itself_where_connections_say_whose_they_are(
    start_proxy: StartProxy, version: str, start: bytes
) -> None:
    seen: list[bytes] = []

    def answer(sock: socket.socket) -> None:
        with sock:
            data = b""
            while not data.endswith(b"\r\n\r\n") or b"GET " not in data:
                data += sock.recv(65536)
            seen.append(data)
            sock.sendall(b"HTTP/1.1 200 OK\r\n%b\r\nContent-Length: 1\r\n\r\n%d" % (STALE.encode(), len(seen)))

    with socket.create_server(("127.0.0.1", 0)) as listener:
        listener.settimeout(10)
        conf = CONF.format(address=f"127.0.0.1:{listener.getsockname()[1]}")
        proxy = start_proxy(conf.replace("proxy_pass", f"send_proxy_protocol {version}; proxy_pass"))
        url = proxy.url + "/behind/"
        with ThreadPoolExecutor(1) as pool:
            serving = pool.submit(lambda: [answer(listener.accept()[0]) for _ in range(2)])
            assert [get(url).text for _ in range(2)] == ["1", "1"]
            serving.result(10)
            wait_until(lambda: requests.get(proxy.url + "/_proxy/status", timeout=10).json()["in_flight"] == 0)
    assert not seen[0].startswith(start)
    assert seen[1].startswith(start)
    assert "Traceback" not in proxy.output


def test_a_reload_in_the_middle_harms_nobody(start_proxy: StartProxy, site: Site) -> None:
    slow = Slow()
    path = site.on(slow, "/behind/").removeprefix(site.url)
    proxy = start_proxy(CONF.format(address=site.upstream.address))
    assert [get(proxy.url + path).text for _ in range(2)] == ["reply 1"] * 2
    wait_until(lambda: len(slow.asked) == 2, why="it is fetched")
    assert requests.post(proxy.url + "/_proxy/reload", timeout=10).status_code == 200
    slow.may_go_on.release(10)
    assert get(proxy.url + path).text == "reply 3"  # the cache is a new one
    is_done(Site(proxy, site.upstream))


def test_a_proxy_that_is_told_to_end_waits_for_no_fetch_without_a_client(start_proxy: StartProxy, site: Site) -> None:
    slow = Slow()
    path = site.on(slow, "/behind/").removeprefix(site.url)
    proxy = start_proxy(CONF.format(address=site.upstream.address))
    assert [get(proxy.url + path).text for _ in range(2)] == ["reply 1"] * 2
    wait_until(lambda: len(slow.asked) == 2, why="it is fetched")
    assert proxy.stop() == 0
    assert "Traceback" not in proxy.output
    slow.may_go_on.release()
