"""`python -m conformance.echo_server`: a WebSocket echo on a free port, which it prints; the testsuite's testee."""

import argparse

from conformance.serving import serve_until_stopped
from shared.httpcore.limits import MIB
from shared.httpcore.message import Request, Response
from shared.httpcore.net.loop import run
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


def main() -> None:
    """Runs what the command line asks for."""
    parser = argparse.ArgumentParser(prog="python -m conformance.echo_server", description=__doc__)
    parser.add_argument("--port", type=int, default=0, help="TCP port on 127.0.0.1 (default 0: a free one)")
    router = Router()
    router.add("GET", "/", handle_upgrade)
    run(serve_until_stopped(router, parser.parse_args().port))


if __name__ == "__main__":
    main()
