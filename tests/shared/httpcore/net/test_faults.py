"""Clients and handlers at their worst, against a server process: the others are served, memory and descriptors stay
bounded, and the log has one line that explains.
"""

import asyncio
import json
import re
import socket
import struct
import subprocess
import sys
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import pytest

from tests.processes import ROOT
from tests.shared.httpcore.net.exchanges import GET, get, post, post_chunked
from tests.shared.httpcore.net.raw_client import RawClient, raw_client

RESET = struct.pack("ii", 1, 0)  # SO_LINGER: on, 0 s
WEBSOCKET = get(
    "/ws", "Connection: Upgrade", "Upgrade: websocket", "Sec-WebSocket-Version: 13",
    "Sec-WebSocket-Key: " + "A" * 22 + "==",
)  # fmt: skip


class FaultServer:
    """The process, and what it says."""

    def __init__(self, folder: Path, words: tuple[str, ...]) -> None:
        self._log = folder / "log"
        with self._log.open("wb") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "tests.shared.httpcore.net.fault_server", *words],
                cwd=ROOT,
                stdout=subprocess.PIPE,
                stderr=log,
            )
        assert self.process.stdout is not None
        self.port = int(self.process.stdout.readline())

    @property
    def log(self) -> str:
        return self._log.read_text()

    async def ask(self, path: str = "/") -> bytes:
        """The body of a reply to somebody who behaves."""
        async with raw_client(self.port) as client:
            await client.send(get(path))
            reply = await client.reply()
            assert reply.status == 200, reply
            return reply.body

    async def about(self) -> dict[str, Any]:
        """What the server says of itself; the connection that asks is counted."""
        found: dict[str, Any] = json.loads(await self.ask("/self"))
        return found

    async def until(self, is_so: Callable[[dict[str, Any]], bool], timeout_s: float = 20.0) -> dict[str, Any]:
        """What it says once that is so."""
        async with asyncio.timeout(timeout_s):
            while not is_so(about := await self.about()):
                await asyncio.sleep(0.02)
        return about


@contextmanager
def fault_server(folder: Path, *words: str) -> Iterator[FaultServer]:
    """A server process within the block."""
    server = FaultServer(folder, words)
    try:
        yield server
    finally:
        server.process.kill()
        server.process.communicate(timeout=20)


def run(folder: Path, story: Callable[[FaultServer], Awaitable[None]], *words: str) -> str:
    """The story with a server; its log afterwards."""
    with fault_server(folder, *words) as server:

        async def main() -> None:
            async with asyncio.timeout(60):
                await server.ask()
                await story(server)

        asyncio.run(main())
        return server.log


async def connect(server: FaultServer, receive_buffer: int | None = None) -> RawClient:
    sock = socket.socket()
    sock.setblocking(False)
    if receive_buffer is not None:  # the kernel takes little for a client that does not read
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
    await asyncio.get_running_loop().sock_connect(sock, ("127.0.0.1", server.port))
    return RawClient(*await asyncio.open_connection(sock=sock))


def reset(client: RawClient) -> None:
    sock: socket.socket = client.writer.get_extra_info("socket")
    with suppress(OSError):
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
    client.reset()


def test_heads_that_never_end_get_408_and_hold_nobody_up(tmp_path: Path) -> None:
    async def story(server: FaultServer) -> None:
        clients = [await connect(server) for _ in range(200)]
        for index, client in enumerate(clients):
            await client.send(GET[: 1 + index % (len(GET) - 1)])
        await server.ask()
        replies = await asyncio.gather(*(client.reply() for client in clients))
        assert {reply.status for reply in replies} == {408}
        for client in clients:
            client.writer.close()
        await server.until(lambda about: about["connections"] == 1)

    assert "ERROR" not in run(tmp_path, story, "head_timeout_s=0.5")


def test_clients_that_send_byte_by_byte_are_served_and_cost_linear_time(tmp_path: Path) -> None:
    async def story(server: FaultServer) -> None:
        async def dribble() -> bytes:
            async with raw_client(server.port) as client:
                request = post_chunked("/echo", b"hello", b" world")
                await client.send(*(request[index : index + 1] for index in range(len(request))))
                return (await client.reply()).body

        assert await asyncio.gather(*(dribble() for _ in range(50))) == [b"hello world"] * 50
        assert await server.ask() == b"hello"

    assert "ERROR" not in run(tmp_path, story)


