"""Runs a small application for a test program that asks it from outside, on a port that it prints."""

import asyncio
import signal

from shared.httpcore.limits import DEFAULT_LIMITS, Limits
from shared.httpcore.net.server import Server, bind_listener
from shared.httpcore.routing import Router


async def serve_until_stopped(router: Router, port: int, limits: Limits = DEFAULT_LIMITS) -> None:
    """Serves on 127.0.0.1 until SIGTERM or SIGINT; the port is the first line of the output."""
    listener = bind_listener("127.0.0.1", port)
    server = Server(router, limits)
    server.start([listener])
    print(listener.getsockname()[1], flush=True)
    ended = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, ended.set)
    await ended.wait()
    server.close_listeners()
    await server.wait_closed(0.0)
