"""Checks: what passes, what fails and why, and who is asked."""

import asyncio
from collections.abc import Awaitable, Callable

import pytest

from services.proxy.config_values import HealthCheckConfig, HealthKind, PoolConfig
from services.proxy.dialing import TlsTarget
from services.proxy.health import HealthChecks, Problem, probe
from services.proxy.upstreams import NO_ANNOTATION, Address, Annotation, Member, Pool, State
from tests.services.proxy.upstream_servers import Reply, Talk, Upstream

HTTP = HealthCheckConfig(HealthKind.HTTP, timeout_s=5, path="/up")
TCP = HealthCheckConfig(HealthKind.TCP, timeout_s=5)


def replying(status: str) -> Reply:
    return lambda talk: talk.reply(b"", status)


def ask(upstream: Upstream, check: HealthCheckConfig) -> str | None:
    problem = asyncio.run(probe(Address(upstream.host, upstream.port), check))
    return problem.text if problem is not None else None


@pytest.mark.parametrize("status", ["200 OK", "204 No Content", "302 Found"])
def test_an_expected_status_passes(start_upstream: Callable[..., Upstream], status: str) -> None:
    upstream = start_upstream(replying(status))
    assert ask(upstream, HTTP) is None
    [request] = upstream.requests
    assert (request.method, request.target, request.get("host")) == ("GET", "/up", upstream.address)


def test_a_check_may_name_another_host_and_go_to_another_port(start_upstream: Callable[..., Upstream]) -> None:
    upstream = start_upstream(replying("200 OK"))
    check = HealthCheckConfig(HealthKind.HTTP, timeout_s=5, host="shop.example", port=upstream.port)
    assert asyncio.run(probe(Address(upstream.host, 1), check)) is None
    assert upstream.requests[0].get("host") == "shop.example"


@pytest.mark.parametrize("status", ["503 Service Unavailable", "404 Not Found", "500 No"])
def test_another_status_fails_with_its_number(start_upstream: Callable[..., Upstream], status: str) -> None:
    assert ask(start_upstream(replying(status)), HTTP) == f"the check got status {status[:3]}"


def test_what_is_no_http_fails_an_http_check_and_passes_a_tcp_one(start_upstream: Callable[..., Upstream]) -> None:
    upstream = start_upstream(lambda talk: talk.send("SSH-2.0\r\n\r\n"))
    assert ask(upstream, TCP) is None
    assert "the check failed" in str(ask(upstream, HTTP))


def test_nobody_there_and_nobody_answering_fail(start_upstream: Callable[..., Upstream]) -> None:
    def hang(talk: Talk) -> None:
        talk.wait_end()

    upstream = start_upstream(hang)
    late = HealthCheckConfig(HealthKind.HTTP, timeout_s=0.05)
    assert ask(upstream, late) == "the check got no answer within 0.05 s"
    address = Address(upstream.host, upstream.port)
    silence, refusal = asyncio.run(probe(address, late)), Problem("the check got status 404")
    assert silence is not None
    assert silence.is_silence
    assert asyncio.run(probe(address, TCP)) is None
    upstream.reply = replying("404 Not Found")
    assert asyncio.run(probe(address, HTTP)) == refusal
    upstream.close()
    assert "the check failed: no connection" in str(ask(upstream, TCP))


def run(story: Callable[[], Awaitable[None]]) -> None:
    asyncio.run(asyncio.wait_for(story(), 20))  # type: ignore[arg-type]


class FakeProbe:
    """Passes those it is told to, and counts who is asked."""

    def __init__(self) -> None:
        self.failing: set[Address] = set()
        self.problem = Problem("no")
        self.asked: list[Address] = []

    async def __call__(
        self, address: Address, _: HealthCheckConfig, preface: bytes, tls: TlsTarget | None
    ) -> Problem | None:
        assert (preface, tls) == (b"", None)
        self.asked.append(address)
        return self.problem if address in self.failing else None

    async def asked_again(self, address: Address, times: int = 3) -> None:
        wanted = self.asked.count(address) + times
        async with asyncio.timeout(10):
            while self.asked.count(address) < wanted:
                await asyncio.sleep(0.001)


A, B = Address("10.0.0.1", 80), Address("10.0.0.2", 80)


def make_pool(check: HealthCheckConfig) -> Pool:
    pool = Pool(PoolConfig("p", (), health_check=check), lambda _: None)
    pool.set_members({A: Member(), B: Member()}, 0.0)
    return pool


def state_of(pool: Pool, address: Address) -> State:
    upstream = pool.get(address)
    assert upstream is not None
    return upstream.state


