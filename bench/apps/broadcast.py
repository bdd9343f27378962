"""Everyone hears what anyone says, on `shared.httpcore` alone: `python -m bench.apps.broadcast PORT`, then /broadcast.

A message is serialised and compressed once for all who agreed on the same compression.
"""

import asyncio
import sys
from collections.abc import Awaitable, Callable

from shared.httpcore.message import Request, Response
from shared.httpcore.net.server import Server, bind_listener
from shared.httpcore.net.websocket import WebSocket, WebSocketClosed, WebSocketUpgrade
from shared.httpcore.routing import Router
from shared.httpcore.websocket.deflate import Deflate
from shared.httpcore.websocket.handshake import accept_handshake
from shared.httpcore.websocket.protocol import serialize_message


class Room:
    """Who is here, and what each agreed on."""

    def __init__(self) -> None:
        self._members: dict[WebSocket, Deflate | None] = {}

    def handle(self, request: Request) -> Response:
        """A WebSocket that joins."""
        deflate = accept_handshake(request.method, request.version_minor, request.headers).deflate
        return WebSocketUpgrade(request, self._joining(deflate))

    def _joining(self, deflate: Deflate | None) -> Callable[[WebSocket], Awaitable[None]]:
        async def run(websocket: WebSocket) -> None:
            self._members[websocket] = deflate
            try:
                async for message in websocket:
                    await self._tell_all(message)
            finally:
                del self._members[websocket]

        return run

    async def _tell_all(self, message: str | bytes) -> None:
        frames: dict[Deflate | None, bytes] = {}
        for member, deflate in list(self._members.items()):
            if deflate not in frames:
                frames[deflate] = serialize_message(message, deflate)
            try:
                await member.send_serialized(frames[deflate])
            except WebSocketClosed:
                pass


async def main(port: int) -> None:
    """Serves until it is killed."""
    router = Router()
    router.add("GET", "/broadcast", Room().handle)
    Server(router).start([bind_listener("127.0.0.1", port)])
    await asyncio.Event().wait()


if __name__ == "__main__":
    asyncio.run(main(int(sys.argv[1])))
