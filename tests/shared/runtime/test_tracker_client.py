"""What the client sends, what it makes of replies, and how a lease is kept through failures."""

import asyncio
import json
import logging
from urllib.parse import parse_qsl, urlsplit

import pytest

from shared.httpcore.errors import ConnectFailed, ConnectionClosed
from shared.httpcore.headers import Headers
from shared.httpcore.net.client import ClientResponse
from shared.runtime.tracker_client import (
    Backoff,
    TrackerClient,
    TrackerRefused,
    TrackerUnavailable,
    keep_registered,
    unregister,
)

LOST = ConnectFailed("refused")
LEASE = {"peer_id": "p1", "ip": "10.0.0.1", "port": 7510, "load": 0.0}


class ScriptedPool:
    """Answers with what the script holds, in order; when it is used up, never, and `used_up` is set."""

    def __init__(self, *script):
        self.script = list(script)
        self.asked = []
        self.used_up = asyncio.Event()

    async def request(self, method, url, headers=(), body=None, timeout_s=10.0, max_body_bytes=0):
        self.asked.append((method, urlsplit(url), dict(headers), json.loads(body) if body else None))
        if not self.script:
            self.used_up.set()
            await asyncio.Future()
        step = self.script.pop(0)
        if isinstance(step, BaseException):
            raise step
        status, value = step
        return ClientResponse(status, Headers([]), value if isinstance(value, bytes) else json.dumps(value).encode())

    def paths(self):
        return [url.path.removeprefix("/tracker/") for _, url, _, _ in self.asked]

    def bodies(self):
        return [body for *_, body in self.asked]


def error(status, code):
    return status, {"error": {"code": code, "message": "because"}}


def client_of(pool, key=None):
    return TrackerClient("http://tracker:9000/", key, pool)


def ok(**fields):
    return 200, fields


def listing(revision, *peers):
    return ok(count=len(peers), revision=revision, peers=[{"peer_id": name, "revision": rev} for name, rev in peers])


def run(story):
    return asyncio.run(asyncio.wait_for(story(), 30))


def test_the_key_goes_in_its_header_and_the_fields_as_json():
    async def story():
        pool = ScriptedPool((201, LEASE | {"ttl": 60}))
        assert (await client_of(pool, b"k" * 32).register(LEASE))["ttl"] == 60
        method, url, headers, body = pool.asked[0]
        assert (method, url.geturl(), body) == ("POST", "http://tracker:9000/tracker/register", LEASE)
        assert headers["X-Tracker-Key"] == "k" * 32
        assert headers["Content-Type"] == "application/json"

    run(story)


def test_without_a_key_no_header_is_sent():
    async def story():
        pool = ScriptedPool(listing(5))
        await client_of(pool).peers(role="p2p")
        _, url, headers, body = pool.asked[0]
        assert (url.path, url.query, body) == ("/tracker/peers", "role=p2p", None)
        assert "X-Tracker-Key" not in headers

    run(story)


@pytest.mark.parametrize("verb", ["heartbeat", "remove"])
def test_an_unknown_peer_is_false_not_an_error(verb):
    async def story():
        client = client_of(ScriptedPool(error(404, "peer_not_found"), ok()))
        assert await getattr(client, verb)("p1") is False
        assert await getattr(client, verb)("p1") is True

    run(story)


def test_a_heartbeat_sends_only_what_it_was_given():
    async def story():
        pool = ScriptedPool(ok(), ok())
        await client_of(pool).heartbeat("p1")
        await client_of(pool).heartbeat("p1", ttl=5, load=0.0)
        assert pool.bodies() == [{"peer_id": "p1"}, {"peer_id": "p1", "ttl": 5, "load": 0.0}]

    run(story)


def test_a_refusal_carries_the_tracker_s_words():
    async def story():
        with pytest.raises(TrackerRefused) as caught:
            await client_of(ScriptedPool(error(403, "not_your_peer"))).update("p1", {"port": 1})
        assert (caught.value.status, caught.value.code, caught.value.message) == (403, "not_your_peer", "because")

    run(story)


@pytest.mark.parametrize("step", [(404, b"<html>"), (500, b"")], ids=["a page", "nothing"])
def test_an_error_without_the_tracker_s_words_is_a_refusal_too(step):
    async def story():
        with pytest.raises(TrackerRefused, match="no_code"):
            await client_of(ScriptedPool(step)).heartbeat("p1")

    run(story)


UNUSABLE = {
    "refused": LOST,
    "cut": ConnectionClosed("closed"),
    "late": TimeoutError(),
    "system": OSError("no route"),
    "page": (200, b"<html>"),
    "list": (200, []),
    "deep": (200, b"[" * 100_000),
    "no peers": ok(revision=3),
    "no revision": ok(peers=[]),
}


@pytest.mark.parametrize("step", UNUSABLE.values(), ids=UNUSABLE)
def test_no_usable_reply_is_unavailable(step):
    async def story():
        with pytest.raises(TrackerUnavailable):
            await client_of(ScriptedPool(step)).peers()

    run(story)


async def collect(client, pool, **filters):
    """What a watch yields until the script is used up."""
    seen = []

    async def follow():
        async for snapshot in client.watch(**filters):
            seen.append(snapshot)  # noqa: PERF401 - what came before the cancellation is wanted

    following = asyncio.ensure_future(follow())
    await pool.used_up.wait()
    following.cancel()
    return seen


