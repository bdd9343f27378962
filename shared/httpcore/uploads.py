"""The parts of an uploaded form, one after the other, as the body arrives: for handlers of routes with `stream_body`.

No more of the body is read than the handler asks for, so a slow disk slows the client and fills no memory. What the
bytes mean is `multipart`'s matter.
"""

from collections import deque
from collections.abc import AsyncIterator

from shared.httpcore.errors import HttpError
from shared.httpcore.limits import MIB
from shared.httpcore.message import Request
from shared.httpcore.multipart import (
    DEFAULT_MULTIPART_LIMITS,
    MultipartEvent,
    MultipartLimits,
    MultipartParser,
    PartBegin,
    PartData,
    parse_boundary,
)


class FormPart:
    """One field or file of a form; iterate over it for its bytes, or `read` it. What is left unread is passed over."""

    def __init__(self, head: PartBegin, events: "_EventSource") -> None:
        self.name = head.name
        self.filename = head.filename  # the client's word, None for a plain field: never use it as a path
        self.headers = head.headers
        self.content_type = head.headers.get("content-type", "text/plain")  # RFC 7578 §4.4
        self._events = events
        self._is_complete = False

    async def __aiter__(self) -> AsyncIterator[bytes]:
        """The bytes as they arrive. Errors as for `read_parts`."""
        while not self._is_complete:
            event = await self._events.next_event()
            if isinstance(event, PartData):
                yield event.data
            else:
                self._is_complete = True

    async def read(self, max_bytes: int = 1 * MIB) -> bytes:
        """All bytes that were not read yet; HttpError 413 when they are more than `max_bytes`."""
        pieces, size = [], 0
        async for piece in self:
            size += len(piece)
            if size > max_bytes:
                raise HttpError(413, "part_too_large", f"{self.name[:80]!r} has more than {max_bytes} bytes")
            pieces.append(piece)
        return b"".join(pieces)

    async def skip(self) -> None:
        """The rest was read and is forgotten."""
        async for _ in self:
            pass


async def read_parts(request: Request, limits: MultipartLimits = DEFAULT_MULTIPART_LIMITS) -> AsyncIterator[FormPart]:
    """Each part once its head is there; asking for the next one passes over what is left of the last.

    HttpError 415 when the body is no form, 400 when it breaks the grammar, 413 over a limit; ConnectionClosed when the
    client leaves.
    """
    parser = MultipartParser(parse_boundary(request.headers.get("content-type")), limits)
    events = _EventSource(parser, request.stream())
    while (event := await events.next_event()) is not None:
        assert isinstance(event, PartBegin), event
        part = FormPart(event, events)
        yield part
        await part.skip()


class _EventSource:
    """The events of one body, in order."""

    def __init__(self, parser: MultipartParser, chunks: AsyncIterator[bytes]) -> None:
        self._parser = parser
        self._chunks = chunks
        self._waiting: deque[MultipartEvent] = deque()  # those of one chunk at most

    async def next_event(self) -> MultipartEvent | None:
        """The next event; None when the form is whole."""
        while not self._waiting:
            chunk = await anext(self._chunks, None)
            if chunk is None:
                self._parser.finish()
                return None
            self._waiting.extend(self._parser.feed(chunk))
        return self._waiting.popleft()
