"""`shared.runtime.tracker_client` and a real tracker: leases and watches live through a crash of the tracker."""

import asyncio
import logging
from contextlib import asynccontextmanager

import pytest

from shared.httpcore.net.pool import ConnectionPool
from shared.runtime.keys import load_key, make_keys
from shared.runtime.tracker_client import TrackerClient, TrackerRefused, keep_registered, unregister

LEASE = {"peer_id": "p1", "ip": "127.0.0.1", "port": 7510, "roles": ["p2p"], "channels": ["chat"], "load": 0.0}


@asynccontextmanager
async def connected(url, key=None):
    pool = ConnectionPool()
    try:
        yield TrackerClient(url, key, pool)
    finally:
        await pool.aclose()


class Seen:
    """What a watch has yielded so far, and a way to wait for a view."""

    def __init__(self, client, **filters):
        self.history = []
        self._changed = asyncio.Event()
        self.task = asyncio.ensure_future(self._follow(client, filters))

    async def _follow(self, client, filters):
        async for snapshot in client.watch(**filters):
            self.history.append(snapshot)
            self._changed.set()

    async def until(self, is_so):
        """Returns when `is_so` holds for the peers that were yielded last."""
        async with asyncio.timeout(30):
            while not self.history or not is_so(self.history[-1].peers):
                self._changed.clear()
                await self._changed.wait()
        return self.history[-1].peers


def run(story):
    asyncio.run(asyncio.wait_for(story(), 60))


def test_every_call_does_what_it_says(start_service):
    tracker = start_service("services.tracker")

    async def story():
        async with connected(tracker.url) as client:
            assert (await client.register(LEASE | {"ttl": 60}))["ttl"] == 60
            assert await client.heartbeat("p1", ttl=90, load=2.0)
            assert await client.update("p1", {"channels": ["news"]})
            snapshot = await client.peers(role="p2p")
            assert [(peer["load"], peer["ttl"], peer["channels"]) for peer in snapshot.peers] == [(2.0, 90, ["news"])]
            assert (await client.peers(channel="chat")).peers == ()
            assert await client.remove("p1")
            assert not await client.remove("p1")
            assert not await client.heartbeat("p1")
            with pytest.raises(TrackerRefused, match="bad_field: port: got nothing"):
                await client.register({"peer_id": "p1"})

    run(story)


def test_a_kept_lease_is_seen_by_a_watch_and_comes_back_after_a_crash(start_service, caplog):
    tracker = start_service("services.tracker")
    statuses = []

    async def story():
        async with connected(tracker.url) as client, connected(tracker.url) as other:
            seen = Seen(other, role="p2p")
            await seen.until(lambda peers: peers == ())
            keeping = asyncio.ensure_future(keep_registered(client, lambda: LEASE, 3, statuses.append))
            (before,) = await seen.until(lambda peers: len(peers) == 1)
            await asyncio.to_thread(tracker.kill)
            await asyncio.to_thread(tracker.restart)
            await seen.until(lambda peers: peers != () and peers[0]["registered_at"] > before["registered_at"])
            keeping.cancel()
            assert await unregister(client, "p1")
            await seen.until(lambda peers: peers == ())
            seen.task.cancel()

    with caplog.at_level(logging.INFO):
        run(story)
    assert statuses[0] is True
    assert statuses[-1] is True


def test_a_load_that_changes_reaches_the_watch(start_service):
    tracker = start_service("services.tracker")
    loads = [0.0]

    async def story():
        async with connected(tracker.url) as client:
            changed = asyncio.Event()
            seen = Seen(client)
            keeping = asyncio.ensure_future(
                keep_registered(client, lambda: LEASE | {"load": loads[0]}, 60, changed=changed)
            )
            await seen.until(lambda peers: len(peers) == 1)
            loads[0] = 7.0
            changed.set()
            await seen.until(lambda peers: peers[0]["load"] == 7.0)
            keeping.cancel()
            seen.task.cancel()

    run(story)


def test_the_key_opens_a_keyed_tracker(start_service, tmp_path):
    make_keys(tmp_path)
    tracker = start_service("services.tracker", "--keys-dir", str(tmp_path))

    async def story():
        async with connected(tracker.url) as stranger, connected(tracker.url, load_key(tmp_path, "tracker")) as owner:
            with pytest.raises(TrackerRefused, match="key_required"):
                await stranger.peers()
            assert (await owner.register(LEASE))["registered_by"] == "key"

    run(story)
