"""The HTTP surface of a peer: paths, statuses and JSON.

What a post does is for `posting`, what browsers hear for `browser`, who may ask for `access`.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, cast

from services.peer import posting
from services.peer.browser import BrowserPlace, BrowserSession
from services.peer.delivery import Delivery
from services.peer.live import LiveFeed
from services.peer.messages import MESSAGE_ID, shown
from services.peer.outbox import OutboxEntry, State, Target
from services.peer.refusals import errors_as_replies
from services.peer.store import MessageStore
from shared.httpcore.errors import HttpError
from shared.httpcore.message import Request, Response
from shared.httpcore.net.websocket import WebSocket, WebSocketUpgrade
from shared.httpcore.routing import Router
from shared.runtime.key_check import Caller

CALLER = "caller"  # where `access` leaves who asks, in `request.state`
MAX_PAGE = 1000  # messages
MAX_PAGE_BYTES = 2 * 1024 * 1024  # of text: JSON is made of it in the event loop
MAX_SEQ = 2**63 - 1
MAX_REJECTED = 100
# A content of 32 KiB takes at most six times as much where each byte is escaped; the other fields are small.
MAX_BODY_BYTES = 256 * 1024
_NO_STORE = (("Cache-Control", "no-store"),)


@dataclass(slots=True)
class Presence:
    """What this peer says of itself; `is_registered` changes as the tracker takes or loses it."""

    peer_id: str
    ip: str
    api_port: int
    p2p_port: int
    tracker: str | None
    is_keyed: bool
    is_registered: bool = False


class PeerApi:
    """Every endpoint under /p2p."""

    def __init__(self, presence: Presence, store: MessageStore, delivery: Delivery, feed: LiveFeed) -> None:
        self._presence = presence
        self._store = store
        self._delivery = delivery
        self._feed = feed

    def add_to(self, router: Router) -> None:
        """The router has the endpoints."""
        router.add("POST", "/p2p/msg", self.handle_message, max_body_bytes=MAX_BODY_BYTES)
        router.add("GET", "/p2p/inbox", self.handle_inbox)
        router.add("POST", "/p2p/inbox/clear", self.handle_clear)
        router.add("GET", "/p2p/outbox", self.handle_outbox)
        router.add("POST", "/p2p/outbox/remove", self.handle_remove)
        router.add("GET", "/p2p/whoami", self.handle_whoami)
        router.add("GET", "/p2p/ws", self.handle_websocket)

    async def handle_message(self, request: Request) -> Response:
        """200 when the message is where it should be, 202 when it is on its way."""
        told = await posting.post(self._delivery, request.json_object(), _caller(request))
        return _json(told, posting.STATUS_CODES[str(told["status"])])

    async def handle_inbox(self, request: Request) -> Response:
        """Messages after `after`, oldest first; `more` says whether there are others after them."""
        after = _query_number(request, "after", 0, range(MAX_SEQ + 1))
        limit = _query_number(request, "limit", MAX_PAGE, range(1, MAX_PAGE + 1))
        with errors_as_replies():
            page = await self._store.read_inbox(after, limit, MAX_PAGE_BYTES)
        return _json(
            {
                "count": page.count,
                "last_seq": page.last_seq,
                "more": page.has_more,
                "messages": [each.to_json() for each in page.messages],
            }
        )

    async def handle_clear(self, _: Request) -> Response:
        """The inbox is empty; ids stay remembered."""
        with errors_as_replies():
            cleared = await self._delivery.clear_inbox()
        return _json({"cleared": cleared, "count": 0})

    async def handle_outbox(self, request: Request) -> Response:
        """What waits, one entry for each peer that a message waits for, oldest first; and what was rejected."""
        after = _query_number(request, "after", 0, range(MAX_SEQ + 1))
        limit = _query_number(request, "limit", MAX_PAGE, range(1, MAX_PAGE + 1))
        with errors_as_replies():
            waiting = await self._store.read_waiting(after, limit, MAX_PAGE_BYTES)
            rejected = await self._store.read_rejected(MAX_REJECTED)
            count = await self._store.count_waiting()
        return _json(
            {
                "count": count,
                "messages": [told for entry in waiting for told in self._describe_waiting(entry)],
                "rejected": [told for entry in rejected for told in _describe_rejected(entry)],
            }
        )

    async def handle_remove(self, request: Request) -> Response:
        """A message that waits is taken back from those who haven't got it."""
        message_id = request.json_object().get("id")
        if not MESSAGE_ID.fits(message_id):
            raise HttpError(400, "bad_id", f"id: got {shown(message_id)}, expected {MESSAGE_ID.words}")
        with errors_as_replies():
            is_removed = await self._delivery.remove(message_id)
        if not is_removed:
            raise HttpError(404, "message_not_found", f"no message {message_id} waits in the outbox")
        return _json({"id": message_id, "removed": True})

    async def handle_whoami(self, _: Request) -> Response:
        """Who this peer is and how full its boxes are."""
        presence = self._presence
        with errors_as_replies():
            inbox = await self._store.read_inbox(0, 0, 0)
            outbox_count = await self._store.count_waiting()
        return _json(
            {
                "peer_id": presence.peer_id,
                "ip": presence.ip,
                "api_port": presence.api_port,
                "p2p_port": presence.p2p_port,
                "registered": presence.is_registered,
                "tracker": presence.tracker,
                "keyed": presence.is_keyed,
                "inbox_count": inbox.count,
                "outbox_count": outbox_count,
            }
        )

    async def handle_websocket(self, request: Request) -> Response:
        """Events as they happen, after those that the browser missed since `after`."""
        known = request.query_param("after") is not None
        after = _query_number(request, "after", 0, range(MAX_SEQ + 1)) if known else None
        with errors_as_replies():
            self._feed.require_room()
        caller = _caller(request)

        async def post(fields: Mapping[str, Any]) -> dict[str, object]:
            return await posting.post(self._delivery, fields, caller)

        place = BrowserPlace(self._presence.peer_id, self._feed, self._store, post)

        async def run(websocket: WebSocket) -> None:
            await BrowserSession(place, websocket, after).run()

        return WebSocketUpgrade(request, run, MAX_BODY_BYTES)

    def _describe_waiting(self, entry: OutboxEntry) -> Iterator[dict[str, object]]:
        if entry.targets is None:
            yield {**_describe(entry, None), "attempts": 0, "last_error": "the channel's members aren't known yet"}
            return
        for target in entry.targets:
            if target.state is State.QUEUED:
                attempts, last_error = self._delivery.progress(target.peer_id)
                yield {**_describe(entry, target), "attempts": attempts, "last_error": last_error}


def _describe_rejected(entry: OutboxEntry) -> Iterator[dict[str, object]]:
    for target in entry.targets or ():
        if target.state is State.REJECTED:
            yield {**_describe(entry, target), "error": target.error}


def _describe(entry: OutboxEntry, target: Target | None) -> dict[str, object]:
    return {
        "seq": entry.position,
        "id": entry.message.id,
        "to": None if target is None else target.peer_id,
        "channel": entry.message.channel,
        "content": entry.message.content,
        "sent_at": entry.message.sent_at,
        "status": State.QUEUED.value if target is None else target.state.value,
    }


def _caller(request: Request) -> Caller:
    return cast(Caller, request.state[CALLER])


def _query_number(request: Request, name: str, default: int, allowed: range) -> int:
    text = request.query_param(name)
    if text is None:
        return default
    if not (text.isascii() and text.isdigit() and len(text) < 20 and int(text) in allowed):
        words = f"a whole number {allowed.start}–{allowed.stop - 1}"
        raise HttpError(400, "bad_query", f"{name}: got {shown(text)}, expected {words}")
    return int(text)


def _json(value: Mapping[str, Any], status: int = 200) -> Response:
    return Response.json(value, status, headers=_NO_STORE)
