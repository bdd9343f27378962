"""Many who miss the same reply at once ask for it once: nginx's `proxy_cache_lock`. No sockets, no clock.

The first is told to lead and fetches; the others wait for its word and then look the reply up again. What turned out
not to be storable is remembered for a while, so that nobody waits in line for it again.
"""

from collections import OrderedDict
from collections.abc import Callable

MAX_UNSTORABLE = 4096
UNSTORABLE_S = 10.0

# Told whether the reply is now in the cache; if it is not, the one who is told fetches it, and settles that.
Waiter = Callable[[bool], None]


class Fetches:
    """The fetches under way, by the cache's key."""

    def __init__(self) -> None:
        self._waiting: dict[str, dict[Waiter, None]] = {}
        self._unstorable: OrderedDict[str, float] = OrderedDict()  # until when, soonest first

    def __len__(self) -> int:
        return len(self._waiting)

    def join(self, key: str, waiter: Waiter, now: float) -> bool:
        """True: go on and fetch. False: `waiter` will be called, once, unless it leaves.

        Who is told to lead calls `settle` when it is over, however it ends. Where nobody has to wait, because the
        reply is one that can't be stored, everybody is told to go on, and `settle` is harmless.
        """
        until = self._unstorable.get(key)
        if until is not None:
            if now < until:
                return True
            del self._unstorable[key]
        waiting = self._waiting.get(key)
        if waiting is None:
            self._waiting[key] = {}
            return True
        waiting[waiter] = None
        return False

    def is_under_way(self, key: str) -> bool:
        """Whether somebody fetches it now."""
        return key in self._waiting

    def lead(self, key: str, now: float) -> bool:
        """Whether whoever asks leads from now on, and is to `settle`. Not when somebody does, nor when it was found of
        late that the reply can't be stored.
        """
        if self.is_under_way(key) or self._unstorable.get(key, now) > now:
            return False
        self._waiting[key] = {}
        return True

    def leave(self, key: str, waiter: Waiter) -> None:
        """The one who waited has gone, or has waited long enough. Harmless when it was told already."""
        self._waiting.get(key, {}).pop(waiter, None)

    def settle(self, key: str, now: float, *, is_stored: bool, may_be_stored: bool = True) -> None:
        """The leader's fetch is over. When the reply is stored all who wait are told so.

        `may_be_stored` False: its own fields forbid it, so all are told to go on, and the next ones need not wait for
        each other. A fetch that failed, or whose client left, says nothing of that sort: then the one who has waited
        longest leads, and the others wait for that.
        """
        waiting = self._waiting.pop(key, {})
        if not is_stored and may_be_stored:
            if waiting:
                successor = next(iter(waiting))
                del waiting[successor]
                self._waiting[key] = waiting
                successor(False)
            return
        if not is_stored:
            self._unstorable.pop(key, None)
            self._unstorable[key] = now + UNSTORABLE_S
            if len(self._unstorable) > MAX_UNSTORABLE:
                self._unstorable.popitem(last=False)
        for waiter in waiting:
            waiter(is_stored)
