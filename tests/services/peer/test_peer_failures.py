"""What was answered 2xx survives: processes are killed, links cut and delayed, and nothing is lost or doubled."""

import os
import random
import signal
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
import requests

from tests.conftest import StartService
from tests.processes import wait_until
from tests.services.peer.peer_processes import ChaosProxy, ChatPeer, Town, make_keys

pytestmark = pytest.mark.stack


# Links are used in both directions with keys, in one without: what depends on that is tried both ways.
both_ways = pytest.mark.parametrize("town", ["keyless", "keyed"], indirect=True)


@pytest.fixture
def town(request: pytest.FixtureRequest, start_service: StartService, tmp_path: Path) -> Town:
    """A tracker with peers; with keys unless the test says otherwise."""
    keys = None if getattr(request, "param", "keyed") == "keyless" else make_keys(tmp_path / "keys")
    return Town(start_service, tmp_path, keys)


@pytest.fixture
def pair(town: Town) -> Iterator[tuple[ChatPeer, ChatPeer, ChaosProxy]]:
    """p1, and p2 behind a proxy that everything from p1 to p2 goes through."""
    p1, p2 = town.peer("p1"), town.peer("p2", is_registered=False)
    with ChaosProxy(p2.p2p_port) as proxy:
        town.register(p2, proxy.port)
        wait_until(lambda: p1.metric("weaprous_peer_known_peers") == 1, why="p2 to be known")
        yield p1, p2, proxy


def ids(peer: ChatPeer) -> list[str]:
    return [each["id"] for each in peer.inbox()]


def kill(peer: ChatPeer) -> None:
    os.kill(peer.service.pid, signal.SIGKILL)
    peer.service.wait()


def restart(peer: ChatPeer) -> None:
    peer.service.restart()
    peer.service.wait_healthy()


def test_a_receiver_that_is_killed_keeps_what_it_acknowledged(town: Town) -> None:
    p1, p2 = town.peer("p1"), town.peer("p2")
    town.wait_known(p1, p2)
    acknowledged: list[str] = []
    posted: list[str] = []

    def post_until_told(name: str, ended: threading.Event) -> None:
        number = 0
        while not ended.is_set():
            message_id = f"{name}-{number}"
            posted.append(message_id)
            if p1.post(to="p2", content="x", id=message_id).status_code == 200:
                acknowledged.append(message_id)
            number += 1

    for generation in range(3):
        ended = threading.Event()
        before = len(acknowledged)
        with ThreadPoolExecutor(8) as pool:
            for poster in range(8):
                pool.submit(post_until_told, f"g{generation}-{poster}", ended)
            wait_until(lambda before=before: len(acknowledged) > before + 100, why="messages to flow")  # type: ignore[misc]
            kill(p2)
            ended.set()
        restart(p2)
        p1.wait_outbox_empty()
    kept = ids(p2)
    assert set(acknowledged) <= set(kept)
    assert sorted(kept) == sorted(posted)


def test_a_sender_that_is_killed_delivers_what_it_promised_once(town: Town) -> None:
    p1, p2 = town.peer("p1"), town.peer("p2")
    town.wait_known(p1, p2)
    promised: list[str] = []

    def post(number: int) -> None:
        try:
            answer = p1.post(to="p2", content="x", id=f"m{number}")
        except requests.RequestException:
            return
        if answer.status_code in (200, 202):
            promised.append(f"m{number}")

    with ThreadPoolExecutor(16) as pool:
        for number in range(600):
            pool.submit(post, number)
        wait_until(lambda: len(promised) > 150, why="messages to flow")
        kill(p1)
    restart(p1)
    p1.wait_outbox_empty()
    kept = ids(p2)
    assert len(kept) == len(set(kept))
    assert set(promised) <= set(kept)


def test_a_sender_that_is_told_to_end_while_it_is_busy_loses_nothing(town: Town) -> None:
    p1, p2 = town.peer("p1"), town.peer("p2")
    town.wait_known(p1, p2)
    promised: list[str] = []

    def post_until_refused(poster: int) -> None:
        for number in range(10_000):
            try:
                answer = p1.post(to="p2", content="x", id=f"m{poster}-{number}")
            except requests.RequestException:
                return
            assert answer.status_code in (200, 202)
            promised.append(f"m{poster}-{number}")

    with ThreadPoolExecutor(8) as pool:
        posters = [pool.submit(post_until_refused, poster) for poster in range(8)]
        wait_until(lambda: len(promised) > 100, why="messages to flow")
        assert p1.service.stop() == 0
        for poster in posters:
            poster.result()
    restart(p1)
    p1.wait_outbox_empty()
    kept = ids(p2)
    assert set(promised) <= set(kept)
    assert len(kept) == len(set(kept))


def test_a_receiver_that_comes_back_is_served_at_once(town: Town) -> None:
    p1, p2 = town.peer("p1"), town.peer("p2")
    town.wait_known(p1, p2)
    assert p2.service.stop() == 0
    for number in range(4):
        assert p1.post(to="p2", content="x", id=f"m{number}").status_code == 202
    assert p1.whoami()["outbox_count"] == 4
    restart(p2)
    p1.wait_outbox_empty(timeout_s=5.0)
    assert ids(p2) == [f"m{number}" for number in range(4)]


@both_ways
def test_links_that_are_cut_lose_nothing_double_nothing_and_keep_the_order(
    pair: tuple[ChatPeer, ChatPeer, ChaosProxy],
) -> None:
    p1, p2, proxy = pair
    proxy.cut_after_bytes = 3000
    for number in range(150):
        assert p1.post(to="p2", content="x" * 100, id=f"m{number:03}").status_code in (200, 202)
    p1.wait_outbox_empty()
    assert ids(p2) == [f"m{number:03}" for number in range(150)]
    assert proxy.connections > 5


