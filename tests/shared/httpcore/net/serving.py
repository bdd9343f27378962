"""A real server on a free port, for tests that speak to it over sockets."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

from shared.httpcore.limits import DEFAULT_LIMITS, Limits
from shared.httpcore.message import Request
from shared.httpcore.net.server import Server, bind_listener
from shared.httpcore.routing import Router


@dataclass
class Serving:
    """The server, its port, and what it told its observers."""

    server: Server
    port: int
    responses: list[tuple[Request, int, int, float]] = field(default_factory=list)
    slow_handlers: list[tuple[str, float]] = field(default_factory=list)


@asynccontextmanager
async def serving(router: Router, limits: Limits = DEFAULT_LIMITS) -> AsyncIterator[Serving]:
    """The router is served on 127.0.0.1 within the block; connections left over at its end are cut."""
    listener = bind_listener("127.0.0.1", 0)
    port: int = listener.getsockname()[1]
    server = Server(
        router,
        limits,
        on_response=lambda *response: running.responses.append(response),
        on_slow_handler=lambda name, held_s: running.slow_handlers.append((name, held_s)),
    )
    running = Serving(server, port)
    server.start([listener])
    try:
        yield running
    finally:
        server.begin_drain()
        server.close_listeners()
        await server.wait_closed(0.2)
