"""The steps of the end, with servers that only remember what they were told."""

import asyncio
import logging

import pytest

from shared.runtime.drain import drain_servers, end_tasks, notice_s, reserve_s, run_in_reverse


class FakeServer:
    """A server with connections that never end."""

    def __init__(self, told, open_connections=0):
        self.told = told
        self.open_connections = open_connections

    def begin_drain(self, *, closes_idle=True):
        self.told.append("begin_drain" if closes_idle else "begin_drain but for idle connections")

    def close_listeners(self):
        self.told.append("close_listeners")

    async def wait_closed(self, timeout_s):
        self.told.append("wait_closed")
        return self.open_connections


@pytest.mark.parametrize(("drain_s", "notice", "reserve"), [(10, 2, 1), (3, 1.5, 0.6), (0, 0, 0), (3600, 2, 1)])
def test_the_steps_fit_into_the_time(drain_s, notice, reserve):
    assert notice_s(drain_s) == notice
    assert reserve_s(drain_s) == pytest.approx(reserve)


def test_servers_drain_before_their_listeners_close_and_callbacks_run_meanwhile():
    told = []

    async def tell():
        told.append("callback")

    async def fail():
        raise RuntimeError

    asyncio.run(drain_servers([FakeServer(told)], [fail, tell], drain_s=0))
    begun = ["begin_drain but for idle connections", "callback", "begin_drain"]  # once those who ask were told
    assert told == [*begun, "close_listeners", "begin_drain", "wait_closed"]


def test_idle_connections_close_at_once_where_nobody_is_told():
    told = []
    asyncio.run(drain_servers([FakeServer(told)], [], drain_s=0))
    assert told == ["begin_drain", "close_listeners", "begin_drain", "wait_closed"]


def test_connections_that_were_cut_are_counted(caplog):
    asyncio.run(drain_servers([FakeServer([], 2), FakeServer([], 1)], [], drain_s=0))
    assert [record.count for record in caplog.records] == [3]


def test_a_callback_that_hangs_does_not_hold_the_drain(caplog):
    async def hang():
        await asyncio.Event().wait()

    asyncio.run(drain_servers([FakeServer([])], [hang], drain_s=0))


def test_tasks_are_cancelled_and_one_that_refuses_is_named(caplog):
    async def scenario():
        release = asyncio.Event()

        async def refuse():
            while not release.is_set():
                try:
                    await release.wait()
                except asyncio.CancelledError:
                    pass

        willing = asyncio.create_task(asyncio.Event().wait(), name="willing")
        stubborn = asyncio.create_task(refuse(), name="stubborn")
        await asyncio.sleep(0)
        await end_tasks([willing, stubborn], timeout_s=0.05)
        assert willing.cancelled()
        release.set()
        await stubborn

    asyncio.run(scenario())
    assert [record.task for record in caplog.records] == ["stubborn"]


def test_stop_callbacks_run_in_reverse_and_a_failure_stops_none(caplog):
    told = []

    async def scenario():
        async def first():
            told.append("first")

        async def second():
            told.append("second")
            raise RuntimeError("a mistake")

        await run_in_reverse([first, second], 5.0)

    with caplog.at_level(logging.ERROR):
        asyncio.run(scenario())
    assert told == ["second", "first"]
    assert "a callback failed" in caplog.text


def test_stop_callbacks_that_take_too_long_are_given_up(caplog):
    async def hang():
        await asyncio.Event().wait()

    asyncio.run(run_in_reverse([hang], 0.01))
    assert "did not end in time" in caplog.text
