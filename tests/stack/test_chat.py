"""Messages between the peers of a running system."""

import json
import secrets
from typing import Any

import pytest
import websockets.sync.client as websocket_client

from tests.processes import wait_until
from tests.stack.system import System, Visitor

pytestmark = pytest.mark.stack


def inbox(visitor: Visitor, peer_id: str) -> list[dict[str, Any]]:
    messages: list[dict[str, Any]] = []
    while True:
        after = messages[-1]["seq"] if messages else 0
        page = visitor.get(f"/peers/{peer_id}/p2p/inbox?after={after}&limit=100").json()["messages"]
        if not page:
            return messages
        messages += page


def find(visitor: Visitor, peer_id: str, message_id: str) -> list[dict[str, Any]]:
    return [message for message in inbox(visitor, peer_id) if message["id"] == message_id]


@pytest.fixture
def message_id() -> str:
    return f"test-{secrets.token_hex(8)}"


def test_p1_writes_to_p2_and_p2_reads_and_clears(system: System, message_id: str) -> None:
    admin = system.admin
    sent = admin.post("/peers/p1/p2p/msg", json={"to": "p2", "content": "xin chào", "id": message_id})
    assert sent.status_code in (200, 202)
    assert sent.json()["id"] == message_id
    [message] = wait_until(lambda: find(admin, "p2", message_id), why="the message")
    assert (message["from"], message["to"], message["content"]) == ("p1", "p2", "xin chào")
    assert admin.get("/peers/p2/p2p/inbox").json()["count"] >= 1
    assert admin.post("/peers/p2/p2p/inbox/clear").status_code == 200
    emptied = admin.get("/peers/p2/p2p/inbox").json()
    assert (emptied["count"], emptied["messages"]) == (0, [])
    # What was cleared stays known: a repeat is still a repeat.
    admin.post("/peers/p1/p2p/msg", json={"to": "p2", "content": "xin chào", "id": message_id})
    assert find(admin, "p2", message_id) == []


def test_peers_are_asked_directly_too(system: System, message_id: str) -> None:
    sent = system.ask_peer("p1").post("/p2p/msg", json={"to": "p2", "content": "hi", "id": message_id})
    assert sent.status_code in (200, 202)
    p2 = system.ask_peer("p2")
    wait_until(
        lambda: message_id in [each["id"] for each in p2.get("/p2p/inbox?limit=1000").json()["messages"]],
        why="the message",
    )
    assert p2.post("/p2p/inbox/clear").status_code == 200
    assert p2.get("/p2p/inbox").json()["count"] == 0


def test_a_channel_reaches_its_members(system: System, message_id: str) -> None:
    admin = system.admin
    sent = admin.post("/peers/p1/p2p/msg", json={"channel": "chat", "content": "all", "id": message_id})
    assert sent.status_code in (200, 202)
    others = set(system.peer_urls) - {"p1"}
    wait_until(lambda: all(find(admin, peer_id, message_id) for peer_id in others), why="every other peer to have it")


def test_a_peer_says_who_it_is_even_to_a_stranger(system: System) -> None:
    for peer_id, url in system.peer_urls.items():
        answer = Visitor(url).get("/p2p/whoami").json()
        assert (answer["peer_id"], answer["keyed"], answer["registered"]) == (peer_id, system.is_keyed, True)
    assert system.admin.get("/peers/p1/p2p/whoami").json()["peer_id"] == "p1"


def test_an_unknown_peer_is_not_found(system: System) -> None:
    answer = system.admin.get("/peers/nobody/p2p/whoami")
    assert answer.status_code == 404
    assert "code" in answer.json()["error"]


BAD_MESSAGES = (
    b"", b"{", b"[]", b'"x"', b"null", b"\xff", b'{"content": 7, "to": "p2"}', b'{"to": "p2"}',
    b'{"to": 5, "content": "x"}', b'{"to": "../x", "content": "x"}', b'{"content": "x", "to": "p2", "id": "a b"}',
    json.dumps({"to": "p2", "content": "x" * (32 * 1024 + 1)}).encode(), b'{"content": "' + b"x" * 2_000_000 + b'"}',
)  # fmt: skip


@pytest.mark.parametrize("body", BAD_MESSAGES, ids=range(len(BAD_MESSAGES)))
def test_bad_input_is_an_error_object(system: System, body: bytes) -> None:
    headers = {"Content-Type": "application/json"}
    for visitor, path in [(system.admin, "/peers/p1/p2p/msg"), (system.ask_peer("p1"), "/p2p/msg")]:
        answer = visitor.post(path, data=body, headers=headers)
        assert 400 <= answer.status_code < 500
        assert set(answer.json()["error"]) >= {"code", "message"}


def test_a_page_sees_a_message_as_it_comes(system: System, message_id: str) -> None:
    admin = system.admin
    cookie = "; ".join(f"{name}={value}" for name, value in admin.cookies.items())
    url = system.proxy_url.replace("http", "ws", 1) + "/peers/p2/p2p/ws"
    with websocket_client.connect(url, additional_headers={"Cookie": cookie}) as live:
        assert json.loads(live.recv(timeout=10))["type"] == "hello"
        admin.post("/peers/p1/p2p/msg", json={"to": "p2", "content": "live", "id": message_id})
        while (frame := json.loads(live.recv(timeout=10)))["type"] != "message":
            pass
    assert frame["message"]["id"] == message_id
