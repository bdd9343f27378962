"""Builds a peer from its parts and says when they act: keys, store, links, tracker, metrics, and the end.

Read `handlers` next for what a request does, `delivery` for what becomes of a message.
"""

import asyncio
import logging
import time
from dataclasses import dataclass

from services.peer.access import add_gates
from services.peer.delivery import Delivery
from services.peer.group_writer import StorageError
from services.peer.handlers import PeerApi, Presence
from services.peer.handshake import Identity
from services.peer.links import LinkEvents, Links
from services.peer.live import LiveFeed
from services.peer.membership import ROLE, Membership
from services.peer.remembered import PRUNE_AT_ONCE
from services.peer.settings import Settings
from services.peer.store import MessageStore, open_store
from shared.httpcore.compression import Compression
from shared.httpcore.limits import behind_proxy
from shared.httpcore.loopback import is_loopback
from shared.httpcore.net.pool import ConnectionPool
from shared.httpcore.routing import Router
from shared.runtime.keys import load_key
from shared.runtime.lifecycle import Lifecycle
from shared.runtime.listening import listen_or_explain
from shared.runtime.metrics import MetricsRegistry
from shared.runtime.tracker_client import TrackerClient, keep_registered, unregister
from shared.runtime.tracker_tls import load_tracker_tls

CHANNELS = ("chat",)
WILDCARDS = frozenset({"0.0.0.0", "::"})
FIRST_FORGET_S = 60.0
FORGET_EVERY_S = 3600.0
LAST_ACKS_S = 0.4  # of the second that is left when connections have ended
_LOG = logging.getLogger("weaprous.peer")


@dataclass(frozen=True, slots=True)
class Keys:
    """The keys of this peer, None where it has none: one for links and API, one for the tracker."""

    p2p: bytes | None
    tracker: bytes | None


@dataclass(frozen=True, slots=True)
class Parts:
    """What a peer is made of."""

    store: MessageStore
    membership: Membership
    feed: LiveFeed
    delivery: Delivery
    links: Links


async def build(settings: Settings, lifecycle: Lifecycle) -> Router:
    """The peer, ready to serve: its router, with links accepted and the outbox on its way. StartupError."""
    lifecycle.limits = behind_proxy(lifecycle.limits)
    keys = _load_keys(settings)
    listener = listen_or_explain(settings.server_ip, settings.p2p_port)
    try:
        store = await asyncio.to_thread(open_store, settings.data_dir, settings.peer_id)
    except BaseException:
        listener.close()
        raise
    lifecycle.on_stop(lambda: asyncio.to_thread(store.close))
    membership, feed = Membership(settings.peer_id), LiveFeed()
    delivery = Delivery(settings.peer_id, store, membership, feed)
    events = LinkEvents(delivery.receive, membership.find, delivery.wake)
    links = Links(Identity(settings.peer_id, keys.p2p), events)
    parts = Parts(store, membership, feed, delivery, links)
    lifecycle.on_stop(lambda: _end(parts))
    links.start(listener)
    await delivery.start(links)
    presence = Presence(
        peer_id=settings.peer_id,
        ip=settings.advertise or settings.server_ip,
        api_port=settings.api_port,
        p2p_port=listener.getsockname()[1],
        tracker=settings.tracker,
        is_keyed=keys.p2p is not None,
    )
    _follow_tracker(settings, keys.tracker, lifecycle, parts, presence)
    lifecycle.start_task(forget_regularly(store), "forgetting")
    add_metrics(lifecycle.metrics, parts)
    lifecycle.open_warning = describe_openness(settings, presence)
    router = Router()
    add_gates(router, settings, keys.p2p)
    router.after(Compression().decorate)  # metrics; never messages, which strangers may write beside private ones
    PeerApi(presence, store, delivery, feed).add_to(router)
    return router


def _load_keys(settings: Settings) -> Keys:
    if settings.keys_dir is None:
        return Keys(None, None)
    tracker_key = load_key(settings.keys_dir, "tracker") if settings.tracker is not None else None
    return Keys(load_key(settings.keys_dir, "p2p"), tracker_key)


def describe_openness(settings: Settings, presence: Presence) -> str | None:
    """The warning of a keyless peer that others than this machine reach; None: the usual one will do."""
    if presence.is_keyed or is_loopback(settings.server_ip):
        return None
    return (
        f"NO --keys-dir, AND NOT ONLY ON LOOPBACK: whoever reaches the ports {presence.api_port} and"
        f" {presence.p2p_port} of {settings.server_ip} can use this peer; give it keys, or --ip 127.0.0.1"
    )


