"""Who waits for whom at the inbox of a WebSocket."""

import asyncio
from collections.abc import Awaitable, Callable

import pytest

from shared.httpcore.net.websocket_inbox import MAX_WAITING_BYTES, MAX_WAITING_MESSAGES, Inbox


def run(story: Callable[[Inbox], Awaitable[None]]) -> None:
    async def with_inbox() -> None:
        async with asyncio.timeout(20):
            await story(Inbox())

    asyncio.run(with_inbox())


async def started(waiting: Awaitable[None]) -> "asyncio.Future[None]":
    task = asyncio.ensure_future(waiting)
    await asyncio.sleep(0)
    assert not task.done()
    return task


def test_messages_come_out_in_order() -> None:
    inbox = Inbox()
    assert inbox.is_empty
    inbox.put("a")
    inbox.put(b"bc")
    assert (inbox.is_empty, inbox.size) == (False, 3)
    assert (inbox.take(), inbox.take()) == ("a", b"bc")
    assert (inbox.is_empty, inbox.size) == (True, 0)
    with pytest.raises(IndexError):
        inbox.take()


@pytest.mark.parametrize("messages", [["x"] * MAX_WAITING_MESSAGES, ["x" * MAX_WAITING_BYTES]], ids=["many", "large"])
def test_it_is_full_at_either_bound(messages: list[str]) -> None:
    inbox = Inbox()
    for message in messages:
        assert not inbox.is_full
        inbox.put(message)
    assert inbox.is_full
    inbox.take()
    assert not inbox.is_full


def test_a_message_wakes_who_waits_for_one_and_taking_wakes_who_waits_for_room() -> None:
    async def story(inbox: Inbox) -> None:
        reading = await started(inbox.wait_change())
        for _ in range(MAX_WAITING_MESSAGES + 1):
            inbox.put("x")
        await reading
        writing = await started(inbox.wait_room())
        assert inbox.is_waited_for
        inbox.take()
        await asyncio.sleep(0)
        assert not writing.done(), "still full"
        inbox.take()
        await writing
        assert not inbox.is_waited_for

    run(story)


def test_a_second_reader_is_refused_and_one_that_gave_up_is_none() -> None:
    async def story(inbox: Inbox) -> None:
        first = await started(inbox.wait_change())
        with pytest.raises(RuntimeError, match="another task"):
            await inbox.wait_change()
        first.cancel()
        await asyncio.wait({first})
        second = await started(inbox.wait_change())
        inbox.put("x")
        await second

    run(story)


def test_all_go_on_when_all_is_over() -> None:
    async def story(inbox: Inbox) -> None:
        waiting = [await started(inbox.wait_change()), await started(inbox.wait_room())]
        inbox.wake_all()
        inbox.wake_all()
        await asyncio.gather(*waiting)
        putting = await started(inbox.wait_room())
        inbox.wake_putter()
        await putting

    run(story)