def test_acks_that_get_lost_cause_repeats_that_are_stored_once(pair: tuple[ChatPeer, ChatPeer, ChaosProxy]) -> None:
    p1, p2, proxy = pair
    dropped: list[bytes] = []

    def drop_some_acks(data: bytes) -> bytes:
        if b'"ack"' in data and len(dropped) < 5:
            dropped.append(data)
            proxy.cut()
            return b""
        return data

    proxy.edit_down = drop_some_acks
    for number in range(30):
        assert p1.post(to="p2", content="x", id=f"m{number:02}").status_code in (200, 202)
    p1.wait_outbox_empty()
    assert len(dropped) == 5
    assert ids(p2) == [f"m{number:02}" for number in range(30)]
    assert p2.metric('weaprous_peer_messages_total{event="repeated"}') >= 5


def test_lines_that_come_twice_are_stored_once(pair: tuple[ChatPeer, ChatPeer, ChaosProxy]) -> None:
    p1, p2, proxy = pair
    proxy.edit_up = lambda data: data * 2 if data.startswith(b'{"type":"direct"') and data.endswith(b"\n") else data
    for number in range(20):
        assert p1.post(to="p2", content="x", id=f"m{number:02}").status_code == 200
    assert ids(p2) == [f"m{number:02}" for number in range(20)]
    assert p2.metric('weaprous_peer_messages_total{event="repeated"}') >= 10


def test_garbage_on_the_way_ends_the_link_and_not_the_delivery(pair: tuple[ChatPeer, ChatPeer, ChaosProxy]) -> None:
    p1, p2, proxy = pair
    dice = random.Random(7)

    def spoil(data: bytes) -> bytes:
        if dice.random() < 0.3:
            place = dice.randrange(len(data))
            return data[:place] + bytes([data[place] ^ 0x80]) + data[place + 1 :]
        return data

    proxy.edit_up = spoil
    with ThreadPoolExecutor(8) as pool:
        posted = pool.map(lambda n: p1.post(to="p2", content="x" * 50, id=f"m{n:02}").status_code, range(40))
    assert set(posted) <= {200, 202}
    proxy.edit_up = lambda data: data
    p1.wait_outbox_empty()
    assert sorted(ids(p2)) == [f"m{number:02}" for number in range(40)]
    assert p2.service.is_running


def test_a_slow_way_delays_and_is_told_as_queued(pair: tuple[ChatPeer, ChatPeer, ChaosProxy]) -> None:
    p1, p2, proxy = pair

    def dawdle(data: bytes) -> bytes:
        time.sleep(1.3)
        return data

    proxy.edit_down = dawdle
    answer = p1.post(to="p2", content="x", id="slow")
    assert (answer.status_code, answer.json()["status"]) == (202, "queued")
    p1.wait_outbox_empty()
    assert ids(p2) == ["slow"]
    assert p1.post(to="p2", content="x", id="slow").status_code == 200


def test_a_thousand_messages_posted_at_once_arrive_once_each(town: Town) -> None:
    p1, p2 = town.peer("p1"), town.peer("p2")
    town.wait_known(p1, p2)
    with ThreadPoolExecutor(32) as pool:
        statuses = set(pool.map(lambda n: p1.post(to="p2", content=f"{n}", id=f"m{n}").status_code, range(1000)))
    assert statuses <= {200, 202}
    p1.wait_outbox_empty()
    assert sorted(ids(p2)) == sorted(f"m{number}" for number in range(1000))
    assert p2.metric("weaprous_peer_store_commits_total") < 900


@both_ways
def test_everybody_talks_at_once_while_one_is_killed_now_and_then(town: Town) -> None:
    peers = [town.peer(f"p{number}") for number in (1, 2, 3)]
    town.wait_known(*peers)
    posted: dict[str, set[str]] = {peer.peer_id: set() for peer in peers}

    def talk(peer: ChatPeer) -> None:
        for number in range(60):
            message_id = f"{peer.peer_id}-{number}"
            for _ in range(100):
                try:
                    answer = peer.post(channel="chat", content="x", id=message_id)
                except requests.RequestException:
                    time.sleep(0.1)  # it was killed, and whoever posts tries again under the same id
                    continue
                assert answer.status_code in (200, 202)
                posted[peer.peer_id].add(message_id)
                break

    with ThreadPoolExecutor(3) as pool:
        talking = [pool.submit(talk, peer) for peer in peers]
        for victim in (peers[1], peers[0]):
            before = len(posted["p3"])
            wait_until(lambda before=before: len(posted["p3"]) > before + 5, why="p3 to talk")  # type: ignore[misc]
            kill(victim)
            restart(victim)
        for each in talking:
            each.result()
    for peer in peers:
        peer.wait_outbox_empty()
    for peer in peers:
        others = set().union(*(ids for name, ids in posted.items() if name != peer.peer_id))
        assert sorted(ids(peer)) == sorted(others)


def test_a_tracker_that_goes_away_stops_no_message(town: Town) -> None:
    p1, p2 = town.peer("p1"), town.peer("p2")
    town.wait_known(p1, p2)
    town.tracker.kill()
    assert p1.post(to="p2", content="x", id="a").status_code == 200
    kill(p2)
    assert p1.post(to="p2", content="x", id="b").status_code == 202
    restart(p2)
    p1.wait_outbox_empty()
    assert ids(p2) == ["a", "b"]
    town.tracker.restart()
    town.tracker.wait_healthy()
    wait_until(lambda: p1.whoami()["registered"] and p2.whoami()["registered"], why="both to register again")
    assert p2.post(channel="chat", content="x", id="c").status_code in (200, 202)
    p2.wait_outbox_empty()
