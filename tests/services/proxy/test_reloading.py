"""`POST /_proxy/reload`: all of the file, or nothing; what goes on meanwhile goes on."""

import json
import signal
import socket
import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import requests
from websockets.sync.client import connect

from tests.processes import Service, wait_until
from tests.services.proxy.upstream_servers import Talk, Upstream

StartUpstream = Callable[..., Upstream]
StartProxy = Callable[..., Service]


def reload(proxy: Service, **kwargs: Any) -> requests.Response:
    return requests.post(proxy.url + "/_proxy/reload", timeout=20, **kwargs)


def status(proxy: Service) -> dict[str, Any]:
    answer: dict[str, Any] = requests.get(proxy.url + "/_proxy/status", timeout=10).json()
    return answer


def write(proxy: Service, text: str) -> None:
    proxy.config.write_text(text)  # type: ignore[attr-defined]


@pytest.fixture
def a(start_upstream: StartUpstream) -> Upstream:
    return start_upstream(name="a")


@pytest.fixture
def b(start_upstream: StartUpstream) -> Upstream:
    return start_upstream(name="b")


def test_a_good_file_takes_over_and_the_reply_says_what_has_changed(
    start_proxy: StartProxy, a: Upstream, b: Upstream
) -> None:
    proxy = start_proxy(f'host "*" {{ proxy_pass http://{a.address}; }}')
    assert requests.get(proxy.url, timeout=10).json()["served_by"] == "a"
    both = f"proxy_pass http://{a.address}; proxy_pass http://{b.address};"
    write(proxy, f'host "*" {{ {both} }} host x {{ proxy_pass http://{b.address}; }}')
    answer = reload(proxy)
    assert (answer.status_code, answer.headers["Cache-Control"]) == (200, "no-store")
    told = answer.json()
    assert (told["reloaded"], told["version"], told["certificate_problem"]) == (True, 2, None)
    assert told["changes"]["hosts"]["added"] == ["x"]
    assert told["changes"]["pools"]["changed"] == {"*/": ["server"]}
    assert {requests.get(proxy.url, timeout=10).json()["served_by"] for _ in range(4)} == {"a", "b"}
    assert reload(proxy).json()["changes"]["is_same"] is True
    assert status(proxy)["config"]["version"] == 3


def test_a_file_with_mistakes_changes_nothing_and_every_mistake_is_told(start_proxy: StartProxy, a: Upstream) -> None:
    good = f'host "*" {{\n    proxy_pass http://{a.address};\n}}\n'
    proxy = start_proxy(good)
    write(proxy, 'host "*" {\n    proxy_pas http://app;\n    proxy_read_timeout soon;\n}\n')
    answer = reload(proxy)
    assert answer.status_code == 422
    error = answer.json()["error"]
    assert (error["code"], error["message"]) == (
        "bad_config",
        "the file has 2 mistakes; the configuration stays as it was",
    )
    places = [(mistake["file"], mistake["line"], mistake["column"]) for mistake in error["mistakes"]]
    assert places == [(proxy.flag("--config"), 2, 5), (proxy.flag("--config"), 3, 5 + len("proxy_read_timeout "))]
    assert "did you mean" in error["mistakes"][0]["message"]
    assert status(proxy)["config"]["refused"] == error["mistakes"]
    assert requests.get(proxy.url, timeout=10).json()["served_by"] == "a"
    write(proxy, good)
    assert reload(proxy).status_code == 200
    assert status(proxy)["config"]["refused"] is None
    metrics = requests.get(proxy.url + "/_proxy/metrics", timeout=10).text
    assert 'weaprous_proxy_reloads_total{result="refused"} 1' in metrics
    assert 'weaprous_proxy_reloads_total{result="done"} 1' in metrics


def test_whoever_has_the_hosts_of_the_configuration_in_force_is_spared_them(
    start_proxy: StartProxy, a: Upstream
) -> None:
    proxy = start_proxy(f'host "*" {{ proxy_pass http://{a.address}; }}')
    known = status(proxy)
    url = f"{proxy.url}/_proxy/status?config={known['config']['loaded_at']}"
    assert known["hosts"][0]["names"] == ["*"]
    assert requests.get(url, timeout=10).json()["hosts"] is None
    reload(proxy)
    assert requests.get(url, timeout=10).json()["hosts"] == known["hosts"]


def test_a_file_that_is_gone_is_a_mistake_of_its_first_line(start_proxy: StartProxy, a: Upstream) -> None:
    proxy = start_proxy(f'host "*" {{ proxy_pass http://{a.address}; }}')
    proxy.config.unlink()  # type: ignore[attr-defined]
    answer = reload(proxy)
    assert answer.status_code == 422
    assert answer.json()["error"]["mistakes"][0]["message"] == "can't be read: No such file or directory"


