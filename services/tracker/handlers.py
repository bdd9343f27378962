"""The HTTP surface of the tracker: a request becomes values, the registry or the hub is asked, JSON goes
out.

Owns paths, statuses and error codes. Doesn't own what a field may hold (`validation`, `query`), who may
write what (`access`) nor what happens to the table (`registry`).
"""

from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, cast

from services.tracker.access import is_renewable_by, require_may_register, require_may_update, require_own_peer
from services.tracker.lease import LeaseError, Peer, PeerFilter
from services.tracker.listing import PeerEncoder
from services.tracker.live import stream_events, upgrade_to_websocket
from services.tracker.query import parse_filter, parse_last_event_id, parse_page, parse_watch
from services.tracker.registry import Registry, RegistryFull, UnknownPeer
from services.tracker.validation import (
    parse_heartbeat,
    parse_patch,
    parse_peer_id,
    parse_peer_ids,
    parse_registration,
)
from services.tracker.watch import TooManyWatchers, WatchHub
from shared.httpcore.errors import HttpError
from shared.httpcore.message import JSON_TYPE, Request, Response
from shared.httpcore.routing import Router
from shared.httpcore.sse import accepts_events
from shared.runtime.key_check import Caller

CALLER = "caller"  # where the key check leaves who asks, in `request.state`
_MAX_LEASE_BODY_BYTES = 64 * 1024
_MAX_BATCH_BODY_BYTES = 128 * 1024
_MAX_COUNTED_NAMES = 100
_NO_STORE = (("Cache-Control", "no-store"),)
_RETRY_LATER = (("Retry-After", "5"),)


