"""A configuration in force: replicas that come and go behind a name, health, reload. In this process, real sockets."""

import asyncio
import socket
import threading
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

import pytest
import requests

from services.proxy import discovery
from services.proxy.config_file import parse_config
from services.proxy.discovery import Addresses
from services.proxy.exchanges import ExchangeTable
from services.proxy.forward import Forwarder
from services.proxy.gateway import Gateway
from services.proxy.handlers import SiteHandler
from services.proxy.intake import Intake
from services.proxy.pool_events import PoolEvent
from services.proxy.proxy_metrics import ProxyMetrics
from services.proxy.upstreams import Address, Annotation, State
from shared.httpcore.message import Request
from shared.httpcore.net.server import Server, bind_listener
from shared.httpcore.routing import Router
from shared.runtime.metrics import MetricsRegistry
from tests.services.proxy.upstream_servers import Talk, Upstream, echo

CHECKED = """
pool p {{ server backend:{port} resolve; health_check path=/healthz interval=50ms rise=1 fall=2; }}
host * {{ proxy_pass http://p; }}
"""
PLAIN = "pool p {{ server backend:{port} resolve; }} host * {{ proxy_pass http://p; }}"


class FakeNames:
    """A resolver that answers what it is told to."""

    def __init__(self, *addresses: str) -> None:
        self.addresses: Addresses | None = addresses

    def __call__(self, _: str) -> Addresses:
        if not self.addresses:
            raise socket.gaierror(-2, "Name or service not known")
        return tuple(sorted(self.addresses))


class Bench:
    """A gateway with a server in front, and ways to ask it."""

    def __init__(self, names: FakeNames) -> None:
        self.names = names
        self.events: list[str] = []
        self.exchanges = ExchangeTable()
        self.gateway = Gateway(self.exchanges, self._tell, names)
        metrics = ProxyMetrics(MetricsRegistry(), lambda: self.gateway.pools.values())
        router = Router()
        self.intake = Intake()
        SiteHandler(self.gateway, Forwarder(self.exchanges, metrics), self.intake).add_to(router)
        self.server = Server(router)
        listener = bind_listener("127.0.0.1", 0)
        self.url = f"http://127.0.0.1:{listener.getsockname()[1]}"
        self.server.start([listener])

    def _tell(self, event: PoolEvent) -> None:
        self.events.append(f"{event.kind} {event.upstream.address.host}")

    async def served_by(self, count: int = 4) -> list[str]:
        def ask() -> list[str]:
            answers = [requests.get(self.url, timeout=10) for _ in range(count)]
            return [answer.json().get("served_by", str(answer.status_code)) for answer in answers]

        return await asyncio.to_thread(ask)

    async def until(self, condition: Callable[[], bool]) -> None:
        async with asyncio.timeout(10):
            while not condition():
                await asyncio.sleep(0.005)


@asynccontextmanager
async def bench(text: str, names: FakeNames) -> AsyncIterator[Bench]:
    made = Bench(names)
    await made.gateway.apply(parse_config(text))
    try:
        yield made
    finally:
        await made.gateway.close()
        made.server.close_listeners()
        await made.server.wait_closed(0.1)
        made.exchanges.close()


