"""`python -m conformance.echo_server`: a WebSocket echo on a free port, which it prints; the testsuite's testee."""

import argparse
import asyncio
import signal

from shared.httpcore.limits import MIB
from shared.httpcore.message import Request, Response
from shared.httpcore.net.loop import run
from shared.httpcore.net.server import Server, bind_listener
from shared.httpcore.net.websocket import WebSocket, WebSocketUpgrade
from shared.httpcore.routing import Router

MAX_MESSAGE_BYTES = 16 * MIB  # the largest case sends 16 MiB


async def echo(websocket: WebSocket) -> None:
    """Every message goes back as it came."""
    async for message in websocket:
        await websocket.send(message)


def handle_upgrade(request: Request) -> Response:
    """GET / becomes a WebSocket."""
    return WebSocketUpgrade(request, echo, max_message_bytes=MAX_MESSAGE_BYTES)


async def serve(port: int) -> None:
    """Serves until SIGTERM or SIGINT."""
    router = Router()
    router.add("GET", "/", handle_upgrade)
    listener = bind_listener("127.0.0.1", port)
    server = Server(router)
    server.start([listener])
    print(listener.getsockname()[1], flush=True)
    ended = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, ended.set)
    await ended.wait()
    server.close_listeners()
    await server.wait_closed(0.0)


def main() -> None:
    """Runs what the command line asks for."""
    parser = argparse.ArgumentParser(prog="python -m conformance.echo_server", description=__doc__)
    parser.add_argument("--port", type=int, default=0, help="TCP port on 127.0.0.1 (default 0: a free one)")
    run(serve(parser.parse_args().port))


if __name__ == "__main__":
    main()
