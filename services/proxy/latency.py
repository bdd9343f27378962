"""How long upstreams take, as quantiles over the last minutes: a histogram with buckets that grow by a tenth. Pure.

An observation costs a bisection and four additions, whatever was seen before. A quantile is right to within 5 % of the
value, between `FLOOR_S` and `CEILING_S`: each bucket is told by its middle, as in DDSketch (Masson et al., 2019).
"""

import math
from bisect import bisect_right
from collections.abc import Sequence
from itertools import accumulate
from operator import sub

WINDOW_S = 300.0
SLOTS = 10  # the window moves on by a tenth of itself at a time
QUANTILES = (0.5, 0.9, 0.99)

GROWTH = 1.1
FLOOR_S = 0.000_01
CEILING_S = 3600.0
_BUCKETS = int(math.log(CEILING_S / FLOOR_S, GROWTH)) + 1
_BOUNDS = [FLOOR_S * GROWTH**bucket for bucket in range(1, _BUCKETS)]  # between one bucket and the next
_SLOT_S = WINDOW_S / SLOTS


class LatencyWindow:
    """What was observed within the last `WINDOW_S`, and count and sum of all there ever was. Times in seconds."""

    __slots__ = ("_counts", "_current", "_slot", "_slot_end", "_slots", "count", "sum_s")

    def __init__(self) -> None:
        self.count = 0
        self.sum_s = 0.0
        self._slot = -1  # the number of the slot that `_current` is
        self._slot_end = -math.inf
        self._current: list[int] = []
        self._slots: dict[int, list[int]] = {}
        self._counts = [0] * _BUCKETS  # of all slots together

    def observe(self, duration_s: float, now: float) -> None:
        """Something took so long and ended now."""
        self.count += 1
        self.sum_s += duration_s
        if now >= self._slot_end:
            self._begin(int(now / _SLOT_S))
        bucket = bisect_right(_BOUNDS, duration_s)
        self._current[bucket] += 1
        self._counts[bucket] += 1

    def quantiles(self, wanted: Sequence[float], now: float) -> list[float | None]:
        """The durations that these shares did not exceed; None where nothing was observed within the window."""
        self._forget_before(int(now / _SLOT_S) - SLOTS + 1)
        seen = list(accumulate(self._counts))
        total = seen[-1]
        return [_middle_of(bisect_right(seen, share * (total - 1))) if total else None for share in wanted]

    def _begin(self, slot: int) -> None:
        """Old slots are forgotten here too, so that what nobody asks about stays bounded."""
        self._forget_before(slot - SLOTS + 1)
        self._slot = slot
        self._slot_end = (slot + 1) * _SLOT_S
        self._current = self._slots.setdefault(slot, [0] * _BUCKETS)

    def _forget_before(self, oldest: int) -> None:
        for slot in [slot for slot in self._slots if slot < oldest]:
            self._counts = list(map(sub, self._counts, self._slots.pop(slot)))
            if slot == self._slot:
                self._slot, self._slot_end = -1, -math.inf


def _middle_of(bucket: int) -> float:
    """The value that is as far from both ends of the bucket, relatively: (GROWTH - 1) / (GROWTH + 1), 4.8 %."""
    return float(FLOOR_S * GROWTH**bucket * 2 * GROWTH / (GROWTH + 1))
