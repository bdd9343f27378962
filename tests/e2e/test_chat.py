"""Messages between the peers of the stack: sent through the proxy, stored once, seen live."""

import json
import socket
from urllib.parse import urlsplit

import pytest
import requests
from websockets.exceptions import InvalidStatus
from websockets.sync.client import connect

pytestmark = pytest.mark.usefixtures("inboxes_as_found")


def _inbox(visitor, peer):
    """The whole inbox, page by page."""
    messages, after = [], 0
    while page := visitor.get(f"/peers/{peer}/p2p/inbox?after={after}&limit=100").json()["messages"]:
        messages += page
        after = page[-1]["seq"]
    return messages


def _with_id(visitor, peer, message_id):
    return [message for message in _inbox(visitor, peer) if message["id"] == message_id]


def test_p1_writes_to_p2(admin, message_id, wait_until):
    sent = admin.post("/peers/p1/p2p/msg", json={"to": "p2", "content": "xin chào", "id": message_id})
    assert sent.status_code in (200, 202)
    wait_until(lambda: bool(_with_id(admin, "p2", message_id)))
    [message] = _with_id(admin, "p2", message_id)
    assert (message["from"], message["to"], message["content"]) == ("p1", "p2", "xin chào")


def test_a_repeat_is_stored_once(admin, message_id, wait_until):
    for _ in range(3):
        admin.post("/peers/p1/p2p/msg", json={"to": "p2", "content": "once", "id": message_id})
    wait_until(lambda: bool(_with_id(admin, "p2", message_id)))
    assert len(_with_id(admin, "p2", message_id)) == 1


def test_a_channel_reaches_its_members(admin, message_id, wait_until):
    sent = admin.post("/peers/p1/p2p/msg", json={"channel": "chat", "content": "all", "id": message_id})
    assert sent.status_code in (200, 202)
    wait_until(lambda: all(_with_id(admin, peer, message_id) for peer in ("p2", "p3")))


def test_the_page_sees_a_message_as_it_comes(admin, admin_cookies, stack, message_id):
    cookies = "; ".join(f"{name}={value}" for name, value in admin_cookies.items())
    address = f"ws://{urlsplit(stack.proxy).netloc}/peers/p2/p2p/ws"
    with connect(address, additional_headers={"Cookie": cookies}, open_timeout=10) as live:
        assert json.loads(live.recv(timeout=10))["type"] == "hello"
        admin.post("/peers/p1/p2p/msg", json={"to": "p2", "content": "live", "id": message_id})
        while (frame := json.loads(live.recv(timeout=10)))["type"] != "message":
            pass
    assert frame["message"]["id"] == message_id


def test_a_stranger_sees_nothing_live(stack):
    with pytest.raises(InvalidStatus, match="401"):
        connect(f"ws://{urlsplit(stack.proxy).netloc}/peers/p2/p2p/ws", open_timeout=10)


def test_an_unknown_peer_is_not_found(admin):
    answer = admin.get("/peers/nobody/p2p/whoami")
    assert answer.status_code == 404


@pytest.mark.parametrize("peer", ["p1", "p2", "p3"])
def test_a_peer_says_who_it_is_and_no_more_to_a_stranger(stack, peer):
    address = stack.peers[peer]
    whoami = requests.get(f"{address}/p2p/whoami", timeout=10).json()
    assert (whoami["peer_id"], whoami["keyed"]) == (peer, True)
    assert requests.get(f"{address}/p2p/inbox", timeout=10).status_code == 401
    keyed = requests.get(f"{address}/p2p/inbox", headers={"X-P2P-Key": stack.key("p2p")}, timeout=10)
    assert keyed.status_code == 200


def test_a_stranger_s_frame_is_not_taken(admin, stack, message_id):
    p2p_port = requests.get(f"{stack.peers['p2']}/p2p/whoami", timeout=10).json()["p2p_port"]
    hello = {"type": "hello", "v": 1, "peer_id": "p1", "caps": [], "nonce": "0" * 32, "max_line": 65536}
    direct = {"type": "direct", "id": message_id, "from": "p1", "to": "p2", "content": "forged"}
    with socket.create_connection((urlsplit(stack.peers["p2"]).hostname, p2p_port), timeout=10) as connection:
        connection.sendall(b"".join(json.dumps(frame).encode() + b"\n" for frame in (hello, direct)))
        answer = b"".join(iter(lambda: connection.recv(65536), b""))
    assert b'"ack"' not in answer
    assert not _with_id(admin, "p2", message_id)


def test_content_over_the_limit_is_refused(admin):
    answer = admin.post("/peers/p1/p2p/msg", json={"to": "p2", "content": "x" * (32 * 1024 + 1)})
    assert 400 <= answer.status_code < 500
    assert "code" in answer.json()["error"]
