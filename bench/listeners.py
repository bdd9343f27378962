"""The receiving side of a broadcast: WebSockets on plain sockets, which only count the messages that arrive."""

import os
import selectors
import socket

from bench.load import read_head

_HANDSHAKE = (
    "GET {path} HTTP/1.1\r\nHost: 127.0.0.1\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n"
    "Sec-WebSocket-Extensions: permessage-deflate; client_max_window_bits\r\n\r\n"
)
_TEXT_OPCODES = (0x81, 0xC1)  # whole, plain or compressed
TIMEOUT_S = 20.0


def open_websocket(sock: socket.socket, path: str) -> None:
    """The handshake, offering compression as browsers do. RuntimeError when the server says no."""
    sock.sendall(_HANDSHAKE.format(path=path).encode())
    head, rest = read_head(sock)
    if not head.startswith(b"HTTP/1.1 101") or rest:
        raise RuntimeError(f"{path}: {head!r} {rest!r}")


def send_text(sock: socket.socket, text: bytes) -> None:
    """One message of a client, masked, not compressed. At most 65,535 bytes."""
    size = bytes([0x80 | len(text)]) if len(text) < 126 else b"\xfe" + len(text).to_bytes(2, "big")
    mask = os.urandom(4)
    masked = bytes(byte ^ mask[i % 4] for i, byte in enumerate(text))
    sock.sendall(b"\x81" + size + mask + masked)


def greet_by_echo(sock: socket.socket) -> None:
    """An open WebSocket on /echo that has heard itself once."""
    open_websocket(sock, "/echo")
    send_text(sock, b"hello")
    if not sock.recv(1024):
        raise ConnectionError("closed instead of an echo")


class Listeners:
    """Open WebSockets on /broadcast; the first of them speaks."""

    def __init__(self, sockets: list[socket.socket]) -> None:
        self._sockets = sockets
        self._selector = selectors.DefaultSelector()
        for sock in sockets:
            self._selector.register(sock, selectors.EVENT_READ, (sock, bytearray()))

    def close(self) -> None:
        """Nothing is waited for any more; the sockets are their owner's."""
        self._selector.close()

    def broadcast(self, text: bytes) -> int:
        """How many messages arrived: one for each, or RuntimeError after `TIMEOUT_S`."""
        send_text(self._sockets[0], text)
        arrived = 0
        while arrived < len(self._sockets):
            ready = self._selector.select(TIMEOUT_S)
            if not ready:
                raise RuntimeError(f"{arrived} of {len(self._sockets)} messages arrived")
            for key, _ in ready:
                sock, received = key.data
                data = sock.recv(64 * 1024)
                if not data:
                    raise RuntimeError("the server closed a WebSocket")
                received += data
                arrived += _take_messages(received)
        return arrived


def _take_messages(received: bytearray) -> int:
    """The whole messages at the front, which are removed; other frames are removed, too."""
    count = 0
    while len(received) >= 2:
        size, start = received[1], 2
        if size == 126:
            size, start = int.from_bytes(received[2:4], "big"), 4
        if len(received) < start + size:
            break
        count += received[0] in _TEXT_OPCODES
        del received[: start + size]
    return count
