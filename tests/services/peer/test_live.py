"""The live feed: everybody hears everything, and whoever falls behind is noticed without holding up the rest."""

import asyncio
import json

import pytest

from services.peer import live
from services.peer.inbox import InboxMessage
from services.peer.live import LiveFeed, Subscription, TooManyBrowsersError
from services.peer.messages import Message


def arrived(seq: int, content: str = "hi") -> InboxMessage:
    return InboxMessage(seq, 2.0, Message(f"m{seq}", "p2", "p1", None, content, 1.0))


async def take(subscription: Subscription, count: int) -> list[tuple[str, int | None]]:
    async with asyncio.timeout(5):
        return [await subscription.next() for _ in range(count)]


def test_every_subscription_gets_every_event_in_order() -> None:
    async def story() -> None:
        feed = LiveFeed()
        with feed.subscribe() as first, feed.subscribe() as second:
            feed.publish_message(arrived(7))
            feed.publish({"type": "cleared", "count": 0})
            for subscription in (first, second):
                [(message, seq), (cleared, nothing)] = await take(subscription, 2)
                assert (json.loads(message)["message"]["id"], seq) == ("m7", 7)
                assert (json.loads(cleared), nothing) == ({"type": "cleared", "count": 0}, None)
            assert feed.count == 2
        assert feed.count == 0

    asyncio.run(story())


@pytest.mark.parametrize(("event_limit", "char_limit"), [(3, 10**9), (10**9, 600)])
def test_one_that_falls_behind_is_noticed_once_and_the_others_go_on(
    monkeypatch: pytest.MonkeyPatch, event_limit: int, char_limit: int
) -> None:
    monkeypatch.setattr(live, "MAX_QUEUED_EVENTS", event_limit)
    monkeypatch.setattr(live, "MAX_QUEUED_CHARS", char_limit)

    async def story() -> None:
        feed = LiveFeed()
        with feed.subscribe() as slow, feed.subscribe() as quick:
            behind = asyncio.create_task(slow.wait_overflow())
            for seq in range(1, 11):
                feed.publish_message(arrived(seq))
                assert [each[1] for each in await take(quick, 1)] == [seq]
            async with asyncio.timeout(5):
                await behind
            assert (slow.has_overflowed, quick.has_overflowed, feed.dropped_count) == (True, False, 1)
            assert [each[1] for each in await take(slow, 3)] == [1, 2, 3]

    asyncio.run(story())


def test_there_are_only_so_many_places() -> None:
    async def story() -> None:
        feed = LiveFeed(max_browsers=1)
        with feed.subscribe(), pytest.raises(TooManyBrowsersError, match="1 WebSockets are open, as many as may be"):
            feed.subscribe()
        with feed.subscribe():
            pass

    asyncio.run(story())
