"""What happens to the proxy, for those who watch: a short memory, and a queue for each watcher.

Owns numbering and forgetting. How a watcher is served is `live`'s; who says what is everybody's.
"""

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Callable, Iterator
from typing import Any

REMEMBERED = 500
MAX_WAITING = 1000

Event = dict[str, Any]


class EventFeed:
    """The events of this process, each with a number that grows and the time in Unix seconds."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._number = 0
        self._recent: deque[Event] = deque(maxlen=REMEMBERED)
        self._watchers: set[asyncio.Queue[Event | None]] = set()
        self._is_closed = False

    def publish(self, kind: str, **fields: object) -> None:
        """Everyone who watches gets the event; whoever is too slow to take it is let go."""
        self._number += 1
        event = {"seq": self._number, "at": round(self._clock(), 3), "type": kind, **fields}
        self._recent.append(event)
        for queue in list(self._watchers):
            if queue.qsize() >= MAX_WAITING:
                self._watchers.discard(queue)
                queue.put_nowait(None)
            else:
                queue.put_nowait(event)

    def recent(self) -> list[Event]:
        """The last events, the oldest first."""
        return list(self._recent)

    @property
    def last_seq(self) -> int:
        """The number of the last event, 0 before the first."""
        return self._number

    async def watch(self, after: int | None = None) -> AsyncIterator[Event]:
        """Events as they happen, until the feed is closed; first those that came after number `after`.

        Where some of these are forgotten, an event `missed` tells how many. A number that was not given yet is
        another process': then all that is remembered comes.
        """
        queue: asyncio.Queue[Event | None] = asyncio.Queue()
        for event in self._after(after) if after is not None else ():
            queue.put_nowait(event)
        if self._is_closed:
            queue.put_nowait(None)
        self._watchers.add(queue)
        try:
            while (event_or_end := await queue.get()) is not None:
                yield event_or_end
        finally:
            self._watchers.discard(queue)

    def _after(self, after: int) -> Iterator[Event]:
        if after > self._number:
            after = 0
        oldest = self._recent[0]["seq"] if self._recent else self._number + 1
        if after < oldest - 1:
            yield {"seq": oldest - 1, "at": round(self._clock(), 3), "type": "missed", "count": oldest - 1 - after}
        yield from (event for event in self._recent if event["seq"] > after)

    def close(self) -> None:
        """Every watch ends after what it has still to tell."""
        self._is_closed = True
        for queue in self._watchers:
            queue.put_nowait(None)
        self._watchers.clear()
