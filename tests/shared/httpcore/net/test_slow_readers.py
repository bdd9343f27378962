"""A client that does not read is cut after the write time-out, whatever else its connection waits for meanwhile."""

import asyncio
import socket
from collections.abc import AsyncIterator

import pytest

from shared.httpcore.limits import Limits
from shared.httpcore.message import Request, Response, StreamingResponse
from shared.httpcore.net.transport import State
from shared.httpcore.routing import Router
from tests.shared.httpcore.net.exchanges import get
from tests.shared.httpcore.net.serving import serving
from tests.shared.httpcore.net.waiting import until

PIECE = b"x" * 30_000


def router() -> Router:
    """A reply at hand, and a handler and a stream that come behind it and wait for ever."""
    found = Router()

    async def endless() -> AsyncIterator[bytes]:
        while True:
            yield PIECE

    @found.get("/piece")
    def piece(_: Request) -> Response:
        return Response(200, PIECE, "text/plain")

    @found.get("/stream")
    def stream(_: Request) -> Response:
        return StreamingResponse(200, endless(), "text/plain")

    @found.get("/hang")
    async def hang(_: Request) -> Response:
        await asyncio.Event().wait()
        return Response()

    return found


@pytest.mark.parametrize("path", ["/stream", "/hang", "/piece"])
def test_unsent_bytes_have_a_time_out_of_their_own(path: str) -> None:
    async def story() -> None:
        loop = asyncio.get_running_loop()
        async with asyncio.timeout(30), serving(router(), Limits(write_timeout_s=0.2)) as running:
            with socket.socket() as sock:
                sock.setblocking(False)
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
                await loop.sock_connect(sock, ("127.0.0.1", running.port))
                await until(lambda: running.server._connections)
                connection = next(iter(running.server._connections))
                while connection.output.is_empty:  # until the kernel takes no more
                    count = len(running.responses)
                    await loop.sock_sendall(sock, get("/piece"))
                    await until(lambda count=count: len(running.responses) > count)
                await loop.sock_sendall(sock, get(path))  # taken at once, since little is unsent
                await until(lambda: running.server.connection_count == 0)

    asyncio.run(story())


def test_the_end_of_a_connection_is_no_reason_to_cut_earlier_replies_off_a_slow_reader() -> None:
    """The last reply waits behind others; the time for lingering begins when all of it is out."""

    async def story() -> None:
        loop = asyncio.get_running_loop()
        limits = Limits(linger_timeout_s=0.01, write_timeout_s=30.0)
        async with asyncio.timeout(30), serving(router(), limits) as running:
            with socket.socket() as sock:
                sock.setblocking(False)
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
                await loop.sock_connect(sock, ("127.0.0.1", running.port))
                await until(lambda: running.server._connections)
                connection = next(iter(running.server._connections))
                while connection.output.is_empty:
                    count = len(running.responses)
                    await loop.sock_sendall(sock, get("/piece"))
                    await until(lambda count=count: len(running.responses) > count)
                await loop.sock_sendall(sock, get("/piece", "Connection: close"))
                await until(lambda: connection.state is State.LINGERING)
                for _ in range(3):
                    await asyncio.sleep(0.02)
                    running.server._sweep()
                received = 0
                while data := await loop.sock_recv(sock, 65536):
                    received += len(data)
                assert received > len(PIECE) * len(running.responses)

    asyncio.run(story())
