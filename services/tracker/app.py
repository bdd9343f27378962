"""Builds the tracker from its parts and says when they act: the clock, the one timer, the snapshot, the metrics.

Read `handlers` next for what a request does, `registry` for what the table is.
"""

import asyncio
import logging
import os
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

from services.tracker.handlers import CALLER, TrackerApi
from services.tracker.listing import PeerEncoder
from services.tracker.registry import Cause, Change, Registry
from services.tracker.settings import Settings
from services.tracker.snapshot import SnapshotWriter, load_snapshot
from services.tracker.watch import WatchHub
from shared.httpcore.compression import Compression
from shared.httpcore.errors import HttpError
from shared.httpcore.message import Request, Response
from shared.httpcore.routing import Router
from shared.runtime.errors import StartupError
from shared.runtime.guard import Guard
from shared.runtime.key_check import KeyCheck
from shared.runtime.keys import load_key
from shared.runtime.lifecycle import Lifecycle
from shared.runtime.metrics import MetricsRegistry

OPEN_PATHS = frozenset({"/tracker/health", "/healthz"})

_log = logging.getLogger("weaprous.tracker")


async def build(settings: Settings, lifecycle: Lifecycle) -> Router:
    """The tracker, ready to serve: its router, with the table that a snapshot kept. StartupError."""
    clock = steady_clock()
    registry = Registry(settings.max_peers, first_revision=int(time.time() * 1000))
    if settings.snapshot is not None:
        _restore(registry, settings.snapshot, clock())
    encoder = PeerEncoder()
    hub = WatchHub(registry, encoder, clock, settings.max_watchers)
    registry.observers += [encoder.forget, log_change]
    timer = ExpiryTimer(registry, clock)
    registry.lease_observers.append(timer.arm)
    timer.arm()
    if settings.snapshot is not None:
        writer = SnapshotWriter(settings.snapshot, registry, clock)
        lifecycle.start_task(writer.run(), "snapshot")
        lifecycle.on_stop(writer.write_if_changed)
    lifecycle.on_drain(partial(_drain, hub))
    add_metrics(lifecycle.metrics, registry, hub)
    router = Router()
    add_gates(router, settings)
    TrackerApi(registry, encoder, hub, clock).add_to(router)
    return router


def steady_clock() -> Callable[[], float]:
    """Unix seconds as they were at this call, from then on counted by the clock that nobody sets.

    A wall clock that is corrected would end leases early or late.
    """
    offset_s = time.time() - time.monotonic()
    return lambda: time.monotonic() + offset_s


class ExpiryTimer:
    """Wakes when the next lease ends, and has the registry drop what has ended."""

    def __init__(self, registry: Registry, clock: Callable[[], float]) -> None:
        self._registry = registry
        self._clock = clock
        self._due = 0.0
        self._handle: asyncio.TimerHandle | None = None

    def arm(self) -> None:
        """The timer is set for the next end of a lease; one that is set for an earlier time stays."""
        due = self._registry.next_expiry()
        if due is None or (self._handle is not None and self._due <= due):
            return
        if self._handle is not None:
            self._handle.cancel()
        self._due = due
        self._handle = asyncio.get_running_loop().call_later(max(due - self._clock(), 0.001), self._fire)

    def _fire(self) -> None:
        self._handle = None
        self._registry.expire(self._clock())
        self.arm()


def add_gates(router: Router, settings: Settings) -> None:
    """Hooks: who may ask at all, and who asks. Health is for everyone."""
    key = load_key(settings.keys_dir, "tracker") if settings.keys_dir is not None else None
    guard = Guard(key is not None, settings.cors_origin, frozenset({settings.server_ip}))
    key_check = KeyCheck(key, "X-Tracker-Key", "tracker")

    def identify(request: Request) -> Response | None:
        if request.raw_path in OPEN_PATHS:
            return None
        caller = key_check.identify(request, time.time())
        if caller is None:
            raise HttpError(401, "key_required", "expected the tracker's key in X-Tracker-Key, or a proof")
        request.state[CALLER] = caller
        return None

    router.before(guard.check)
    router.before(identify)
    router.after(guard.decorate)
    router.after(Compression(even_unstored=True).decorate)  # who is where, and no secret among it


def add_metrics(metrics: MetricsRegistry, registry: Registry, hub: WatchHub) -> None:
    """What the table holds and what happened to it, for Prometheus."""
    metrics.gauge("weaprous_tracker_peers", "Live peers.", ask=lambda: len(registry))
    metrics.gauge("weaprous_tracker_watchers", "Watches that wait.", ask=lambda: hub.watcher_count)
    metrics.gauge("weaprous_tracker_revision", "Revision of the table.", ask=lambda: registry.revision)
    events = metrics.counter("weaprous_tracker_lease_events_total", "What happened to leases.", ("event",))
    names = {name: events.labels(name) for name in registry.totals.__slots__}

    def refresh() -> None:
        for name, child in names.items():
            child.value = getattr(registry.totals, name)

    metrics.before_render(refresh)


def log_change(change: Change) -> None:
    """An observer of the registry: a line when a peer comes or goes."""
    peer = change.new or change.old
    if peer is None or change.cause in (Cause.LOAD, Cause.UPDATED):
        return
    extra = {"peer_id": peer.peer_id, "address": f"{peer.ip}:{peer.port}", "revision": change.revision}
    _log.info("peer %s", change.cause.value, extra=extra)


def _restore(registry: Registry, path: Path, now: float) -> None:
    """The table of an earlier run is back; StartupError when the file can neither be read nor be written."""
    try:
        kept = load_snapshot(path)
    except OSError as error:
        raise StartupError(f"--snapshot: can't read {path}: {error.strerror}") from None
    if not os.access(path.parent, os.W_OK | os.X_OK):
        raise StartupError(f"--snapshot: can't write into the folder {path.parent}")
    count = registry.restore(kept, now)
    if kept:
        _log.info("table restored", extra={"path": path, "peers": count, "ended": len(kept) - count})


async def _drain(hub: WatchHub) -> None:
    hub.begin_drain()
