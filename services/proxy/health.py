"""Asks upstreams whether they are well: one task for each that is to be asked, on connections of its own.

Owns when and how is asked. What an answer means for the upstream's state is `upstreams`' to say.
"""

import asyncio
import random
import time
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass

from services.proxy.config_values import HealthCheckConfig, HealthKind
from services.proxy.dialing import TlsTarget, tls_target
from services.proxy.upstreams import Address, Pool, State, Upstream
from shared.httpcore.errors import HttpCoreError
from shared.httpcore.net.client import ClientConnection, Origin
from shared.httpcore.net.stream import Stream
from shared.httpcore.proxy_protocol import serialize_proxy_header

JOINER_INTERVAL_S = 0.25  # at most: a replica that has just come is wanted soon
USER_AGENT = "weaprous-proxy health-check"

_CONNECT_SLACK_S = 1.0  # the check's own time is over first, whatever it waits for


@dataclass(frozen=True, slots=True)
class Problem:
    """Why a check failed. `is_silence`: nobody said anything in time, not even to refuse."""

    text: str
    is_silence: bool = False


Probe = Callable[[Address, HealthCheckConfig, bytes, TlsTarget | None], Awaitable[Problem | None]]
OnLost = Callable[[Upstream, str], None]


async def probe(
    address: Address, check: HealthCheckConfig, preface: bytes = b"", tls: TlsTarget | None = None
) -> Problem | None:
    """None when the upstream passes the check, else what was wrong. `preface` is said first, then TLS is agreed on."""
    connect_s = check.timeout_s + _CONNECT_SLACK_S
    try:
        async with asyncio.timeout(check.timeout_s):
            origin = Origin(address.host, check.port or address.port)
            async with await Stream.connect(origin.host, origin.port, connect_s) as stream:
                if preface:
                    await stream.send_all(preface)
                if tls is not None:
                    await stream.begin_tls(tls.context, tls.name)
                if check.kind is not HealthKind.HTTP:
                    return None
                status = await _ask(ClientConnection(stream, origin), check)
    except TimeoutError:
        return Problem(f"the check got no answer within {check.timeout_s:g} s", is_silence=True)
    except (HttpCoreError, OSError) as error:
        return Problem(f"the check failed: {error}")
    return None if check.is_expected(status) else Problem(f"the check got status {status}")


async def _ask(connection: ClientConnection, check: HealthCheckConfig) -> int:
    fields = [("Host", check.host or str(connection.origin)), ("User-Agent", USER_AGENT), ("Connection", "close")]
    await connection.send_request("GET", check.path, fields)
    while (head := await connection.read_head()).status < 200:
        pass
    return head.status


class HealthChecks:
    """Keeps one task for each upstream that is to be asked: all of pools with active checks, those that have left
    as long as they have requests under way; else those down.
    """

    def __init__(self, probe: Probe = probe, on_lost: OnLost | None = None) -> None:
        """`on_lost` hears of each failed check of an upstream that active checks have given up, and why it failed."""
        self._probe = probe
        self._on_lost = on_lost
        self._tasks: dict[Upstream, asyncio.Task[None]] = {}

    def sync(self, pools: Iterable[Pool]) -> None:
        """Tasks are as the upstreams of these pools are now. Called after every change; cheap when there is
        none.
        """
        wanted = {upstream: pool for pool in pools for upstream in pool.upstreams if _is_watched(pool, upstream)}
        for upstream in [upstream for upstream in self._tasks if upstream not in wanted]:
            self._tasks.pop(upstream).cancel()
        for upstream, pool in wanted.items():
            if upstream not in self._tasks or self._tasks[upstream].done():
                self._tasks[upstream] = asyncio.get_running_loop().create_task(self._watch(pool, upstream))

    async def stop(self) -> None:
        """No check is made any more."""
        tasks = list(self._tasks.values())
        self._tasks.clear()
        for task in tasks:
            task.cancel()
        if tasks:
            await asyncio.wait(tasks)

    async def _watch(self, pool: Pool, upstream: Upstream) -> None:
        if pool.health_check.kind is HealthKind.ON_FAILURE:
            await asyncio.sleep(pool.health_check.interval_s)
        while _is_watched(pool, upstream):
            version = pool.config.proxy_protocol
            preface = serialize_proxy_header(version) if version else b""  # the check is nobody's but our own
            problem = await self._probe(upstream.address, pool.health_check, preface, _check_tls(pool, upstream))
            now = time.monotonic()
            if problem is None:
                pool.note_pass(upstream, now)
            else:
                pool.note_failure(upstream, now, problem.text)
                if self._on_lost is not None and _is_lost(pool, upstream, problem):
                    self._on_lost(upstream, problem.text)
            interval_s = pool.health_check.interval_s
            if upstream.state is State.JOINING:
                interval_s = min(interval_s, JOINER_INTERVAL_S)
            await asyncio.sleep(interval_s * random.uniform(0.9, 1.1))


def _check_tls(pool: Pool, upstream: Upstream) -> TlsTarget | None:
    """As requests speak it; but what listens on a port of its own for checks is asked in the clear."""
    return None if pool.health_check.port else tls_target(pool, upstream)


def _is_lost(pool: Pool, upstream: Upstream, problem: Problem) -> bool:
    """Whether requests under way there may as well leave, after a check with this problem.

    Without active checks it is down because connections for requests failed. That says nothing of those it has: a
    server that ends in order listens no more and answers to the end, as does one that drains. Who has left its name
    mostly ends in order, too, and is lost only when nothing at all comes from there.
    """
    check = pool.health_check
    if check.kind is HealthKind.ON_FAILURE or upstream.annotation.is_draining:
        return False
    is_gone = upstream.state is State.GONE and problem.is_silence and upstream.failures >= check.fall
    return is_gone or upstream.state is State.DOWN


def _is_watched(pool: Pool, upstream: Upstream) -> bool:
    is_checked = pool.health_check.kind is not HealthKind.ON_FAILURE
    if upstream.state is State.GONE:
        return is_checked and upstream.in_flight > 0
    return is_checked or upstream.state is State.DOWN
