"""Who is woken by what: views, subscriptions, and the changes of load that are held back."""

import asyncio
import json

import pytest

from services.tracker.lease import LeasePatch, PeerFilter, Registration
from services.tracker.listing import PeerEncoder
from services.tracker.registry import Registry
from services.tracker.watch import MAX_IDLE_VIEWS, TooManyWatchers, WatchHub

FIRST = 1000
EVERYONE = PeerFilter()
P2P = PeerFilter(role="p2p")
CHAT = PeerFilter(channel="chat")


class Scene:
    """A table, its hub and a clock that the test moves."""

    def __init__(self, max_watchers=100):
        self.now = 5000.0
        self.registry = Registry(capacity=100, first_revision=FIRST)
        self.hub = WatchHub(self.registry, PeerEncoder(), lambda: self.now, max_watchers)

    def register(self, peer_id="p1", roles=("p2p",), channels=(), **fields):
        wanted = Registration(peer_id, "10.0.0.1", 7510, roles, channels, **fields)
        return self.registry.register(wanted, "key", self.now)

    def wait_for(self, wanted, since, wait_s=30.0):
        """A task that long-polls."""
        return asyncio.ensure_future(self.poll(wanted, since, wait_s))

    async def poll(self, wanted, since, wait_s=30.0):
        with self.hub.subscribe(wanted, since) as subscription:
            return await subscription.next_answer(wait_s)


def ids(answer):
    return [peer["peer_id"] for peer in json.loads(answer.body)["peers"]]


async def settle():
    """Whatever can run without time passing has run."""
    for _ in range(10):
        await asyncio.sleep(0)


def run(story):
    asyncio.run(story())


def test_without_since_the_answer_comes_at_once():
    async def story():
        scene = Scene()
        scene.register("p1")
        answer = await scene.poll(EVERYONE, None)
        assert (ids(answer), answer.revision) == (["p1"], FIRST + 1)

    run(story)


def test_an_older_since_is_answered_at_once_and_the_current_one_waits():
    async def story():
        scene = Scene()
        scene.register("p1")
        assert ids(await scene.poll(EVERYONE, FIRST)) == ["p1"]
        waiting = scene.wait_for(EVERYONE, scene.registry.revision)
        await settle()
        assert not waiting.done()
        scene.register("p2")
        assert ids(await waiting) == ["p1", "p2"]

    run(story)


def test_a_since_from_another_life_of_the_tracker_is_answered_at_once():
    async def story():
        scene = Scene()
        assert (await scene.poll(EVERYONE, FIRST + 10_000)).revision == FIRST

    run(story)


def test_the_wait_ends_without_news():
    async def story():
        scene = Scene()
        answer = await scene.poll(EVERYONE, FIRST, wait_s=0.001)
        assert (ids(answer), answer.revision) == ([], FIRST)

    run(story)


ACTS = {
    "registers again": lambda scene: scene.register("p1", ("p2p",), ("chat",)),
    "is joined by another": lambda scene: scene.register("p2", ("p2p",), ("chat",)),
    "leaves": lambda scene: scene.registry.remove("p1", scene.now),
    "gives up the role": lambda scene: update(scene, roles=()),
    "gives up the channel": lambda scene: update(scene, channels=("news",)),
    "moves": lambda scene: update(scene, port=7600),
    "expires": lambda scene: pass_time(scene, 61),
}


def update(scene, **fields):
    scene.registry.update("p1", LeasePatch(**fields), scene.now)


def pass_time(scene, seconds):
    scene.now += seconds
    scene.registry.expire(scene.now)


@pytest.mark.parametrize("act", ACTS.values(), ids=ACTS)
@pytest.mark.parametrize("wanted", [EVERYONE, P2P, CHAT, PeerFilter("p2p", "chat")], ids=str)
def test_every_view_that_a_peer_is_in_is_woken_when_it(act, wanted):
    async def story():
        scene = Scene()
        scene.register("p1", ("p2p",), ("chat",))
        waiting = scene.wait_for(wanted, scene.registry.revision)
        await settle()
        act(scene)
        await settle()
        assert waiting.done()
        assert ids(waiting.result()) == [peer.peer_id for peer in scene.registry.select(wanted, scene.now)]

    run(story)


def test_a_peer_that_enters_a_view_by_an_update_wakes_it():
    async def story():
        scene = Scene()
        scene.register("p1", ("idle",))
        waiting = scene.wait_for(P2P, scene.registry.revision)
        await settle()
        update(scene, roles=("p2p",))
        assert ids(await waiting) == ["p1"]

    run(story)


def test_a_change_outside_the_view_wakes_nobody_and_is_no_news_later():
    async def story():
        scene = Scene()
        scene.register("p1", ("p2p",), ("chat",))
        first = await scene.poll(P2P, None)
        waiting = scene.wait_for(P2P, first.revision)
        both = scene.wait_for(PeerFilter("p2p", "chat"), first.revision)
        await settle()
        scene.register("b1", ("backend",))
        scene.register("n1", ("backend",), ("chat",))
        await settle()
        assert not waiting.done()
        assert not both.done()
        waiting.cancel()
        both.cancel()
        await settle()
        again = scene.wait_for(P2P, first.revision)  # the table's revision is ahead, the view is not
        await settle()
        assert not again.done()
        again.cancel()

    run(story)


