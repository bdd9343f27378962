"""The feed of events."""

import asyncio

from services.proxy.events import MAX_WAITING, REMEMBERED, Event, EventFeed
from services.proxy.live import server_sent
from shared.httpcore.sse import serialize_event


async def collect(feed: EventFeed, after: int | None = None) -> list[int]:
    return [event["seq"] async for event in feed.watch(after)]


def test_watchers_get_what_they_missed_then_what_happens_until_the_end() -> None:
    async def story() -> None:
        feed = EventFeed(lambda: 1.5)
        feed.publish("up", upstream="a")
        feed.publish("down", upstream="a")
        late = asyncio.ensure_future(collect(feed, after=1))
        new = asyncio.ensure_future(collect(feed))
        await asyncio.sleep(0)
        feed.publish("reloaded")
        feed.close()
        assert await late == [2, 3]
        assert await new == [3]
        assert await collect(feed, after=2) == [3]
        assert feed.recent()[0] == {"seq": 1, "at": 1.5, "type": "up", "upstream": "a"}

    asyncio.run(story())


def test_a_watcher_learns_how_much_it_has_missed() -> None:
    async def story() -> None:
        feed = EventFeed(lambda: 2.0)
        for _ in range(REMEMBERED + 10):
            feed.publish("up")
        feed.close()
        told = [event async for event in feed.watch(after=3)]
        assert told[0] == {"seq": 10, "at": 2.0, "type": "missed", "count": 7}
        assert [event["seq"] for event in told[1:]] == list(range(11, REMEMBERED + 11))
        assert [event["type"] async for event in feed.watch(after=10)] == ["up"] * REMEMBERED

    asyncio.run(story())


def test_a_number_from_an_earlier_process_gets_all_that_is_remembered() -> None:
    async def story() -> None:
        feed = EventFeed(lambda: 0.0)
        feed.publish("up")
        feed.publish("down")
        feed.close()
        assert await collect(feed, after=999) == [1, 2]
        assert feed.last_seq == 2

    asyncio.run(story())


def test_whoever_does_not_take_its_events_is_let_go_and_memory_is_bounded() -> None:
    async def story() -> None:
        feed = EventFeed(lambda: 0.0)
        slow = feed.watch()
        first = asyncio.ensure_future(anext(slow))
        await asyncio.sleep(0)
        for _ in range(2 * MAX_WAITING):
            feed.publish("up")
        assert (await first)["seq"] == 1
        assert len([event async for event in slow]) == MAX_WAITING - 1
        assert len(feed.recent()) == REMEMBERED

    asyncio.run(story())


def test_an_event_as_a_browser_s_event_source_reads_it() -> None:
    event: Event = {"seq": 7, "at": 1.0, "type": "up", "upstream": "10.0.0.1:80\n"}
    assert (
        serialize_event(server_sent(event))
        == b'id: 7\nevent: up\ndata: {"seq":7,"at":1.0,"type":"up","upstream":"10.0.0.1:80\\n"}\n\n'
    )