# --- the tracker -----------------------------------------------------------------------------------------------


def _follow_tracker(
    settings: Settings, key: bytes | None, lifecycle: Lifecycle, parts: Parts, presence: Presence
) -> None:
    """The peer knows who else is there and, where asked to, is known itself until the drain begins."""
    if settings.tracker is None:
        return
    pool = ConnectionPool(tls=load_tracker_tls(settings.tracker_ca))
    lifecycle.on_stop(pool.aclose)
    client = TrackerClient(settings.tracker, key, pool)
    lifecycle.start_task(_watch(client, parts.membership), "watching the tracker")
    if not settings.register:
        return

    def note_status(is_registered: bool) -> None:
        presence.is_registered = is_registered
        _LOG.info("registered" if is_registered else "no longer registered", extra={"tracker": settings.tracker})

    keeping = keep_registered(client, lambda: make_lease(settings, presence), settings.ttl, note_status)
    task = lifecycle.start_task(keeping, "keeping registered")

    async def leave() -> None:
        task.cancel()
        await asyncio.wait({task})
        await unregister(client, settings.peer_id)
        presence.is_registered = False

    lifecycle.on_drain(leave)


async def _watch(client: TrackerClient, membership: Membership) -> None:
    async for snapshot in client.watch(role=ROLE):
        membership.apply(snapshot.peers)


def make_lease(settings: Settings, presence: Presence) -> dict[str, object]:
    """What the tracker is told. Without an address of its own the tracker takes the one it hears us from."""
    host = settings.advertise or (None if settings.server_ip in WILDCARDS else settings.server_ip)
    lease: dict[str, object] = {
        "peer_id": settings.peer_id,
        "port": presence.api_port,
        "roles": [ROLE],
        "channels": list(CHANNELS),
        "meta": {"api_port": presence.api_port, "p2p_port": presence.p2p_port},
    }
    return lease if host is None else {**lease, "ip": host}


# --- in the background, and the end ----------------------------------------------------------------------------


async def forget_regularly(store: MessageStore) -> None:
    """Once an hour, ids that need not be remembered any more are forgotten."""
    await asyncio.sleep(FIRST_FORGET_S)
    while True:
        try:
            while await store.forget_old(time.time()) == PRUNE_AT_ONCE:
                pass
        except StorageError as error:
            _LOG.warning("old ids can't be forgotten", extra={"reason": str(error)})
        await asyncio.sleep(FORGET_EVERY_S)


async def _end(parts: Parts) -> None:
    """What is on its way to or from other peers has arrived where time allows; the rest stays in the outbox."""
    await parts.delivery.stop(LAST_ACKS_S)
    await parts.links.finish(LAST_ACKS_S)


def add_metrics(metrics: MetricsRegistry, parts: Parts) -> None:
    """What the peer holds and what happened to it, for Prometheus."""
    delivery, links, writer = parts.delivery, parts.links, parts.store.writer
    metrics.gauge("weaprous_peer_links", "Open links to other peers.", ask=lambda: links.count)
    metrics.gauge(
        "weaprous_peer_known_peers", "Other peers that the tracker shows.", ask=lambda: parts.membership.count
    )
    metrics.gauge("weaprous_peer_browsers", "WebSockets that listen.", ask=lambda: parts.feed.count)
    metrics.gauge("weaprous_peer_outbox", "Deliveries that wait.", ask=lambda: delivery.waiting_count)
    messages = metrics.counter("weaprous_peer_messages_total", "What happened to messages.", ("event",))
    links_total = metrics.counter("weaprous_peer_links_total", "What happened to links.", ("event",))
    commits = metrics.counter("weaprous_peer_store_commits_total", "Transactions committed.")
    writes = metrics.counter("weaprous_peer_store_writes_total", "Writes in them.")
    dropped = metrics.counter("weaprous_peer_browsers_dropped_total", "WebSockets let go because they fell behind.")

    def refresh() -> None:
        messages.labels("received").value = delivery.received_count
        messages.labels("repeated").value = delivery.repeat_count
        messages.labels("delivered").value = delivery.delivered_count
        links_total.labels("accepted").value = links.accepted_count
        links_total.labels("dialled").value = links.dialled_count
        links_total.labels("refused").value = links.refused_count
        commits.labels().value = writer.commit_count
        writes.labels().value = writer.write_count
        dropped.labels().value = parts.feed.dropped_count

    metrics.before_render(refresh)
