"""Bodies of requests: 100-continue, early replies, back-pressure."""

import asyncio

import pytest

from shared.httpcore.errors import ConnectionClosed
from shared.httpcore.message import Request, Response
from shared.httpcore.routing import Router
from tests.shared.httpcore.net.exchanges import GET, post, run
from tests.shared.httpcore.net.raw_client import RawClient
from tests.shared.httpcore.net.serving import Serving
from tests.shared.httpcore.net.waiting import until


@pytest.mark.parametrize("path", ["/echo", "/async-echo", "/blocking-echo", "/stream-echo"])
@pytest.mark.parametrize("chunked", [False, True])
def test_a_client_that_waits_for_100_gets_it_and_then_its_reply(path: str, chunked: bool) -> None:
    async def test(client: RawClient, running: Serving) -> None:
        framing = "Transfer-Encoding: chunked" if chunked else "Content-Length: 5"
        await client.send(f"POST {path} HTTP/1.1\r\nHost: x\r\nExpect: 100-continue\r\n{framing}\r\n\r\n".encode())
        assert (await client.reply("HEAD")).status == 100
        await client.send(b"5\r\nhello\r\n0\r\n\r\n" if chunked else b"hello", GET)
        assert (await client.reply()).body == b"hello"
        assert (await client.reply()).body == b"hello"

    run(test)


def test_a_client_that_does_not_wait_for_100_gets_one_reply() -> None:
    async def test(client: RawClient, running: Serving) -> None:
        await client.send(post("/echo", b"abc", "Expect: 100-continue"))
        first = await client.reply("HEAD")
        if first.status == 100:  # allowed, but only before the reply
            assert (await client.reply()).body == b"abc"
        else:
            assert first.headers.get("content-length") == "3"

    run(test)


@pytest.mark.parametrize(("path", "status"), [("/missing", 404), ("/no-thanks", 403), ("/stream", 405)])
def test_a_client_that_waits_for_100_may_get_its_reply_at_once(path: str, status: int) -> None:
    async def test(client: RawClient, running: Serving) -> None:
        await client.send(
            f"POST {path} HTTP/1.1\r\nHost: x\r\nExpect: 100-continue\r\nContent-Length: 5\r\n\r\n".encode()
        )
        reply = await client.reply()
        assert (reply.status, reply.says_close) == (status, True)
        assert await client.rest() == b""

    run(test)


def test_a_body_too_large_is_refused_without_100() -> None:
    async def test(client: RawClient, running: Serving) -> None:
        await client.send(b"POST /echo HTTP/1.1\r\nHost: x\r\nExpect: 100-continue\r\nContent-Length: 1001\r\n\r\n")
        assert (await client.reply()).status == 413

    run(test)


@pytest.mark.parametrize(("path", "status"), [("/missing", 404), ("/no-thanks", 403), ("/echo", 413)])
def test_an_early_reply_to_an_upload_can_be_read_by_a_client_that_goes_on_sending(path: str, status: int) -> None:
    """Closing with unread bytes would be a reset, and a reset takes the reply back."""

    async def test(client: RawClient, running: Serving) -> None:
        total = 1_500_000
        client.writer.write(f"POST {path} HTTP/1.1\r\nHost: x\r\nContent-Length: {total}\r\n\r\n".encode())
        for _ in range(total // 50_000):
            client.writer.write(bytes(50_000))
            await client.writer.drain()
        reply = await client.reply()
        assert (reply.status, reply.says_close) == (status, True)
        assert await client.rest() == b""

    run(test)


def test_an_endless_upload_after_an_early_reply_is_cut() -> None:
    async def test(client: RawClient, running: Serving) -> None:
        client.writer.write(b"POST /missing HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n")
        with pytest.raises(OSError):  # noqa: PT012 - which write fails is the kernel's affair
            for _ in range(10_000):
                client.writer.write(b"8000\r\n" + bytes(0x8000) + b"\r\n")
                await client.writer.drain()
        await until(lambda: running.server.connection_count == 0)

    run(test)


def test_a_streamed_body_waits_for_its_handler() -> None:
    """Back-pressure: a handler that does not read leaves the upload in the kernel's buffers."""
    release = asyncio.Event()
    sizes: list[int] = []
    router = Router()

    @router.post("/upload", stream_body=True)
    async def upload(request: Request) -> Response:
        await release.wait()
        sizes.extend([len(part) async for part in request.stream()])
        return Response.text(str(sum(sizes)))

    async def test(client: RawClient, running: Serving) -> None:
        total = 64 * 2**20
        client.writer.write(f"POST /upload HTTP/1.1\r\nHost: x\r\nContent-Length: {total}\r\n\r\n".encode())
        sending = asyncio.create_task(send_zeros(client, total))
        before = -1
        while before != client_written(client):
            before = client_written(client)
            for _ in range(50):
                await asyncio.sleep(0.002)
        assert not sending.done()
        release.set()
        await sending
        assert (await client.reply()).body == str(total).encode()
        assert max(sizes) <= 2**20

    written: dict[RawClient, int] = {}

    def client_written(client: RawClient) -> int:
        return written.get(client, 0)

    async def send_zeros(client: RawClient, total: int) -> None:
        for _ in range(total // 2**16):
            client.writer.write(bytes(2**16))
            written[client] = client_written(client) + 2**16
            await client.writer.drain()

    run(test, router)


def test_a_handler_learns_that_the_client_left_within_the_body() -> None:
    errors: list[type[BaseException]] = []
    router = Router()

    @router.post("/upload", stream_body=True)
    async def upload(request: Request) -> Response:
        try:
            async for _ in request.stream():
                pass
        except ConnectionClosed as error:
            errors.append(type(error))
            raise
        return Response(204)

    async def test(client: RawClient, running: Serving) -> None:
        await client.send(b"POST /upload HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\nabc")
        client.end_sending()
        await until(lambda: errors)
        await until(lambda: running.server.connection_count == 0)

    run(test, router)


@pytest.mark.parametrize("rest", [b"3\r\ndef\r\n0\r\n\r\n", b"3\r\ndef\r\n"])
def test_what_follows_a_broken_chunk_is_no_body_and_no_request(rest: bytes) -> None:
    """The handler reads late, so the bytes had come before it heard of the broken chunk."""
    router, goes_on, got = Router(), asyncio.Event(), bytearray()

    @router.post("/late", stream_body=True)
    async def late(request: Request) -> Response:
        await goes_on.wait()
        async for part in request.stream():
            got.extend(part)
        return Response.text("all of it")

    async def test(client: RawClient, running: Serving) -> None:
        await client.send(b"POST /late HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n")
        [connection] = running.server._connections
        await until(lambda: connection._body.stream.size == 3)
        await client.send(b"zz\r\n")
        await until(lambda: connection._body.has_failed)
        await client.send(rest, GET)
        for _ in range(20):  # turns of the loop, in which it would be read
            await asyncio.sleep(0)
        goes_on.set()
        reply = await client.reply()
        assert (reply.status, reply.says_close) == (400, True)
        assert await client.rest() == b""
        assert got == b"abc"

    run(test, router)
