"""`/_proxy/events`: what happens, as it happens, as server-sent events or over a WebSocket. `events` keeps
the feed.
"""

import asyncio
import json
from collections.abc import AsyncIterator

from services.proxy.events import Event, EventFeed
from shared.httpcore.message import Request, Response, StreamingResponse
from shared.httpcore.net.websocket import WebSocket, WebSocketUpgrade

SSE_TYPE = "text/event-stream; charset=utf-8"


def serve_events(request: Request, feed: EventFeed) -> Response:
    """A WebSocket when the client asks for one, else server-sent events.

    `Last-Event-ID`, or `after` in the query, is the number of the last event that the client has.
    """
    after = _parse_number(request.headers.get("last-event-id") or request.query_param("after"))
    if request.upgrade == "websocket":
        return WebSocketUpgrade(request, lambda websocket: _send_to(websocket, feed, after))
    return StreamingResponse(200, _lines(feed, after), SSE_TYPE, [("Cache-Control", "no-store")])


def _parse_number(text: str | None) -> int | None:
    return int(text) if text and text.isascii() and text.isdigit() and len(text) <= 18 else None


async def _lines(feed: EventFeed, after: int | None) -> AsyncIterator[bytes]:
    yield b"retry: 2000\n\n"
    async for event in feed.watch(after):
        yield serialize_event(event)


def serialize_event(event: Event) -> bytes:
    """One event as the WHATWG's event stream format has it; JSON holds no line ends."""
    data = json.dumps(event, ensure_ascii=False, separators=(",", ":"))
    return f"id: {event['seq']}\nevent: {event['type']}\ndata: {data}\n\n".encode("utf-8", "replace")


async def _send_to(websocket: WebSocket, feed: EventFeed, after: int | None) -> None:
    """Until the client has gone or the feed ends."""
    sending = asyncio.ensure_future(_send_events(websocket, feed, after))
    leaving = asyncio.ensure_future(websocket.wait_closed())
    try:
        await asyncio.wait({sending, leaving}, return_when=asyncio.FIRST_COMPLETED)
    finally:
        sending.cancel()
        leaving.cancel()
        await asyncio.gather(sending, leaving, return_exceptions=True)


async def _send_events(websocket: WebSocket, feed: EventFeed, after: int | None) -> None:
    async for event in feed.watch(after):
        await websocket.send(json.dumps(event, ensure_ascii=False, separators=(",", ":")))
