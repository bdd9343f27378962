"""Peers as real processes, and a TCP proxy between them that cuts, repeats and delays, for the tests of this folder."""

import contextlib
import secrets
import selectors
import socket
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import requests

from tests.conftest import StartService
from tests.processes import Service, wait_until


class ChatPeer:
    """One peer process and its API."""

    def __init__(self, service: Service, peer_id: str, headers: dict[str, str] | None = None) -> None:
        self.service = service
        self.peer_id = peer_id
        self.session = requests.Session()
        self.session.headers.update(headers or {})

    @property
    def p2p_port(self) -> int:
        return int(self.service.flag("--p2p-port"))

    def ask(self, method: str, path: str, **options: Any) -> requests.Response:
        return self.session.request(method, self.service.url + path, timeout=30, **options)

    def post(self, **fields: Any) -> requests.Response:
        return self.ask("POST", "/p2p/msg", json=fields)

    def inbox(self) -> list[dict[str, Any]]:
        """Every message, page by page."""
        messages: list[dict[str, Any]] = []
        while True:
            after = messages[-1]["seq"] if messages else 0
            page = self.ask("GET", f"/p2p/inbox?after={after}").json()
            messages += page["messages"]
            if not page["more"]:
                assert len(messages) == page["count"]
                return messages

    def whoami(self) -> dict[str, Any]:
        answer: dict[str, Any] = self.ask("GET", "/p2p/whoami").json()
        return answer

    def metric(self, name: str) -> float:
        """The value of a metric, labels and all."""
        lines = self.ask("GET", "/metrics").text.splitlines()
        return next(float(line.rpartition(" ")[2]) for line in lines if line.startswith(name + " "))

    def wait_outbox_empty(self, timeout_s: float = 40.0) -> None:
        wait_until(lambda: self.whoami()["outbox_count"] == 0, timeout_s=timeout_s, why="an empty outbox")


class Town:
    """A tracker, and peers that register with it; each with its own data folder."""

    def __init__(self, start_service: StartService, folder: Path, keys_dir: Path | None = None) -> None:
        self._start = start_service
        self._folder = folder
        self._common = ("--access-log", "off") + (() if keys_dir is None else ("--keys-dir", str(keys_dir)))
        self.headers = {} if keys_dir is None else {"X-P2P-Key": (keys_dir / "p2p").read_text().strip()}
        self.tracker = start_service("services.tracker", *self._common)
        self.tracker_headers = {} if keys_dir is None else {"X-Tracker-Key": (keys_dir / "tracker").read_text().strip()}

    def peer(self, peer_id: str, *flags: str, is_registered: bool = True) -> ChatPeer:
        own = ("--peer-id", peer_id, "--data-dir", str(self._folder / peer_id), "--tracker", self.tracker.url)
        register = ("--register",) if is_registered else ()
        service = self._start("services.peer", *own, *register, *self._common, *flags)
        peer = ChatPeer(service, peer_id, self.headers)
        if is_registered:
            wait_until(lambda: peer.whoami()["registered"], why=f"{peer_id} to be registered")
        return peer

    def register(self, peer: ChatPeer, p2p_port: int) -> None:
        """The tracker tells others that the peer listens on this port."""
        lease = {
            "peer_id": peer.peer_id,
            "ip": "127.0.0.1",
            "port": peer.service.port,
            "roles": ["p2p"],
            "channels": ["chat"],
            "meta": {"p2p_port": p2p_port},
            "ttl": 600,
        }
        url = f"{self.tracker.url}/tracker/register"
        answer = requests.post(url, json=lease, headers=self.tracker_headers, timeout=10)
        assert answer.status_code == 201, answer.text

    def wait_known(self, *peers: ChatPeer) -> None:
        """Each of the peers knows all others."""
        expected = len(peers) - 1
        wait_until(
            lambda: all(peer.metric("weaprous_peer_known_peers") == expected for peer in peers),
            why="all peers to know each other",
        )


Edit = Callable[[bytes], bytes]


class ChaosProxy:
    """Forwards TCP to `target_port`, in a thread. `edit_up` and `edit_down` change each piece that passes.

    `cut()` breaks every connection that is open; `cut_after_bytes` breaks each by itself after so many bytes up.
    """

    def __init__(self, target_port: int) -> None:
        self._target_port = target_port
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._listener.settimeout(0.05)
        self.port = self._listener.getsockname()[1]
        self.edit_up: Edit = lambda data: data
        self.edit_down: Edit = lambda data: data
        self.cut_after_bytes: int | None = None
        self.connections = 0
        self._is_ended = threading.Event()
        self._must_cut = threading.Event()
        self._threads = [threading.Thread(target=self._accept, daemon=True)]
        self._threads[0].start()

    def cut(self) -> None:
        self._must_cut.set()

    def _accept(self) -> None:
        while not self._is_ended.is_set():
            try:
                client, _ = self._listener.accept()
            except OSError:
                continue
            self.connections += 1
            self._must_cut.clear()
            thread = threading.Thread(target=self._forward, args=(client,), daemon=True)
            self._threads.append(thread)
            thread.start()

    def _forward(self, client: socket.socket) -> None:
        passed = 0
        with client, contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", self._target_port)) as server:
            selector = selectors.DefaultSelector()
            selector.register(client, selectors.EVENT_READ)
            selector.register(server, selectors.EVENT_READ)
            while not (self._is_ended.is_set() or self._must_cut.is_set()):
                for key, _ in selector.select(0.02):
                    is_up = key.fileobj is client
                    data = (client if is_up else server).recv(4096)
                    if not data:
                        return
                    passed += len(data) if is_up else 0
                    if is_up:
                        server.sendall(self.edit_up(data))
                    else:
                        client.sendall(self.edit_down(data))
                    if self.cut_after_bytes is not None and passed >= self.cut_after_bytes:
                        return

    def close(self) -> None:
        self._is_ended.set()
        self._listener.close()
        for thread in self._threads:
            thread.join()

    def __enter__(self) -> "ChaosProxy":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def make_keys(folder: Path) -> Path:
    """A folder with the keys `tracker` and `p2p`."""
    folder.mkdir()
    for name in ("tracker", "p2p"):
        path = folder / name
        path.touch(0o600)
        path.write_text(secrets.token_hex(32) + "\n")
    return folder
