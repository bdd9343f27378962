"""The exchanges under way with upstreams: who is at work where, until when, and freed exactly once.

Owns time-outs, by one sweep over all exchanges instead of a timer for each wait, and the count of what is in flight.
What an exchange says is `attempt`'s; how connections are kept is `connections`'.
"""

import asyncio
import math
import ssl
from collections.abc import Callable
from time import monotonic
from typing import Protocol

from services.proxy.connections import IdleConnections, UpstreamConnection
from services.proxy.dialing import TlsTarget, tls_target
from services.proxy.upstreams import Pool, State, Upstream
from shared.httpcore.limits import DEFAULT_LIMITS, Limits
from shared.httpcore.net.pipes import PipePool
from shared.httpcore.net.tls import make_client_context

SWEEP_S = 0.1


class Exchange(Protocol):
    """One attempt of one request at one upstream, from the choice to the last byte."""

    deadline: float  # `expire` is called after it
    upstream: Upstream

    def expire(self) -> None:
        """It has waited too long."""

    def leave_upstream(self, problem: str) -> None:
        """Checks have given its upstream up: whoever may be elsewhere goes there. Nothing changes for who may not."""


class ExchangeTable:
    """All exchanges under way, and what they share: the idle connections, the pipes, and the sweep."""

    def __init__(self, limits: Limits = DEFAULT_LIMITS, tls: ssl.SSLContext | None = None) -> None:
        """`tls` is for a tracker that speaks it; None means the system's CAs. A pool's own is in its configuration."""
        self._tls = tls
        self.idle = IdleConnections()
        self.pipes = PipePool()
        self.limits = limits  # of the replies' heads
        self._loop = asyncio.get_running_loop()
        self._exchanges: set[Exchange] = set()
        self._sweep_timer: asyncio.TimerHandle | None = None
        self._steps: list[Callable[[], None]] = []

    def __len__(self) -> int:
        return len(self._exchanges)

    def begin(self, exchange: Exchange, upstream: Upstream, *, fresh: bool) -> UpstreamConnection | None:
        """The exchange is at work at this upstream until `end`, on this idle connection, if there is one to be had and
        it is not to be a `fresh` one.
        """
        upstream.in_flight += 1
        upstream.requests += 1
        self._exchanges.add(exchange)
        if self._sweep_timer is None:
            self._sweep_timer = self._loop.call_later(SWEEP_S, self._sweep)
        waiting = self.idle.by_upstream.get(upstream)
        return waiting.pop() if waiting and not fresh else None

    def tls_target(self, pool: Pool, upstream: Upstream) -> TlsTarget | None:
        """How TLS is spoken to this upstream; None: it is not."""
        address = upstream.address
        if not address.is_tls:
            return None
        if (target := tls_target(pool, upstream)) is not None:
            return target
        if self._tls is None:
            self._tls = make_client_context()
        return TlsTarget(self._tls, address.host)

    def soon(self, step: Callable[[], None]) -> None:
        """`step` is called when the other events of this turn of the loop have been seen to.

        What is sent in one go finds the other process still awake: waking it for each request costs more than the rest
        of the sending. And what an upstream has said before it was asked shows until then.
        """
        steps = self._steps
        if not steps:
            self._loop.call_soon(self._run_steps)
        steps.append(step)

    def _run_steps(self) -> None:
        steps, self._steps = self._steps, []
        for step in steps:
            try:
                step()
            except Exception as error:  # the others' steps are not lost
                self._loop.call_exception_handler({"message": f"Exception in {step!r}", "exception": error})

    def end(self, exchange: Exchange, pool: Pool, upstream: Upstream, kept: UpstreamConnection | None) -> None:
        """The upstream is free again; `kept` is a connection that may serve another request."""
        self._exchanges.discard(exchange)
        upstream.in_flight -= 1
        if upstream.state is State.GONE:
            if kept is not None:
                kept.close()
            pool.forget_gone()
        elif kept is not None:
            if pool.config.tls is None or kept.is_agreed_by(pool.config.tls.context):
                self.idle.put(kept)
            else:
                kept.close()  # other certificates count by now
        pool.note_ended(upstream, self.idle.now)  # whoever waits for a place may be at this connection now

    def clear(self, upstream: Upstream, problem: str) -> None:
        """Checks have given this upstream up, for this `problem`: whoever is there may leave, before time is over."""
        for exchange in [each for each in self._exchanges if each.upstream is upstream]:
            if exchange in self._exchanges and exchange.upstream is upstream:
                exchange.leave_upstream(problem)

    def _sweep(self) -> None:
        """One look, ten times a second, at every exchange's deadline; none while nothing is under way or kept."""
        self._sweep_timer = None
        now = monotonic()
        for exchange in [each for each in self._exchanges if each.deadline <= now]:
            if exchange in self._exchanges:
                exchange.deadline = math.inf
                exchange.expire()
        if self.idle.sweep(now) or self._exchanges:
            self._sweep_timer = self._loop.call_later(SWEEP_S, self._sweep)

    def close(self) -> None:
        """Nothing is kept any more."""
        if self._sweep_timer is not None:
            self._sweep_timer.cancel()
            self._sweep_timer = None
        self.idle.close()
        self.pipes.close()
