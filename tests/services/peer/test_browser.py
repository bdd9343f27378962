"""One browser's session over a WebSocket that is a list: what it is told, and why it is let go."""

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from typing import Any, TypeVar, cast

import pytest

from services.peer import live
from services.peer.browser import BrowserPlace, BrowserSession
from services.peer.group_writer import StorageError
from services.peer.inbox import InboxMessage, InboxPage
from services.peer.live import LiveFeed
from services.peer.messages import Message
from shared.httpcore.errors import HttpError
from shared.httpcore.net.websocket import WebSocket, WebSocketClosed

T = TypeVar("T")


class ListWebSocket:
    """`say` is what the browser sends; `told` what it was sent; `closed_with` code and reason."""

    def __init__(self) -> None:
        self.told: list[dict[str, Any]] = []
        self.closed_with: tuple[int, str] | None = None
        self.is_stuck = False
        self._said: asyncio.Queue[str | bytes | None] = asyncio.Queue()

    def say(self, text: str | bytes | None) -> None:
        self._said.put_nowait(text)

    async def send(self, text: str) -> None:
        if self.closed_with is not None:
            raise WebSocketClosed(*self.closed_with)
        if self.is_stuck:
            await asyncio.get_running_loop().create_future()
        self.told.append(json.loads(text))

    async def close(self, code: int = 1000, reason: str = "") -> None:
        if self.closed_with is None:
            self.closed_with = (code, reason)
            self.say(None)

    async def __aiter__(self) -> AsyncIterator[str | bytes]:
        while (text := await self._said.get()) is not None:
            yield text


class ListInbox:
    def __init__(self, *seqs: int) -> None:
        self.messages = [arrived(seq) for seq in seqs]
        self.error: Exception | None = None

    async def read_inbox(self, after: int, limit: int, max_bytes: int) -> InboxPage:
        if self.error is not None:
            raise self.error
        last_seq = self.messages[-1].seq if self.messages else 0
        found = [each for each in self.messages if each.seq > after][: min(limit, 2)]
        return InboxPage(len(self.messages), last_seq, tuple(found))


def arrived(seq: int) -> InboxMessage:
    return InboxMessage(seq, 2.0, Message(f"m{seq}", "p2", "p1", None, "hi", 1.0))


def run(
    story: Callable[[ListWebSocket, LiveFeed], Awaitable[None]],
    inbox: ListInbox,
    after: int | None = None,
    post: Callable[[Mapping[str, Any]], Awaitable[dict[str, object]]] | None = None,
) -> ListWebSocket:
    """Tells the story beside a session; the WebSocket as it was when both had ended."""

    async def no_post(_: Mapping[str, Any]) -> dict[str, object]:
        raise AssertionError("nothing was to be posted")

    async def bounded() -> ListWebSocket:
        websocket, feed = ListWebSocket(), LiveFeed()
        place = BrowserPlace("p1", feed, inbox, post or no_post)
        session = BrowserSession(place, cast(WebSocket, websocket), after)
        async with asyncio.timeout(10):
            running = asyncio.create_task(session.run())
            await story(websocket, feed)
            await running
        assert feed.count == 0
        return websocket

    return asyncio.run(bounded())


async def until(condition: Callable[[], T]) -> T:
    while not (value := condition()):
        await asyncio.sleep(0)
    return value


def seqs(websocket: ListWebSocket) -> list[int]:
    return [event["message"]["seq"] for event in websocket.told if event["type"] == "message"]


def test_a_new_browser_hears_hello_and_only_news() -> None:
    async def story(websocket: ListWebSocket, feed: LiveFeed) -> None:
        await until(lambda: websocket.told)
        feed.publish_message(arrived(3))  # it is told twice by mistake: hello counted it already
        feed.publish_message(arrived(4))
        await until(lambda: seqs(websocket))
        websocket.say(None)

    websocket = run(story, ListInbox(1, 2, 3))
    assert websocket.told[0] == {"type": "hello", "peer_id": "p1", "count": 3, "last_seq": 3}
    assert seqs(websocket) == [4]


def test_one_that_comes_back_is_told_page_by_page_what_it_missed() -> None:
    async def story(websocket: ListWebSocket, feed: LiveFeed) -> None:
        await until(lambda: len(seqs(websocket)) == 5)
        feed.publish_message(arrived(8))
        await until(lambda: len(seqs(websocket)) == 6)
        websocket.say(None)

    assert seqs(run(story, ListInbox(1, 2, 3, 4, 5, 6, 7), after=2)) == [3, 4, 5, 6, 7, 8]


def test_one_that_falls_behind_is_let_go_with_1013(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(live, "MAX_QUEUED_EVENTS", 3)

    async def story(websocket: ListWebSocket, feed: LiveFeed) -> None:
        await until(lambda: websocket.told)
        websocket.is_stuck = True
        for seq in range(1, 8):
            feed.publish_message(arrived(seq))
            await asyncio.sleep(0)

    websocket = run(story, ListInbox())
    assert websocket.closed_with == (1013, "too slow; come back with ?after= the last seq you have")


def test_where_the_inbox_cannot_be_read_the_browser_is_let_go_with_1011() -> None:
    inbox = ListInbox()
    inbox.error = StorageError("disk I/O error")

    async def story(_: ListWebSocket, __: LiveFeed) -> None:
        pass

    assert run(story, inbox, after=0).closed_with == (1011, "the inbox can't be read: disk I/O error")


def test_posts_are_answered_by_their_ref_and_refusals_in_the_words_of_http() -> None:
    async def post(fields: Mapping[str, Any]) -> dict[str, object]:
        if fields["content"] == "bad":
            raise HttpError(409, "id_conflict", "taken")
        return {"id": fields["content"], "status": "stored", "targets": []}

    async def story(websocket: ListWebSocket, _: LiveFeed) -> None:
        for content, ref in (("a", "r"), ("bad", 7), ("c", [1]), ("d", "\ud800" + "x" * 100)):
            websocket.say(json.dumps({"type": "send", "content": content, "ref": ref}))
        await until(lambda: len(websocket.told) == 5)
        websocket.say(None)

    results = [event for event in run(story, ListInbox(), post=post).told if event["type"] == "result"]
    assert results[0] == {"type": "result", "ref": "r", "id": "a", "status": "stored", "targets": []}
    assert results[1]["error"] == {"code": "id_conflict", "message": "taken"}
    assert (results[1]["ref"], results[2]["ref"], results[3]["ref"]) == (7, None, "?" + "x" * 63)


def test_not_more_than_so_many_posts_run_at_once() -> None:
    running = 0
    most = 0
    done = 0

    async def post(_: Mapping[str, Any]) -> dict[str, object]:
        nonlocal running, most, done
        running += 1
        most = max(most, running)
        for _turn in range(5):
            await asyncio.sleep(0)
        running -= 1
        done += 1
        return {}

    async def story(websocket: ListWebSocket, _: LiveFeed) -> None:
        for _number in range(100):
            websocket.say('{"type":"send"}')
        await until(lambda: done == 100)
        websocket.say(None)

    run(story, ListInbox(), post=post)
    assert most == 16