# What each client sends, how many there are, and how much memory one may cost: what may wait unsent, a turn's replies
# in the making, and what was read ahead.
GREEDY = [
    ("a streamed reply", get("/large"), 30, 0.5e6),
    ("a pipeline of large replies", get("/medium") * 1000, 30, 2 * 65536 + 0.5e6),
    ("a pipeline of small replies", GET * 25_000, 4, 0.5e6),
    ("a streamed reply behind others", get("/medium") * 4 + get("/large"), 30, 2 * 65536 + 0.5e6),
]


@pytest.mark.parametrize(("_", "sent", "count", "bytes_each"), GREEDY, ids=[case[0] for case in GREEDY])
def test_clients_that_never_read_are_cut_and_fill_no_memory(
    tmp_path: Path, _: str, sent: bytes, count: int, bytes_each: float
) -> None:
    async def story(server: FaultServer) -> None:
        before = await server.about()
        clients = [await connect(server, receive_buffer=4096) for _ in range(count)]
        for client in clients:
            client.pause()
            client.writer.write(sent)
        await server.until(lambda about: about["connections"] == count + 1)
        for _ in range(20):
            await server.ask()
        assert (await server.about())["memory"] - before["memory"] < count * bytes_each + 10e6
        await server.until(lambda about: about["connections"] == 1)
        for client in clients:
            reset(client)

    assert "ERROR" not in run(tmp_path, story, "write_timeout_s=1.0")


MOMENTS = [
    ("nothing sent", b""),
    ("in a head", GET[:10]),
    ("in a body", post("/echo", b"x" * 500)[:-100]),
    ("in a streamed body", post("/stream-echo", b"x" * 500)[:-100]),
    ("in a chunk", post_chunked("/echo", b"x" * 500)[:-100]),
    ("a plain handler", GET),
    ("a pipeline", GET * 200),
    ("an async handler that nobody wants", get("/hang-if-wanted")),
    ("a blocking handler", get("/slow")),
    ("a streamed reply", get("/large")),
    ("a large reply", get("/medium") * 50),
    ("a refused request", b"GET / HTTP/1.1\r\n\r\n" + b"x" * 1000),
    ("a refused upload", post("/no-thanks", b"x" * 500)[:-100]),
    ("an upgrade", WEBSOCKET),
    ("in a WebSocket's frame", WEBSOCKET + b"\x81\xfe\x10\x00abcd"),
    ("a WebSocket's message", WEBSOCKET + b"\x81\x85abcd" + bytes(5)),
]


def test_resets_in_the_middle_of_anything_leave_nothing_behind(tmp_path: Path) -> None:
    async def story(server: FaultServer) -> None:
        async def leave(sent: bytes, does_wait: bool) -> None:
            client = await connect(server)
            await client.send(sent)
            if does_wait:  # until the server has done something, or will do nothing
                with suppress(TimeoutError, OSError):
                    await asyncio.wait_for(client.reader.read(1), 0.05)
            reset(client)

        async def round_of_resets() -> dict[str, Any]:
            await asyncio.gather(
                *(leave(sent, wait) for _, sent in MOMENTS for wait in (False, True) for _ in range(10))
            )
            await server.ask("/slow")
            return await server.until(lambda about: about["connections"] == 1 and about["tasks"] == 1)

        before = await round_of_resets()
        for _ in range(3):
            after = await round_of_resets()
        assert after["files"] <= before["files"]
        assert after["memory"] - before["memory"] < 8e6

    log = run(tmp_path, story)
    assert "ERROR" not in log
    assert "Traceback" not in log


def open_sockets(port: int, count: int) -> list[socket.socket]:
    """Attempts to connect, waiting for none."""
    socks = []
    for _ in range(count):
        sock = socket.socket()
        sock.setblocking(False)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
        sock.connect_ex(("127.0.0.1", port))
        socks.append(sock)
    return socks


