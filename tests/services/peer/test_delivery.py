"""Delivery: what is promised to whoever posts, with a real store and links that are scripted."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, TypeVar

import pytest

from services.peer import courier as courier_room
from services.peer import delivery as delivery_room
from services.peer import outbox
from services.peer.delivery import Delivery, Receipt
from services.peer.link import LinkError, RejectedError
from services.peer.links import UnreachableError
from services.peer.live import LiveFeed
from services.peer.membership import Membership
from services.peer.messages import Message
from services.peer.outbox import OutboxFullError, State, Target
from services.peer.remembered import IdConflictError
from services.peer.store import open_store

T = TypeVar("T")


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(delivery_room, "ACK_WAIT_S", 0.05)
    monkeypatch.setattr(courier_room, "FIRST_PAUSE_S", 0.005)
    monkeypatch.setattr(courier_room, "MAX_PAUSE_S", 0.01)


def run(story: Awaitable[None]) -> None:
    async def bounded() -> None:
        async with asyncio.timeout(20):
            await story

    asyncio.run(bounded())


async def until(condition: Callable[[], T]) -> T:
    while not (value := condition()):
        await asyncio.sleep(0.002)
    return value


class World:
    """The other peers: who is there, who has what, who says no."""

    def __init__(self) -> None:
        self.present: set[str] = set()
        self.received: dict[str, list[str]] = {}
        self.answers: dict[str, Exception] = {}

    async def open(self, peer_id: str) -> "WorldLink":
        if peer_id not in self.present:
            raise UnreachableError(f"{peer_id} is not there")
        return WorldLink(self, peer_id)


class WorldLink:
    def __init__(self, world: World, peer_id: str) -> None:
        self._world = world
        self._peer_id = peer_id

    def transmit(self, message: Message) -> "asyncio.Future[None]":
        acked: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        answer = self._world.answers.get(message.id)
        if answer is None:
            self._world.received.setdefault(self._peer_id, []).append(message.id)
            acked.set_result(None)
        else:
            acked.set_exception(answer)
            acked.exception()
        return acked

    def close(self, reason: str) -> None:
        pass


class Events(LiveFeed):
    """A feed that keeps what it was told."""

    def __init__(self) -> None:
        super().__init__()
        self.told: list[dict[str, Any]] = []

    def publish(self, event: Any) -> None:
        self.told.append(dict(event))

    def publish_message(self, arrived: Any) -> None:
        self.told.append({"type": "message", "seq": arrived.seq})


class Place:
    def __init__(self, path: Path, world: World) -> None:
        self.world = world
        self.store = open_store(path, "p1")
        self.membership = Membership("p1")
        self.feed = Events()
        self.delivery = Delivery("p1", self.store, self.membership, self.feed)

    def show(self, *peer_ids: str) -> None:
        self.world.present |= set(peer_ids)
        listed = [
            {"peer_id": each, "ip": "127.0.0.1", "channels": ["chat"], "meta": {"p2p_port": 7010}, "revision": 1}
            for each in sorted(self.world.present)
        ]
        self.membership.apply(listed)

    async def post(self, message_id: str, to: str | None = "p2", content: str = "hi") -> Receipt:
        channel = None if to else "chat"
        return await self.delivery.post(Message(message_id, "p1", to, channel, content, 1.0))


@asynccontextmanager
async def place(path: Path, world: World | None = None) -> AsyncIterator[Place]:
    here = Place(path, world or World())
    await here.delivery.start(here.world)
    try:
        yield here
    finally:
        await here.delivery.stop(0.1)
        await asyncio.to_thread(here.store.close)


def delivered(*peer_ids: str) -> tuple[Target, ...]:
    return tuple(Target(peer_id, State.DELIVERED) for peer_id in peer_ids)


def test_a_message_for_this_peer_is_stored(tmp_path: Path) -> None:
    async def story() -> None:
        async with place(tmp_path) as here:
            receipt = await here.post("m", to="p1")
            assert (receipt.status, receipt.is_stored) == ("stored", True)
            assert (await here.post("m", to="p1")).status == "stored"
            assert (await here.store.read_inbox(0, 10, 1000)).count == 1
            assert here.feed.told == [{"type": "message", "seq": 1}]
            assert (here.delivery.received_count, here.delivery.repeat_count) == (1, 1)

    run(story())


def test_a_message_for_a_peer_that_is_there_is_delivered(tmp_path: Path) -> None:
    async def story() -> None:
        async with place(tmp_path) as here:
            here.show("p2")
            receipt = await here.post("m")
            assert (receipt.status, receipt.targets) == ("delivered", delivered("p2"))
            assert await here.store.count_waiting() == here.delivery.waiting_count == 0
            assert here.feed.told == [
                {"type": "outbox", "pending": 1, "message_id": "m", "state": "queued"},
                {"type": "outbox", "pending": 0, "message_id": "m", "state": "delivered"},
            ]

    run(story())


def test_a_message_for_a_peer_that_is_away_waits_and_goes_when_it_is_shown(tmp_path: Path) -> None:
    async def story() -> None:
        async with place(tmp_path) as here:
            receipt = await here.post("m")
            assert (receipt.status, receipt.targets) == ("queued", (Target("p2"),))
            attempts, error = here.delivery.progress("p2")
            assert attempts > 0
            assert error == "p2 is not there"
            here.show("p2")
            await until(lambda: here.delivery.waiting_count == 0)
            assert (await here.post("m")).status == "delivered"
            assert here.world.received == {"p2": ["m"]}

    run(story())


def test_the_same_id_is_sent_once_however_often_it_is_posted(tmp_path: Path) -> None:
    async def story() -> None:
        async with place(tmp_path) as here:
            here.show("p2")
            receipts = await asyncio.gather(*(here.post("m") for _ in range(20)))
            assert {receipt.status for receipt in receipts} == {"delivered"}
            assert here.world.received == {"p2": ["m"]}
            with pytest.raises(IdConflictError):
                await here.post("m", content="other")
            with pytest.raises(IdConflictError):
                await here.post("m", to="p3")
            with pytest.raises(IdConflictError):
                await here.post("m", to="p1")

    run(story())


def test_a_channel_message_goes_to_each_member_and_not_into_the_own_inbox(tmp_path: Path) -> None:
    async def story() -> None:
        async with place(tmp_path) as here:
            here.show("p2", "p3")
            receipt = await here.post("m", to=None)
            assert (receipt.status, receipt.targets) == ("delivered", delivered("p2", "p3"))
            assert here.world.received == {"p2": ["m"], "p3": ["m"]}
            assert (await here.store.read_inbox(0, 10, 1000)).count == 0

    run(story())


def test_a_channel_message_is_queued_while_one_member_has_yet_to_get_it(tmp_path: Path) -> None:
    async def story() -> None:
        async with place(tmp_path) as here:
            here.show("p2", "p3")
            here.world.present.discard("p3")
            receipt = await here.post("m", to=None)
            assert receipt.status == "queued"
            assert receipt.targets == (Target("p2", State.DELIVERED), Target("p3"))
            assert here.delivery.waiting_count == 1
            here.world.present.add("p3")
            here.delivery.wake("p3")
            await until(lambda: here.delivery.waiting_count == 0)
            assert [event["state"] for event in here.feed.told] == ["queued", "queued", "delivered"]

    run(story())


def test_a_channel_whose_members_nobody_has_told_yet_is_served_once_they_are(tmp_path: Path) -> None:
    async def story() -> None:
        async with place(tmp_path) as here:
            receipt = await here.post("m", to=None)
            assert (receipt.status, receipt.targets) == ("queued", None)
            assert (await here.post("m", to=None)).status == "queued"
            assert here.delivery.waiting_count == 1
            here.show("p2", "p3")
            await until(lambda: here.delivery.waiting_count == 0)
            assert here.world.received == {"p2": ["m"], "p3": ["m"]}

    run(story())


def test_a_channel_of_nobody_else_needs_no_delivery(tmp_path: Path) -> None:
    async def story() -> None:
        async with place(tmp_path) as here:
            await here.post("early", to=None)
            here.show()
            await until(lambda: here.delivery.waiting_count == 0)
            receipt = await here.post("m", to=None)
            assert (receipt.status, receipt.targets) == ("delivered", ())

    run(story())


def test_what_waited_when_the_process_ended_goes_on_in_the_next(tmp_path: Path) -> None:
    async def story() -> None:
        world = World()
        async with place(tmp_path, world) as here:
            for number in range(5):
                await here.delivery.post(Message(f"m{number}", "p1", "p2", None, "hi", 1.0))
            await here.post("channel", to=None)
        async with place(tmp_path, world) as here:
            assert here.delivery.waiting_count == 6
            here.show("p2")
            await until(lambda: here.delivery.waiting_count == 0)
        assert world.received["p2"][:5] == [f"m{number}" for number in range(5)]
        assert world.received["p2"][5:] == ["channel"]

    run(story())


def test_a_rejected_message_is_told_as_that(tmp_path: Path) -> None:
    async def story() -> None:
        async with place(tmp_path) as here:
            here.show("p2")
            here.world.answers["m"] = RejectedError("id_conflict: taken")
            receipt = await here.post("m")
            assert receipt.status == "rejected"
            assert receipt.targets == (Target("p2", State.REJECTED, "id_conflict: taken"),)
            assert here.delivery.waiting_count == 0

    run(story())


def test_a_link_that_breaks_again_and_again_loses_and_repeats_nothing_here(tmp_path: Path) -> None:
    async def story() -> None:
        async with place(tmp_path) as here:
            here.show("p2")
            here.world.answers["m"] = LinkError("cut")
            assert (await here.post("m")).status == "queued"
            assert (await here.post("next")).status == "queued"  # order before speed
            del here.world.answers["m"]
            await until(lambda: here.delivery.waiting_count == 0)
            received = here.world.received["p2"]
            assert received.index("m") < len(received) - 1 - received[::-1].index("next")

    run(story())


def test_a_message_taken_back_is_not_delivered(tmp_path: Path) -> None:
    async def story() -> None:
        async with place(tmp_path) as here:
            assert (await here.post("m")).status == "queued"
            assert await here.delivery.remove("m")
            assert not await here.delivery.remove("m")
            assert here.delivery.waiting_count == 0
            assert (await here.post("m")).status == "removed"
            here.show("p2")
            assert (await here.post("next")).status == "delivered"
            assert here.world.received == {"p2": ["next"]}
            assert here.feed.told[1] == {"type": "outbox", "pending": 0, "message_id": "m", "state": "removed"}

    run(story())


def test_a_full_outbox_refuses_others_but_not_messages_for_this_peer(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(outbox.insert, "__defaults__", (3,))

    async def story() -> None:
        async with place(tmp_path) as here:
            here.show("p2", "p3")
            here.world.present.clear()
            await here.post("a", to=None)
            await here.post("b", to=None)  # 2 of 3 wait: it fits, and makes 4
            with pytest.raises(OutboxFullError, match="3 deliveries wait"):
                await here.post("c", to=None)
            assert (await here.post("d", to="p1")).status == "stored"

    run(story())


def test_clearing_the_inbox_is_told_to_browsers(tmp_path: Path) -> None:
    async def story() -> None:
        async with place(tmp_path) as here:
            await here.post("m", to="p1")
            assert await here.delivery.clear_inbox() == 1
            assert here.feed.told[-1] == {"type": "cleared", "count": 0}

    run(story())
