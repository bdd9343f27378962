"""Clients that leave, and clients that do not read."""

import asyncio
import logging
import os
from collections.abc import AsyncIterator

import pytest

from shared.httpcore.errors import ConnectionClosed
from shared.httpcore.message import FileResponse, Request, Response, StreamingResponse
from shared.httpcore.routing import Router
from tests.shared.httpcore.net.exchanges import GET, post, post_chunked, run, waiting_router
from tests.shared.httpcore.net.raw_client import RawClient, raw_client
from tests.shared.httpcore.net.serving import Serving
from tests.shared.httpcore.net.waiting import until


def test_an_abandonable_handler_is_cancelled_when_the_client_ends() -> None:
    events: list[str] = []

    async def test(client: RawClient, running: Serving) -> None:
        await client.send(GET)
        await until(lambda: events)
        client.end_sending()
        await until(lambda: events == ["started", "cancelled"])
        await until(lambda: running.server.connection_count == 0)

    run(test, waiting_router(events, abandonable=True))


def test_another_handler_is_not_and_its_reply_arrives() -> None:
    events: list[str] = []

    async def test(client: RawClient, running: Serving) -> None:
        await client.send(GET)
        await until(lambda: events)
        client.end_sending()
        reply = await client.reply()
        assert (reply.body, reply.says_close) == (b"waited", True)
        assert events == ["started", "finished"]
        await until(lambda: running.server.connection_count == 0)

    run(test, waiting_router(events))


def test_a_client_that_resets_during_a_handler_leaves_nothing_behind() -> None:
    events: list[str] = []

    async def test(client: RawClient, running: Serving) -> None:
        await client.send(GET)
        await until(lambda: events)
        client.reset()
        await until(lambda: running.server.connection_count == 0)

    run(test, waiting_router(events))


@pytest.mark.parametrize(
    "wire", [b"", GET[:5], GET[:-1], post("/echo", b"abc")[:-1], post_chunked("/echo", b"abc")[:-3]]
)
def test_a_client_that_leaves_in_the_middle_is_forgotten(wire: bytes) -> None:
    async def test(client: RawClient, running: Serving) -> None:
        await client.send(wire)
        await until(lambda: running.server.connection_count == 1)
        client.end_sending()
        assert await client.rest() == b""
        await until(lambda: running.server.connection_count == 0)

    run(test)


def test_the_maker_of_a_stream_is_closed_when_the_client_leaves() -> None:
    events: list[str] = []
    router = Router()

    @router.get("/")
    def endless(request: Request) -> Response:
        async def chunks() -> AsyncIterator[bytes]:
            try:
                while True:
                    yield b"tick"
                    await asyncio.sleep(0.001)
            finally:
                events.append("closed")

        return StreamingResponse(200, chunks(), "text/plain")

    async def test(client: RawClient, running: Serving) -> None:
        await client.send(GET)
        await client.reader.readuntil(b"tick")
        client.reset()
        await until(lambda: events == ["closed"])
        await until(lambda: running.server.connection_count == 0)

    run(test, router)


@pytest.mark.parametrize("knows_length", [False, True])
def test_a_stream_that_fails_cuts_the_connection_so_that_the_client_can_tell(
    knows_length: bool, caplog: pytest.LogCaptureFixture
) -> None:
    router = Router()

    @router.get("/")
    def half(request: Request) -> Response:
        async def chunks() -> AsyncIterator[bytes]:
            yield b"half"
            await asyncio.sleep(0.01)
            raise KeyError("a secret")

        return StreamingResponse(200, chunks(), "text/plain", content_length=8 if knows_length else None)

    async def test(client: RawClient, running: Serving) -> None:
        await client.send(GET)
        with pytest.raises((asyncio.IncompleteReadError, ConnectionError, ConnectionClosed)):
            await client.reply()
        await until(lambda: running.server.connection_count == 0)

    with caplog.at_level(logging.ERROR):
        run(test, router)
    assert "a secret" in caplog.text


@pytest.mark.parametrize("made", [b"too short", b"much too long for it"])
def test_a_stream_that_is_not_as_long_as_it_said_cuts_the_connection(made: bytes) -> None:
    router = Router()

    @router.get("/")
    def wrong(request: Request) -> Response:
        async def chunks() -> AsyncIterator[bytes]:
            yield made

        return StreamingResponse(200, chunks(), "text/plain", content_length=12)

    async def test(client: RawClient, running: Serving) -> None:
        await client.send(GET)
        try:
            received = await client.rest()
        except ConnectionError:
            return
        body = received.partition(b"\r\n\r\n")[2]
        assert len(body) <= 12
        assert body != made or len(made) < 12

    run(test, router)


