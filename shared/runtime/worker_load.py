"""How much each of several workers has to do, and which of them is to serve the next connection.

Owns the rule (`choose_worker`) and the memory that the workers share to see each other's numbers (`LoadBoard`). How a
connection gets from one to another is `worker_balance`'s.
"""

import mmap
from collections.abc import Sequence

_CELLS = 3  # of each worker
_OPEN, _SIGNS, _HELD_AT = range(_CELLS)
_CELL_BYTES = 8
_NOT_SERVING = -1


def choose_worker(own: int, counts: Sequence[int | None]) -> int | None:
    """Which of the others is to have the connection that worker `own` has accepted; None: it keeps it.

    `counts` are the connections that each has, without this one; None: it takes none now. Another gets it when it has
    fewer, so that no two ever differ by more than one through those that arrive. Among equals it is the next after
    `own`: two that choose at the same time choose different ones.
    """
    chosen, fewest = None, counts[own]
    for step in range(1, len(counts)):
        number = (own + step) % len(counts)
        count = counts[number]
        if count is not None and (fewest is None or count < fewest):
            chosen, fewest = number, count
    return chosen


class LoadBoard:
    """Numbers in memory that a parent shares with the workers it forks, counted from 0.

    A worker alone writes how many connections it has, and counts its signs of life: connections that came or went. Who
    finds that one has left something waiting writes at which sign it was found so; the next sign makes that void. No
    lock is needed: a cell is written in one piece, and where several write, they write the same.
    """

    def __init__(self, workers: int) -> None:
        self._cells = memoryview(mmap.mmap(-1, workers * _CELLS * _CELL_BYTES)).cast("q")
        for worker in range(workers):
            self._cells[worker * _CELLS + _HELD_AT] = -1
            self.withdraw(worker)

    def publish(self, worker: int, count: int) -> None:
        """The worker serves, and has so many connections."""
        self._cells[worker * _CELLS + _OPEN] = count
        self.give_sign(worker)

    def withdraw(self, worker: int) -> None:
        """The worker takes no connections from others: it has not begun to serve, drains, or is dead."""
        self._cells[worker * _CELLS + _OPEN] = _NOT_SERVING

    def give_sign(self, worker: int) -> None:
        """The worker is at work."""
        self._cells[worker * _CELLS + _SIGNS] += 1

    def signs(self, worker: int) -> int:
        """How many signs of life there were."""
        return self._cells[worker * _CELLS + _SIGNS]

    def mark_held(self, worker: int, signs: int) -> None:
        """The worker has left something waiting since it gave so many signs: it gets nothing until it gives another."""
        self._cells[worker * _CELLS + _HELD_AT] = signs

    def count(self, worker: int) -> int | None:
        """The connections of a worker; None when it is not to get any."""
        cells, start = self._cells, worker * _CELLS
        count = cells[start + _OPEN]
        return None if count == _NOT_SERVING or cells[start + _SIGNS] == cells[start + _HELD_AT] else count
