"""What goes wrong on the wire, on either side and at every point: nothing is poisoned, held or left behind."""

import contextlib
import hashlib
import os
import re
import socket
import struct
import threading
import time
from collections.abc import Callable

import pytest
import requests

from tests.processes import wait_until
from tests.services.proxy.site import Site, peak_memory_mib
from tests.services.proxy.upstream_servers import Reply, Talk, Upstream

MIB = 1024 * 1024
LARGE = 5 * MIB  # passed on by splice

SPLIT_REPLIES = {
    "a length": (b"HTTP/1.1 200 OK\r\nDate: x\r\nContent-Length: 5\r\nX-A: 1\r\n\r\nhello", b"hello"),
    "no body": (b"HTTP/1.1 204 No Content\r\nX-A: 1\r\n\r\n", b""),
    "an interim reply": (b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok", b"ok"),
    "chunks": (
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5;x=y\r\nhello\r\n6\r\n world\r\n0\r\nT: 1\r\n\r\n",
        b"hello world",
    ),
}


@pytest.mark.parametrize("name", SPLIT_REPLIES)
def test_a_reply_means_the_same_wherever_it_is_split(site: Site, name: str) -> None:
    wire, body = SPLIT_REPLIES[name]
    at = 0

    def reply(talk: Talk) -> None:
        talk.send(wire[:at])
        time.sleep(0.002)  # a segment of its own
        talk.send(wire[at:])

    url = site.on(reply)
    with requests.Session() as session:
        for at in range(1, len(wire)):
            answer = session.get(url, timeout=10)
            assert answer.content == body, at
            assert answer.headers.get("X-A") == ("1" if b"X-A" in wire else None)


@pytest.mark.parametrize("name", SPLIT_REPLIES)
def test_a_reply_that_ends_anywhere_is_never_taken_for_a_whole_one(site: Site, name: str) -> None:
    wire, _ = SPLIT_REPLIES[name]
    at = 0

    def reply(talk: Talk) -> None:
        talk.send(wire[:at])
        talk.sock.shutdown(socket.SHUT_WR)
        talk.wait_end()

    url = site.on(reply)
    for at in range(1, len(wire), 3):
        try:
            answer = requests.get(url, timeout=10)
        except requests.RequestException:
            continue  # cut for the client too
        assert answer.status_code == 502, at
    assert requests.get(site.url + "/fine", timeout=10).json()["target"] == "/fine"
    wait_until(lambda: site.in_flight() == 0, why="nothing in flight")


def reset_after(wire: bytes) -> Reply:
    def reply(talk: Talk) -> None:
        talk.send(wire)
        time.sleep(0.01)
        talk.reset()

    return reply


@pytest.mark.parametrize(
    "wire",
    [
        b"",
        b"HTTP/1.1 200",
        b"HTTP/1.1 103 Early Hints\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhello",
        b"HTTP/1.1 200 OK\r\nContent-Length: 5000000\r\n\r\nhello",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhel",
        b"HTTP/1.1 200 OK\r\n\r\nuntil the end",
    ],
)
def test_an_upstream_that_resets_at_any_point_fails_one_request_and_no_more(site: Site, wire: bytes) -> None:
    url = site.on(reset_after(wire)).removeprefix(site.url).encode()
    try:
        answer = site.talk(b"POST " + url + b" HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\nConnection: close\r\n\r\nx")
    except ConnectionResetError:
        answer = b""  # cut for the client too
    assert b"HTTP/1.1 502 " in answer or not is_whole(answer)
    assert requests.get(site.url + "/fine", timeout=10).json()["target"] == "/fine"
    wait_until(lambda: site.in_flight() == 0, why="nothing in flight")


def is_whole(answer: bytes) -> bool:
    """Whether a client would take this for a complete reply."""
    head, _, body = answer.partition(b"\r\n\r\n")
    length = re.search(rb"(?i)content-length: (\d+)", head)
    if length is not None:
        return len(body) == int(length[1])
    return b"hunked" in head and body.endswith(b"0\r\n\r\n")


# --- what is said unasked ----------------------------------------------------------------------------------


def test_what_an_upstream_says_on_an_idle_connection_answers_nobody(site: Site) -> None:
    for method in ("GET", "POST"):
        ended = threading.Event()

        def reply(talk: Talk, ended: threading.Event = ended) -> None:
            talk.reply(b"first")
            time.sleep(0.01)
            talk.send("HTTP/1.1 408 Request Timeout\r\nContent-Length: 6\r\n\r\npoison")
            if talk.wait_end():
                ended.set()

        assert requests.get(site.on(reply), timeout=10).text == "first"
        assert ended.wait(10), "the connection should be closed at once"
        assert requests.request(method, site.url + "/next", timeout=10).json()["target"] == "/next"


@pytest.mark.parametrize(
    ("upgrade", "wire"),
    [
        (b"", b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\npoison"),
        (b"websocket", b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: h2c\r\n\r\npoison"),
        (b"websocket", b"HTTP/1.1 101 Switching Protocols\r\n\r\npoison"),
        (b"h2c", b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: h2c\r\n\r\npoison"),
    ],
)
def test_a_101_that_is_not_what_was_asked_for_is_a_502(site: Site, upgrade: bytes, wire: bytes) -> None:
    path = site.on(lambda talk: talk.send(wire)).removeprefix(site.url).encode()
    asked = b"Connection: close, Upgrade\r\nUpgrade: " + upgrade + b"\r\n" if upgrade else b"Connection: close\r\n"
    answer = site.talk(b"GET " + path + b" HTTP/1.1\r\nHost: a\r\n" + asked + b"\r\n")
    assert answer.startswith(b"HTTP/1.1 502 ")
    assert b"poison" not in answer
    wait_until(lambda: site.in_flight() == 0, why="nothing in flight")


# --- large bodies, slow and leaving clients ----------------------------------------------------------------


def large_reply(body: bytes, framing: str) -> Reply:
    def reply(talk: Talk) -> None:
        if framing == "length":
            talk.reply(body)
        elif framing == "chunked":
            talk.send("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
            for start in range(0, len(body), 300_000):
                part = body[start : start + 300_000]
                talk.send(f"{len(part):x}\r\n", part, "\r\n")
            talk.send("0\r\n\r\n")
        else:
            talk.send("HTTP/1.0 200 OK\r\n\r\n", body)
            talk.close()

    return reply


@pytest.mark.parametrize("framing", ["length", "chunked", "until close"])
def test_a_slow_reader_gets_every_byte_and_the_connection_serves_on(site: Site, framing: str) -> None:
    body = os.urandom(LARGE)
    path = site.on(large_reply(body, framing)).removeprefix(site.url)
    with socket.create_connection(("127.0.0.1", site.proxy.port), timeout=10) as sock:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 32 * 1024)
        for _ in range(2):
            sock.sendall(f"GET {path} HTTP/1.1\r\nHost: a\r\n\r\n".encode())
            response = read_response(sock, pause_s=0.001)
            assert hashlib.sha256(response).digest() == hashlib.sha256(body).digest()
    wait_until(lambda: site.in_flight() == 0, why="nothing in flight")


def read_response(sock: socket.socket, pause_s: float = 0.0) -> bytes:
    """The body of one reply on a connection that stays open."""
    reader = sock.makefile("rb", buffering=16 * 1024)
    head = b""
    while not head.endswith(b"\r\n\r\n"):
        head += reader.readline()
    parts: list[bytes] = []
    if (length := re.search(rb"(?i)content-length: (\d+)", head)) is not None:
        left = int(length[1])
        while left:
            parts.append(reader.read(min(left, 16 * 1024)))
            assert parts[-1], "the reply was cut short"
            left -= len(parts[-1])
            time.sleep(pause_s)
    else:
        while size := int(reader.readline(), 16):
            parts.append(reader.read(size + 2)[:-2])
            time.sleep(pause_s)
        reader.readline()
    return b"".join(parts)


@pytest.mark.parametrize("framing", ["length", "chunked", "until close"])
def test_clients_that_do_not_read_hold_no_memory_and_the_upstream_waits(site: Site, framing: str) -> None:
    body = bytes(40 * MIB)
    path = site.on(large_reply(body, framing)).removeprefix(site.url)
    before = peak_memory_mib(site.proxy.pid)
    socks = [socket.create_connection(("127.0.0.1", site.proxy.port), timeout=10) for _ in range(8)]
    try:
        for sock in socks:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 16 * 1024)
            sock.sendall(f"GET {path} HTTP/1.1\r\nHost: a\r\n\r\n".encode())
        for sock in socks:
            assert sock.recv(1000).startswith(b"HTTP/1.1 200 OK")
        time.sleep(0.5)
        assert peak_memory_mib(site.proxy.pid) - before < 20
    finally:
        for sock in socks:
            sock.close()
    wait_until(lambda: site.in_flight() == 0, why="nothing in flight")


def test_an_upstream_that_takes_a_body_slowly_stops_the_client_from_sending(site: Site) -> None:
    go_on, sent = threading.Event(), 0

    def reply(talk: Talk) -> None:
        go_on.wait(20)
        talk.read_body()
        talk.reply(b"%d" % len(talk.request.body))

    path = site.on(reply).removeprefix(site.url)
    before = peak_memory_mib(site.proxy.pid)
    with socket.create_connection(("127.0.0.1", site.proxy.port), timeout=1) as sock:
        sock.sendall(f"POST {path} HTTP/1.1\r\nHost: a\r\nContent-Length: {60 * MIB}\r\n\r\n".encode())
        with contextlib.suppress(TimeoutError):
            while sent < 60 * MIB:
                sent += sock.send(bytes(MIB))
        assert sent < 40 * MIB
        assert peak_memory_mib(site.proxy.pid) - before < 20
        go_on.set()
        sock.settimeout(20)
        while sent < 60 * MIB:
            sent += sock.send(bytes(min(MIB, 60 * MIB - sent)))
        assert read_response(sock) == b"%d" % (60 * MIB)


LEAVING: dict[str, Callable[[Talk], None]] = {
    "before the reply": lambda talk: None,
    "inside the head": lambda talk: talk.send("HTTP/1.1 200 OK\r\nX:"),
    "after an interim reply": lambda talk: talk.send("HTTP/1.1 103 Early Hints\r\n\r\n"),
    "inside a small body": lambda talk: talk.send("HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nsome"),
    "inside a body that is passed on": lambda talk: talk.send("HTTP/1.1 200 OK\r\nContent-Length: 99999\r\n\r\nsome"),
    "inside a body that is spliced": lambda talk: talk.send(
        f"HTTP/1.1 200 OK\r\nContent-Length: {LARGE}\r\n\r\n", bytes(LARGE // 2)
    ),
    "inside chunks": lambda talk: talk.send("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhe"),
}


@pytest.mark.parametrize("how", ["close", "reset"])
@pytest.mark.parametrize("stage", LEAVING)
def test_a_client_that_leaves_at_any_point_frees_the_upstream(site: Site, stage: str, how: str) -> None:
    ended, begun = threading.Event(), threading.Event()

    def reply(talk: Talk) -> None:
        LEAVING[stage](talk)
        begun.set()
        if talk.wait_end():
            ended.set()

    path = site.on(reply).removeprefix(site.url)
    sock = socket.create_connection(("127.0.0.1", site.proxy.port), timeout=10)
    sock.sendall(f"GET {path} HTTP/1.1\r\nHost: a\r\n\r\n".encode())
    assert begun.wait(10)
    if how == "reset":
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    sock.close()
    assert ended.wait(10)
    wait_until(lambda: site.in_flight() == 0, why="nothing in flight")


def test_a_client_that_leaves_while_it_is_connected_leaves_nothing_behind(
    start_proxy: Callable[..., object], start_upstream: Callable[..., Upstream]
) -> None:
    with socket.create_server(("127.0.0.1", 0), backlog=0) as full:
        fillers = [socket.socket() for _ in range(4)]
        for filler in fillers:  # nobody accepts: once the backlog is full, a new connection waits for ever
            filler.setblocking(False)
            filler.connect_ex(full.getsockname())
        proxy = start_proxy(f'host "*" {{ proxy_pass http://127.0.0.1:{full.getsockname()[1]}; }}')
        sock = socket.create_connection(("127.0.0.1", proxy.port), timeout=10)  # type: ignore[attr-defined]
        sock.sendall(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")

        def in_flight() -> int:
            status = requests.get(proxy.url + "/_proxy/status", timeout=10).json()  # type: ignore[attr-defined]
            return int(status["in_flight"])

        wait_until(lambda: in_flight() == 1, why="the request to be under way")
        sock.close()
        wait_until(lambda: in_flight() == 0, why="it to be given up")
        for filler in fillers:
            filler.close()


def test_pipelined_requests_for_all_kinds_of_replies_are_answered_in_order(site: Site) -> None:
    kinds = [("length", 5), ("chunked", 700_000), ("length", LARGE), ("length", 0), ("chunked", 3), ("length", 50_000)]
    bodies = [os.urandom(size) for _, size in kinds]
    paths = [
        site.on(large_reply(body, kind)).removeprefix(site.url) for (kind, _), body in zip(kinds, bodies, strict=True)
    ]
    with socket.create_connection(("127.0.0.1", site.proxy.port), timeout=20) as sock:
        sock.sendall("".join(f"GET {path} HTTP/1.1\r\nHost: a\r\n\r\n" for path in paths * 3).encode())
        reader = sock.makefile("rb")
        for body in bodies * 3:
            assert hashlib.sha256(read_one(reader)).digest() == hashlib.sha256(body).digest()
    wait_until(lambda: site.in_flight() == 0, why="nothing in flight")


def read_one(reader: "socket.SocketIO") -> bytes:
    head = b""
    while not head.endswith(b"\r\n\r\n"):
        head += reader.readline()
    if (length := re.search(rb"(?i)content-length: (\d+)", head)) is not None:
        return reader.read(int(length[1]))  # type: ignore[no-any-return]
    parts = []
    while size := int(reader.readline(), 16):
        parts.append(reader.read(size + 2)[:-2])
    reader.readline()
    return b"".join(parts)


def test_a_thousand_pipelined_errors_are_answered_without_going_deep(site: Site) -> None:
    count = 1000
    answer = site.talk(b"GET /nowhere/ HTTP/1.1\r\nHost: a\r\n\r\n" * (count - 1) + CLOSING)
    assert answer.count(b"HTTP/1.1 502 ") == count


CLOSING = b"GET /nowhere/ HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n"
