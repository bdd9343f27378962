"""A process that is killed comes back, and nothing that was answered 2xx is lost."""

import os
import secrets
import signal
import threading

import pytest
import requests

from tests.processes import Stack, wait_until
from tests.stack.system import System, Visitor

pytestmark = pytest.mark.stack


def ids_in_inbox(visitor: Visitor, path: str = "/peers/p2/p2p/inbox") -> list[str]:
    ids: list[str] = []
    after = 0
    while page := visitor.get(f"{path}?after={after}&limit=500").json()["messages"]:
        ids += [message["id"] for message in page]
        after = page[-1]["seq"]
    return ids


def test_a_killed_backend_comes_back_and_meanwhile_the_others_answer(stack: Stack, keyed: System) -> None:
    visitor = keyed.visit()
    before = stack.pid_of("backend2")
    os.kill(before, signal.SIGKILL)
    answers = [visitor.get("/echo").status_code for _ in range(30)]
    assert answers == [200] * 30
    wait_until(lambda: stack.pid_of("backend2") != before, why="backend2 to be restarted")
    stack.wait_healthy()
    wait_until(
        lambda: len({visitor.get("/echo").json()["served_by"] for _ in range(9)}) == 3, why="all three to answer again"
    )
    assert "backend2 was killed by signal 9; starting it again" in stack.output


def test_a_killed_proxy_comes_back_and_sessions_go_on(stack: Stack, keyed: System) -> None:
    stack.kill_and_wait_for_return("proxy")
    assert keyed.admin.get("/user").json()["user"] == "admin"
    assert wait_until(lambda: keyed.admin.get("/peers/p1/p2p/whoami").ok, why="the proxy to know p1 again")


def test_a_killed_tracker_comes_back_and_knows_everybody(stack: Stack, keyed: System) -> None:
    stack.kill_and_wait_for_return("tracker")
    assert wait_until(lambda: keyed.admin.get("/tracker/peers").json()["count"] >= 6, why="backends and peers")
    answer = keyed.admin.post("/peers/p1/p2p/msg", json={"to": "p2", "content": "still there"})
    assert answer.status_code in (200, 202)


def test_a_message_for_a_peer_that_is_gone_is_queued_and_delivered_when_it_is_back(stack: Stack, keyed: System) -> None:
    message_id = f"test-{secrets.token_hex(8)}"
    stack.wait_healthy()
    before = stack.pid_of("p3")
    os.kill(before, signal.SIGSTOP)  # it doesn't answer, but isn't started again either
    try:
        sent = keyed.admin.post("/peers/p1/p2p/msg", json={"to": "p3", "content": "later", "id": message_id})
        assert (sent.status_code, sent.json()["status"]) == (202, "queued")
    finally:
        os.kill(before, signal.SIGKILL)
    wait_until(lambda: stack.pid_of("p3") != before, why="p3 to be restarted")
    stack.wait_healthy()
    wait_until(lambda: message_id in ids_in_inbox(keyed.admin, "/peers/p3/p2p/inbox"), timeout_s=30, why="the message")


@pytest.mark.parametrize("victim", ["p1", "p2"])
def test_nothing_that_was_answered_2xx_is_lost_when_sender_or_receiver_is_killed(
    stack: Stack, keyed: System, victim: str
) -> None:
    run = secrets.token_hex(4)
    accepted: list[str] = []
    is_over = threading.Event()

    def send_all() -> None:
        sender = keyed.ask_peer("p1")
        number = 0
        while not is_over.is_set():
            number += 1
            message_id = f"{run}-{number}"
            try:
                answer = sender.post("/p2p/msg", json={"to": "p2", "content": "x", "id": message_id})
            except requests.RequestException:
                continue  # not answered: nothing was promised
            if answer.ok:
                accepted.append(message_id)

    thread = threading.Thread(target=send_all)
    thread.start()
    try:
        wait_until(lambda: len(accepted) > 20, why="messages to flow")
        stack.kill_and_wait_for_return(victim)
        at_return = len(accepted)
        wait_until(lambda: len(accepted) > at_return + 20, timeout_s=30, why="messages to flow again")
    finally:
        is_over.set()
        thread.join()
    wait_until(
        lambda: set(accepted) <= set(ids_in_inbox(keyed.admin)), timeout_s=30, why="all that was accepted to arrive"
    )
    arrived = [each for each in ids_in_inbox(keyed.admin) if each.startswith(run)]
    assert len(arrived) == len(set(arrived))
    assert keyed.admin.post("/peers/p2/p2p/inbox/clear").ok
