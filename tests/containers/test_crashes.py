"""Processes that are killed come back, and nothing that was answered 2xx is lost."""

import secrets
import signal

import requests

from tests.containers.compose_stack import ComposeStack, address_of, health_of
from tests.containers.steady_load import IDEMPOTENT_KINDS, SteadyLoad
from tests.processes import wait_until


def _is_healthy_again(stack: ComposeStack, service: str, restarts: int) -> bool:
    container = stack.container(service)
    return bool(container.attrs["RestartCount"] == restarts and health_of(container) == "healthy")


def _message_ids(stack: ComposeStack, session: requests.Session, peer: str) -> set[str]:
    answer = session.get(f"{stack.url}/peers/{peer}/p2p/inbox?limit=100", timeout=10)
    return {message["id"] for message in answer.json()["messages"]}


def _send(stack: ComposeStack, session: requests.Session) -> str:
    message_id = f"crash-{secrets.token_hex(8)}"
    body = {"to": "p2", "content": "kept", "id": message_id}
    answer = session.post(f"{stack.url}/peers/p1/p2p/msg", json=body, timeout=10)
    assert answer.status_code in (200, 202), answer.text
    return message_id


def test_a_backend_that_is_killed_fails_no_request_that_may_be_sent_twice_and_comes_back(
    containers: ComposeStack,
) -> None:
    containers.wait_for_replicas(3)
    victim = containers.containers("backend")[0]
    with SteadyLoad(containers.url, IDEMPOTENT_KINDS) as load:
        wait_until(lambda: load.answered > 100, why="load")
        containers.kill_from_outside(victim)

        def is_back() -> bool:
            victim.reload()
            return bool(victim.attrs["RestartCount"] == 1 and health_of(victim) == "healthy")

        wait_until(is_back, why="the killed backend to be healthy again")
        containers.wait_for_replicas(3)
    assert load.faults == []


def test_requests_under_way_at_a_backend_when_it_is_killed_get_their_reply_from_another(
    containers: ComposeStack,
) -> None:
    session = containers.login()
    containers.wait_for_replicas(3)
    victim = containers.containers("backend")[0]
    address = address_of(victim, 8000)

    def under_way() -> int:
        upstream = containers.upstream(session, address)
        return upstream["in_flight"] if upstream else 0

    before = victim.attrs["RestartCount"]
    with SteadyLoad(containers.url, IDEMPOTENT_KINDS) as load:
        containers.signal_from_outside(victim, signal.SIGSTOP)  # it takes requests, but answers none
        wait_until(lambda: under_way() > 3, why="requests to wait for the backend")
        answered = load.answered
        containers.kill_from_outside(victim)
        wait_until(lambda: load.answered > answered + 100, why="the load to go on")
    assert load.faults == []

    def is_back() -> bool:
        victim.reload()
        return bool(victim.attrs["RestartCount"] > before and health_of(victim) == "healthy")

    wait_until(is_back, why="the killed backend to be healthy again")


def test_messages_outlive_a_killed_peer_and_a_new_container(containers: ComposeStack) -> None:
    session = containers.login()
    stored = _send(containers, session)
    wait_until(lambda: stored in _message_ids(containers, session, "p2"), why="p2 to have the message")

    containers.kill_from_outside(containers.container("peer2"))
    queued = _send(containers, session)
    wait_until(lambda: _is_healthy_again(containers, "peer2", restarts=1), why="peer2 to be back")
    wait_until(lambda: {stored, queued} <= _message_ids(containers, session, "p2"), why="p2 to have both messages")

    containers.container("peer2").remove(force=True)
    containers.compose("up", "-d", "--no-build", "--wait", "peer2")
    wait_until(
        lambda: {stored, queued} <= _message_ids(containers, session, "p2"),
        why="the new container to have them",
    )


def test_a_restarted_tracker_knows_everybody_again(containers: ComposeStack) -> None:
    session = containers.login()
    containers.container("tracker").restart()

    def knows_everybody() -> bool:
        answer = session.get(f"{containers.url}/tracker/peers", timeout=10)
        names = {peer["peer_id"] for peer in answer.json().get("peers", ())}
        return {"p1", "p2", "p3"} <= names and len(names) >= 6

    wait_until(knows_everybody, why="the tracker to know three peers and three backends", timeout_s=60)
    assert session.get(f"{containers.url}/peers/p1/p2p/whoami", timeout=10).status_code == 200
