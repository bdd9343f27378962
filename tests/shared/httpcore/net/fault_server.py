"""A server process for `test_faults`: a handler of each kind, and what it says of itself. Prints its port.

`python -m tests.shared.httpcore.net.fault_server [--open-files N] [LIMIT=VALUE …]`
"""

import asyncio
import logging
import os
import resource
import sys
import time
from collections.abc import AsyncIterator

from shared.httpcore.limits import Limits
from shared.httpcore.message import Request, Response, StreamingResponse
from shared.httpcore.net.loop import run
from shared.httpcore.net.server import Server, bind_listener
from shared.httpcore.net.websocket import WebSocket, WebSocketUpgrade
from shared.httpcore.routing import Router
from shared.runtime.process_metrics import count_open_fds, resident_memory_bytes
from tests.shared.httpcore.net.exchanges import make_router

CHUNK = b"x" * 65536


async def chunks(count: int) -> AsyncIterator[bytes]:
    for _ in range(count):
        yield CHUNK


def fault_router() -> Router:
    """What `make_router` has, handlers that hang, and replies that are large."""
    router = make_router()

    @router.get("/large")
    def large(_: Request) -> Response:
        return StreamingResponse(200, chunks(10_000), "text/plain")

    @router.get("/medium")
    def medium(_: Request) -> Response:
        return Response(200, CHUNK, "text/plain")

    @router.get("/hang")
    async def hang(_: Request) -> Response:
        await asyncio.Event().wait()
        return Response()

    @router.get("/hang-if-wanted", abandonable=True)
    async def hang_if_wanted(_: Request) -> Response:
        await asyncio.Event().wait()
        return Response()

    @router.get("/blocking-hang", blocking=True)
    def blocking_hang(_: Request) -> Response:
        time.sleep(3600)
        return Response()

    @router.get("/slow", blocking=True)
    def slow(_: Request) -> Response:
        time.sleep(0.05)
        return Response.text("slow")

    @router.get("/ws")
    def websocket(request: Request) -> Response:
        async def echo(websocket: WebSocket) -> None:
            async for message in websocket:
                await websocket.send(message)

        return WebSocketUpgrade(request, echo)

    return router


async def serve(limits: Limits) -> None:
    """Until the process is killed."""
    router = fault_router()
    server = Server(router, limits)

    @router.get("/self")
    def about(_: Request) -> Response:
        return Response.json(
            {
                "connections": server.connection_count,
                "files": count_open_fds(),
                "memory": resident_memory_bytes(),
                "refused": server.refused_count,
                "tasks": len(asyncio.all_tasks()),
            }
        )

    listener = bind_listener("127.0.0.1", 0)
    server.start([listener])
    print(listener.getsockname()[1], flush=True)
    await asyncio.Event().wait()


def main(words: list[str]) -> None:
    """Flags and limits from the command line."""
    logging.basicConfig(level=logging.INFO, stream=sys.stderr, format="%(levelname)s %(name)s %(message)s")
    if words[:1] == ["--open-files"]:
        number = int(words[1])
        resource.setrlimit(resource.RLIMIT_NOFILE, (number, number))
        words = words[2:]
    values = {
        name: float(value) if "." in value else int(value) for name, _, value in (w.partition("=") for w in words)
    }
    try:
        run(serve(Limits(**values)))  # type: ignore[arg-type]
    finally:
        os._exit(0)  # threads that hang


if __name__ == "__main__":
    main(sys.argv[1:])