def test_with_active_checks_everyone_is_asked_all_the_time() -> None:
    async def story() -> None:
        fake = FakeProbe()
        pool = make_pool(HealthCheckConfig(HealthKind.HTTP, interval_s=0.001, rise=2, fall=3))
        checks = HealthChecks(fake)
        checks.sync([pool])
        await fake.asked_again(A)
        fake.failing.add(A)
        await fake.asked_again(A, 5)
        assert (state_of(pool, A), state_of(pool, B)) == (State.DOWN, State.UP)
        fake.failing.clear()
        await fake.asked_again(A, 4)
        assert state_of(pool, A) is State.UP
        await checks.stop()

    run(story)


def test_without_only_those_down_are_asked_until_they_are_back() -> None:
    async def story() -> None:
        fake = FakeProbe()
        pool = make_pool(HealthCheckConfig(interval_s=0.001))
        checks = HealthChecks(fake)
        upstream = pool.get(A)
        assert upstream is not None
        fake.failing.add(A)
        pool.note_failure(upstream, 1.0, "refused")
        checks.sync([pool])
        await fake.asked_again(A)
        fake.failing.clear()
        async with asyncio.timeout(10):
            while upstream.state is State.DOWN:
                await asyncio.sleep(0.001)
        count = len(fake.asked)
        await asyncio.sleep(0.02)
        assert len(fake.asked) == count
        assert B not in fake.asked
        await checks.stop()

    run(story)


def test_each_failed_check_of_one_that_is_down_by_its_checks_is_told_but_not_of_one_that_drains() -> None:
    async def story() -> None:
        fake, told = FakeProbe(), []
        fake.failing.update((A, B))
        pool = make_pool(HealthCheckConfig(HealthKind.TCP, interval_s=0.001, fall=3))
        first, second = pool.upstreams
        pool.annotate(second, Annotation(is_draining=True))
        checks = HealthChecks(fake, lambda upstream, problem: told.append((upstream.address, problem, len(fake.asked))))
        checks.sync([pool])
        await fake.asked_again(A, 8)
        await fake.asked_again(B, 8)
        assert (first.state, second.state) == (State.DOWN, State.DOWN)
        assert len(told) >= 3
        assert {entry[:2] for entry in told} == {(A, "no")}
        assert fake.asked[: told[0][2]].count(A) == 3, "the check that took it out is the first that counts"
        pool.annotate(second, NO_ANNOTATION)
        await fake.asked_again(B, 3)
        assert (B, "no") in {entry[:2] for entry in told}
        await checks.stop()

    run(story)


def test_where_only_those_down_are_asked_nothing_is_told() -> None:
    async def story() -> None:
        fake, told = FakeProbe(), []
        fake.failing.add(A)
        pool = make_pool(HealthCheckConfig(interval_s=0.001))
        checks = HealthChecks(fake, lambda upstream, _: told.append(upstream))
        pool.note_failure(pool.upstreams[0], 1.0, "refused")
        checks.sync([pool])
        await fake.asked_again(A, 5)
        assert told == []
        await checks.stop()

    run(story)


def test_one_that_left_is_asked_while_it_has_requests_and_lost_only_when_it_says_nothing() -> None:
    async def story() -> None:
        fake, told = FakeProbe(), []
        pool = make_pool(HealthCheckConfig(HealthKind.TCP, interval_s=0.001, fall=3))
        checks = HealthChecks(fake, lambda upstream, problem: told.append((upstream.address, problem)))
        first = pool.upstreams[0]
        first.in_flight = 1
        checks.sync([pool])
        pool.set_members({B: Member()}, 1.0)
        checks.sync([pool])
        await fake.asked_again(A)
        fake.failing.add(A)
        await fake.asked_again(A, 6)
        assert told == [], "it refuses: it may be ending in order"
        fake.problem = Problem("silence", is_silence=True)
        await fake.asked_again(A, 3)
        assert set(told) == {(A, "silence")}
        assert first.state is State.GONE
        first.in_flight = 0
        pool.forget_gone()
        await fake.asked_again(B, 3)
        count = fake.asked.count(A)
        await fake.asked_again(B, 5)
        assert fake.asked.count(A) == count
        await checks.stop()

    run(story)


def test_those_that_left_are_not_asked_any_more() -> None:
    async def story() -> None:
        fake = FakeProbe()
        pool = make_pool(HealthCheckConfig(HealthKind.TCP, interval_s=0.001))
        checks = HealthChecks(fake)
        checks.sync([pool])
        await fake.asked_again(A)
        pool.set_members({B: Member()}, 1.0)
        checks.sync([pool])
        count = fake.asked.count(A)
        await fake.asked_again(B)
        assert fake.asked.count(A) == count
        await checks.stop()
        count = len(fake.asked)
        await asyncio.sleep(0.02)
        assert len(fake.asked) == count

    run(story)
