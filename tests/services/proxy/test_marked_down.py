"""Requests under way at an upstream that its checks find down: who moves on at once, and who goes on waiting.

The read time-out is an hour: whoever gets a reply here did not wait for it.
"""

import asyncio
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack

import pytest
import requests

from tests.processes import Service, wait_until
from tests.services.proxy.conftest import StartProxy
from tests.services.proxy.test_balancing import is_state, upstream_state
from tests.services.proxy.test_gateway import FakeNames, bench, run
from tests.services.proxy.upstream_servers import Received, Reply, Talk, Upstream, echo

StartUpstream = Callable[..., Upstream]
CHECK = "health_check http path=/healthz interval=50ms timeout=200ms rise=1 fall=2;"
PATIENT = "proxy_read_timeout 1h; proxy_connect_timeout 1h;"


class Hanging:
    """Answers its checks until it `hangs`; requests come to it, and get this reply when `go_on` is set."""

    def __init__(self, reply: Reply = echo) -> None:
        self.came = threading.Semaphore(0)
        self.hangs, self.go_on = threading.Event(), threading.Event()
        self._reply = reply

    def __call__(self, talk: Talk) -> None:
        if talk.request.target == "/healthz":
            talk.wait_end() if self.hangs.is_set() else talk.reply()
            return
        self.came.release()
        self.go_on.wait(60)
        self._reply(talk)

    def hang(self) -> None:
        """From when a request has come."""
        assert self.came.acquire(timeout=20)
        self.hangs.set()


class Asker:
    """One request in a thread of its own."""

    def __init__(self, proxy: Service, method: str, body: bytes | None = None) -> None:
        self._got: list[requests.Response] = []
        self._thread = threading.Thread(target=self._ask, args=(method, proxy.url + "/x", body), daemon=True)
        self._thread.start()

    def _ask(self, method: str, url: str, body: bytes | None) -> None:
        self._got.append(requests.request(method, url, data=body, timeout=100))

    @property
    def waits(self) -> bool:
        return not self._got

    def reply(self) -> requests.Response:
        self._thread.join(90)
        return self._got[0]


def conf(a: str, *others: Upstream, more: str = CHECK) -> str:
    """All goes to `a` as long as it is well."""
    servers = "".join(f"server {each.address} backup; " for each in others)
    return f'{PATIENT} pool p {{ server {a}; {servers} {more} }} host "*" {{ proxy_pass http://p; }}'


def asked(upstream: Upstream) -> list[Received]:
    return [request for request in upstream.requests if request.target != "/healthz"]


@pytest.fixture
def other(start_upstream: StartUpstream) -> Upstream:
    return start_upstream(name="b")


@pytest.mark.parametrize(("method", "body"), [("GET", None), ("PUT", b"body"), ("DELETE", None)])
def test_a_request_that_may_be_sent_again_moves_on_as_soon_as_its_upstream_is_marked_down(
    start_proxy: StartProxy, start_upstream: StartUpstream, other: Upstream, method: str, body: bytes | None
) -> None:
    hanging = Hanging()
    a = start_upstream(hanging, name="a")
    proxy = start_proxy(conf(a.address, other))
    asker = Asker(proxy, method, body)
    hanging.hang()
    answer = asker.reply()
    assert (answer.status_code, answer.json()["served_by"]) == (200, "b")
    assert answer.json()["body"] == (body or b"").decode()
    state = upstream_state(proxy, a)
    assert (state["state"], state["in_flight"]) == ("down", 0)
    assert state["failed_attempts"] == {"upstream_down": 1}
    assert "marked down: the check got no answer within 0.2 s" in proxy.output


def begun(talk: Talk) -> None:
    """What is left of the head that `half` has begun."""
    talk.send("ngth: 4\r\n\r\nmine")


def half(talk: Talk) -> None:
    if talk.request.target != "/healthz":
        talk.send("HTTP/1.1 200 OK\r\nContent-Le")


@pytest.mark.parametrize(("method", "is_begun"), [("POST", False), ("GET", True)])
def test_one_that_may_not_goes_on_waiting_and_is_sent_once(
    start_proxy: StartProxy, start_upstream: StartUpstream, other: Upstream, method: str, is_begun: bool
) -> None:
    hanging = Hanging(begun if is_begun else lambda talk: talk.reply(b"mine"))

    def serve(talk: Talk) -> None:
        if is_begun:
            half(talk)
        hanging(talk)

    a = start_upstream(serve, name="a")
    proxy = start_proxy(conf(a.address, other))
    asker = Asker(proxy, method, b"once" if method == "POST" else None)
    hanging.hang()
    wait_until(is_state(proxy, a, "down"), why="a to be marked down")
    checks = len(a.requests)
    wait_until(lambda: len(a.requests) > checks + 2, why="some more checks that fail")
    assert asker.waits
    hanging.go_on.set()
    assert asker.reply().text == "mine"
    assert (len(asked(a)), asked(other)) == (1, [])


