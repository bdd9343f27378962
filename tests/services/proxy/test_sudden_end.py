"""An upstream that ends with many requests under way: all of them get their reply from another."""

import socket
import threading
from collections.abc import Callable

from tests.processes import wait_until
from tests.services.proxy.conftest import StartProxy
from tests.services.proxy.test_balancing import upstream_state
from tests.services.proxy.upstream_servers import Talk, Upstream, echo

BEFORE = 1200  # requests that went well
UNDER_WAY = 250  # more than the floor of the budget for sending again
REQUEST = b"GET / HTTP/1.1\r\nHost: a\r\n\r\n"
LAST = b"GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n"


def test_what_a_busy_upstream_leaves_unanswered_is_answered_by_another(
    start_proxy: StartProxy, start_upstream: Callable[..., Upstream]
) -> None:
    hangs, ends = threading.Event(), threading.Event()

    def reply(talk: Talk) -> None:
        if not hangs.is_set():
            echo(talk)
        elif ends.wait(60):
            talk.reset()

    a, b = start_upstream(reply, name="a"), start_upstream(name="b")
    proxy = start_proxy(
        f'host "*" {{ proxy_pass http://p; }}\npool p {{ server {a.address}; server {b.address} backup; }}'
    )
    assert ask(proxy.port, REQUEST * (BEFORE - 1) + LAST).count(b"HTTP/1.1 200 ") == BEFORE
    hangs.set()
    socks = [socket.create_connection(("127.0.0.1", proxy.port), timeout=30) for _ in range(UNDER_WAY)]
    try:
        for sock in socks:
            sock.sendall(LAST)
        wait_until(lambda: upstream_state(proxy, a)["in_flight"] == UNDER_WAY, why="all to be at one upstream")
        ends.set()
        answers = [read_all(sock) for sock in socks]
    finally:
        ends.set()
        for sock in socks:
            sock.close()
    assert [answer[:12] for answer in answers] == [b"HTTP/1.1 200"] * UNDER_WAY
    assert all(b'"served_by": "b"' in answer for answer in answers)


def ask(port: int, requests: bytes) -> bytes:
    with socket.create_connection(("127.0.0.1", port), timeout=30) as sock:
        sending = threading.Thread(target=sock.sendall, args=(requests,))
        sending.start()
        answer = read_all(sock)
        sending.join()
    return answer


def read_all(sock: socket.socket) -> bytes:
    return b"".join(iter(lambda: sock.recv(65536), b""))
