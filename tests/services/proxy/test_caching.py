"""A real proxy that keeps replies: what is answered from memory, for whom, and what comes of failures and reloads."""

import itertools
import signal
import socket
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
import requests

from tests.processes import Service, wait_until
from tests.services.proxy.conftest import StartProxy
from tests.services.proxy.shaped_site import counting, get
from tests.services.proxy.site import Site
from tests.services.proxy.upstream_servers import Talk, Upstream


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
