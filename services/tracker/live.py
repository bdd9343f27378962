"""A watch that stays open: each change as a server-sent event, or as a message over a WebSocket.

Every event is the whole view, as `GET peers` shows it. Nothing queues up for a watcher that reads slowly: it gets the
next view when it has taken the last one, and what changed in between is in it. Who is woken when is `watch`'s matter.
"""

import asyncio
from functools import lru_cache

from services.tracker.lease import PeerFilter
from services.tracker.watch import Answer, Subscription, TooManyWatchers, WatchHub
from shared.httpcore.limits import KIB
from shared.httpcore.message import Request, StreamingResponse
from shared.httpcore.net.event_stream import event_stream
from shared.httpcore.net.websocket import WebSocket, WebSocketClosed, WebSocketUpgrade
from shared.httpcore.sse import ServerSentEvent

HEARTBEAT_S = 15.0
TRY_AGAIN_LATER = 1013  # a close code of the IANA registry
_MAX_MESSAGE_BYTES = 1 * KIB  # a watcher has nothing to say


def stream_events(subscription: Subscription) -> StreamingResponse:
    """The view now, if it is news, and after each change, until the tracker drains; the subscription is closed then."""
    return event_stream(_Events(subscription), HEARTBEAT_S)


class _Events:
    """What a subscription yields, as events. A class, since closing must give the place back even before the first."""

    def __init__(self, subscription: Subscription) -> None:
        self._subscription = subscription
        self._answers = aiter(subscription)

    def __aiter__(self) -> "_Events":
        return self

    async def __anext__(self) -> ServerSentEvent:
        return _as_event(await anext(self._answers))

    async def aclose(self) -> None:
        self._subscription.close()


def upgrade_to_websocket(request: Request, hub: WatchHub, wanted: PeerFilter, since: int | None) -> WebSocketUpgrade:
    """The reply that opens a WebSocket; each message is a view with `"type": "peers"`.

    TooManyWatchers when no place is left; HttpError when the request is no handshake.
    """
    hub.subscribe(wanted, since).close()
    return WebSocketUpgrade(
        request, lambda websocket: _serve(websocket, hub, wanted, since), max_message_bytes=_MAX_MESSAGE_BYTES
    )


async def _serve(websocket: WebSocket, hub: WatchHub, wanted: PeerFilter, since: int | None) -> None:
    """Until the watcher leaves or the tracker drains."""
    try:
        subscription = hub.subscribe(wanted, since)
    except TooManyWatchers:  # since the handshake was answered
        await websocket.close(TRY_AGAIN_LATER, "as many watches are open as may be")
        return
    with subscription:
        tasks = {asyncio.ensure_future(_send_views(websocket, subscription)), asyncio.ensure_future(_hear(websocket))}
        try:
            done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
    for task in done:
        task.result()


async def _send_views(websocket: WebSocket, subscription: Subscription) -> None:
    async for answer in subscription:
        await websocket.send(_as_message(answer))


async def _hear(websocket: WebSocket) -> None:
    """What a watcher says means nothing; that it is gone does."""
    try:
        while True:
            await websocket.receive()
    except WebSocketClosed:
        pass


# Thousands watch the same view: it is written once for all of them.
@lru_cache(maxsize=8)
def _as_event(answer: Answer) -> ServerSentEvent:
    return ServerSentEvent(answer.body.decode(), id=str(answer.revision))


@lru_cache(maxsize=8)
def _as_message(answer: Answer) -> str:
    return '{"type":"peers",' + answer.body[1:].decode()
