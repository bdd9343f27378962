"""A real proxy before several real upstreams: turns, failures, checks, and replicas that come and go."""

import json
import signal
import socket
import threading
import time
from collections import Counter
from collections.abc import Callable
from typing import Any

import pytest
import requests
from websockets.sync.client import connect

from tests.processes import Service, wait_until
from tests.services.proxy.conftest import StartProxy
from tests.services.proxy.upstream_servers import Reply, Talk, Upstream, echo

StartUpstream = Callable[..., Upstream]


def pool_conf(*upstreams: Upstream, more: str = "") -> str:
    servers = "".join(f"server {upstream.address};\n" for upstream in upstreams)
    return f'pool p {{\n{servers}{more}\n}}\nhost "*" {{ proxy_pass http://p; }}\n'


def served_by(proxy: Service, count: int = 1, **kwargs: Any) -> list[str]:
    answers = [requests.get(proxy.url + "/x", timeout=10, **kwargs) for _ in range(count)]
    return [answer.json().get("served_by", f"{answer.status_code}") for answer in answers]


def upstream_state(proxy: Service, upstream: Upstream) -> dict[str, Any]:
    status = requests.get(proxy.url + "/_proxy/status", timeout=10).json()
    found = [each for pool in status["pools"] for each in pool["upstreams"] if each["upstream"] == upstream.address]
    return found[0] if found else {"state": "unknown"}


def is_state(proxy: Service, upstream: Upstream, state: str) -> Callable[[], bool]:
    return lambda: upstream_state(proxy, upstream)["state"] == state


def healthy_or(reply: Reply) -> Reply:
    """/healthz gets 200, everything else this reply."""
    return lambda talk: talk.reply() if talk.request.target == "/healthz" else reply(talk)


@pytest.fixture
def three(start_upstream: StartUpstream) -> list[Upstream]:
    return [start_upstream(name=name) for name in "abc"]


# --- turns -------------------------------------------------------------------------------------------------


def test_each_upstream_in_turn_and_by_weight(start_proxy: StartProxy, three: list[Upstream]) -> None:
    a, b, _ = three
    conf = (
        f"host localhost {{ {''.join(f'proxy_pass http://{each.address};' for each in three)} }}"
        f"pool heavy {{ server {a.address} weight=3; server {b.address}; }}"
        "host heavy.example { proxy_pass http://heavy; }"
    )
    proxy = start_proxy(conf)
    assert served_by(proxy, 6) == list("abcabc")
    assert Counter(served_by(proxy, 8, headers={"Host": "heavy.example"})) == {"a": 6, "b": 2}


def test_least_connection_avoids_the_one_that_is_busy(start_proxy: StartProxy, start_upstream: StartUpstream) -> None:
    release, asked = threading.Event(), threading.Event()

    def held(talk: Talk) -> None:
        if talk.request.target == "/hold":
            asked.set()
            release.wait(10)
        echo(talk)

    a, b = start_upstream(held, name="a"), start_upstream(held, name="b")
    proxy = start_proxy(pool_conf(a, b, more="policy least-connection;"))
    holder = threading.Thread(target=requests.get, args=(proxy.url + "/hold",), kwargs={"timeout": 20})
    holder.start()
    assert asked.wait(10)
    busy = "a" if a.requests else "b"
    assert set(served_by(proxy, 5)) == {"a", "b"} - {busy}
    release.set()
    holder.join()


def test_hosts_are_told_apart_and_an_unknown_one_is_misdirected(start_proxy: StartProxy, three: list[Upstream]) -> None:
    a, b, _ = three
    proxy = start_proxy(
        f"host localhost {{ proxy_pass http://{a.address}; }} host *.example {{ proxy_pass http://{b.address}; }}"
    )
    assert served_by(proxy) == ["a"]
    assert served_by(proxy, headers={"Host": "x.example:99"}) == ["b"]
    answer = requests.get(proxy.url, headers={"Host": "other"}, timeout=10)
    assert (answer.status_code, answer.json()["error"]["code"]) == (421, "misdirected_host")


# --- failures ----------------------------------------------------------------------------------------------


