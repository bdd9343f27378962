"""The courier: order, retries, and when it tries again. Queue and links are lists."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import TypeVar

import pytest

from services.peer import courier as courier_room
from services.peer.courier import Courier
from services.peer.group_writer import StorageError
from services.peer.link import LinkError, RejectedError
from services.peer.links import UnreachableError
from services.peer.messages import Message
from services.peer.outbox import Outgoing, State, Target

T = TypeVar("T")


def run(story: Awaitable[None]) -> None:
    async def bounded() -> None:
        async with asyncio.timeout(20):
            await story

    asyncio.run(bounded())


async def until(condition: Callable[[], T]) -> T:
    while not (value := condition()):
        await asyncio.sleep(0.002)
    return value


class ListQueue:
    """An outbox in memory."""

    def __init__(self, *ids: str) -> None:
        self.waiting = {position: Outgoing(position, message(name)) for position, name in enumerate(ids, 1)}
        self.settled: list[tuple[int, Target]] = []
        self.is_broken = False

    def add(self, name: str) -> None:
        position = 100 + len(self.waiting) + len(self.settled)
        self.waiting[position] = Outgoing(position, message(name))

    async def read_queue(self, peer_id: str, limit: int, max_bytes: int) -> tuple[Outgoing, ...]:
        assert peer_id == "p2"
        return tuple(self.waiting.values())[:limit]

    def settle(self, position: int, target: Target) -> "asyncio.Future[int | None]":
        future: asyncio.Future[int | None] = asyncio.get_running_loop().create_future()
        if self.is_broken:
            future.set_exception(StorageError("the disk is full"))
        else:
            del self.waiting[position]
            self.settled.append((position, target))
            future.set_result(0)
        return future


class ScriptedLinks:
    """Gives itself as the link; `outcomes` says what becomes of attempts and messages, in order."""

    def __init__(self, *outcomes: Exception | None) -> None:
        self.unreachable: list[Exception] = []
        self.outcomes = list(outcomes)
        self.sent: list[str] = []
        self.opened = 0
        self.closed: list[str] = []
        self.is_silent = False

    async def open(self, peer_id: str) -> "ScriptedLinks":
        assert peer_id == "p2"
        self.opened += 1
        if self.unreachable:
            raise self.unreachable.pop(0)
        return self

    def transmit(self, message: Message) -> "asyncio.Future[None]":
        future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.sent.append(message.id)
        outcome = self.outcomes.pop(0) if self.outcomes else None
        if self.is_silent:
            return future
        if outcome is None:
            future.set_result(None)
        else:
            future.set_exception(outcome)
            future.exception()
        return future

    def close(self, reason: str) -> None:
        self.closed.append(reason)


def message(message_id: str) -> Message:
    return Message(message_id, "p1", "p2", None, "hi", 1.0)


def courier_of(queue: ListQueue, links: ScriptedLinks) -> tuple[Courier, list[tuple[str, Target, int]]]:
    told: list[tuple[str, Target, int]] = []

    def on_settled(outgoing: Outgoing, target: Target, pending: int) -> None:
        told.append((outgoing.message.id, target, pending))

    return Courier("p2", queue, links, on_settled), told


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(courier_room, "FIRST_PAUSE_S", 0.002)
    monkeypatch.setattr(courier_room, "MAX_PAUSE_S", 0.01)


def test_everything_is_sent_in_order_and_then_it_ends() -> None:
    async def story() -> None:
        names = [f"m{number}" for number in range(150)]
        queue, links = ListQueue(*names), ScriptedLinks()
        courier, told = courier_of(queue, links)
        await courier.run()
        assert links.sent == names
        assert [name for name, _, _ in told] == names
        assert {target for _, target, _ in told} == {Target("p2", State.DELIVERED)}
        assert links.opened == 3  # windows of 64

    run(story())


def test_after_a_broken_link_it_goes_on_with_the_first_that_was_not_acknowledged() -> None:
    async def story() -> None:
        queue, links = ListQueue("a", "b", "c"), ScriptedLinks(None, LinkError("cut"))
        courier, told = courier_of(queue, links)
        await courier.run()
        assert links.sent == ["a", "b", "c", "b", "c"]
        assert [name for name, _, _ in told] == ["a", "b", "c"]

    run(story())


def test_it_tries_until_the_peer_can_be_reached() -> None:
    async def story() -> None:
        queue, links = ListQueue("a"), ScriptedLinks()
        links.unreachable = [UnreachableError("refused")] * 7
        courier, told = courier_of(queue, links)
        await courier.run()
        assert links.opened == 8
        assert len(told) == 1
        assert (courier.attempts, courier.last_error) == (0, None)

    run(story())


def test_where_nobody_knows_the_address_it_waits_to_be_woken() -> None:
    async def story() -> None:
        queue, links = ListQueue("a"), ScriptedLinks()
        links.unreachable = [UnreachableError("unknown", is_unknown=True)]
        courier, told = courier_of(queue, links)
        running = asyncio.create_task(courier.run())
        await until(lambda: courier.attempts == 1)
        assert courier.last_error == "unknown"
        await asyncio.sleep(0.05)
        assert links.opened == 1
        courier.wake()
        await running
        assert len(told) == 1

    run(story())


def test_being_woken_ends_a_pause_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(courier_room, "FIRST_PAUSE_S", 1000.0)
    monkeypatch.setattr(courier_room, "MAX_PAUSE_S", 1000.0)

    async def story() -> None:
        queue, links = ListQueue("a"), ScriptedLinks()
        links.unreachable = [UnreachableError("refused")]
        courier, told = courier_of(queue, links)
        running = asyncio.create_task(courier.run())
        await until(lambda: courier.attempts == 1)
        courier.notify()  # an attempt has just failed: a new message alone is no reason
        await asyncio.sleep(0.02)
        assert links.opened == 1
        courier.wake()
        await running
        assert len(told) == 1

    run(story())


def test_a_new_message_ends_a_pause_when_the_last_attempt_is_long_ago(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(courier_room, "FIRST_PAUSE_S", 1000.0)
    monkeypatch.setattr(courier_room, "MAX_PAUSE_S", 1000.0)
    monkeypatch.setattr(courier_room, "MIN_RETRY_S", 0.0)

    async def story() -> None:
        queue, links = ListQueue("a"), ScriptedLinks()
        links.unreachable = [UnreachableError("refused")]
        courier, told = courier_of(queue, links)
        running = asyncio.create_task(courier.run())
        await until(lambda: courier.attempts == 1)
        queue.add("b")
        courier.notify()
        await running
        assert [name for name, _, _ in told] == ["a", "b"]

    run(story())


def test_a_rejected_message_does_not_hold_up_the_next() -> None:
    async def story() -> None:
        queue, links = ListQueue("a", "b"), ScriptedLinks(RejectedError("id_conflict: taken"))
        courier, told = courier_of(queue, links)
        await courier.run()
        rejected = Target("p2", State.REJECTED, "id_conflict: taken")
        assert told == [("a", rejected, 0), ("b", Target("p2", State.DELIVERED), 0)]
        assert links.opened == 1

    run(story())


def test_without_an_ack_in_time_the_link_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(courier_room, "ACK_TIMEOUT_S", 0.02)

    async def story() -> None:
        queue, links = ListQueue("a"), ScriptedLinks()
        links.is_silent = True
        courier, told = courier_of(queue, links)
        running = asyncio.create_task(courier.run())
        await until(lambda: courier.attempts == 1)
        assert links.closed[0] == courier.last_error == "no ack within 0.02 s"
        links.is_silent = False
        await running
        assert len(told) == 1

    run(story())


def test_when_the_outbox_cannot_be_written_it_waits_instead_of_sending_in_circles() -> None:
    async def story() -> None:
        queue, links = ListQueue("a"), ScriptedLinks()
        queue.is_broken = True
        courier, told = courier_of(queue, links)
        running = asyncio.create_task(courier.run())
        await until(lambda: courier.attempts >= 2)
        assert courier.last_error == "the disk is full"
        assert told == []
        queue.is_broken = False
        await running
        assert [name for name, _, _ in told] == ["a"]

    run(story())


def test_a_message_that_comes_while_it_is_about_to_end_is_not_left() -> None:
    async def story() -> None:
        queue, links = ListQueue("a"), ScriptedLinks()
        courier, told = courier_of(queue, links)
        read_queue = queue.read_queue

        async def read_and_add(peer_id: str, limit: int, max_bytes: int) -> tuple[Outgoing, ...]:
            window = await read_queue(peer_id, limit, max_bytes)
            if not window and len(told) == 1:
                queue.add("late")
                courier.notify()
            return window

        queue.read_queue = read_and_add  # type: ignore[method-assign]
        await courier.run()
        assert [name for name, _, _ in told] == ["a", "late"]

    run(story())


def test_told_to_stop_it_ends_a_pause_and_sends_no_more() -> None:
    async def story() -> None:
        queue, links = ListQueue("a"), ScriptedLinks()
        links.unreachable = [UnreachableError("unknown", is_unknown=True)]
        courier, told = courier_of(queue, links)
        running = asyncio.create_task(courier.run())
        await until(lambda: courier.attempts == 1)
        courier.stop()
        await running
        assert told == []

    run(story())
