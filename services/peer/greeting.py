"""The first and the last words on a connection: the handshake carried over a stream, and an end that can be read.

Doesn't own what the handshake demands (`handshake`), nor what happens between (`link`).
"""

import asyncio

from services.peer.frames import Frame, serialize_frame
from services.peer.handshake import Handshake
from services.peer.wire import LineDecoder, RefusedError, WireError
from shared.httpcore.errors import ConnectionClosed
from shared.httpcore.net.stream import Stream

RECV_BYTES = 64 * 1024
MAX_DISCARDED_BYTES = 1024 * 1024
DISCARD_S = 1.0


async def greet(stream: Stream, handshake: Handshake) -> LineDecoder:
    """The handshake is done; the decoder holds what came after it.

    WireError when either end refuses (the other end has been told), ConnectionClosed when it hung up.
    """
    decoder = LineDecoder()
    await stream.send_all(serialize_frame(handshake.hello))
    try:
        while not handshake.is_done:
            frame = decoder.next_frame()
            if frame is None:
                decoder.feed(await receive_some(stream))
                continue
            for answer in handshake.receive(frame):
                await stream.send_all(serialize_frame(answer))
    except RefusedError:
        stream.close()
        raise
    except WireError as error:
        await part(stream, error.frame())
        raise
    return decoder


async def part(stream: Stream, last: Frame) -> None:
    """The other end was sent `last`, and then the end of the stream; the stream is closed."""
    try:
        async with asyncio.timeout(DISCARD_S):
            await stream.send_all(serialize_frame(last))
    except (ConnectionClosed, TimeoutError):
        pass
    stream.end_sending()
    await discard(stream)


async def discard(stream: Stream) -> None:
    """A bounded rest of what comes was thrown away and the stream is closed.

    To close with bytes unread would reset the connection, and could take from the other end what it was told last.
    """
    try:
        async with asyncio.timeout(DISCARD_S):
            discarded = 0
            while discarded < MAX_DISCARDED_BYTES:
                discarded += len(await receive_some(stream))
    except (ConnectionClosed, TimeoutError):
        pass
    stream.close()


async def receive_some(stream: Stream) -> bytes:
    """What has arrived, at least one byte. ConnectionClosed at the end."""
    data = await stream.recv(RECV_BYTES)
    if not data:
        raise ConnectionClosed("the other end closed the link")
    return data
