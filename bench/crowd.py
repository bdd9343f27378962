"""Many clients that have each been served once and then stay, idle: by HTTP keep-alive, or with an open WebSocket."""

import resource
import socket
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from bench.load import read_head

REPLY_TIMEOUT_S = 5.0
SPARE_DESCRIPTORS = 500

Greet = Callable[[socket.socket], None]


def greet_by_get(path: str) -> Greet:
    """One GET and its reply."""
    request = f"GET {path} HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n".encode()

    def greet(sock: socket.socket) -> None:
        sock.sendall(request)
        head, _ = read_head(sock)
        if not head.startswith(b"HTTP/1.1 200"):
            raise RuntimeError(f"{path}: {head!r}")

    return greet


@contextmanager
def crowd(port: int, count: int, greet: Greet) -> Iterator[list[socket.socket]]:
    """As many connections as the server serves, up to `count`, each greeted; closed afterwards."""
    sockets: list[socket.socket] = []
    try:
        while len(sockets) < count:
            sock = socket.create_connection(("127.0.0.1", port), REPLY_TIMEOUT_S)
            sockets.append(sock)
            try:
                greet(sock)
            except (TimeoutError, ConnectionError):  # it takes no more
                sockets.pop().close()
                break
        yield sockets
    finally:
        for sock in sockets:
            sock.close()


def raise_descriptor_limit(wanted: int) -> None:
    """This program and the servers it starts may open so many connections. RuntimeError when the system says no."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    needed = wanted + SPARE_DESCRIPTORS
    if hard != resource.RLIM_INFINITY and hard < needed:
        raise RuntimeError(f"got a limit of {hard} open files, expected {needed}: raise it by `ulimit -n {needed}`")
    if soft < needed:
        resource.setrlimit(resource.RLIMIT_NOFILE, (needed, hard))