def test_a_refused_connection_is_tried_elsewhere_whatever_the_method_and_found_again_later(
    start_proxy: StartProxy, start_upstream: StartUpstream
) -> None:
    a, b = start_upstream(name="a"), start_upstream(name="b")
    port = a.port
    a.close()
    proxy = start_proxy(pool_conf(a, b))
    assert served_by(proxy, 4) == ["b"] * 4
    for _ in range(4):
        answer = requests.post(proxy.url + "/w", data=iter([b"x" * 100_000, b"y"]), timeout=10)
        assert answer.json()["body"] == "x" * 100_000 + "y"
    state = upstream_state(proxy, a)
    assert (state["state"], state["failed_attempts"]) == ("down", {"connect_failed": 1})
    back = start_upstream(name="back", port=port)
    wait_until(is_state(proxy, back, "up"), why="the upstream to be found again")
    assert set(served_by(proxy, 4)) == {"back", "b"}


def test_the_last_upstream_is_kept_so_that_it_serves_as_soon_as_it_can(
    start_proxy: StartProxy, start_upstream: StartUpstream
) -> None:
    a = start_upstream(name="a")
    port = a.port
    a.close()
    proxy = start_proxy(pool_conf(a, more="health_check interval=1h fall=1;"))
    assert served_by(proxy) == ["502"]
    wait_until(is_state(proxy, a, "down"), why="down")
    start_upstream(name="again", port=port)
    assert served_by(proxy) == ["again"]


def test_an_idempotent_request_survives_an_upstream_that_dies_before_its_reply_and_a_post_is_sent_once(
    start_proxy: StartProxy, start_upstream: StartUpstream
) -> None:
    def die(talk: Talk) -> None:
        talk.reset()

    a, b = start_upstream(die, name="a"), start_upstream(name="b")
    proxy = start_proxy(pool_conf(a, b))
    assert served_by(proxy, 4) == ["b"] * 4
    assert requests.put(proxy.url + "/w", data=b"body", timeout=10).json()["body"] == "body"
    before = len(a.requests) + len(b.requests)
    answers = [requests.post(proxy.url + "/w", data=b"body", timeout=10) for _ in range(4)]
    assert Counter(answer.status_code for answer in answers) == {200: 2, 502: 2}
    assert len(a.requests) + len(b.requests) - before == 4


def test_retries_can_be_switched_off_and_bounded(start_proxy: StartProxy, three: list[Upstream]) -> None:
    for upstream in three:
        upstream.close()
    proxy = start_proxy(pool_conf(*three) + "proxy_next_upstream off;")
    assert served_by(proxy) == ["502"]
    assert "the reply" not in proxy.output
    assert proxy.output.count("an attempt failed") == 1
    bounded = start_proxy(pool_conf(*three) + "proxy_next_upstream_tries 2;")
    assert served_by(bounded) == ["502"]
    assert bounded.output.count("an attempt failed") == 2


def test_a_retry_budget_that_is_used_up_lets_requests_fail(
    start_proxy: StartProxy, start_upstream: StartUpstream
) -> None:
    a, b = start_upstream(lambda talk: talk.reset(), name="a"), start_upstream(name="b")
    proxy = start_proxy(pool_conf(a, b, more="ejection off; proxy_retry_budget 1% min=0;"))
    assert sorted(served_by(proxy, 6)) == ["502"] * 3 + ["b"] * 3
    [pool] = requests.get(proxy.url + "/_proxy/status", timeout=10).json()["pools"]
    assert (pool["retry_budget"], pool["retries"]) == ({"percent": 1, "min_per_s": 0}, 0)
    unbounded = start_proxy(pool_conf(a, b, more="ejection off; proxy_retry_budget off;"))
    assert served_by(unbounded, 6) == ["b"] * 6


def test_a_reply_that_does_not_come_in_time_is_asked_for_elsewhere(
    start_proxy: StartProxy, start_upstream: StartUpstream
) -> None:
    def hang(talk: Talk) -> None:
        talk.wait_end()

    a, b = start_upstream(hang, name="a"), start_upstream(name="b")
    proxy = start_proxy(pool_conf(a, b, more="ejection off;") + "proxy_read_timeout 300ms;")
    assert served_by(proxy, 2) == ["b"] * 2
    answers = [requests.post(proxy.url + "/w", data=b"once", timeout=10).status_code for _ in range(2)]
    assert sorted(answers) == [200, 504]


