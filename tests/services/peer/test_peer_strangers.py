"""A peer process and whoever connects to its port: a peer written from docs/protocol.md alone, and less polite ones."""

import hashlib
import hmac
import json
import os
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import StartService
from tests.processes import wait_until
from tests.services.peer.peer_processes import ChatPeer, make_keys

pytestmark = pytest.mark.stack


class ForeignPeer:
    """Speaks the protocol with nothing but sockets, json and hmac."""

    def __init__(self, port: int, peer_id: str = "q1") -> None:
        self.peer_id = peer_id
        self._sock = socket.create_connection(("127.0.0.1", port), timeout=20)
        self._lines = self._sock.makefile("rb")

    def send(self, **fields: Any) -> None:
        self.send_bytes(json.dumps(fields).encode() + b"\n")

    def send_bytes(self, data: bytes) -> None:
        self._sock.sendall(data)

    def read(self) -> dict[str, Any] | None:
        """The next frame, pings left out; None at the end."""
        line = self._lines.readline()
        frame: dict[str, Any] | None = json.loads(line) if line else None
        return self.read() if frame is not None and frame["type"] == "ping" else frame

    def read_to_end(self) -> list[dict[str, Any]]:
        frames = []
        while (frame := self.read()) is not None:
            frames.append(frame)
        return frames

    def greet(self, key: str | None = None) -> dict[str, Any]:
        """The handshake of the end that dialled; returns the other's hello."""
        nonce = os.urandom(16).hex()
        self.send(type="hello", v=1, peer_id=self.peer_id, nonce=nonce)
        theirs = self.read()
        assert theirs is not None
        if key is not None:
            words = [self.peer_id, theirs["peer_id"], nonce, theirs["nonce"]]

            def mac(role: str) -> str:
                told = "\n".join(["weaprous-p2p-1", role, *words]) + "\n"
                return hmac.new(key.encode(), told.encode(), hashlib.sha256).hexdigest()

            self.send(type="auth", mac=mac("client"))
            assert self.read() == {"type": "auth", "mac": mac("server")}
        return theirs

    def say(self, message_id: str, content: str = "hi", **fields: Any) -> None:
        self.send(
            **{"type": "direct", "id": message_id, "from": self.peer_id, "to": "p1", "content": content, **fields}
        )

    def close(self) -> None:
        self._lines.close()
        self._sock.close()


@pytest.fixture(params=["keyless", "keyed"])
def key(request: pytest.FixtureRequest, tmp_path: Path) -> str | None:
    if request.param == "keyless":
        return None
    return (make_keys(tmp_path / "keys") / "p2p").read_text().strip()


@pytest.fixture
def peer(key: str | None, start_service: StartService, tmp_path: Path) -> ChatPeer:
    flags = [] if key is None else ["--keys-dir", str(tmp_path / "keys")]
    service = start_service("services.peer", "--data-dir", str(tmp_path / "data"), *flags)
    return ChatPeer(service, "p1", {} if key is None else {"X-P2P-Key": key})


@pytest.fixture
def foreign(peer: ChatPeer) -> Iterator[ForeignPeer]:
    opened = ForeignPeer(peer.p2p_port)
    yield opened
    opened.close()


def test_a_peer_written_from_the_page_is_understood(peer: ChatPeer, foreign: ForeignPeer, key: str | None) -> None:
    hello = foreign.greet(key)
    assert (hello["type"], hello["v"], hello["peer_id"], hello["max_line"]) == ("hello", 1, "p1", 65536)
    assert set(hello) == {"type", "v", "peer_id", "caps", "nonce", "max_line"}
    foreign.say("a", sent_at=1700000000)
    assert foreign.read() == {"type": "ack", "id": "a"}
    foreign.say("a", sent_at=1700000001)
    assert foreign.read() == {"type": "ack", "id": "a", "repeat": True}
    foreign.say("a", content="something else")
    assert (foreign.read() or {})["code"] == "id_conflict"
    foreign.send(**{"type": "chat", "id": "b", "from": "q1", "channel": "chat", "content": "all"})
    assert foreign.read() == {"type": "ack", "id": "b"}
    foreign.send(type="ping", n=5)
    assert foreign.read() == {"type": "pong", "n": 5}
    first, second = peer.inbox()
    assert (first["id"], first["from"], first["to"], first["sent_at"]) == ("a", "q1", "p1", 1700000000)
    assert (second["id"], second["channel"], second["sent_at"]) == ("b", "chat", second["received_at"])


