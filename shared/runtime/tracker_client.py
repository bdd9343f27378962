"""How a service talks to the tracker: `TrackerClient` asks, `keep_registered` stays in its table.

Owns the paths, the key header, back-off, and one log line when the tracker is lost and one when it is found
again. Doesn't own connections (the pool is the caller's) nor what the fields of a lease mean: see
`services/tracker/lease`.
"""

import asyncio
import json
import logging
import random
import time
from collections.abc import AsyncIterator, Callable, Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlencode

from shared.httpcore.errors import HttpCoreError
from shared.httpcore.net.pool import ConnectionPool

REQUEST_TIMEOUT_S = 5.0
WATCH_WAIT_S = 30
MAX_REPLY_BYTES = 64 * 1024 * 1024
MAX_HEARTBEAT_INTERVAL_S = 20.0
UNREGISTER_TIMEOUT_S = 1.0
_WATCH_MARGIN_S = 10.0
_PROMPT_REPLY_S = 0.25
_FAILURES_BEFORE_LOST = 2

_log = logging.getLogger("weaprous.tracker_client")


class TrackerUnavailable(Exception):
    """The tracker gave no usable reply: no connection, no answer in time, or something that is no tracker."""


class TrackerRefused(Exception):
    """The tracker answered with an error. `status` is HTTP's, `code` and `message` its own."""

    def __init__(self, status: int, code: str, message: str) -> None:
        super().__init__(f"{status} {code}: {message}")
        self.status = status
        self.code = code
        self.message = message


@dataclass(frozen=True, slots=True)
class PeersSnapshot:
    """The live peers of one filter, in the order of their ids, at one revision of the tracker's table."""

    revision: int
    peers: tuple[dict[str, Any], ...]

    def marks(self) -> frozenset[tuple[object, object]]:
        """What differs between two snapshots exactly when a peer came, went or changed visibly."""
        return frozenset((peer.get("peer_id"), peer.get("revision")) for peer in self.peers)


