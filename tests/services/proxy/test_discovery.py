"""Addresses behind names."""

import asyncio
import socket
import threading
from collections.abc import Awaitable, Callable

import pytest

from services.proxy.config_file import parse_config
from services.proxy.config_values import PoolConfig
from services.proxy.discovery import Addresses, Discovery, look_up, members_of
from services.proxy.upstreams import Address, Member


def pool_with(servers: str) -> PoolConfig:
    [pool] = parse_config(f"pool p {{ {servers} }} host * {{ proxy_pass http://p; }}").pools
    return pool


def test_a_resolved_name_is_all_its_addresses_and_another_name_is_one_upstream() -> None:
    pool = pool_with("server backend:8000 resolve weight=2; server other:80;")
    answers = {"backend": ("10.0.0.1", "10.0.0.2")}
    assert members_of(pool, answers) == (
        {
            Address("10.0.0.1", 8000): Member(2, tls_name="backend"),
            Address("10.0.0.2", 8000): Member(2, tls_name="backend"),
            Address("other", 80): Member(tls_name="other"),
        },
        True,
    )
    assert members_of(pool, {}) == ({Address("other", 80): Member(tls_name="other")}, False)


def test_an_address_listed_twice_has_both_weights() -> None:
    pool = pool_with("server backend:80 resolve; server 10.0.0.1:80 weight=3;")
    assert members_of(pool, {"backend": ("10.0.0.1",)})[0] == {Address("10.0.0.1", 80): Member(4, tls_name="10.0.0.1")}


@pytest.mark.parametrize(
    ("found", "expected"),
    [
        (
            [(socket.AF_INET, "10.0.0.2"), (socket.AF_INET6, "::1"), (socket.AF_INET, "10.0.0.1")],
            ("10.0.0.1", "10.0.0.2"),
        ),
        ([(socket.AF_INET6, "::2"), (socket.AF_INET6, "::1"), (socket.AF_INET6, "::2")], ("::1", "::2")),
    ],
)
def test_ipv4_is_preferred_so_that_a_replica_with_both_counts_once(
    monkeypatch: pytest.MonkeyPatch, found: list[tuple[int, str]], expected: Addresses
) -> None:
    entries = [(family, socket.SOCK_STREAM, 6, "", (address, 0)) for family, address in found]
    monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: entries)
    assert look_up("backend") == expected


class FakeResolver:
    """Answers what it is told to, and counts who asks."""

    def __init__(self, **answers: Addresses | None) -> None:
        self.answers = answers
        self.asked: list[str] = []
        self.threads: set[int] = set()

    def __call__(self, name: str) -> Addresses:
        self.asked.append(name)
        self.threads.add(threading.get_ident())
        answer = self.answers.get(name)
        if answer is None:
            raise socket.gaierror(-2, "Name or service not known")
        return answer


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(10):
        while not condition():
            await asyncio.sleep(0.002)


def run(story: Callable[[], Awaitable[None]]) -> None:
    asyncio.run(asyncio.wait_for(story(), 20))  # type: ignore[arg-type]


def test_changes_are_told_and_a_failing_resolver_changes_nothing() -> None:
    async def story() -> None:
        resolver = FakeResolver(backend=("10.0.0.1",))
        told: list[tuple[str, Addresses]] = []
        discovery = Discovery(lambda *change: told.append(change), resolver, interval_s=0.001)
        await discovery.watch(["backend"])
        assert told == [("backend", ("10.0.0.1",))]
        resolver.answers["backend"] = ("10.0.0.1", "10.0.0.2")
        await until(lambda: len(told) == 2)
        resolver.answers["backend"] = None
        count = len(resolver.asked)
        await until(lambda: len(resolver.asked) > count + 3)
        assert discovery.answers == {"backend": ("10.0.0.1", "10.0.0.2")}
        assert len(told) == 2
        discovery.keep_only([])

    run(story)


def test_watching_returns_after_the_first_try_even_when_it_failed() -> None:
    async def story() -> None:
        discovery = Discovery(lambda *_: None, FakeResolver(), interval_s=10)
        await discovery.watch(["nobody"], timeout_s=1000)
        assert discovery.answers == {}
        discovery.keep_only([])

    run(story)


def test_a_slow_name_holds_up_no_other_and_no_start() -> None:
    async def story() -> None:
        release = threading.Event()

        def lookup(name: str) -> Addresses:
            if name == "slow":
                release.wait(10)
            return ("10.0.0.1",)

        told: list[str] = []
        discovery = Discovery(lambda name, _: told.append(name), lookup, interval_s=0.001)
        await discovery.watch(["slow", "quick"], timeout_s=0.05)
        assert told == ["quick"]
        release.set()
        await until(lambda: "slow" in told)
        discovery.keep_only([])

    run(story)


def test_a_name_that_is_not_wanted_any_more_is_forgotten() -> None:
    async def story() -> None:
        resolver = FakeResolver(a=("10.0.0.1",), b=("10.0.0.2",))
        discovery = Discovery(lambda *_: None, resolver, interval_s=0.001)
        await discovery.watch(["a", "b"])
        discovery.keep_only(["b"])
        assert discovery.answers == {"b": ("10.0.0.2",)}
        asked = len([name for name in resolver.asked if name == "a"])
        count = len(resolver.asked)
        await until(lambda: len(resolver.asked) > count + 5)
        assert len([name for name in resolver.asked if name == "a"]) <= asked + 1
        discovery.keep_only([])

    run(story)
