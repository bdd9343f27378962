"""`/_proxy/events`: what happens, as it happens, as server-sent events or over a WebSocket. `events` keeps
the feed.
"""

import asyncio
import json
from collections.abc import AsyncIterator

from services.proxy.events import Event, EventFeed
from shared.httpcore.message import Request, Response
from shared.httpcore.net.event_stream import event_stream
from shared.httpcore.net.websocket import WebSocket, WebSocketUpgrade
from shared.httpcore.sse import ServerSentEvent

RETRY_MS = 2000


def serve_events(request: Request, feed: EventFeed) -> Response:
    """A WebSocket when the client asks for one, else server-sent events.

    `Last-Event-ID`, or `after` in the query, is the number of the last event that the client has.
    """
    after = _parse_number(request.headers.get("last-event-id") or request.query_param("after"))
    if request.upgrade == "websocket":
        return WebSocketUpgrade(request, lambda websocket: _send_to(websocket, feed, after))
    return event_stream(_as_sent(feed, after))


def _parse_number(text: str | None) -> int | None:
    return int(text) if text and text.isascii() and text.isdigit() and len(text) <= 18 else None


async def _as_sent(feed: EventFeed, after: int | None) -> AsyncIterator[ServerSentEvent]:
    yield ServerSentEvent(retry_ms=RETRY_MS)
    async for event in feed.watch(after):
        yield server_sent(event)


def server_sent(event: Event) -> ServerSentEvent:
    """The event for a browser's EventSource: its number as id, its type as type, the whole of it as data."""
    return ServerSentEvent(_to_json(event), event["type"], str(event["seq"]))


def _to_json(event: Event) -> str:
    return json.dumps(event, ensure_ascii=False, separators=(",", ":"))


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
        await websocket.send(_to_json(event))
