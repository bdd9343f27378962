"""Requests in the line before a full pool when their time is over: what goes wrong with one is not the others' matter.

In this process, real sockets. Who waits, in which order, is `test_waiting`'s.
"""

import asyncio
import math
import socket
import threading
from collections.abc import Awaitable, Callable, Iterator
from typing import Any

import pytest
import requests

from services.proxy import forward
from services.proxy.retries import Outcome
from shared.httpcore.message import Request, Response
from tests.services.proxy.test_gateway import Bench, FakeNames, bench
from tests.services.proxy.upstream_servers import Talk, Upstream, echo

CONF = """
pool p {{ server {address} max_conns=1; queue 9 timeout={timeout}; }}
host * {{ proxy_pass http://p; }}
"""
Ask = Callable[[str], "asyncio.Future[requests.Response]"]


class Held:
    """An upstream that holds its first request until `go_on` is set."""

    def __init__(self, start_upstream: Callable[..., Upstream]) -> None:
        self.came, self.go_on = threading.Event(), threading.Event()
        self.upstream = start_upstream(self._reply, name="a")

    def _reply(self, talk: Talk) -> None:
        self.came.set()
        self.go_on.wait(30)
        echo(talk)


@pytest.fixture
def held(start_upstream: Callable[..., Upstream]) -> Iterator[Held]:
    made = Held(start_upstream)
    yield made
    made.go_on.set()


def run(held: Held, timeout: str, story: Callable[[Bench, Ask], Awaitable[None]]) -> None:
    """The story of those who come when the upstream has its one request already."""
    problems: list[dict[str, Any]] = []

    async def tell() -> None:
        asyncio.get_running_loop().set_exception_handler(lambda _, context: problems.append(context))
        async with bench(CONF.format(address=held.upstream.address, timeout=timeout), FakeNames()) as proxy:

            def ask(path: str) -> asyncio.Future[requests.Response]:
                return asyncio.ensure_future(asyncio.to_thread(requests.get, proxy.url + path, timeout=20))

            first = ask("/first")
            assert await asyncio.to_thread(held.came.wait, 10)
            await story(proxy, ask)
            held.go_on.set()
            assert (await first).status_code == 200

    asyncio.run(asyncio.wait_for(tell(), 60))
    assert problems == []


def waiting(proxy: Bench) -> int:
    return len(proxy.gateway.pools["p"].queue)


def test_one_whose_time_out_goes_wrong_gets_a_500_and_the_others_are_told_in_time(
    held: Held, monkeypatch: pytest.MonkeyPatch
) -> None:
    make_reply = forward.failure_response

    def fail_for_some(request: Request, outcome: Outcome, *more: Any) -> Response:
        if request.path == "/bad":
            raise RuntimeError("a page that can't be made")
        return make_reply(request, outcome, *more)

    monkeypatch.setattr(forward, "failure_response", fail_for_some)

    async def story(proxy: Bench, ask: Ask) -> None:
        bad = ask("/bad")
        await proxy.until(lambda: waiting(proxy) == 1)
        good = ask("/good")
        assert (await bad).status_code == 500
        assert (await good).json()["error"]["code"] == "queue_timeout"
        assert (await ask("/later")).json()["error"]["code"] == "queue_timeout", "time goes on"

    run(held, "100ms", story)


def test_one_whose_turn_goes_wrong_leaves_the_place_to_the_next(held: Held, monkeypatch: pytest.MonkeyPatch) -> None:
    go_to = forward.Forwarding._go_to

    def fail_for_some(self: forward.Forwarding, *args: Any, **kwargs: Any) -> None:
        if self.request.path == "/bad":
            raise RuntimeError("nobody foresaw this")
        go_to(self, *args, **kwargs)

    monkeypatch.setattr(forward.Forwarding, "_go_to", fail_for_some)

    async def story(proxy: Bench, ask: Ask) -> None:
        bad = ask("/bad")
        await proxy.until(lambda: waiting(proxy) == 1)
        good = ask("/good")
        await proxy.until(lambda: waiting(proxy) == 2)
        held.go_on.set()
        assert (await bad).status_code == 500
        assert (await good).json()["served_by"] == "a"

    run(held, "1h", story)


def test_one_whose_client_has_left_unseen_when_its_time_is_over_harms_nobody(held: Held) -> None:
    async def story(proxy: Bench, ask: Ask) -> None:
        host, _, port = proxy.url.removeprefix("http://").partition(":")
        with socket.create_connection((host, int(port))) as sock:
            sock.sendall(b"GET /gone HTTP/1.1\r\nHost: a\r\n\r\n")
            await proxy.until(lambda: waiting(proxy) == 1)
            other = ask("/there")
            await proxy.until(lambda: waiting(proxy) == 2)
        proxy.gateway.pools["p"].tick(math.inf)  # in the same turn of the loop: nobody has seen the end yet
        assert (await other).json()["error"]["code"] == "queue_timeout"
        await proxy.until(lambda: waiting(proxy) == 0 and len(proxy.exchanges) == 1)

    run(held, "1h", story)