def test_states_counters_and_tunnels_stay(start_proxy: StartProxy, start_upstream: StartUpstream) -> None:
    def speak(talk: Talk) -> None:
        if talk.request.get("upgrade") is None:
            talk.reply()
            return
        talk.send("HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n")
        while data := talk.sock.recv(65536):
            talk.send(data)

    upstream, dead = start_upstream(speak), start_upstream()
    dead.close()
    text = f"pool app {{ server {upstream.address}; server {dead.address}; }} host * {{ proxy_pass http://app; }}"
    proxy = start_proxy(text)
    for _ in range(4):
        assert requests.get(proxy.url, timeout=10).status_code == 200
    with socket.create_connection(("127.0.0.1", proxy.port), timeout=10) as tunnel:
        tunnel.sendall(b"GET /ws HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n")
        head = b""
        while not head.endswith(b"\r\n\r\n"):
            head += tunnel.recv(1)
        before = {each["upstream"]: each for each in status(proxy)["pools"][0]["upstreams"]}
        assert before[dead.address]["state"] == "down"
        write(proxy, text.replace(f"server {upstream.address}", f"server {upstream.address} weight=3"))
        assert reload(proxy).json()["changes"]["pools"]["changed"] == {"app": ["server weight"]}
        tunnel.sendall(b"ping")
        assert tunnel.recv(4) == b"ping"
    after = {each["upstream"]: each for each in status(proxy)["pools"][0]["upstreams"]}
    assert (after[upstream.address]["weight"], after[dead.address]["state"]) == (3, "down")
    assert after[upstream.address]["requests"] >= before[upstream.address]["requests"] >= 5
    assert after[upstream.address]["latency_s"]["p50"] is not None


def test_requests_under_way_end_as_they_began_and_none_fails(start_proxy: StartProxy, a: Upstream, b: Upstream) -> None:
    texts = [f'host "*" {{ proxy_pass http://{each.address}; }}' for each in (a, b)]
    proxy = start_proxy(texts[0])
    is_over = threading.Event()
    statuses: list[int] = []

    def ask() -> None:
        with requests.Session() as session:
            while not is_over.is_set():
                statuses.append(session.get(proxy.url, timeout=10).status_code)

    threads = [threading.Thread(target=ask) for _ in range(4)]
    for thread in threads:
        thread.start()
    try:
        for version in range(2, 12):
            write(proxy, texts[version % 2])
            assert reload(proxy).json()["version"] == version
            seen = len(statuses)
            wait_until(lambda seen=seen: len(statuses) > seen + 10, why="more requests")
    finally:
        is_over.set()
        for thread in threads:
            thread.join()
    assert set(statuses) == {200}


def test_only_a_post_reloads_and_none_that_another_site_s_page_made(start_proxy: StartProxy, a: Upstream) -> None:
    proxy = start_proxy(f'host "*" {{ proxy_pass http://{a.address}; }}')
    assert requests.get(proxy.url + "/_proxy/reload", timeout=10).status_code == 405
    for headers in ({"Origin": "http://evil.example"}, {"Sec-Fetch-Site": "cross-site"}):
        assert reload(proxy, headers=headers).json()["error"]["code"] == "cross_site"
    assert status(proxy)["config"]["version"] == 1
    assert reload(proxy, headers={"Sec-Fetch-Site": "same-origin"}).status_code == 200


def test_last_event_id_resumes_server_sent_events(start_proxy: StartProxy, a: Upstream) -> None:
    proxy = start_proxy(f'host "*" {{ proxy_pass http://{a.address}; }}')
    reload(proxy)
    with requests.get(proxy.url + "/_proxy/events", headers={"Last-Event-ID": "2"}, stream=True, timeout=10) as answer:
        lines = (line for line in answer.iter_lines(1) if line)
        assert [next(lines) for _ in range(3)] == [b"retry: 2000", b"id: 3", b"event: reloaded"]
        assert json.loads(next(lines).removeprefix(b"data: "))["version"] == 2


@pytest.fixture
def watcher(start_proxy: StartProxy, a: Upstream) -> Iterator[tuple[Service, Any]]:
    proxy = start_proxy(f'host "*" {{ proxy_pass http://{a.address}; }}')
    with connect(proxy.url.replace("http", "ws") + "/_proxy/events?after=0", proxy=None) as socket:
        yield proxy, socket


def test_sighup_and_post_are_told_alike_to_those_who_watch(watcher: tuple[Service, Any]) -> None:
    proxy, events = watcher
    assert [json.loads(events.recv(10))["type"] for _ in range(2)] == ["joined", "up"]
    reload(proxy)
    by_post = json.loads(events.recv(10))
    proxy.send_signal(signal.SIGHUP)
    by_signal = json.loads(events.recv(10))
    assert (by_post["type"], by_post["version"]) == ("reloaded", 2)
    assert (by_signal["type"], by_signal["version"]) == ("reloaded", 3)
    assert by_post["changes"] == by_signal["changes"]
    write(proxy, "host")
    reload(proxy)
    refused = json.loads(events.recv(10))
    assert refused["type"] == "reload_refused"
    assert refused["mistakes"][0].startswith(f"{proxy.flag('--config')}:1:")