def test_a_peer_that_dials_gets_what_waits_for_it(peer: ChatPeer, foreign: ForeignPeer, key: str | None) -> None:
    for number in range(3):
        peer.ask("POST", "/p2p/msg", json={"to": "q1", "content": f"{number}", "id": f"m{number}"})
    foreign.greet(key)
    frames = [foreign.read() or {} for _ in range(3)]
    assert [(frame["type"], frame["id"], frame["from"], frame["content"]) for frame in frames] == [
        ("direct", f"m{number}", "p1", f"{number}") for number in range(3)
    ]
    foreign.send(type="ack", id="m0")
    foreign.send(type="error", code="id_conflict", message="taken", id="m1")
    foreign.send(type="error", code="busy", message="later", id="m2")
    repeated = foreign.read() or {}
    assert (repeated["id"], repeated["content"]) == ("m2", "2")
    foreign.send(type="ack", id="m2")
    wait_until(lambda: peer.whoami()["outbox_count"] == 0, why="an empty outbox")
    [rejected] = peer.ask("GET", "/p2p/outbox").json()["rejected"]
    assert (rejected["id"], rejected["to"], rejected["error"]) == ("m1", "q1", "id_conflict: taken")
    again = peer.post(to="q1", content="1", id="m1")
    assert (again.status_code, again.json()["error"]["code"]) == (502, "rejected")


def test_nothing_counts_before_the_handshake(peer: ChatPeer, foreign: ForeignPeer) -> None:
    foreign.say("a")
    hello, error = foreign.read_to_end()
    assert (hello["type"], error["type"], error["code"]) == ("hello", "error", "hello_expected")
    assert peer.inbox() == []


def test_with_a_key_nothing_counts_before_the_proof(peer: ChatPeer, foreign: ForeignPeer, key: str | None) -> None:
    foreign.send(type="hello", v=1, peer_id="q1", nonce="n" * 32)
    foreign.say("a")
    frames = foreign.read_to_end() if key else [foreign.read(), foreign.read()]
    assert (frames[-1] or {}).get("code", "ack") == ("auth_required" if key else "ack")
    assert len(peer.inbox()) == (0 if key else 1)


NONSENSE: list[tuple[str, bytes, str]] = [
    ("binary", os.urandom(100).replace(b"\n", b"") + b"\xff\n", "bad_utf8"),
    ("HTTP", b"GET / HTTP/1.1\r\nHost: p1\r\n\r\n", "bad_json"),
    ("a line of 64 KiB and a byte", b'{"type":"hello","pad":"' + b"x" * 65_514 + b"\n", "line_too_long"),
    ("megabytes without an end", b"x" * 5_000_000, "line_too_long"),
    ("another version", b'{"type":"hello","v":2,"peer_id":"q1"}\n', "bad_version"),
    ("its own id", b'{"type":"hello","v":1,"peer_id":"p1"}\n', "self_connection"),
]


@pytest.mark.parametrize(("data", "code"), [case[1:] for case in NONSENSE], ids=[case[0] for case in NONSENSE])
def test_nonsense_is_answered_by_an_error_and_the_end(
    peer: ChatPeer, foreign: ForeignPeer, data: bytes, code: str
) -> None:
    try:
        foreign.send_bytes(data)
    except OSError:
        pass  # it didn't listen to all of that
    try:
        frames = foreign.read_to_end()
    except ConnectionResetError:
        assert len(data) > 1_000_000
    else:
        assert [frame["type"] for frame in frames] == ["hello", "error"]
        assert frames[1]["code"] == code
    assert peer.service.is_healthy()


def test_a_line_that_is_too_long_ends_a_link_after_what_came_before_it(
    peer: ChatPeer, foreign: ForeignPeer, key: str | None
) -> None:
    foreign.greet(key)
    foreign.say("a")
    assert foreign.read() == {"type": "ack", "id": "a"}
    foreign.send_bytes(b"x" * 65_536)
    foreign.send(type="ping", n=1)  # with this it is longer
    [error] = foreign.read_to_end()
    assert (error["type"], error["code"]) == ("error", "line_too_long")
    assert [each["id"] for each in peer.inbox()] == ["a"]


def test_a_line_of_64_kib_is_read(peer: ChatPeer, foreign: ForeignPeer, key: str | None) -> None:
    foreign.greet(key)
    head = b'{"type":"ping","n":3,"pad":"'
    foreign.send_bytes(head + b"x" * (65_536 - len(head) - 2) + b'"}\n')
    assert foreign.read() == {"type": "pong", "n": 3}
    assert peer.service.is_running


def test_nobody_speaks_for_another(peer: ChatPeer, foreign: ForeignPeer, key: str | None) -> None:
    foreign.greet(key)
    foreign.say("a", **{"from": "p2"})
    assert (foreign.read() or {})["code"] == "wrong_sender"
    foreign.say("b", to="p3")
    assert (foreign.read() or {})["code"] == "wrong_target"
    foreign.say("c")
    assert foreign.read() == {"type": "ack", "id": "c"}
    assert [each["id"] for each in peer.inbox()] == ["c"]


def test_a_flood_of_messages_on_one_link_is_stored_in_order_in_a_few_commits(
    peer: ChatPeer, foreign: ForeignPeer, key: str | None
) -> None:
    foreign.greet(key)
    lines = [
        json.dumps({"type": "direct", "id": f"m{n}", "from": "q1", "to": "p1", "content": "x" * 100}) + "\n"
        for n in range(2000)
    ]
    foreign.send_bytes("".join(lines).encode())
    acks = [(foreign.read() or {})["id"] for _ in range(2000)]
    assert acks == [f"m{n}" for n in range(2000)]
    assert [each["id"] for each in peer.inbox()] == acks
    assert peer.metric("weaprous_peer_store_commits_total") < 500