def test_a_connection_that_was_closed_while_idle_costs_no_request(
    start_proxy: StartProxy, three: list[Upstream]
) -> None:
    proxy = start_proxy(pool_conf(three[0]))
    for _ in range(5):
        assert requests.post(proxy.url + "/w", data=b"one", timeout=10).json()["body"] == "one"
        three[0].close_connections()


def test_a_connection_found_stale_only_when_used_is_replaced(
    start_proxy: StartProxy, start_upstream: StartUpstream
) -> None:
    def second_time_unlucky(talk: Talk) -> None:
        echo(talk) if talk.served == 0 else talk.reset()

    a = start_upstream(second_time_unlucky, name="a")
    proxy = start_proxy(pool_conf(a))
    assert served_by(proxy, 6) == ["a"] * 6
    assert upstream_state(proxy, a)["state"] == "up"


# --- checks ------------------------------------------------------------------------------------------------


def test_an_http_check_takes_one_out_and_brings_it_back(start_proxy: StartProxy, start_upstream: StartUpstream) -> None:
    well = threading.Event()
    well.set()

    def check(talk: Talk) -> None:
        talk.reply(b"", "200 OK" if well.is_set() else "503 Service Unavailable")

    a, b = start_upstream(name="a"), start_upstream(name="b")
    a.by_path["/healthz"] = check
    proxy = start_proxy(pool_conf(a, b, more="health_check path=/healthz interval=50ms rise=2 fall=2;"))
    assert set(served_by(proxy, 4)) == {"a", "b"}
    well.clear()
    wait_until(is_state(proxy, a, "down"), why="a to be taken out")
    assert served_by(proxy, 4) == ["b"] * 4
    assert "status 503" in upstream_state(proxy, a)["last_problem"]
    well.set()
    wait_until(is_state(proxy, a, "up"), why="a to be back")
    assert set(served_by(proxy, 4)) == {"a", "b"}
    checks = [request for request in a.requests if request.target == "/healthz"]
    assert checks[0].get("host") == a.address


def test_a_check_that_hangs_fails(start_proxy: StartProxy, start_upstream: StartUpstream) -> None:
    a, b = start_upstream(lambda talk: talk.wait_end() and None, name="a"), start_upstream(name="b")
    proxy = start_proxy(pool_conf(a, b, more="health_check http interval=50ms timeout=100ms fall=2;"))
    wait_until(is_state(proxy, a, "down"), why="a to be taken out")
    assert served_by(proxy, 3) == ["b"] * 3


# --- reload ------------------------------------------------------------------------------------------------


def test_a_reload_takes_over_at_once_and_keeps_what_it_knows(start_proxy: StartProxy, three: list[Upstream]) -> None:
    a, b, c = three
    proxy = start_proxy(pool_conf(a, b))
    served_by(proxy, 4)
    proxy.config.write_text(pool_conf(a, c))  # type: ignore[attr-defined]
    proxy.send_signal(signal.SIGHUP)
    wait_until(lambda: "configuration read again" in proxy.output, why="the reload")
    assert set(served_by(proxy, 4)) == {"a", "c"}
    assert upstream_state(proxy, a)["requests"] == 4
    assert upstream_state(proxy, b) == {"state": "unknown"}


def test_a_broken_file_changes_nothing_and_says_why(start_proxy: StartProxy, three: list[Upstream]) -> None:
    proxy = start_proxy(pool_conf(three[0]))
    proxy.config.write_text("host x {\n  proxy_pas http://y:1;\n}\n")  # type: ignore[attr-defined]
    proxy.send_signal(signal.SIGHUP)
    wait_until(lambda: ":2:3: there is no directive" in proxy.output, why="the reason")
    assert served_by(proxy) == ["a"]
    events = requests.get(proxy.url + "/_proxy/status", timeout=10).json()["events"]
    assert events[-1]["type"] == "reload_refused"
    metrics = requests.get(proxy.url + "/_proxy/metrics", timeout=10).text
    assert 'weaprous_proxy_reloads_total{result="refused"} 1' in metrics


