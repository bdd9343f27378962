"""Watches that stay open, on a real tracker: event streams and WebSockets."""

import asyncio
import json
import threading

import pytest
import requests

from shared.httpcore.errors import ProtocolError
from shared.httpcore.net.websocket import WebSocketClosed, connect_websocket
from shared.runtime.keys import load_key, make_keys
from tests.processes import wait_until

LEASE = {"peer_id": "p1", "ip": "127.0.0.1", "port": 7510, "roles": ["p2p"], "ttl": 60}


class EventSource:
    """What a browser's EventSource does, without coming back: the data of each event, and the last id."""

    def __init__(self, url, query="", **headers):
        fields = {"Accept": "text/event-stream", **headers}
        self.reply = requests.get(f"{url}/tracker/watch{query}", headers=fields, stream=True, timeout=30)
        self.last_id = None
        self._lines = self.reply.iter_lines(chunk_size=1)

    def next(self):
        """The next event's view; None at the end of the stream."""
        for line in self._lines:
            field, _, value = line.decode().partition(": ")
            if field == "id":
                self.last_id = value
            elif field == "data":
                return json.loads(value)
        return None

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.reply.close()


def ids(view):
    return [peer["peer_id"] for peer in view["peers"]]


def register(url, peer_id, **fields):
    reply = requests.post(f"{url}/tracker/register", json={**LEASE, "peer_id": peer_id, **fields}, timeout=10)
    assert reply.status_code == 201


def watchers(url):
    return requests.get(f"{url}/tracker/stats", timeout=10).json()["watchers"]


@pytest.fixture
def tracker(start_service):
    return start_service("services.tracker")


def test_an_event_stream_has_the_view_now_and_after_each_change(tracker):
    with EventSource(tracker.url) as source:
        assert source.reply.headers["Content-Type"] == "text/event-stream; charset=utf-8"
        assert source.reply.headers["Cache-Control"] == "no-store"
        assert ids(source.next()) == []
        register(tracker.url, "p1")
        view = source.next()
        assert (ids(view), str(view["revision"]), view["count"]) == (["p1"], source.last_id, 1)
        register(tracker.url, "p2")
        assert ids(source.next()) == ["p1", "p2"]
        assert watchers(tracker.url) == 1
    wait_until(lambda: watchers(tracker.url) == 0, why="the tracker to notice that the watcher left")


def test_a_client_that_comes_back_gets_what_it_missed_and_nothing_twice(tracker):
    with EventSource(tracker.url) as source:
        source.next()
        known = source.last_id
    with EventSource(tracker.url, **{"Last-Event-ID": known}) as source:
        register(tracker.url, "p1")
        assert ids(source.next()) == ["p1"]  # not first the empty view, which it knows
        newer = source.last_id
    for last in (known, "1", "rubbish"):
        with EventSource(tracker.url, f"?since={newer}", **{"Last-Event-ID": last}) as source:
            assert ids(source.next()) == ["p1"]


def test_an_event_stream_shows_what_it_was_asked_for(tracker):
    with EventSource(tracker.url, "?role=backend") as source:
        assert ids(source.next()) == []
        register(tracker.url, "p1")
        register(tracker.url, "b1", roles=["backend"])
        assert ids(source.next()) == ["b1"]
    assert EventSource(tracker.url, "?since=x").reply.status_code == 400
    head = requests.head(f"{tracker.url}/tracker/watch", headers={"Accept": "text/event-stream"}, timeout=10)
    assert head.headers["Content-Type"] == "text/event-stream; charset=utf-8"
    wait_until(lambda: watchers(tracker.url) == 0, why="no watcher to be left")


def test_a_websocket_has_the_view_now_and_after_each_change(tracker):
    async def story():
        async with await connect_websocket(f"ws{tracker.url[4:]}/tracker/watch?role=p2p") as websocket:
            view = json.loads(await websocket.receive())
            assert (view["type"], ids(view)) == ("peers", [])
            await websocket.send("hello?")
            await asyncio.to_thread(register, tracker.url, "b1", roles=["backend"])
            await asyncio.to_thread(register, tracker.url, "p1")
            assert ids(json.loads(await websocket.receive())) == ["p1"]
            since = view["revision"] + 2
        async with await connect_websocket(f"ws{tracker.url[4:]}/tracker/watch?role=p2p&since={since}") as websocket:
            await asyncio.to_thread(register, tracker.url, "p2")
            assert ids(json.loads(await websocket.receive())) == ["p1", "p2"]

    asyncio.run(asyncio.wait_for(story(), 30))
    wait_until(lambda: watchers(tracker.url) == 0, why="the tracker to notice that the watchers left")


def test_a_watcher_that_does_not_read_skips_views_and_holds_nobody_up(tracker):
    async def story():
        url = f"ws{tracker.url[4:]}/tracker/watch"
        async with await connect_websocket(url, max_message_bytes=2**24) as slow, await connect_websocket(url) as quick:
            await quick.receive()
            meta = {"text": "x" * 3000}
            for number in range(300):
                await asyncio.to_thread(register, tracker.url, f"p{number}", meta=meta)
            async with asyncio.timeout(20):
                while True:
                    view = json.loads(await slow.receive())
                    if view["count"] == 300:
                        break
            await slow.close()
            await quick.close()

    asyncio.run(asyncio.wait_for(story(), 60))
    rss = requests.get(f"{tracker.url}/metrics", timeout=10).text
    memory = next(line for line in rss.splitlines() if line.startswith("process_resident_memory_bytes"))
    assert float(memory.split()[-1]) < 150e6


def test_both_end_when_the_tracker_drains(start_service):
    tracker = start_service("services.tracker", "--drain-s", "10")
    ended = threading.Event()

    def follow():
        with EventSource(tracker.url) as source:
            while source.next() is not None:
                pass
            ended.set()

    follower = threading.Thread(target=follow)
    follower.start()

    async def story():
        async with await connect_websocket(f"ws{tracker.url[4:]}/tracker/watch") as websocket:
            await websocket.receive()
            await asyncio.to_thread(wait_until, lambda: watchers(tracker.url) == 2)
            stopping = asyncio.create_task(asyncio.to_thread(tracker.stop))
            with pytest.raises(WebSocketClosed) as caught:
                await websocket.receive()
            assert caught.value.code == 1001
            assert await stopping == 0

    asyncio.run(asyncio.wait_for(story(), 30))
    assert ended.wait(20)
    follower.join()


def test_as_many_watch_as_may(start_service):
    tracker = start_service("services.tracker", "--max-watchers", "1")
    with EventSource(tracker.url) as source:
        source.next()
        assert EventSource(tracker.url).reply.status_code == 503
        with pytest.raises(ProtocolError, match="503"):
            asyncio.run(connect_websocket(f"ws{tracker.url[4:]}/tracker/watch"))


def test_a_keyed_tracker_shows_nobody_else_what_it_knows(start_service, tmp_path):
    make_keys(tmp_path)
    tracker = start_service("services.tracker", "--keys-dir", str(tmp_path))
    assert EventSource(tracker.url).reply.status_code == 401
    with pytest.raises(ProtocolError, match="401"):
        asyncio.run(connect_websocket(f"ws{tracker.url[4:]}/tracker/watch"))
    key = load_key(tmp_path, "tracker")
    with EventSource(tracker.url, **{"X-Tracker-Key": key if isinstance(key, str) else key.decode()}) as source:
        assert ids(source.next()) == []