def test_a_stream_waits_for_a_client_that_does_not_read() -> None:
    made: list[int] = []
    router = Router()

    @router.get("/")
    def endless(request: Request) -> Response:
        async def chunks() -> AsyncIterator[bytes]:
            while True:
                made.append(1)
                yield bytes(2**16)

        return StreamingResponse(200, chunks(), "text/plain")

    async def test(client: RawClient, running: Serving) -> None:
        client.pause()
        await client.send(GET)
        await until(lambda: made)
        before = -1
        while before != len(made):
            before = len(made)
            for _ in range(50):
                await asyncio.sleep(0.002)
        assert len(made) < 500
        client.resume()
        while len(made) < before + 100:
            assert await client.reader.read(2**20)
        client.reset()

    run(test, router)


def test_a_large_reply_reaches_a_client_that_reads_late() -> None:
    body = os.urandom(8 * 2**20)
    router = Router()

    @router.get("/")
    def large(request: Request) -> Response:
        return Response(200, body, "application/octet-stream")

    async def test(client: RawClient, running: Serving) -> None:
        client.pause()
        await client.send(GET, GET)
        for _ in range(50):
            await asyncio.sleep(0.001)
        client.resume()
        assert (await client.reply()).body == body
        assert (await client.reply()).body == body

    run(test, router)


def test_a_file_is_sent_from_the_disk_and_its_descriptor_closed(tmp_path: "os.PathLike[str]") -> None:
    path = os.path.join(tmp_path, "file")
    content = os.urandom(3 * 2**20)
    with open(path, "wb") as file:
        file.write(content)
    opened: list[int] = []
    router = Router()

    @router.get("/")
    def send_file(request: Request) -> Response:
        opened.append(os.open(path, os.O_RDONLY))
        return FileResponse(opened[-1], 1000, len(content) - 1000, content_type="application/octet-stream")

    async def test(client: RawClient, running: Serving) -> None:
        await client.send(GET, GET.replace(b"GET", b"HEAD"), GET)
        whole, bare, again = await client.replies(["GET", "HEAD", "GET"])
        assert whole.body == again.body == content[1000:]
        assert bare.headers.get("content-length") == str(len(content) - 1000)
        async with raw_client(running.port) as other:
            other.pause()
            await other.send(GET)
            await until(lambda: len(opened) == 4)
            other.reset()
            await until(lambda: running.server.connection_count == 1)
        for fd in set(opened):
            with pytest.raises(OSError, match="Bad file descriptor"):
                os.fstat(fd)

    run(test, router)


def test_requests_for_files_in_a_row_do_not_open_them_all_at_once(tmp_path: "os.PathLike[str]") -> None:
    """A client that asks for a thousand files and reads none would else use up the process's descriptors."""
    path = os.path.join(tmp_path, "file")
    with open(path, "wb") as file:
        file.write(bytes(2**20))
    opened: list[int] = []
    router = Router()

    @router.get("/")
    def send_file(request: Request) -> Response:
        opened.append(os.open(path, os.O_RDONLY))
        return FileResponse(opened[-1], 0, 2**20, content_type="application/octet-stream")

    async def test(client: RawClient, running: Serving) -> None:
        client.pause()
        await client.send(GET * 200)
        await until(lambda: opened)
        for _ in range(100):
            await asyncio.sleep(0.001)
        still_open = [fd for fd in set(opened) if is_open(fd)]
        client.reset()
        assert len(still_open) < 20

    def is_open(fd: int) -> bool:
        try:
            os.fstat(fd)
        except OSError:
            return False
        return True

    run(test, router)


def test_a_file_that_became_shorter_cuts_the_connection(tmp_path: "os.PathLike[str]") -> None:
    path = os.path.join(tmp_path, "file")
    with open(path, "wb") as file:
        file.write(bytes(1000))
    router = Router()

    @router.get("/")
    def send_file(request: Request) -> Response:
        return FileResponse(os.open(path, os.O_RDONLY), 0, 2000, content_type="application/octet-stream")

    async def test(client: RawClient, running: Serving) -> None:
        await client.send(GET)
        with pytest.raises((asyncio.IncompleteReadError, ConnectionError, ConnectionClosed)):
            await client.reply()

    run(test, router)