def test_a_request_under_way_survives_a_reload_that_removes_its_upstream(
    start_proxy: StartProxy, start_upstream: StartUpstream
) -> None:
    release, asked = threading.Event(), threading.Event()

    def held(talk: Talk) -> None:
        asked.set()
        release.wait(10)
        echo(talk)

    a, b = start_upstream(held, name="a"), start_upstream(name="b")
    proxy = start_proxy(pool_conf(a))
    got: list[str] = []
    holder = threading.Thread(target=lambda: got.extend(served_by(proxy)))
    holder.start()
    assert asked.wait(10)
    proxy.config.write_text(pool_conf(b))  # type: ignore[attr-defined]
    proxy.send_signal(signal.SIGHUP)
    wait_until(lambda: "configuration read again" in proxy.output, why="the reload")
    assert served_by(proxy) == ["b"]
    release.set()
    holder.join()
    assert got == ["a"]


# --- replicas that stop ------------------------------------------------------------------------------------


class Load:
    """Clients that ask without pause until told to stop; `failures` are what they should not have got."""

    def __init__(self, url: str, clients: int = 4) -> None:
        self.url, self.count, self.failures = url, 0, []  # type: ignore[var-annotated]
        self._stop = threading.Event()
        self._threads = [threading.Thread(target=self._ask, args=(n,)) for n in range(clients)]

    def _ask(self, number: int) -> None:
        with requests.Session() as session:
            while not self._stop.is_set():
                try:
                    if number % 2:
                        answer = session.post(self.url + "/echo", data=b"body", timeout=20)
                    else:
                        answer = session.get(self.url + "/echo", timeout=20)
                    if answer.status_code != 200:
                        self.failures.append((number, answer.status_code, answer.text))
                except requests.RequestException as error:
                    self.failures.append((number, repr(error)))
                self.count += 1

    def __enter__(self) -> "Load":
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        for thread in self._threads:
            thread.join()


def test_a_rolling_restart_of_real_backends_costs_no_request_not_even_a_post(
    start_proxy: StartProxy, start_service: Any
) -> None:
    backends = [start_service("services.backend", "--access-log", "off", "--drain-s", "4") for _ in range(3)]
    servers = "".join(f"server 127.0.0.1:{backend.port};" for backend in backends)
    proxy = start_proxy(
        f"pool p {{ {servers} health_check path=/healthz interval=200ms rise=1 fall=2; }}"
        'host "*" { proxy_pass http://p; }',
        "--access-log",
        "off",
    )
    with Load(proxy.url) as load:
        for backend in backends:
            enough = load.count + 50
            wait_until(lambda enough=enough: load.count > enough, why="some requests")
            assert backend.stop() == 0
            backend.restart()
            backend.wait_healthy()
    assert load.failures == []
    assert load.count > 200


def test_a_killed_backend_costs_no_idempotent_request(start_proxy: StartProxy, start_service: Any) -> None:
    backends = [start_service("services.backend", "--access-log", "off") for _ in range(2)]
    servers = "".join(f"server 127.0.0.1:{backend.port};" for backend in backends)
    proxy = start_proxy(f'pool p {{ {servers} }} host "*" {{ proxy_pass http://p; }}', "--access-log", "off")
    with Load(proxy.url) as load:
        wait_until(lambda: load.count > 50, why="some requests")
        backends[0].kill()
        seen = load.count
        wait_until(lambda: load.count > seen + 50, why="some more requests")
    assert [failure for failure in load.failures if failure[0] % 2 == 0] == []
    assert len(load.failures) <= 2  # POSTs that were being answered at that moment


# --- the end of the proxy ----------------------------------------------------------------------------------