class TrackerClient:
    """The tracker at `base_url` (`http://host:port`). Every call may raise the two errors above.

    `key` is the text of the key file, sent as X-Tracker-Key; None for a keyless tracker.
    """

    def __init__(self, base_url: str, key: bytes | None, pool: ConnectionPool) -> None:
        self.base_url = base_url.rstrip("/")
        self._pool = pool
        self._headers = [("Accept", "application/json")]
        if key is not None:
            self._headers.append(("X-Tracker-Key", key.decode("ascii")))
        self._failures = 0  # exchanges that failed since the last one that worked
        self.heard_at: float | None = None  # when the tracker last answered, by the monotonic clock; None: never

    async def register(self, lease: Mapping[str, Any]) -> dict[str, Any]:
        """The entry that the tracker lists from now on; its `ttl` is the one granted, in seconds."""
        return await self._post("register", lease)

    async def heartbeat(self, peer_id: str, ttl: float | None = None, load: float | None = None) -> bool:
        """True when the lease is renewed, False when the tracker doesn't know the peer: register again."""
        fields = {"peer_id": peer_id, "ttl": ttl, "load": load}
        return await self._post_known("heartbeat", {k: v for k, v in fields.items() if v is not None})

    async def update(self, peer_id: str, fields: Mapping[str, Any]) -> bool:
        """True when the entry has the new `fields` and its lease is renewed, False when there is no entry."""
        return await self._post_known("update", {**fields, "peer_id": peer_id})

    async def remove(self, peer_id: str) -> bool:
        """True when the entry is gone by this call, False when there was none."""
        return await self._post_known("peer/remove", {"peer_id": peer_id})

    async def peers(self, role: str | None = None, channel: str | None = None) -> PeersSnapshot:
        """The peers that are there now."""
        return await self._get_peers("peers", {"role": role, "channel": channel}, REQUEST_TIMEOUT_S)

    async def watch(self, role: str | None = None, channel: str | None = None) -> AsyncIterator[PeersSnapshot]:
        """The peers now and after every change, until cancelled; nothing while the tracker is away."""
        loop = asyncio.get_running_loop()
        query: dict[str, object] = {"role": role, "channel": channel, "wait": WATCH_WAIT_S}
        known: frozenset[tuple[object, object]] | None = None
        backoff = Backoff()
        complaint = Complaint("watching the peers")
        while True:
            asked_at = loop.time()
            try:
                snapshot = await self._get_peers("watch", query, WATCH_WAIT_S + _WATCH_MARGIN_S)
            except (TrackerUnavailable, TrackerRefused) as error:
                complaint.note(error)
                await asyncio.sleep(backoff.next_s())
                continue
            complaint.note(None)
            query["since"] = snapshot.revision
            if snapshot.marks() != known:
                known = snapshot.marks()
                backoff.reset()
                yield snapshot
            elif loop.time() - asked_at < _PROMPT_REPLY_S:  # it drains, and answers at once without news
                await asyncio.sleep(backoff.next_s())

    async def _get_peers(self, path: str, query: Mapping[str, object], timeout_s: float) -> PeersSnapshot:
        encoded = urlencode({name: value for name, value in query.items() if value is not None})
        reply = await self._exchange("GET", f"{path}?{encoded}" if encoded else path, b"", timeout_s)
        revision, peers = reply.get("revision"), reply.get("peers")
        if not isinstance(revision, int) or not isinstance(peers, list):
            raise self._unavailable(f"GET {path}: the reply holds no revision and peers")
        return PeersSnapshot(revision, tuple(peer for peer in peers if isinstance(peer, dict)))

    async def _post_known(self, path: str, fields: Mapping[str, Any]) -> bool:
        try:
            await self._post(path, fields)
        except TrackerRefused as error:
            if error.code == "peer_not_found":
                return False
            raise
        return True

    async def _post(self, path: str, fields: Mapping[str, Any]) -> dict[str, Any]:
        return await self._exchange("POST", path, json.dumps(fields).encode("ascii"), REQUEST_TIMEOUT_S)

    async def _exchange(self, method: str, path: str, body: bytes, timeout_s: float) -> dict[str, Any]:
        """The JSON object of the reply to one request."""
        headers = [*self._headers, ("Content-Type", "application/json")] if body else self._headers
        try:
            response = await self._pool.request(
                method,
                f"{self.base_url}/tracker/{path}",
                headers=headers,
                body=body or None,
                timeout_s=timeout_s,
                max_body_bytes=MAX_REPLY_BYTES,
            )
        except (HttpCoreError, OSError, TimeoutError) as error:
            raise self._unavailable(f"{method} {path.partition('?')[0]}: {error or type(error).__name__}") from error
        reply = _parse_object(response.body)
        if response.status >= 400:
            self._note_answer()
            raise _refusal(response.status, reply)
        if reply is None:
            raise self._unavailable(f"{method} {path.partition('?')[0]}: got no JSON object (HTTP {response.status})")
        self._note_answer()
        return reply

    def _unavailable(self, why: str) -> TrackerUnavailable:
        # Twice, because a tracker that starts again, or a proxy that cuts a long poll, costs one exchange.
        self._failures += 1
        if self._failures == _FAILURES_BEFORE_LOST:
            extra = {"tracker": self.base_url, "reason": why}
            _log.warning("the tracker is lost, trying again until it answers", extra=extra)
        return TrackerUnavailable(why)

    def _note_answer(self) -> None:
        self.heard_at = time.monotonic()
        if self._failures >= _FAILURES_BEFORE_LOST:
            _log.info("the tracker is found again", extra={"tracker": self.base_url})
        self._failures = 0


class Backoff:
    """Growing, jittered pauses between attempts: `first_s` doubled each time, at most `max_s`."""

    def __init__(self, first_s: float = 0.25, max_s: float = 5.0) -> None:
        self._first_s = first_s
        self._max_s = max_s
        self._attempt = 0

    def next_s(self) -> float:
        """The pause before the next attempt, in seconds."""
        pause_s = min(self._max_s, self._first_s * 2.0 ** min(self._attempt, 16))
        self._attempt += 1
        return pause_s * random.uniform(0.5, 1.0)

    def reset(self) -> None:
        """The last attempt worked: the next pause is short."""
        self._attempt = 0


class Complaint:
    """Logs a refusal of the tracker once, not at each attempt; the client itself logs that it is lost."""

    def __init__(self, doing: str) -> None:
        self._doing = doing
        self._logged = ""

    def note(self, error: Exception | None) -> None:
        """The outcome of one attempt."""
        text = str(error) if isinstance(error, TrackerRefused) else ""
        if text and text != self._logged:
            _log.warning("the tracker refuses", extra={"doing": self._doing, "reason": text})
        if text or error is None:
            self._logged = text