def test_more_attempts_than_descriptors_pause_accepting_until_there_are_some(tmp_path: Path) -> None:
    async def story(server: FaultServer) -> None:
        held = open_sockets(server.port, 200)
        async with asyncio.timeout(10):
            while "can't accept" not in server.log:
                await asyncio.sleep(0.02)
        for _ in range(40):  # 20,000 attempts in all
            for sock in open_sockets(server.port, 495):
                sock.close()
            await asyncio.sleep(0)
        for sock in held:
            sock.close()
        await server.until(lambda about: about["connections"] == 1)
        async with asyncio.timeout(20):
            while "accepting connections again" not in server.log:
                await asyncio.sleep(0.05)
        assert (await server.about())["memory"] < 100e6

    log = run(tmp_path, story, "--open-files", "100", "max_connections=1000000")
    lines = [line for line in log.splitlines() if "INFO" not in line]
    assert len(lines) == 2, log
    assert re.fullmatch(r"ERROR weaprous.http can't accept connections: Too many open files; \d+ are open", lines[0])
    assert lines[1] == "WARNING weaprous.http accepting connections again"


def test_by_default_more_connections_than_descriptors_allow_are_refused_in_words(tmp_path: Path) -> None:
    async def story(server: FaultServer) -> None:
        clients = [await connect(server) for _ in range(100)]
        for client in clients:
            await client.send(GET)
        replies = await asyncio.gather(*(client.reply() for client in clients))
        assert sorted({reply.status for reply in replies}) == [200, 503]
        assert sum(reply.status == 200 for reply in replies) == 64
        for client in clients:
            client.writer.close()
        async with asyncio.timeout(20):
            while True:
                async with raw_client(server.port) as client:
                    await client.send(GET)
                    if (await client.reply()).status == 200:
                        break
        about = await server.about()
        assert about["refused"] >= 36

    log = run(tmp_path, story, "--open-files", "128")
    assert log.count("connections are refused with 503: 64 connections are open") == 1
    assert "can't accept" not in log


def test_handlers_that_hang_hold_up_nobody_else(tmp_path: Path) -> None:
    async def story(server: FaultServer) -> None:
        clients = [await connect(server) for _ in range(103)]
        for index, client in enumerate(clients):
            await client.send(get("/blocking-hang" if index < 3 else "/hang"))
        for path in ("/", "/slow", "/stream"):
            assert await server.ask(path)
        assert (await server.about())["connections"] == 104
        for client in clients:
            client.writer.close()

    assert "ERROR" not in run(tmp_path, story)


def test_handlers_that_hang_are_named_once_and_who_gets_no_thread_is_told(tmp_path: Path) -> None:
    """Even when every thread hangs, all that needs none is served."""

    async def story(server: FaultServer) -> None:
        clients = [await connect(server) for _ in range(20)]
        for index, client in enumerate(clients[:15]):
            await client.send(get(("/blocking-hang", "/hang", "/hang-if-wanted")[index % 3]))
        await server.until(lambda about: about["tasks"] == 1 + 15)
        for client in clients[15:]:
            await client.send(get("/slow"))
        refused = await asyncio.gather(*(client.reply() for client in clients[15:]))
        assert [(reply.status, reply.headers.get("retry-after")) for reply in refused] == [(503, "1")] * 5
        for path in ("/", "/stream", "/"):
            assert await server.ask(path)
        async with asyncio.timeout(20):
            while server.log.count("has not returned") < 2:
                await asyncio.sleep(0.05)
        for client in clients:
            client.writer.close()

    limits = ("max_blocking_handlers=5", "handler_patience_s=0.2", "thread_timeout_s=1.0")
    log = run(tmp_path, story, *limits)
    errors = sorted(line.partition("weaprous.http ")[2] for line in log.splitlines() if "ERROR" in line)
    assert len(errors) == 3, log
    assert errors[0] == "all 5 threads of blocking handlers are taken; who waits longer than 1 s for one gets 503"
    for name, line in zip(("blocking_hang", "hang"), errors[1:], strict=True):
        assert re.fullmatch(rf"fault_router\.<locals>\.{name} has not returned for 0.2 s \(request \S+\).*", line)


def test_handlers_that_raise_are_answered_with_500_logged_and_forgotten(tmp_path: Path) -> None:
    async def story(server: FaultServer) -> None:
        async with raw_client(server.port) as client:
            for path in ("/fail", "/async-fail", "/blocking-fail", "/bad-field"):
                await client.send(get(path))
                reply = await client.reply()
                assert (reply.status, b"secret" in reply.body) == (500, False)
            await client.send(GET)
            assert (await client.reply()).status == 200

    log = run(tmp_path, story)
    assert log.count("ERROR") == log.count("Traceback") == 4