def run(story: Callable[[], Awaitable[None]], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(discovery, "LOOKUP_INTERVAL_S", 0.01)
    asyncio.run(asyncio.wait_for(story(), 30))  # type: ignore[arg-type]


@pytest.fixture
def replicas(start_upstream: Callable[..., Upstream]) -> list[Upstream]:
    """Three on one port, on three loopback addresses."""
    first = start_upstream(name="1")
    try:
        return [first, *(start_upstream(name=str(n), host=f"127.0.0.{n}", port=first.port) for n in (2, 3))]
    except OSError:
        pytest.skip("this system has one loopback address only")


def test_replicas_that_come_are_used_once_they_pass_a_check_and_those_that_go_are_not(
    replicas: list[Upstream], monkeypatch: pytest.MonkeyPatch
) -> None:
    ready = threading.Event()
    replicas[1].by_path["/healthz"] = lambda talk: talk.reply(status="200 OK" if ready.is_set() else "503 Not Yet")

    async def story() -> None:
        names = FakeNames("127.0.0.1")
        async with bench(CHECKED.format(port=replicas[0].port), names) as proxy:
            assert set(await proxy.served_by()) == {"1"}
            names.addresses = ("127.0.0.1", "127.0.0.2", "127.0.0.3")
            await proxy.until(lambda: "up 127.0.0.3" in proxy.events)
            assert set(await proxy.served_by(6)) == {"1", "3"}
            ready.set()
            await proxy.until(lambda: "up 127.0.0.2" in proxy.events)
            assert set(await proxy.served_by(6)) == {"1", "2", "3"}
            names.addresses = ("127.0.0.2",)
            await proxy.until(lambda: "left 127.0.0.3" in proxy.events)
            assert set(await proxy.served_by()) == {"2"}

    run(story, monkeypatch)


def test_a_resolver_that_fails_loses_nothing(replicas: list[Upstream], monkeypatch: pytest.MonkeyPatch) -> None:
    async def story() -> None:
        names = FakeNames("127.0.0.1", "127.0.0.2")
        async with bench(PLAIN.format(port=replicas[0].port), names) as proxy:
            names.addresses = None
            await asyncio.sleep(0.05)
            assert set(await proxy.served_by()) == {"1", "2"}

    run(story, monkeypatch)


def test_a_name_that_is_known_later_serves_without_a_check(
    replicas: list[Upstream], monkeypatch: pytest.MonkeyPatch
) -> None:
    async def story() -> None:
        names = FakeNames()
        async with bench(CHECKED.format(port=replicas[0].port), names) as proxy:
            answer = await asyncio.to_thread(requests.get, proxy.url)
            assert (answer.status_code, answer.json()["error"]["code"]) == (503, "no_upstream")
            assert answer.headers["Retry-After"] == "1"
            names.addresses = ("127.0.0.1",)
            await proxy.until(lambda: "joined 127.0.0.1" in proxy.events)
            assert proxy.events == ["joined 127.0.0.1", "up 127.0.0.1"]
            assert set(await proxy.served_by()) == {"1"}

    run(story, monkeypatch)


def test_a_request_at_a_replica_that_left_ends_there_and_its_connection_is_not_kept(
    replicas: list[Upstream], monkeypatch: pytest.MonkeyPatch
) -> None:
    asked, release, ended = threading.Event(), threading.Event(), threading.Event()

    def held(talk: Talk) -> None:
        asked.set()
        release.wait(10)
        echo(talk)
        if talk.wait_end():
            ended.set()

    replicas[0].reply = held

    async def story() -> None:
        names = FakeNames("127.0.0.1")
        async with bench(PLAIN.format(port=replicas[0].port), names) as proxy:
            answer = asyncio.ensure_future(proxy.served_by(1))
            await asyncio.to_thread(asked.wait, 10)
            names.addresses = ("127.0.0.2",)
            await proxy.until(lambda: "left 127.0.0.1" in proxy.events)
            pool = proxy.gateway.pools["p"]
            assert pool.get(Address("127.0.0.1", replicas[0].port)) is not None
            assert set(await proxy.served_by()) == {"2"}
            release.set()
            assert await answer == ["1"]
            assert await asyncio.to_thread(ended.wait, 10)
            assert pool.get(Address("127.0.0.1", replicas[0].port)) is None

    run(story, monkeypatch)


def test_idle_connections_to_a_replica_that_left_are_closed(
    replicas: list[Upstream], monkeypatch: pytest.MonkeyPatch
) -> None:
    ended = threading.Event()

    def reply(talk: Talk) -> None:
        echo(talk)
        if talk.wait_end():
            ended.set()

    replicas[0].reply = reply

    async def story() -> None:
        names = FakeNames("127.0.0.1")
        async with bench(PLAIN.format(port=replicas[0].port), names) as proxy:
            assert await proxy.served_by(1) == ["1"]
            names.addresses = ("127.0.0.2",)
            assert await asyncio.to_thread(ended.wait, 10)

    run(story, monkeypatch)


def test_annotations_hold_for_those_that_come_later_too(
    replicas: list[Upstream], monkeypatch: pytest.MonkeyPatch
) -> None:
    async def story() -> None:
        port = replicas[0].port
        names = FakeNames("127.0.0.1")
        async with bench(PLAIN.format(port=port), names) as proxy:
            proxy.gateway.annotate({Address("127.0.0.2", port): Annotation(is_draining=True)})
            names.addresses = ("127.0.0.1", "127.0.0.2")
            await proxy.until(lambda: "draining 127.0.0.2" in proxy.events)
            assert set(await proxy.served_by()) == {"1"}
            proxy.gateway.annotate({})
            assert set(await proxy.served_by()) == {"1", "2"}

    run(story, monkeypatch)


def test_a_new_configuration_looks_its_names_up_before_it_takes_over(
    replicas: list[Upstream], monkeypatch: pytest.MonkeyPatch
) -> None:
    async def story() -> None:
        port = replicas[0].port
        async with bench(f"host * {{ proxy_pass http://127.0.0.2:{port}; }}", FakeNames("127.0.0.1")) as proxy:
            assert set(await proxy.served_by()) == {"2"}
            await proxy.gateway.apply(parse_config(CHECKED.format(port=port)))
            assert set(await proxy.served_by()) == {"1"}
            assert proxy.events[-1] == "up 127.0.0.1"

    run(story, monkeypatch)


def test_checks_follow_the_configuration(replicas: list[Upstream], monkeypatch: pytest.MonkeyPatch) -> None:
    async def story() -> None:
        port = replicas[0].port
        async with bench(PLAIN.format(port=port), FakeNames("127.0.0.1")) as proxy:
            await proxy.gateway.apply(parse_config(CHECKED.format(port=port)))
            await proxy.until(lambda: any(request.target == "/healthz" for request in replicas[0].requests))
            await proxy.gateway.apply(parse_config(PLAIN.format(port=port)))
            await asyncio.sleep(0.1)
            count = len(replicas[0].requests)
            await asyncio.sleep(0.2)
            assert len(replicas[0].requests) == count

    run(story, monkeypatch)


def test_a_reload_keeps_who_is_ejected_and_whom_a_cookie_binds_to(
    replicas: list[Upstream], monkeypatch: pytest.MonkeyPatch
) -> None:
    text = PLAIN.replace("resolve;", "resolve; sticky cookie route; {more}")

    async def story() -> None:
        port = replicas[0].port
        names = FakeNames("127.0.0.1", "127.0.0.2")
        async with bench(text.format(port=port, more="ejection fails=1 time=1h;"), names) as proxy:
            pool = proxy.gateway.pools["p"]
            first, second = pool.upstreams
            pool.note_broken(first, 0.0, "cut")
            assert first.state is State.EJECTED
            request = Request("GET", "/")
            cookie = pool.sticky_cookie(request, second)
            await proxy.gateway.apply(parse_config(text.format(port=port, more="slow_start 5s;")))
            assert proxy.gateway.pools["p"] is pool
            assert (first.state, pool.candidates()) == (State.EJECTED, (second,))
            assert cookie is not None
            assert pool.sticky_cookie(request, second) == cookie

    run(story, monkeypatch)


def test_whoever_waits_for_a_pool_that_is_no_more_is_told(
    replicas: list[Upstream], monkeypatch: pytest.MonkeyPatch
) -> None:
    text = "pool p {{ server 127.0.0.1:{port} max_conns=1; queue 1; }} host * {{ proxy_pass http://p; }}"

    async def story() -> None:
        async with bench(text.format(port=replicas[0].port), FakeNames()) as proxy:
            told: list[str] = []
            ticket = proxy.gateway.pools["p"].queue.join(0.0)
            assert ticket is not None
            ticket.on_place = lambda: told.append("place")
            ticket.on_timeout = lambda: told.append("timeout")
            await proxy.gateway.apply(parse_config("host * { return 204; }"))
            assert told == ["timeout"]

    run(story, monkeypatch)
