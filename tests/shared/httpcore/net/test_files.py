"""Files of a folder over real sockets, on the services' own event loop: what a client sees when they change."""

import asyncio
import gzip
import os
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest

from shared.httpcore.message import Request, Response
from shared.httpcore.net.loop import new_event_loop, turn_end_of
from shared.httpcore.routing import Router
from shared.httpcore.static import StaticFiles
from shared.httpcore.static_file import MAX_KEPT_BYTES
from tests.shared.httpcore.net.exchanges import get
from tests.shared.httpcore.net.raw_client import RawClient, Reply, raw_client
from tests.shared.httpcore.net.serving import serving

PAGE = b"<p>hello</p>" * 200
SIZES = {"small": 3000, "joined at most": 16 * 1024, "kept at most": MAX_KEPT_BYTES, "from the disk": 300_000}


def browse(root: Path, test: Callable[[RawClient, int], Awaitable[None]]) -> None:
    """The test gets a client of a server of these files, and the server's port."""

    async def main() -> None:
        files = StaticFiles(root, clock_ns=lambda: 2**62, at_turn_end=turn_end_of(asyncio.get_running_loop()))
        router = Router()

        @router.get("/{path:path}")
        def serve(request: Request) -> Response:
            return files.serve(request, request.path_params["path"], repeatable=True)

        async with asyncio.timeout(60), serving(router) as running, raw_client(running.port) as client:
            await test(client, running.port)

    with asyncio.Runner(loop_factory=new_event_loop) as runner:
        runner.run(main())


async def ask(client: RawClient, path: str, *fields: str) -> Reply:
    await client.send(get(path, *fields))
    return await client.reply()


@pytest.mark.parametrize("size", SIZES.values(), ids=SIZES)
def test_every_change_is_seen_by_the_next_request_of_a_connection(tmp_path: Path, size: int) -> None:
    path = tmp_path / "file.bin"
    path.write_bytes(b"0" * size)

    def write(data: bytes) -> None:
        path.write_bytes(data)

    def replace(data: bytes) -> None:
        (tmp_path / "next").write_bytes(data)
        os.replace(tmp_path / "next", path)

    def remove_and_write(data: bytes) -> None:
        path.unlink()
        path.write_bytes(data)

    async def test(client: RawClient, _port: int) -> None:
        tags = {(await ask(client, "/file.bin")).headers.get("etag")}
        for number, change in enumerate([write, replace, remove_and_write] * 5, 1):
            data = f"{number:02}".encode() * (size // 2 + number % 2)
            await ask(client, "/file.bin")
            change(data)
            for _ in range(3):
                reply = await ask(client, "/file.bin")
                assert reply.body == data
                tags.add(reply.headers.get("etag"))
        assert len(tags) == 16
        path.unlink()
        assert (await ask(client, "/file.bin")).status == 404
        path.write_bytes(b"back")
        assert (await ask(client, "/file.bin")).body == b"back"

    browse(tmp_path, test)


def test_each_request_has_the_variant_it_asks_for(tmp_path: Path) -> None:
    (tmp_path / "page.html").write_bytes(PAGE)

    async def test(client: RawClient, _port: int) -> None:
        for _ in range(3):  # the second and third time from what the first one left
            plain = await ask(client, "/page.html")
            tag = plain.headers.get("etag")
            packed = await ask(client, "/page.html", "Accept-Encoding: gzip")
            assert (plain.body, gzip.decompress(packed.body)) == (PAGE, PAGE)
            assert packed.headers.get("content-encoding") == "gzip"
            part = await ask(client, "/page.html", "Range: bytes=1-4")
            assert (part.status, part.body) == (206, PAGE[1:5])
            assert (await ask(client, "/page.html", f"If-None-Match: {tag}")).status == 304
            await client.send(b"HEAD /page.html HTTP/1.1\r\nHost: x\r\n\r\n")
            bare = await client.reply("HEAD")
            assert (bare.status, bare.headers.get("content-length")) == (200, str(len(PAGE)))

    browse(tmp_path, test)


@pytest.mark.parametrize("size", SIZES.values(), ids=SIZES)
def test_many_clients_at_once_and_slow_ones_get_the_whole_file(tmp_path: Path, size: int) -> None:
    content = os.urandom(size)
    (tmp_path / "file.bin").write_bytes(content)

    async def test(client: RawClient, port: int) -> None:
        async def download(is_slow: bool) -> None:
            async with raw_client(port) as other:
                if is_slow:
                    other.pause()
                await other.send(get("/file.bin") * 10)
                if is_slow:
                    await ask(client, "/file.bin")
                    other.resume()
                for _ in range(10):
                    assert (await other.reply()).body == content

        await asyncio.gather(*(download(False) for _ in range(8)))
        await download(True)

    browse(tmp_path, test)


def test_a_file_cut_while_it_is_sent_ends_the_connection_without_a_whole_reply(tmp_path: Path) -> None:
    path = tmp_path / "film.bin"
    with open(path, "wb") as file:
        file.truncate(64 * 1024 * 1024)

    async def test(client: RawClient, port: int) -> None:
        client.pause()
        await client.send(get("/film.bin"))
        async with raw_client(port) as other:  # whose reply comes after the other's has begun
            assert (await ask(other, "/nothing")).status == 404
        os.truncate(path, 1000)
        client.resume()
        with pytest.raises((asyncio.IncompleteReadError, ConnectionError, ValueError)):
            await client.reply()

    browse(tmp_path, test)
