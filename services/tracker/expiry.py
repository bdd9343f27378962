"""Whose lease ends when: time arithmetic for the registry, without a timer and without a clock.

`Deadlines` answers two questions cheaply for ten thousand leases that are renewed all the time: who is due
now, and when is the next one due. The timer that acts on the second answer belongs to `app`.
"""

import heapq

_SPARE_ENTRIES = 64


class Deadlines:
    """A deadline per key, in any unit of time that grows.

    A heap holds one entry a key. Postponing a deadline, which each heartbeat does, leaves the heap alone:
    the entry is moved only when it reaches the top. So a renewal costs two dictionary writes, and the heap
    stays small.
    """

    __slots__ = ("_deadlines", "_heap", "_queued")

    def __init__(self) -> None:
        self._deadlines: dict[str, float] = {}
        self._queued: dict[str, float] = {}  # the time of the one heap entry that counts for a key
        self._heap: list[tuple[float, str]] = []

    def __len__(self) -> int:
        return len(self._deadlines)

    def set(self, key: str, deadline: float) -> None:
        """From now on `key` is due at `deadline`, whatever it was before."""
        self._deadlines[key] = deadline
        queued = self._queued.get(key)
        if queued is None or deadline < queued:
            self._queue(key, deadline)

    def discard(self, key: str) -> None:
        """`key` is never due; nothing happens when it is unknown."""
        if self._deadlines.pop(key, None) is not None:
            del self._queued[key]

    def next_due(self) -> float | None:
        """The earliest deadline, None when there is none."""
        while self._heap:
            queued, key = self._heap[0]
            if self._queued.get(key) != queued:
                heapq.heappop(self._heap)  # discarded, or superseded by an earlier entry
            elif (deadline := self._deadlines[key]) > queued:
                self._queued[key] = deadline
                heapq.heapreplace(self._heap, (deadline, key))
            else:
                return queued
        return None

    def pop_due(self, now: float) -> list[str]:
        """Forgets and returns the keys whose deadline is at or before `now`, earliest first."""
        due: list[str] = []
        while (deadline := self.next_due()) is not None and deadline <= now:
            key = heapq.heappop(self._heap)[1]
            self.discard(key)
            due.append(key)
        return due

    def _queue(self, key: str, deadline: float) -> None:
        self._queued[key] = deadline
        heapq.heappush(self._heap, (deadline, key))
        if len(self._heap) > 2 * len(self._queued) + _SPARE_ENTRIES:  # ever shorter leases leave entries behind
            self._heap = [(time, name) for name, time in self._queued.items()]
            heapq.heapify(self._heap)
