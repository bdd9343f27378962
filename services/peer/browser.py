"""One browser's WebSocket: `hello`, what it missed, then every event; and what it posts over it.

Owns the words of `/p2p/ws` and the order of events. Which events there are is `live`'s; what a post does is
`posting`'s.
"""

import asyncio
import json
import logging
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from services.peer.group_writer import StorageError
from services.peer.inbox import InboxPage
from services.peer.live import LiveFeed, Subscription, TooManyBrowsersError, serialize_event, serialize_message_event
from services.peer.messages import shown
from shared.httpcore.errors import HttpError
from shared.httpcore.net.websocket import WebSocket, WebSocketClosed
from shared.httpcore.websocket.close_codes import CloseCode

MAX_POSTS_AT_ONCE = 16  # of one browser; beyond it nothing more is read from it
TRY_AGAIN_LATER = 1013  # IANA, WebSocket Close Code Number Registry
BACKLOG_PAGE = 200
BACKLOG_PAGE_BYTES = 256 * 1024
_LOG = logging.getLogger("weaprous.peer.browser")

Post = Callable[[Mapping[str, Any]], Awaitable[dict[str, object]]]


class InboxReader(Protocol):
    """The store, as far as a browser needs it."""

    async def read_inbox(self, after: int, limit: int, max_bytes: int) -> InboxPage:
        """See `inbox.read_page`."""


@dataclass(frozen=True, slots=True)
class BrowserPlace:
    """What every browser's session works with. `post` does as POST /p2p/msg, or raises HttpError."""

    peer_id: str
    feed: LiveFeed
    inbox: InboxReader
    post: Post


class BrowserSession:
    """Runs until the WebSocket is closed. `after`: the last seq that the browser knows; None to hear only of news."""

    def __init__(self, place: BrowserPlace, websocket: WebSocket, after: int | None) -> None:
        self._place = place
        self._websocket = websocket
        self._after = after
        self._posts = asyncio.Semaphore(MAX_POSTS_AT_ONCE)
        self._tasks: set[asyncio.Task[None]] = set()

    async def run(self) -> None:
        """The browser has left, or was let go with a code that says why."""
        try:
            with self._place.feed.subscribe() as subscription:
                await self._serve(subscription)
        except TooManyBrowsersError as error:
            await self._websocket.close(TRY_AGAIN_LATER, str(error))

    async def _serve(self, subscription: Subscription) -> None:
        listening = asyncio.create_task(self._listen())
        telling = asyncio.create_task(self._tell(subscription))
        falling_behind = asyncio.create_task(subscription.wait_overflow())
        self._tasks |= {listening, telling, falling_behind}
        try:
            await asyncio.wait(self._tasks, return_when=asyncio.FIRST_COMPLETED)
            # Nothing is cancelled before the close: half a frame could not be followed by the frame that says why.
            if falling_behind.done():
                await self._websocket.close(TRY_AGAIN_LATER, "too slow; come back with ?after= the last seq you have")
            elif telling.done() and not listening.done():
                await self._end_after(telling.exception())
        finally:
            for task in self._tasks:
                task.cancel()
            outcomes = await asyncio.gather(*self._tasks, return_exceptions=True)
        for outcome in outcomes:
            if isinstance(outcome, Exception) and not isinstance(outcome, WebSocketClosed | StorageError):
                raise outcome

    async def _end_after(self, error: BaseException | None) -> None:
        if isinstance(error, StorageError):
            await self._websocket.close(CloseCode.INTERNAL_ERROR, f"the inbox can't be read: {error}"[:120])

    # --- telling -----------------------------------------------------------------------------------------------

    async def _tell(self, subscription: Subscription) -> None:
        """Sends `hello`, the messages after `after`, and then events as they come; no message twice."""
        seen = await self._tell_backlog()
        while True:
            text, seq = await subscription.next()
            if seq is None or seq > seen:
                await self._websocket.send(text)

    async def _tell_backlog(self) -> int:
        """Returns the seq of the last message that the browser has, or can find by itself."""
        limit = 0 if self._after is None else BACKLOG_PAGE
        page = await self._place.inbox.read_inbox(self._after or 0, limit, BACKLOG_PAGE_BYTES)
        hello = {"type": "hello", "peer_id": self._place.peer_id, "count": page.count, "last_seq": page.last_seq}
        await self._websocket.send(serialize_event(hello))
        while page.messages:
            for arrived in page.messages:
                await self._websocket.send(serialize_message_event(arrived))
            if not page.has_more:
                break
            page = await self._place.inbox.read_inbox(page.messages[-1].seq, BACKLOG_PAGE, BACKLOG_PAGE_BYTES)
        return page.last_seq

    # --- listening ---------------------------------------------------------------------------------------------

    async def _listen(self) -> None:
        async for text in self._websocket:
            fields = _parse_object(text)
            if fields is None:
                await self._send({"type": "error", "code": "bad_json", "message": "expected one JSON object as text"})
            elif fields.get("type") == "send":
                await self._posts.acquire()
                self._start_post(fields)
            elif fields.get("type") == "ping":
                await self._send({"type": "pong"})
            else:
                message = f'type: got {shown(fields.get("type"))}, expected "send" or "ping"'
                await self._send({"type": "error", "code": "unknown_type", "message": message})

    def _start_post(self, fields: Mapping[str, Any]) -> None:
        """Tasks begin in the order they are made, and so messages are kept in the order they were sent."""
        task = asyncio.create_task(self._post(fields))
        self._tasks.add(task)
        task.add_done_callback(self._end_post)

    def _end_post(self, task: "asyncio.Task[None]") -> None:
        self._tasks.discard(task)
        self._posts.release()
        error = None if task.cancelled() else task.exception()
        if error is not None and not isinstance(error, WebSocketClosed):
            _LOG.error("a post over a WebSocket failed", exc_info=error)

    async def _post(self, fields: Mapping[str, Any]) -> None:
        try:
            told: dict[str, object] = await self._place.post(fields)
        except HttpError as error:
            told = {"status": "error", "error": {"code": error.code, "message": error.message}}
        await self._send({"type": "result", "ref": _ref(fields), **told})

    async def _send(self, event: Mapping[str, object]) -> None:
        await self._websocket.send(serialize_event(event))


def _parse_object(text: str | bytes) -> dict[str, Any] | None:
    try:
        value = json.loads(text) if isinstance(text, str) else None
    except (ValueError, RecursionError):
        return None
    return value if isinstance(value, dict) else None


def _ref(fields: Mapping[str, Any]) -> str | int | None:
    """The browser's own mark, given back with the result where it is a short text or a number."""
    ref = fields.get("ref")
    if isinstance(ref, str):
        return ref[:64].encode("utf-8", "replace").decode("utf-8")
    return ref if isinstance(ref, int) and abs(ref) < 2**53 else None