@pytest.fixture
def deaf() -> Iterator[str]:
    """The address of one that takes no connection, and refuses none."""
    with ExitStack() as stack:
        listener = stack.enter_context(socket.create_server(("127.0.0.1", 0), backlog=0))
        for _ in range(3):
            sock = stack.enter_context(socket.socket())
            sock.setblocking(False)
            sock.connect_ex(listener.getsockname())
        yield f"127.0.0.1:{listener.getsockname()[1]}"


def test_where_no_connection_came_about_yet_any_request_moves_on(
    start_proxy: StartProxy, deaf: str, other: Upstream
) -> None:
    check = "health_check tcp interval=50ms timeout=50ms fall=40;"  # by then the request is there
    proxy = start_proxy(conf(deaf, other, more=check))
    answer = Asker(proxy, "POST", b"once").reply()
    assert (answer.json()["served_by"], answer.json()["body"]) == ("b", "once")
    status = requests.get(proxy.url + "/_proxy/status", timeout=10).json()
    assert status["pools"][0]["upstreams"][0]["failed_attempts"] == {"upstream_down": 1}


@pytest.mark.parametrize("words", ["alone", "proxy_next_upstream off;", "proxy_next_upstream_tries 1;"])
def test_without_another_that_is_well_or_where_retries_are_off_it_goes_on_waiting(
    start_proxy: StartProxy, start_upstream: StartUpstream, other: Upstream, words: str
) -> None:
    hanging = Hanging()
    a = start_upstream(hanging, name="a")
    others, more = ((), "") if words == "alone" else ((other,), words)
    proxy = start_proxy(conf(a.address, *others) + more)
    asker = Asker(proxy, "GET")
    hanging.hang()
    wait_until(is_state(proxy, a, "down"), why="a to be marked down")
    checks = len(a.requests)
    wait_until(lambda: len(a.requests) > checks + 2, why="some more checks that fail")
    assert asker.waits
    hanging.go_on.set()
    assert asker.reply().json()["served_by"] == "a"
    assert len(asked(a)) == 1


def test_one_for_whom_there_is_no_room_elsewhere_moves_on_once_there_is(
    start_proxy: StartProxy, start_upstream: StartUpstream
) -> None:
    hanging, busy = Hanging(), Hanging()
    a, b = start_upstream(hanging, name="a"), start_upstream(busy, name="b")
    text = f"{PATIENT} pool p {{ server {a.address} max_conns=1; server {b.address} max_conns=1 backup; {CHECK} }}"
    proxy = start_proxy(f'{text} host "*" {{ proxy_pass http://p; }}')
    first = Asker(proxy, "GET")
    assert hanging.came.acquire(timeout=20)
    second = Asker(proxy, "POST")
    assert busy.came.acquire(timeout=20)
    hanging.hangs.set()
    wait_until(is_state(proxy, a, "down"), why="a to be marked down")
    assert first.waits
    busy.go_on.set()
    assert second.reply().json()["served_by"] == "b"
    assert first.reply().json()["served_by"] == "b"


# --- who has left its name -----------------------------------------------------------------------------------


@pytest.mark.parametrize("is_silent", [True, False])
def test_at_one_that_has_left_its_name_only_silence_moves_a_request(
    start_upstream: StartUpstream, monkeypatch: pytest.MonkeyPatch, is_silent: bool
) -> None:
    hanging = Hanging()
    leaving = start_upstream(hanging, name="leaving")
    try:
        staying = start_upstream(name="staying", host="127.0.0.2", port=leaving.port)
    except OSError:
        pytest.skip("this system has one loopback address only")
    text = f"{PATIENT} pool p {{ server app:{leaving.port} resolve; {CHECK} }} host * {{ proxy_pass http://p; }}"

    async def story() -> None:
        names = FakeNames("127.0.0.1")
        async with bench(text, names) as proxy:
            answer = asyncio.ensure_future(asyncio.to_thread(requests.get, proxy.url, timeout=60))
            assert await asyncio.to_thread(hanging.came.acquire, timeout=20)
            names.addresses = ("127.0.0.2",)
            await proxy.until(lambda: "left 127.0.0.1" in proxy.events and "up 127.0.0.2" in proxy.events)
            if is_silent:
                hanging.hangs.set()
                assert (await answer).json()["served_by"] == "staying"
            else:
                checks = len(leaving.requests)
                await proxy.until(lambda: len(leaving.requests) > checks + 4)
                assert not answer.done()
                hanging.go_on.set()
                assert (await answer).json()["served_by"] == "leaving"
                assert asked(staying) == []
            hanging.go_on.set()

    run(story, monkeypatch)
