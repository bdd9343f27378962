"""The `websockets` library: `python -m bench.apps.websockets_server PORT deflate|plain`, then /echo and /broadcast."""

import asyncio
import sys

from websockets.asyncio.server import ServerConnection, broadcast, serve

members: set[ServerConnection] = set()


async def handle(connection: ServerConnection) -> None:
    """Echoes, or tells everyone, by the path."""
    if connection.request is not None and connection.request.path == "/echo":
        async for message in connection:
            await connection.send(message)
        return
    members.add(connection)
    try:
        async for message in connection:
            broadcast(members, message)
    finally:
        members.discard(connection)


async def main(port: int, compression: str | None) -> None:
    """Serves until it is killed."""
    async with serve(handle, "127.0.0.1", port, compression=compression):
        await asyncio.Event().wait()


if __name__ == "__main__":
    asyncio.run(main(int(sys.argv[1]), "deflate" if sys.argv[2] == "deflate" else None))
