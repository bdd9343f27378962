"""Exchanges under way: who is counted, who is freed, when a deadline counts, and what comes after the turn's events."""

import asyncio
import socket
from collections.abc import Awaitable, Callable
from time import monotonic
from typing import Any

from services.proxy.config_values import PoolConfig
from services.proxy.connections import UpstreamConnection
from services.proxy.exchanges import ExchangeTable
from services.proxy.upstreams import Address, Member, Pool, Upstream

A, B = Address("10.0.0.1", 80), Address("10.0.0.2", 80)


class Waiting:
    """An exchange that counts how often it was told that it has waited too long."""

    def __init__(self, deadline: float) -> None:
        self.deadline = deadline
        self.expired = 0
        self.upstream: Upstream
        self.problems: list[str] = []

    def expire(self) -> None:
        self.expired += 1

    def leave_upstream(self, problem: str) -> None:
        self.problems.append(problem)


class Place:
    """A table, and one pool with one upstream."""

    def __init__(self) -> None:
        self.table = ExchangeTable()
        self.pool = Pool(PoolConfig("app", ()), lambda _: None)
        self.pool.set_members({A: Member()}, 0.0)
        [self.upstream] = self.pool.upstreams
        self.far_ends: list[socket.socket] = []

    def connection(self, upstream: Upstream | None = None) -> UpstreamConnection:
        ours, far = socket.socketpair()
        ours.setblocking(False)
        self.far_ends.append(far)
        return UpstreamConnection(self.table.idle, ours, upstream or self.upstream)

    def close(self) -> None:
        self.table.close()
        for far in self.far_ends:
            far.close()


def run(story: Callable[[Place], Awaitable[None]]) -> None:
    async def tell() -> None:
        place = Place()
        try:
            await story(place)
        finally:
            place.close()

    asyncio.run(tell())


async def until(condition: Callable[[], object]) -> None:
    async with asyncio.timeout(10):
        while not condition():
            await asyncio.sleep(0.001)


def test_an_upstream_is_busy_from_the_beginning_to_the_end_of_an_exchange() -> None:
    async def story(place: Place) -> None:
        exchange = Waiting(monotonic() + 60)
        assert place.table.begin(exchange, place.upstream, fresh=False) is None
        assert (len(place.table), place.upstream.in_flight, place.upstream.requests) == (1, 1, 1)
        place.table.end(exchange, place.pool, place.upstream, None)
        assert (len(place.table), place.upstream.in_flight, place.upstream.requests) == (0, 0, 1)

    run(story)


def test_the_connection_that_was_used_last_is_used_next_unless_a_fresh_one_is_wanted() -> None:
    async def story(place: Place) -> None:
        first, second = place.connection(), place.connection()
        for connection in (first, second):
            exchange = Waiting(monotonic() + 60)
            place.table.begin(exchange, place.upstream, fresh=True)
            place.table.end(exchange, place.pool, place.upstream, connection)
        assert place.table.begin(Waiting(monotonic() + 60), place.upstream, fresh=True) is None
        assert place.table.begin(Waiting(monotonic() + 60), place.upstream, fresh=False) is second
        assert place.table.begin(Waiting(monotonic() + 60), place.upstream, fresh=False) is first
        assert place.table.begin(Waiting(monotonic() + 60), place.upstream, fresh=False) is None

    run(story)


def test_the_connection_to_an_upstream_that_has_left_is_not_kept_and_the_upstream_is_forgotten() -> None:
    async def story(place: Place) -> None:
        connection, exchange = place.connection(), Waiting(monotonic() + 60)
        place.table.begin(exchange, place.upstream, fresh=False)
        place.pool.set_members({}, 1.0)
        assert place.pool.upstreams == (place.upstream,), "it has a request under way"
        place.table.end(exchange, place.pool, place.upstream, connection)
        assert connection.is_closed
        assert place.pool.upstreams == ()

    run(story)


def test_who_has_waited_too_long_is_told_once_and_nobody_else_is() -> None:
    async def story(place: Place) -> None:
        late, patient = Waiting(monotonic()), Waiting(monotonic() + 60)
        for exchange in (late, patient):
            place.table.begin(exchange, place.upstream, fresh=False)
        await until(lambda: late.expired)
        again = Waiting(monotonic())
        place.table.begin(again, place.upstream, fresh=False)
        await until(lambda: again.expired)  # a later sweep
        assert (late.expired, patient.expired) == (1, 0)

    run(story)


def test_one_that_ends_another_in_the_same_sweep_spares_it_the_news() -> None:
    async def story(place: Place) -> None:
        class Ending(Waiting):
            def expire(self) -> None:
                super().expire()
                for each in (first, second):
                    if each is not self:
                        place.table.end(each, place.pool, place.upstream, None)

        first, second = Ending(monotonic()), Ending(monotonic())
        for exchange in (first, second):
            place.table.begin(exchange, place.upstream, fresh=False)
        await until(lambda: first.expired + second.expired)
        assert first.expired + second.expired == 1

    run(story)


def test_all_who_are_at_an_upstream_that_is_down_are_told_and_nobody_else_is() -> None:
    async def story(place: Place) -> None:
        place.pool.set_members({A: Member(), B: Member()}, 1.0)
        _, other = place.pool.upstreams
        here, there, leaving = (Waiting(monotonic() + 60) for _ in range(3))
        for exchange, upstream in ((leaving, place.upstream), (here, place.upstream), (there, other)):
            exchange.upstream = upstream
            place.table.begin(exchange, upstream, fresh=False)
        place.table.end(leaving, place.pool, place.upstream, None)
        place.table.clear(place.upstream, "no answer")
        assert (here.problems, there.problems, leaving.problems) == (["no answer"], [], [])

    run(story)


def test_one_that_takes_another_with_it_spares_it_the_news() -> None:
    async def story(place: Place) -> None:
        class Leaving(Waiting):
            def leave_upstream(self, problem: str) -> None:
                super().leave_upstream(problem)
                for each in (first, second):
                    if each is not self:
                        place.table.end(each, place.pool, place.upstream, None)

        first, second = Leaving(monotonic() + 60), Leaving(monotonic() + 60)
        for exchange in (first, second):
            exchange.upstream = place.upstream
            place.table.begin(exchange, place.upstream, fresh=False)
        place.table.clear(place.upstream, "no answer")
        assert len(first.problems + second.problems) == 1

    run(story)


def test_steps_come_after_the_events_of_the_turn_in_their_order() -> None:
    async def story(place: Place) -> None:
        done: list[str] = []
        asyncio.get_running_loop().call_soon(done.append, "an event")
        place.table.soon(lambda: done.append("first"))
        place.table.soon(lambda: done.append("second"))
        assert done == []
        await until(lambda: len(done) == 3)
        assert done == ["an event", "first", "second"]

    run(story)


def test_a_step_that_fails_takes_no_other_with_it() -> None:
    async def story(place: Place) -> None:
        told: list[dict[str, Any]] = []
        asyncio.get_running_loop().set_exception_handler(lambda _, context: told.append(context))
        done: list[str] = []

        def fail() -> None:
            raise LookupError("no")

        place.table.soon(fail)
        place.table.soon(lambda: done.append("the other"))
        await until(lambda: done)
        [context] = told
        assert isinstance(context["exception"], LookupError)

    run(story)


def test_what_is_kept_is_closed_with_the_table() -> None:
    async def story(place: Place) -> None:
        connection = place.connection()
        place.table.idle.put(connection)
        place.table.close()
        assert connection.is_closed
        assert place.far_ends[0].recv(1) == b""

    run(story)
