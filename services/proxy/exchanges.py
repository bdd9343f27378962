"""The exchanges under way with upstreams: who holds which connection, until when, and given back exactly
once.

Owns time-outs by one sweep over all exchanges, not by a timer for each read, and the count of what is in
flight. What an exchange says is `forward`'s and `tunnel`'s.
"""

import asyncio
import math

from services.proxy.upstreams import Pool, State, Upstream
from shared.httpcore.net.client import ClientConnection, Origin
from shared.httpcore.net.pool import ConnectionPool

SWEEP_S = 0.1
# How long a client may take for one part of a reply. The server cuts clients that read nothing for a minute; this
# only catches what was forgotten.
CLIENT_PATIENCE_S = 600.0


class Exchange:
    """One attempt of one request at one upstream, from the choice to the last byte."""

    __slots__ = (
        "_deadline", "_table", "connection", "has_timed_out", "is_over", "is_replying", "is_sent", "pool", "sender",
        "upstream",
    )  # fmt: skip

    def __init__(self, table: "ExchangeTable", pool: Pool, upstream: Upstream) -> None:
        self._table = table
        self.pool = pool
        self.upstream = upstream
        self.connection: ClientConnection | None = None
        self.sender: asyncio.Task[None] | None = None  # sends the request's body, if there is one
        self.has_timed_out = False
        self.is_over = False
        self.is_sent = False  # the request, its body included
        self.is_replying = False  # the reply's head is there
        self._deadline = math.inf

    def wait_at_most(self, timeout_s: float) -> None:
        """The exchange is cut when this is not called again, and it does not end, within `timeout_s`."""
        self._deadline = self._table.now() + timeout_s
        self._table.watch_deadlines()

    def wait_as_long_as_it_takes(self) -> None:
        """No deadline, until one is set."""
        self._deadline = math.inf

    def expect_progress(self, timeout_s: float | None) -> None:
        """As above, None for no deadline; without effect once the reply has begun, whose deadline counts
        then.
        """
        if self.is_replying:
            return
        if timeout_s is None:
            self.wait_as_long_as_it_takes()
        else:
            self.wait_at_most(timeout_s)

    @property
    def has_deadline(self) -> bool:
        """Whether it will be cut at some time."""
        return self._deadline != math.inf

    def has_expired(self, now: float) -> bool:
        """Whether the deadline has passed."""
        return self._deadline <= now

    def expire(self) -> None:
        """Time is over: whoever waits on the connection gets ConnectionClosed."""
        self.has_timed_out = True
        self.finish(reuse=False)

    def finish(self, *, reuse: bool) -> None:
        """The upstream is free again; the connection is kept when `reuse` and it can be. Safe to call
        again.
        """
        if self.is_over:
            return
        self.is_over = True
        if self.sender is not None and not self.sender.done():
            self.sender.cancel()
            reuse = False
        self._table.end(self, reuse=reuse)


class ExchangeTable:
    """All exchanges under way, and the sweep that ends those that take too long."""

    def __init__(self, connections: ConnectionPool) -> None:
        self.connections = connections
        self._loop = asyncio.get_running_loop()
        self._exchanges: set[Exchange] = set()
        self._sweep_timer: asyncio.TimerHandle | None = None
        self.now = self._loop.time

    def __len__(self) -> int:
        return len(self._exchanges)

    def begin(self, pool: Pool, upstream: Upstream) -> Exchange:
        """A new exchange with this upstream; it ends by `finish`."""
        exchange = Exchange(self, pool, upstream)
        upstream.in_flight += 1
        upstream.requests += 1
        self._exchanges.add(exchange)
        return exchange

    def watch_deadlines(self) -> None:
        """Some exchange has a deadline: the sweep looks after it."""
        if self._sweep_timer is None:
            self._sweep_timer = self._loop.call_later(SWEEP_S, self._sweep)

    def end(self, exchange: Exchange, *, reuse: bool) -> None:
        """Called by `Exchange.finish` alone."""
        self._exchanges.discard(exchange)
        upstream = exchange.upstream
        upstream.in_flight -= 1
        exchange.pool.note_ended(upstream, self.now())
        connection = exchange.connection
        is_gone = upstream.state is State.GONE
        if connection is not None:
            if reuse and not is_gone:
                self.connections.release(connection)
            else:
                connection.close()
        if is_gone:
            exchange.pool.forget_gone()

    def drop_idle(self, upstream: Upstream) -> None:
        """The idle connections to an upstream that is gone are closed."""
        self.connections.drop_origin(Origin(upstream.address.host, upstream.address.port))

    def _sweep(self) -> None:
        self._sweep_timer = None
        now = self._loop.time()
        for exchange in [each for each in self._exchanges if each.has_expired(now)]:
            exchange.expire()
        if any(each.has_deadline for each in self._exchanges):  # tunnels have none, and may stay for days
            self.watch_deadlines()