def test_the_proxy_drains(start_proxy: StartProxy, start_upstream: StartUpstream) -> None:
    release, asked = threading.Event(), threading.Event()

    def held(talk: Talk) -> None:
        if talk.request.target == "/hold":
            asked.set()
            release.wait(10)
        echo(talk)

    proxy = start_proxy(pool_conf(start_upstream(held, name="a")))
    got: list[requests.Response] = []
    holder = threading.Thread(target=lambda: got.append(requests.get(proxy.url + "/hold", timeout=20)))
    holder.start()
    assert asked.wait(10)
    proxy.send_signal(signal.SIGTERM)
    wait_until(lambda: requests.get(proxy.url + "/_proxy/healthz", timeout=5).status_code == 503, why="503")
    answer = requests.get(proxy.url + "/new", timeout=5)
    assert (answer.status_code, answer.headers["Connection"]) == (200, "close")
    release.set()
    holder.join()
    assert got[0].status_code == 200
    assert proxy.wait() == 0


# --- websockets --------------------------------------------------------------------------------------------


def test_a_websocket_is_tunnelled_and_closed_when_the_proxy_drains(start_proxy: StartProxy, start_service: Any) -> None:
    backend = start_service("services.backend")
    proxy = start_proxy(f'host "*" {{ proxy_pass http://127.0.0.1:{backend.port}; proxy_read_timeout 300ms; }}')
    with connect(f"ws://127.0.0.1:{proxy.port}/echo", max_size=None, open_timeout=10) as websocket:
        websocket.send("hello")
        assert websocket.recv(timeout=10) == "hello"
        large = "x" * 3_000_000
        websocket.send(large)
        assert websocket.recv(timeout=10) == large
        time.sleep(0.5)  # longer than the read time-out, which is not for tunnels
        websocket.send(b"still here")
        assert websocket.recv(timeout=10) == b"still here"
        status = requests.get(proxy.url + "/_proxy/status", timeout=10).json()
        assert status["in_flight"] == 1
        proxy.send_signal(signal.SIGHUP)
        wait_until(lambda: "configuration read again" in proxy.output, why="the reload")
        websocket.send("after a reload")
        assert websocket.recv(timeout=10) == "after a reload"
        proxy.send_signal(signal.SIGTERM)
        with pytest.raises(Exception, match="close"):
            websocket.recv(timeout=10)
    assert proxy.wait() == 0
    assert "Traceback" not in proxy.output


def test_a_refused_upgrade_is_an_ordinary_reply(start_proxy: StartProxy, start_upstream: StartUpstream) -> None:
    a = start_upstream(lambda talk: talk.reply(b"no", "403 Forbidden"))
    proxy = start_proxy(pool_conf(a))
    with pytest.raises(Exception, match="403"):
        connect(f"ws://127.0.0.1:{proxy.port}/x", open_timeout=10)
    [request] = a.requests
    assert request.all("connection") == ["Upgrade"]
    assert request.all("upgrade") == ["websocket"]
    assert request.get("sec-websocket-key")


def test_bytes_that_come_with_the_handshake_are_not_lost(
    start_proxy: StartProxy, start_upstream: StartUpstream
) -> None:
    def switch(talk: Talk) -> None:
        talk.send("HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\nearly")
        talk.send(b"got " + talk.read_bytes(5))
        talk.close()

    proxy = start_proxy(pool_conf(start_upstream(switch)))
    with socket.create_connection(("127.0.0.1", proxy.port), timeout=10) as sock:
        sock.sendall(b"GET /x HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\nfirst")
        answer = b"".join(iter(lambda: sock.recv(65536), b""))
    assert answer.startswith(b"HTTP/1.1 101 ")
    assert answer.endswith(b"earlygot first")


def test_an_upstream_s_end_ends_the_client_s_side_too(start_proxy: StartProxy, start_service: Any) -> None:
    backend = start_service("services.backend")
    proxy = start_proxy(f'host "*" {{ proxy_pass http://127.0.0.1:{backend.port}; }}')
    with connect(f"ws://127.0.0.1:{proxy.port}/echo", open_timeout=10) as websocket:
        websocket.send(json.dumps({"a": 1}))
        websocket.recv(timeout=10)
        backend.kill()
        with pytest.raises(Exception, match="close"):
            websocket.recv(timeout=10)
    wait_until(
        lambda: requests.get(proxy.url + "/_proxy/status", timeout=10).json()["in_flight"] == 0, why="nothing in flight"
    )
