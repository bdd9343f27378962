"""Forms with files, read by a handler as they arrive."""

import asyncio

import requests

from shared.httpcore.message import Request, Response
from shared.httpcore.multipart import MultipartLimits
from shared.httpcore.net.body import MAX_WAITING_BYTES
from shared.httpcore.routing import Router
from shared.httpcore.uploads import read_parts
from tests.shared.httpcore.net.exchanges import run
from tests.shared.httpcore.net.raw_client import RawClient
from tests.shared.httpcore.net.serving import Serving

MAX_FIELD_BYTES = 100


def upload_router() -> Router:
    """POST / says what it got; POST /first reads no more than the first part's head, until told to."""
    router = Router()

    @router.post("/", stream_body=True)
    async def upload(request: Request) -> Response:
        found = []
        async for part in read_parts(request, MultipartLimits(max_parts=5)):
            if part.filename is None:
                found.append([part.name, (await part.read(MAX_FIELD_BYTES)).decode()])
            elif part.name != "skipped":
                found.append([part.name, part.filename, part.content_type, sum([len(piece) async for piece in part])])
        return Response.json(found)

    return router


def form_head(length: int) -> bytes:
    return (
        "POST / HTTP/1.1\r\nHost: x\r\nContent-Type: multipart/form-data; boundary=b\r\n"
        f"Content-Length: {length}\r\n\r\n"
    ).encode()


def test_what_requests_uploads_is_read_part_by_part() -> None:
    async def test(_: RawClient, running: Serving) -> None:
        files = {
            "skipped": ("s", b"x" * 300_000),
            "photo": ("ảnh.png", b"\r\n--" * 500_000, "image/png"),
        }
        reply = await asyncio.to_thread(
            requests.post, f"http://127.0.0.1:{running.port}/", data={"title": "Tết"}, files=files, timeout=20
        )
        assert reply.json() == [["title", "Tết"], ["photo", "ảnh.png", "image/png", 2_000_000]]

    run(test, upload_router())


def test_errors_of_a_form_are_answered() -> None:
    async def test(client: RawClient, running: Serving) -> None:
        for body, status in (
            (b"--b\r\nContent-Disposition: form-data; name=a\r\n\r\n" + b"x" * 200 + b"\r\n--b--", 413),
            (b"--b\r\nContent-Disposition: form-data; name=a\r\n\r\nx", 400),
            (b"--b\r\nContent-Disposition: form-data; name=a\r\n\r\nx\r\n" * 6 + b"--b--", 413),
        ):
            await client.send(form_head(len(body)) + body)
            assert (await client.reply()).status == status
        await client.send(b"POST / HTTP/1.1\r\nHost: x\r\nContent-Type: text/plain\r\nContent-Length: 1\r\n\r\nx")
        assert (await client.reply()).status == 415

    run(test, upload_router())


def test_a_handler_that_does_not_read_on_holds_the_client_up() -> None:
    go_on = asyncio.Event()
    waiting = []
    router = Router()

    @router.post("/", stream_body=True)
    async def upload(request: Request) -> Response:
        body = request.stream()
        waiting.append(body)
        async for part in read_parts(request):
            await go_on.wait()
            return Response.json({"size": sum([len(piece) async for piece in part])})
        return Response()

    async def test(client: RawClient, running: Serving) -> None:
        data = b"--b\r\nContent-Disposition: form-data; name=a; filename=x\r\n\r\n" + b"x" * 40_000_000 + b"\r\n--b--"
        client.writer.write(form_head(len(data)) + data)
        async with asyncio.timeout(20):
            while not waiting or waiting[0].size <= MAX_WAITING_BYTES:
                await asyncio.sleep(0.001)
        assert waiting[0].size <= MAX_WAITING_BYTES + 2**16
        go_on.set()
        assert (await client.reply()).body == b'{"size":40000000}'

    run(test, router)