def test_a_watch_yields_at_first_and_when_a_peer_came_changed_or_went():
    async def story():
        pool = ScriptedPool(
            listing(10),
            listing(11, ("p1", 11)),
            listing(12, ("p1", 11)),
            listing(13, ("p1", 13)),
            listing(14),
        )
        seen = await collect(client_of(pool), pool, role="p2p", channel="a b")
        assert [snapshot.revision for snapshot in seen] == [10, 11, 13, 14]
        queries = [dict(parse_qsl(url.query)) for _, url, _, _ in pool.asked]
        assert queries[0] == {"role": "p2p", "channel": "a b", "wait": "30"}
        assert [query.get("since") for query in queries] == [None, "10", "11", "12", "13", "14"]

    run(story)


def test_a_watch_outlives_failures_and_refusals(caplog):
    async def story():
        pool = ScriptedPool(listing(10), LOST, error(401, "key_required"), (200, b"?"), listing(3, ("p1", 2)))
        seen = await collect(client_of(pool), pool)
        assert [snapshot.revision for snapshot in seen] == [10, 3]

    with caplog.at_level(logging.INFO):
        run(story)
    assert [record.message for record in caplog.records] == ["the tracker refuses"]


def test_losing_and_finding_the_tracker_is_logged_once_each(caplog):
    async def story():
        client = client_of(ScriptedPool(LOST, LOST, LOST, ok(), LOST, ok()))
        for _ in range(6):
            try:
                await client.heartbeat("p1")
            except TrackerUnavailable:
                pass

    with caplog.at_level(logging.INFO):
        run(story)
    assert [record.message for record in caplog.records] == [
        "the tracker is lost, trying again until it answers",
        "the tracker is found again",
    ]


class Keeping:
    """`keep_registered` in a task, with what it reported."""

    def __init__(self, *script, lease=lambda: LEASE, changed=None):
        self.pool = ScriptedPool(*script)
        self.statuses = []
        coroutine = keep_registered(client_of(self.pool), lease, 60, self.statuses.append, changed)
        self.task = asyncio.ensure_future(coroutine)

    async def end(self):
        """The script is used up, and the task with it."""
        await self.pool.used_up.wait()
        self.task.cancel()
        await asyncio.gather(self.task, return_exceptions=True)


SOON = (201, {"ttl": 0.03})  # a granted TTL that makes the next beat come at once


def test_it_registers_at_once_and_then_sends_the_load():
    async def story():
        keeping = Keeping(SOON, ok(), ok())
        await keeping.end()
        assert keeping.pool.paths()[:3] == ["register", "heartbeat", "heartbeat"]
        assert keeping.pool.bodies()[0] == {**LEASE, "ttl": 60}
        assert keeping.pool.bodies()[1] == {"peer_id": "p1", "load": 0.0}
        assert keeping.statuses == [True]

    run(story)


def test_a_forgotten_peer_registers_again_at_once():
    async def story():
        keeping = Keeping(SOON, error(404, "peer_not_found"), SOON, ok())
        await keeping.end()
        assert keeping.pool.paths()[:4] == ["register", "heartbeat", "register", "heartbeat"]
        assert keeping.statuses == [True]

    run(story)


def test_after_a_failure_it_registers_again(caplog):
    async def story():
        keeping = Keeping(LOST, SOON, LOST, LOST, SOON)
        await keeping.end()
        assert keeping.pool.paths()[:5] == ["register", "register", "heartbeat", "register", "register"]
        assert keeping.statuses == [False, True, False, True]

    run(story)


def test_a_refusal_is_logged_once_and_tried_again(caplog):
    async def story():
        keeping = Keeping(error(401, "key_required"), error(401, "key_required"), SOON)
        await keeping.end()
        assert keeping.statuses == [False, True]

    run(story)
    assert [record.message for record in caplog.records] == ["the tracker refuses"]


def test_a_field_that_changed_is_sent_as_an_update():
    async def story():
        leases = iter([{**LEASE, "meta": {"draining": False}}, {**LEASE, "load": 2.0, "meta": {"draining": True}}])
        last = {}

        def lease():
            last.update(next(leases, last))
            return dict(last)

        keeping = Keeping(SOON, ok(), ok(), lease=lease)
        await keeping.end()
        assert keeping.pool.paths()[:3] == ["register", "update", "heartbeat"]
        assert keeping.pool.bodies()[1] == {"peer_id": "p1", "load": 2.0, "meta": {"draining": True}}

    run(story)


def test_setting_changed_sends_the_lease_now():
    async def story():
        changed = asyncio.Event()
        keeping = Keeping((201, {"ttl": 86_400}), ok(), changed=changed)
        while not keeping.statuses:
            await asyncio.sleep(0)
        changed.set()
        while len(keeping.pool.asked) < 2:
            await asyncio.sleep(0)
        changed.set()
        await keeping.end()
        assert keeping.pool.paths()[:2] == ["register", "heartbeat"]

    run(story)


def test_unregistering_is_true_when_the_entry_is_gone():
    async def story():
        pool = ScriptedPool(ok(removed=True))
        assert await unregister(client_of(pool), "p1")
        assert pool.bodies() == [{"peer_id": "p1"}]

    run(story)


@pytest.mark.parametrize("script", [[LOST], [error(500, "x")], []], ids=["lost", "refused", "no answer in time"])
def test_unregistering_gives_up_without_an_error(script):
    async def story():
        assert not await unregister(client_of(ScriptedPool(*script)), "p1", timeout_s=0.05)

    run(story)


def test_pauses_grow_up_to_their_bound_and_start_again_after_success():
    backoff = Backoff(first_s=1.0, max_s=5.0)
    bounds = [1.0, 2.0, 4.0, 5.0, 5.0]
    assert all(bound / 2 <= backoff.next_s() <= bound for bound in bounds)
    backoff.reset()
    assert backoff.next_s() <= 1.0
