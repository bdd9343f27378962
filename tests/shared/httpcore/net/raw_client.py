"""A client that sends exactly the bytes it is told to, and says exactly what came back."""

import asyncio
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from dataclasses import dataclass

from shared.httpcore.framing import response_body_decoder
from shared.httpcore.headers import Headers
from shared.httpcore.limits import Limits
from shared.httpcore.reply_parsing import parse_response_head

ROOMY = Limits(max_head_bytes=1_000_000)


@dataclass(frozen=True)
class Reply:
    """One reply as it came over the wire, its body decoded."""

    status: int
    version_minor: int
    headers: Headers
    body: bytes
    head: bytes

    @property
    def says_close(self) -> bool:
        """Whether the server announced the end of the connection."""
        return "close" in self.headers.tokens("connection")


class RawClient:
    """One connection. Every wait ends after 20 s, by TimeoutError."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader = reader
        self.writer = writer

    async def send(self, *pieces: bytes) -> None:
        """Each piece leaves by itself; the server has a chance to read it before the next one."""
        for piece in pieces:
            self.writer.write(piece)
            await asyncio.sleep(0)

    async def reply(self, method: str = "GET") -> Reply:
        """The next reply, whole. IncompleteReadError when the connection ends before."""
        async with asyncio.timeout(20):
            head = await self.reader.readuntil(b"\r\n\r\n")
            parsed = parse_response_head(head, len(head), ROOMY)
            decoder = response_body_decoder(method, parsed.status, parsed.is_chunked, parsed.content_length)
            body, rest = b"", b""
            while not decoder.is_complete:
                # One byte at a time once the body may be near its end, for what follows is not to be touched.
                wanted = getattr(decoder, "left", 1)
                data = await self.reader.read(wanted)
                if not data:
                    decoder.end()
                    break
                part, rest = decoder.feed(rest + data)
                body += part
        return Reply(parsed.status, parsed.version_minor, parsed.headers, body, head)

    async def replies(self, methods: Iterable[str]) -> list[Reply]:
        """One reply for each method."""
        return [await self.reply(method) for method in methods]

    async def rest(self) -> bytes:
        """All that comes until the server ends the connection."""
        async with asyncio.timeout(20):
            return await self.reader.read()

    def end_sending(self) -> None:
        """The server reads the end; this side goes on reading."""
        self.writer.write_eof()

    def pause(self) -> None:
        """Reads nothing any more, so that the server can't send."""
        self.writer.transport.pause_reading()  # type: ignore[attr-defined]

    def resume(self) -> None:
        """Reads on."""
        self.writer.transport.resume_reading()  # type: ignore[attr-defined]

    def reset(self) -> None:
        """Gone, without a word."""
        self.writer.transport.abort()


@asynccontextmanager
async def raw_client(port: int) -> AsyncIterator[RawClient]:
    """A connection to a server on this machine."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port, limit=2**20)
    try:
        yield RawClient(reader, writer)
    finally:
        writer.close()