class TrackerApi:
    """Every endpoint under /tracker. `clock` gives the registry's time, unix seconds that never go back."""

    def __init__(self, registry: Registry, encoder: PeerEncoder, hub: WatchHub, clock: Callable[[], float]) -> None:
        self._registry = registry
        self._encoder = encoder
        self._hub = hub
        self._clock = clock
        self._started_at = clock()

    def add_to(self, router: Router) -> None:
        """The router has the endpoints."""
        router.add("GET", "/tracker/health", self.handle_health)
        router.add("GET", "/tracker/peers", self.handle_peers)
        router.add("GET", "/tracker/stats", self.handle_stats)
        router.add("GET", "/tracker/watch", self.handle_watch, abandonable=True)
        for path, handler in (
            ("register", self.handle_register),
            ("heartbeat", self.handle_heartbeat),
            ("update", self.handle_update),
            ("peer/remove", self.handle_remove),
        ):
            router.add("POST", f"/tracker/{path}", handler, max_body_bytes=_MAX_LEASE_BODY_BYTES)
        router.add(
            "POST",
            "/tracker/heartbeat_batch",
            self.handle_heartbeat_batch,
            max_body_bytes=_MAX_BATCH_BODY_BYTES,
        )

    def handle_health(self, _: Request) -> Response:
        """It answers, so it is well."""
        return _json({"ok": True, "uptime": self._uptime_s()})

    def handle_register(self, request: Request) -> Response:
        """201 and the entry; a live one with this id is replaced."""
        with _errors_as_replies():
            wanted = parse_registration(request.json_object(), request.remote_ip)
            caller, now = _own_caller(request, wanted.peer_id), self._clock()
            require_may_register(caller, self._registry.get(wanted.peer_id, now))
            peer = self._registry.register(wanted, caller.name, now)
        return self._peer_reply(peer, now, 201)

    def handle_heartbeat(self, request: Request) -> Response:
        """200 and the entry with its lease renewed."""
        with _errors_as_replies():
            fields = request.json_object()
            peer_id, beat = parse_peer_id(fields.get("peer_id")), parse_heartbeat(fields)
            caller, now = _own_caller(request, peer_id), self._clock()
            self._require_renewable(caller, peer_id, now)
            peer = self._registry.heartbeat(peer_id, beat, now)
        return self._peer_reply(peer, now)

    def handle_update(self, request: Request) -> Response:
        """200 and the entry with the fields given; those not given stay."""
        with _errors_as_replies():
            fields = request.json_object()
            peer_id, patch = parse_peer_id(fields.get("peer_id")), parse_patch(fields)
            caller, now = _own_caller(request, peer_id), self._clock()
            require_may_update(caller, self._require_renewable(caller, peer_id, now), patch)
            peer = self._registry.update(peer_id, patch, now)
        return self._peer_reply(peer, now)

    def handle_remove(self, request: Request) -> Response:
        """200 when the entry is gone by this request."""
        with _errors_as_replies():
            peer_id = parse_peer_id(request.json_object().get("peer_id"))
            _own_caller(request, peer_id)
            self._registry.remove(peer_id, self._clock())
        return _json({"peer_id": peer_id, "removed": True})

    def handle_heartbeat_batch(self, request: Request) -> Response:
        """200 and which ids were renewed and which are unknown; all ids are checked before one is renewed."""
        with _errors_as_replies():
            fields = request.json_object()
            peer_ids, beat = parse_peer_ids(fields.get("peers")), parse_heartbeat(fields)
            callers = {peer_id: _own_caller(request, peer_id) for peer_id in peer_ids}
        now = self._clock()
        known = {
            peer_id: is_renewable_by(caller, self._registry.get(peer_id, now)) for peer_id, caller in callers.items()
        }
        updated = [peer_id for peer_id in peer_ids if known[peer_id]]
        for peer_id in updated:
            self._registry.heartbeat(peer_id, beat, now)
        return _json({"updated": updated, "not_found": [peer_id for peer_id in peer_ids if not known[peer_id]]})

    def handle_peers(self, request: Request) -> Response:
        """The live peers that match; `next`, where there is one, is the `after` of the next page."""
        with _errors_as_replies():
            wanted, page = parse_filter(request), parse_page(request)
        now = self._clock()
        one_more = None if page.limit is None else page.limit + 1
        peers = self._registry.select(wanted, now, page.after, one_more)
        shown = peers[: page.limit]
        next_after = shown[-1].peer_id if len(peers) > len(shown) else None
        return _reply(self._encoder.list_json(shown, self._registry.revision, now, next_after))

    async def handle_watch(self, request: Request) -> Response:
        """As `handle_peers` without pages: at once when there is news since `since`, else when there is, or
        after `wait` seconds; each change on an event stream or a WebSocket, to who asks for one."""
        with _errors_as_replies():
            wanted, watch = parse_filter(request), parse_watch(request)
            if request.upgrade == "websocket":
                return upgrade_to_websocket(request, self._hub, wanted, watch.since)
            is_stream = accepts_events(request.headers.get("accept"))
            since = parse_last_event_id(request, watch.since) if is_stream else watch.since
            subscription = self._hub.subscribe(wanted, since)
        if is_stream:
            return stream_events(subscription)
        with subscription:
            answer = await subscription.next_answer(watch.wait_s)
        return _reply(answer.body)

    def handle_stats(self, _: Request) -> Response:
        """What the table holds and what happened since the start."""
        peers = self._registry.select(PeerFilter(), self._clock())
        totals = self._registry.totals
        return _json(
            {
                "count": len(peers),
                "max_peers": self._registry.capacity,
                "roles": _count_names(name for peer in peers for name in peer.roles),
                "channels": _count_names(name for peer in peers for name in peer.channels),
                "watchers": self._hub.watcher_count,
                "revision": self._registry.revision,
                "uptime": self._uptime_s(),
                "registrations": totals.registrations,
                "heartbeats": totals.heartbeats,
                "updates": totals.updates,
                "removals": totals.removals,
                "expirations": totals.expirations,
            }
        )

    def _require_renewable(self, caller: Caller, peer_id: str, now: float) -> Peer:
        """The live entry that the caller may renew; else UnknownPeer."""
        live = self._registry.require(peer_id, now)
        if not is_renewable_by(caller, live):
            raise UnknownPeer(peer_id)
        return live

    def _peer_reply(self, peer: Peer, now: float, status: int = 200) -> Response:
        return _reply(self._encoder.peer_json(peer, now), status)

    def _uptime_s(self) -> float:
        return round(self._clock() - self._started_at, 3)


def _own_caller(request: Request, peer_id: str) -> Caller:
    """Who asks; HttpError 403 when he may not write about this peer."""
    caller = cast(Caller, request.state[CALLER])
    require_own_peer(caller, peer_id)
    return caller


def _count_names(names: Iterator[str]) -> dict[str, int]:
    """How many peers have each name, the most common first; names are the peers' own, so not all are listed."""
    return dict(Counter(names).most_common(_MAX_COUNTED_NAMES))


def _json(value: Mapping[str, Any]) -> Response:
    return Response.json(value, headers=_NO_STORE)


def _reply(body: bytes, status: int = 200) -> Response:
    return Response(status, body, JSON_TYPE, _NO_STORE)


@contextmanager
def _errors_as_replies() -> Iterator[None]:
    """What the rooms below raise, in the words of HTTP."""
    try:
        yield
    except LeaseError as error:
        raise HttpError(400, "bad_field", str(error)) from None
    except UnknownPeer as error:
        raise HttpError(404, "peer_not_found", f"no live peer {error.args[0]}: register it") from None
    except RegistryFull as error:
        message = f"the table holds {error.args[0]} peers, as many as it may"
        raise HttpError(503, "registry_full", message, _RETRY_LATER) from None
    except TooManyWatchers as error:
        message = f"{error.args[0]} watches are open, as many as may be"
        raise HttpError(503, "too_many_watchers", message, _RETRY_LATER) from None
