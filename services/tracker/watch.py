"""Who waits for which part of the table to change, and when each of them hears of it.

A `View` is the table through one filter; all its watchers share one change mark and one encoded answer, so
that thousands of them cost one JSON document. A `Subscription` is one watcher's place in a view: a long
poll asks it once, an event stream or a WebSocket iterates over it. The loop is here only as futures and one
timer; what changed is told by `registry`.

Joining, leaving and changing within a view happen at once. A change of nothing but load, which backends
report all the time, wakes watchers at most every `LOAD_COALESCE_S`.
"""

import asyncio
from collections import OrderedDict
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import dataclass
from itertools import chain, product

from services.tracker.lease import Peer, PeerFilter
from services.tracker.listing import PeerEncoder
from services.tracker.registry import Cause, Change, Registry

LOAD_COALESCE_S = 0.5
MAX_IDLE_VIEWS = 1024
_BODY_SHARED_FOR_S = 0.1


class TooManyWatchers(Exception):
    """As many watch as may; `args[0]` is that number."""


@dataclass(frozen=True, slots=True)
class Answer:
    """A view at one revision of the table, as the JSON that is sent."""

    revision: int
    body: bytes


class View:
    """The table through one filter: when it last changed, and who waits for the next time."""

    __slots__ = ("answer", "answered_at", "changed_revision", "filter", "load_revision", "subscriptions", "waiting")

    def __init__(self, wanted: PeerFilter, revision: int) -> None:
        self.filter = wanted
        # What happened before the view was opened is not known: it counts as changed at this revision.
        self.changed_revision = revision
        self.load_revision = 0  # a change of load that watchers have not been woken for yet
        self.subscriptions: set[Subscription] = set()
        self.waiting: set[Subscription] = set()  # those to be woken; empty while they run
        self.answer = Answer(-1, b"")
        self.answered_at = 0.0

    def mark_changed(self, revision: int) -> None:
        """Watchers that know less than `revision` are woken."""
        self.changed_revision = max(self.changed_revision, revision)
        if self.waiting:  # walking a set that was once large takes time even when it is empty
            for subscription in [each for each in self.waiting if each.has_news()]:
                subscription.wake()


class Subscription:
    """One watcher of one view. `since` is the last revision it was told of, None before the first answer."""

    def __init__(self, hub: "WatchHub", view: View, since: int | None) -> None:
        self.since = since
        self._hub = hub
        self._view = view
        self._waiter: asyncio.Future[None] | None = None

    def has_news(self) -> bool:
        """True when the view changed after `since`, or when `since` is no revision of this tracker's life."""
        since = self.since
        return since is None or since < self._view.changed_revision or since > self._hub.registry.revision

    async def next_answer(self, wait_s: float) -> Answer:
        """The view when there is news, or after `wait_s`, or at once while draining; the watcher is told."""
        if not self.has_news() and not self._hub.is_draining and wait_s > 0:
            await self._wait(wait_s)
        answer = self._hub.answer(self._view)
        self.since = answer.revision
        return answer

    async def __aiter__(self) -> AsyncIterator[Answer]:
        """The view now, if there is news, and after each change, until the tracker drains."""
        while not self._hub.is_draining:
            if self.has_news():
                yield await self.next_answer(0)
            else:
                await self._wait(None)

    def wake(self) -> None:
        """Ends the wait."""
        self._view.waiting.discard(self)
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)

    async def _wait(self, wait_s: float | None) -> None:
        self._waiter = asyncio.get_running_loop().create_future()
        self._view.waiting.add(self)
        try:
            async with asyncio.timeout(wait_s):
                await self._waiter
        except TimeoutError:
            pass
        finally:
            self._view.waiting.discard(self)
            self._waiter = None

    def close(self) -> None:
        """The watcher has left."""
        self._hub.leave(self._view, self)

    def __enter__(self) -> "Subscription":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


class WatchHub:
    """All views and their watchers. `clock` gives the registry's time."""

    def __init__(self, registry: Registry, encoder: PeerEncoder, clock: Callable[[], float], max_watchers: int) -> None:
        self.registry = registry
        self.max_watchers = max_watchers
        self.watcher_count = 0
        self.is_draining = False
        self._encoder = encoder
        self._clock = clock
        self._views: OrderedDict[tuple[str | None, str | None], View] = OrderedDict()  # longest unused first
        self._load_views: set[View] = set()
        self._load_timer: asyncio.TimerHandle | None = None
        registry.observers.append(self.notify)

    def subscribe(self, wanted: PeerFilter, since: int | None) -> Subscription:
        """A place in the view of `wanted`; close it when done. TooManyWatchers when none is left."""
        if self.watcher_count >= self.max_watchers:
            raise TooManyWatchers(self.max_watchers)
        self.watcher_count += 1
        view = self._view(wanted)
        subscription = Subscription(self, view, since)
        view.subscriptions.add(subscription)
        return subscription

    def leave(self, view: View, subscription: Subscription) -> None:
        """The subscription waits no more; a second call does nothing."""
        if subscription in view.subscriptions:
            view.subscriptions.remove(subscription)
            self.watcher_count -= 1

    def notify(self, change: Change) -> None:
        """An observer of the registry: views that the peer is in, enters or leaves are marked as changed."""
        for view in list(self._touched_views(change)):
            if change.cause is Cause.LOAD:
                view.load_revision = change.revision
                self._load_views.add(view)
            else:
                view.mark_changed(change.revision)
        if self._load_views and self._load_timer is None:
            self._load_timer = asyncio.get_running_loop().call_later(LOAD_COALESCE_S, self.flush_loads)

    def flush_loads(self) -> None:
        """Watchers hear of the changes of load that were held back."""
        self._load_timer = None
        views, self._load_views = self._load_views, set()
        for view in views:
            view.mark_changed(view.load_revision)

    def answer(self, view: View) -> Answer:
        """What the view looks like now. Answers made within a moment of each other are one."""
        now = self._clock()
        self.registry.expire(now)
        revision = self.registry.revision
        if view.answer.revision != revision or now - view.answered_at > _BODY_SHARED_FOR_S:
            peers = self.registry.select(view.filter, now)
            view.answer = Answer(revision, self._encoder.list_json(peers, revision, now))
            view.answered_at = now
        return view.answer

    def begin_drain(self) -> None:
        """Every watcher is answered now, and whoever comes from now on at once."""
        self.is_draining = True
        if self._load_timer is not None:
            self._load_timer.cancel()
        for view in self._views.values():
            for subscription in list(view.waiting):
                subscription.wake()

    def _view(self, wanted: PeerFilter) -> View:
        key = (wanted.role, wanted.channel)
        view = self._views.get(key)
        if view is None:
            self._drop_idle_views()
            view = self._views[key] = View(wanted, self.registry.revision)
        self._views.move_to_end(key)
        return view

    def _drop_idle_views(self) -> None:
        """Filters are the callers' own words: of the views without a watcher, the longest unused go."""
        for key in list(self._views)[: max(0, len(self._views) - MAX_IDLE_VIEWS + 1)]:
            if not self._views[key].subscriptions:
                self._load_views.discard(self._views.pop(key))

    def _touched_views(self, change: Change) -> Iterator[View]:
        keys = dict.fromkeys(chain(_filter_keys(change.old), _filter_keys(change.new)))
        return (self._views[key] for key in keys if key in self._views)


def _filter_keys(peer: Peer | None) -> Iterator[tuple[str | None, str | None]]:
    """Every filter that the peer matches."""
    if peer is None:
        return iter(())
    return product((None, *peer.roles), (None, *peer.channels))