def test_what_changed_between_two_polls_is_not_missed():
    async def story():
        scene = Scene()
        first = await scene.poll(P2P, None)
        scene.register("p1")
        assert ids(await scene.poll(P2P, first.revision)) == ["p1"]

    run(story)


def test_changes_of_load_wake_once_after_a_moment():
    async def story():
        scene = Scene()
        scene.register("p1")
        waiting = scene.wait_for(P2P, scene.registry.revision)
        await settle()
        for load in (1.0, 2.0, 3.0):
            scene.registry.heartbeat("p1", LeasePatch(load=load), scene.now)
        await settle()
        assert not waiting.done()
        scene.hub.flush_loads()
        answer = await waiting
        assert json.loads(answer.body)["peers"][0]["load"] == 3.0
        after = scene.wait_for(P2P, answer.revision)
        await settle()
        assert not after.done()
        after.cancel()

    run(story)


def test_who_was_told_of_a_load_by_another_change_is_not_woken_for_it_again():
    async def story():
        scene = Scene()
        scene.register("p1")
        first = await scene.poll(P2P, None)
        scene.registry.heartbeat("p1", LeasePatch(load=1.0), scene.now)
        scene.register("p2")
        answer = await scene.poll(P2P, first.revision)
        waiting = scene.wait_for(P2P, answer.revision)
        await settle()
        scene.hub.flush_loads()
        await settle()
        assert not waiting.done()
        waiting.cancel()

    run(story)


def test_the_timer_tells_of_loads_by_itself():
    async def story():
        scene = Scene()
        scene.register("p1")
        waiting = scene.wait_for(P2P, scene.registry.revision)
        await settle()
        scene.registry.heartbeat("p1", LeasePatch(load=1.0), scene.now)
        assert json.loads((await asyncio.wait_for(waiting, 20)).body)["peers"][0]["load"] == 1.0

    run(story)


def test_draining_answers_everyone_now_and_later():
    async def story():
        scene = Scene()
        waiting = [scene.wait_for(P2P, FIRST), scene.wait_for(EVERYONE, FIRST)]
        await settle()
        scene.hub.begin_drain()
        for task in waiting:
            assert (await task).revision == FIRST
        assert (await scene.poll(P2P, FIRST)).revision == FIRST

    run(story)


def test_a_thousand_watchers_share_one_document():
    async def story():
        scene = Scene(max_watchers=1000)
        waiting = [scene.wait_for(P2P, FIRST) for _ in range(1000)]
        await settle()
        assert scene.hub.watcher_count == 1000
        scene.register("p1")
        answers = await asyncio.gather(*waiting)
        assert len({id(answer.body) for answer in answers}) == 1
        assert scene.hub.watcher_count == 0

    run(story)


def test_one_watcher_too_many_is_refused_and_leaving_makes_room():
    async def story():
        scene = Scene(max_watchers=1)
        first = scene.hub.subscribe(P2P, FIRST)
        with pytest.raises(TooManyWatchers):
            scene.hub.subscribe(P2P, FIRST)
        first.close()
        first.close()
        scene.hub.subscribe(P2P, FIRST).close()
        assert scene.hub.watcher_count == 0

    run(story)


def test_a_watcher_that_is_cancelled_leaves_its_place():
    async def story():
        scene = Scene()
        waiting = scene.wait_for(P2P, FIRST)
        await settle()
        assert scene.hub.watcher_count == 1
        waiting.cancel()
        await settle()
        assert scene.hub.watcher_count == 0

    run(story)


def test_views_without_watchers_are_bounded_and_watched_ones_stay():
    async def story():
        scene = Scene()
        waiting = scene.wait_for(P2P, FIRST)
        await settle()
        for number in range(MAX_IDLE_VIEWS + 50):
            scene.hub.subscribe(PeerFilter(role=f"role-{number}"), None).close()
        assert len(scene.hub._views) <= MAX_IDLE_VIEWS + 1
        scene.register("p1")
        assert ids(await waiting) == ["p1"]

    run(story)


def test_an_ended_lease_is_not_in_an_answer_whose_body_was_just_shared():
    async def story():
        scene = Scene()
        scene.register("p1", ttl_s=10)
        scene.now += 9.99
        assert ids(await scene.poll(P2P, None)) == ["p1"]
        scene.now += 0.01
        assert ids(await scene.poll(P2P, None)) == []

    run(story)


def test_iterating_yields_the_view_now_and_after_each_change_until_the_drain():
    async def story():
        scene = Scene()
        scene.register("p1")
        seen = []

        async def follow():
            with scene.hub.subscribe(P2P, None) as subscription:
                seen.extend([ids(answer) async for answer in subscription])

        following = asyncio.ensure_future(follow())
        await settle()
        scene.register("b1", ("backend",))
        await settle()
        scene.register("p2")
        await settle()
        scene.hub.begin_drain()
        await following
        assert seen == [["p1"], ["p1", "p2"]]
        assert scene.hub.watcher_count == 0

    run(story)
