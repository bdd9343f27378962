"""A `Stream` without a socket: what arrives is a list of chunks, what is sent is kept."""

import asyncio
from collections.abc import Iterable

from shared.httpcore.errors import ConnectionClosed
from shared.httpcore.net.stream import Stream


class ScriptedStream(Stream):
    """`recv` gives the chunks in order, b"" being the other side's end, and then waits for `feed` or `close`."""

    def __init__(self, chunks: Iterable[bytes] = ()) -> None:
        self.is_closed = False
        self.sent = bytearray()
        self.has_ended_sending = False
        self.can_send = asyncio.Event()  # cleared: the other side does not read
        self.can_send.set()
        self._chunks = list(chunks)
        self._news = asyncio.Event()

    async def recv(self, max_bytes: int = 65536) -> bytes:
        while True:
            if self.is_closed:
                raise ConnectionClosed("the stream was closed on this side")
            if self._chunks:
                chunk = self._chunks.pop(0)
                if len(chunk) > max_bytes:
                    self._chunks.insert(0, chunk[max_bytes:])
                return chunk[:max_bytes]
            self._news.clear()
            await self._news.wait()

    async def send_all(self, data: bytes | memoryview) -> None:
        await self.can_send.wait()
        if self.is_closed:
            raise ConnectionClosed("the stream was closed on this side")
        self.sent += data

    def feed(self, *chunks: bytes) -> None:
        """The other side sends these."""
        self._chunks.extend(chunks)
        self._news.set()

    @property
    def unread_chunks(self) -> int:
        """How many chunks nobody has received yet."""
        return len(self._chunks)

    def end_sending(self) -> None:
        self.has_ended_sending = True

    def close(self) -> None:
        self.is_closed = True
        self._news.set()
        self.can_send.set()