async def keep_registered(
    client: TrackerClient,
    lease: Callable[[], Mapping[str, Any]],
    ttl_s: float,
    on_status: Callable[[bool], None] | None = None,
    changed: asyncio.Event | None = None,
) -> None:
    """Keeps what `lease()` returns (peer_id, ip, port, roles, …) in the tracker's table until cancelled.

    Registers at once, sends a heartbeat with the load each third of the TTL (20 s at most, jittered), an
    update when another field has changed since, and registers again when the tracker has forgotten the peer
    or was away. `on_status(True | False)` is called when the peer becomes, or can't be kept, registered.
    Setting `changed` has the lease sent now instead of at the next beat. Cancelling leaves the entry: see
    `unregister`.
    """
    keeper = _Keeper(client, ttl_s)
    was_registered: bool | None = None
    while True:
        pause_s = await keeper.send(dict(lease()))
        if keeper.is_registered is not was_registered and on_status is not None:
            on_status(keeper.is_registered)
        was_registered = keeper.is_registered
        await _pause(pause_s, changed)


async def unregister(client: TrackerClient, peer_id: str, timeout_s: float = UNREGISTER_TIMEOUT_S) -> bool:
    """True when the tracker has dropped the entry; False when it could not: then the TTL will do it."""
    try:
        async with asyncio.timeout(timeout_s):
            return await client.remove(peer_id)
    except (TrackerUnavailable, TrackerRefused, TimeoutError):
        return False


class _Keeper:
    """One lease in the tracker's table, as far as this side knows."""

    def __init__(self, client: TrackerClient, ttl_s: float) -> None:
        self._client = client
        self._ttl_s = ttl_s
        self._granted_s = ttl_s
        self._sent: dict[str, Any] | None = None  # the fields the tracker has; None: register
        self._backoff = Backoff()
        self._complaint = Complaint("registering")

    @property
    def is_registered(self) -> bool:
        """True when the last exchange left the lease in the table."""
        return self._sent is not None

    async def send(self, fields: dict[str, Any]) -> float:
        """Registers or renews; returns the seconds to wait before the next time."""
        try:
            if self._sent is None or not await self._renew(self._sent, fields):
                reply = await self._client.register({**fields, "ttl": self._ttl_s})
                self._granted_s = _granted_s(reply, self._ttl_s)
        except (TrackerUnavailable, TrackerRefused) as error:
            self._complaint.note(error)
            self._sent = None
            return min(self._backoff.next_s(), max(self._granted_s / 3, 0.1))
        self._complaint.note(None)
        self._backoff.reset()
        self._sent = fields
        return min(self._granted_s / 3, MAX_HEARTBEAT_INTERVAL_S) * random.uniform(0.8, 1.0)

    async def _renew(self, sent: Mapping[str, Any], fields: Mapping[str, Any]) -> bool:
        peer_id = fields["peer_id"]
        if peer_id != sent["peer_id"]:
            return False
        changes = {name: value for name, value in fields.items() if value != sent.get(name)}
        if changes.keys() <= {"load"}:
            return await self._client.heartbeat(peer_id, load=fields.get("load"))
        return await self._client.update(peer_id, changes)


async def _pause(pause_s: float, changed: asyncio.Event | None) -> None:
    if changed is None:
        await asyncio.sleep(pause_s)
        return
    try:
        async with asyncio.timeout(pause_s):
            await changed.wait()
    except TimeoutError:
        pass
    changed.clear()


def _granted_s(reply: Mapping[str, Any], asked_s: float) -> float:
    granted = reply.get("ttl")
    return float(granted) if isinstance(granted, int | float) and granted > 0 else asked_s


def _parse_object(body: bytes) -> dict[str, Any] | None:
    try:
        value = json.loads(body)
    except (ValueError, RecursionError):
        return None
    return value if isinstance(value, dict) else None


def _refusal(status: int, reply: dict[str, Any] | None) -> TrackerRefused:
    error = (reply or {}).get("error")
    words = error if isinstance(error, dict) else {}
    return TrackerRefused(status, str(words.get("code", "no_code")), str(words.get("message", "no message"))[:500])
