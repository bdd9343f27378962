"""What happens in this peer, told to browsers at the moment it happens: the events and a bounded queue for each.

Never waits for a browser: one that falls behind is let go, and comes back with `?after=` the last seq it has seen.
Read `browser` next, which speaks to one over its WebSocket.
"""

import asyncio
import json
from collections import deque
from collections.abc import Mapping
from types import TracebackType
from typing import Self

from services.peer.inbox import InboxMessage

MAX_BROWSERS = 64
MAX_QUEUED_EVENTS = 256
MAX_QUEUED_CHARS = 1024 * 1024


class TooManyBrowsersError(Exception):
    """As many WebSockets are open as may be."""


def serialize_event(event: Mapping[str, object]) -> str:
    """The event as one JSON text."""
    return json.dumps(event, ensure_ascii=False, separators=(",", ":"))


def serialize_message_event(arrived: InboxMessage) -> str:
    """The event of a message that is in the inbox."""
    return serialize_event({"type": "message", "message": arrived.to_json()})


class LiveFeed:
    """Hands every event to every browser."""

    def __init__(self, max_browsers: int = MAX_BROWSERS) -> None:
        self._max_browsers = max_browsers
        self._subscriptions: set[Subscription] = set()
        self.dropped_count = 0  # browsers that fell behind

    @property
    def count(self) -> int:
        """Browsers that listen."""
        return len(self._subscriptions)

    def require_room(self) -> None:
        """TooManyBrowsersError where one more would be too many."""
        if len(self._subscriptions) >= self._max_browsers:
            raise TooManyBrowsersError(f"{self._max_browsers} WebSockets are open, as many as may be")

    def subscribe(self) -> "Subscription":
        """A place in the feed, to be used in `with`. TooManyBrowsersError."""
        self.require_room()
        subscription = Subscription(self)
        self._subscriptions.add(subscription)
        return subscription

    def leave(self, subscription: "Subscription") -> None:
        """The browser listens no more."""
        self._subscriptions.discard(subscription)

    def publish(self, event: Mapping[str, object]) -> None:
        """Every browser is told."""
        if self._subscriptions:
            self._offer(serialize_event(event), None)

    def publish_message(self, arrived: InboxMessage) -> None:
        """Every browser is told of a message that is in the inbox now."""
        if self._subscriptions:
            self._offer(serialize_message_event(arrived), arrived.seq)

    def _offer(self, text: str, seq: int | None) -> None:
        for subscription in self._subscriptions:
            if not subscription.offer(text, seq):
                self.dropped_count += 1


class Subscription:
    """One browser's queue of events. Once it was full nothing more is queued: `has_overflowed`."""

    def __init__(self, feed: LiveFeed) -> None:
        self._feed = feed
        self._events: deque[tuple[str, int | None]] = deque()
        self._size = 0
        self._changed = asyncio.Event()
        self.has_overflowed = False

    def offer(self, text: str, seq: int | None) -> bool:
        """The event waits for its turn; False where it is the first for which there is no room."""
        if self.has_overflowed:
            return True
        self.has_overflowed = len(self._events) >= MAX_QUEUED_EVENTS or self._size + len(text) > MAX_QUEUED_CHARS
        if not self.has_overflowed:
            self._events.append((text, seq))
            self._size += len(text)
        self._changed.set()
        return not self.has_overflowed

    async def next(self) -> tuple[str, int | None]:
        """The next event as JSON and, if it is a message, its seq."""
        while not self._events:
            await self._change()
        text, seq = self._events.popleft()
        self._size -= len(text)
        return text, seq

    async def wait_overflow(self) -> None:
        """Returns when an event found no room."""
        while not self.has_overflowed:
            await self._change()

    async def _change(self) -> None:
        self._changed.clear()
        await self._changed.wait()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._feed.leave(self)
