"""The way to tracker and peers, for those who have a session: `/tracker/…` and `/peers/<id>/…`.

Owns watching the tracker, one pool for it and one for each peer, and the proofs by which the proxy acts for
a user. It never sends a key, and drops those that a client sends. What is believed of the tracker is in
`annotations`.
"""

import asyncio
import re
import ssl
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from services.proxy.access import Visitor
from services.proxy.annotations import LEAVING_S, Leaving, backend_annotations, peer_addresses
from services.proxy.config_values import ForwardSettings, PoolConfig
from services.proxy.destination import Destination
from services.proxy.pool_events import Publish
from services.proxy.revocation import Oversight
from services.proxy.rewriting import make_header_plan
from services.proxy.templates import parse_template
from services.proxy.upstreams import Address, Annotation, Member, Pool
from shared.httpcore.errors import HttpError
from shared.httpcore.limits import MIB
from shared.httpcore.message import Request
from shared.httpcore.net.client import ClientResponse
from shared.httpcore.net.pool import ConnectionPool, parse_http_url
from shared.runtime.proofs import ALL_PEERS, PROOF_HEADER, Proof, sign_proof
from shared.runtime.tracker_client import TrackerClient

# A peer's id stands in the path as it is: percent-encoding it is one more way to say the same, and not needed.
_PEER_PATH = re.compile(r"/peers/([A-Za-z0-9_-]{1,63})(/.*)?", re.DOTALL)
_HEADERS = make_header_plan(
    [("Host", parse_template("$proxy_host"))],
    dropped=[
        "Cookie",  # neither knows sessions
        "Authorization",
        "Origin",  # it was judged here, and says nothing about the other address
        "Sec-Fetch-Site",
        "X-Tracker-Key",
        "X-P2P-Key",
        PROOF_HEADER,
    ],
)
_SETTINGS = ForwardSettings(connect_timeout_s=3.0, read_timeout_s=90.0)  # a watch may take 60 s to answer
PROXY_USER = "proxy"  # in whose name the proxy itself asks the tracker


@dataclass(frozen=True, slots=True)
class MeshKeys:
    """The keys that proofs are made with."""

    tracker: bytes
    p2p: bytes


class Mesh:
    """Tracker and peers as the proxy sees them. `keys` None: keyless. `tls` is for an https:// tracker, as a pool's."""

    def __init__(
        self, tracker_url: str, keys: MeshKeys | None, tell: Publish, tls: ssl.SSLContext | None = None
    ) -> None:
        origin, path = parse_http_url(tracker_url)
        self._base_path = path.rstrip("/")
        self._keys = keys
        self._tell = tell
        self._tracker_pool = _pool_of_one("tracker", Address(origin.host, origin.port, origin.is_tls), tell)
        self._peer_pools: dict[str, Pool] = {}
        self._addresses: dict[str, Address] = {}
        self._has_heard = asyncio.Event()
        connections = ConnectionPool(1, tls=tls) if keys is None else ProvingPool(keys.tracker, tls)
        self._client = TrackerClient(tracker_url, None, connections)

    async def watch(self, annotate: Callable[[Mapping[Address, Annotation]], None]) -> None:
        """Keeps up with the tracker until cancelled; `annotate` gets what it says of backends."""
        keyed, leaving = self._keys is not None, Leaving()
        async for snapshot in self._client.watch():
            self._addresses = peer_addresses(snapshot.peers, keyed=keyed)
            for peer_id in [peer_id for peer_id in self._peer_pools if peer_id not in self._addresses]:
                self._peer_pools.pop(peer_id).set_members({}, time.monotonic())
            annotate(leaving.take(backend_annotations(snapshot.peers, keyed=keyed), time.monotonic()))
            if leaving:
                later = asyncio.get_running_loop().call_later
                later(LEAVING_S + 0.1, lambda: annotate(leaving.remember(time.monotonic())))
            self._has_heard.set()

    async def wait_first(self, timeout_s: float) -> None:
        """Returns when the tracker was heard of, or after `timeout_s`."""
        try:
            async with asyncio.timeout(timeout_s):
                await self._has_heard.wait()
        except TimeoutError:
            pass

    def heard_at(self) -> float | None:
        """When the tracker last answered, by the monotonic clock; None: never. It does so every 30 s without news."""
        return self._client.heard_at

    @property
    def pools(self) -> list[Pool]:
        """The tracker's pool and those of the peers asked so far."""
        return [self._tracker_pool, *self._peer_pools.values()]

    @property
    def peer_addresses(self) -> Mapping[str, Address]:
        """Where each peer is that may be routed to."""
        return self._addresses

    def to_tracker(self, request: Request, visitor: Visitor, oversight: Oversight) -> tuple[Destination, str]:
        """Where a request below /tracker goes, and as what request-target."""
        target = self._base_path + request.target
        key = self._keys.tracker if self._keys is not None else None
        proof = _proof(key, visitor, request, "tracker", target)
        return Destination(self._tracker_pool, _HEADERS, _SETTINGS, None, proof, oversight), target

    def to_peer(self, request: Request, visitor: Visitor, oversight: Oversight) -> tuple[Destination, str]:
        """Where a request below /peers goes, and as what. HttpError 403 for another user's peer, 404 for an unknown."""
        match = _PEER_PATH.fullmatch(request.raw_path)
        if match is None:
            raise HttpError(404, "peer_not_found", "got a path that holds no peer's id after /peers/")
        peer_id = match[1]
        if not visitor.may_use(peer_id):
            raise HttpError(403, "not_your_peer", f"the peer {peer_id} is not among yours")
        pool = self._pool_of(peer_id)
        target = (match[2] or "/") + ("?" + request.query if "?" in request.target else "")
        key = self._keys.p2p if self._keys is not None else None
        proof = _proof(key, visitor, request, f"peer:{peer_id}", target)
        return Destination(pool, _HEADERS, _SETTINGS, None, proof, oversight), target

    def _pool_of(self, peer_id: str) -> Pool:
        address = self._addresses.get(peer_id)
        if address is None:
            raise HttpError(404, "peer_not_found", f"the tracker knows no peer {peer_id} that may be reached from here")
        pool = self._peer_pools.get(peer_id)
        if pool is None:
            pool = self._peer_pools[peer_id] = _pool_of_one(f"peer:{peer_id}", address, self._tell)
        elif pool.get(address) is None:
            pool.set_members({address: Member()}, time.monotonic())
        return pool


class ProvingPool(ConnectionPool):
    """Connections on which the proxy asks the tracker in its own name: each request carries a proof, no
    key.
    """

    def __init__(self, tracker_key: bytes, tls: ssl.SSLContext | None) -> None:
        super().__init__(max_idle_per_origin=1, tls=tls)
        self._tracker_key = tracker_key

    async def request(
        self,
        method: str,
        url: str,
        headers: Sequence[tuple[str, str]] = (),
        body: bytes | None = None,
        timeout_s: float = 10.0,
        max_body_bytes: int = 8 * MIB,
    ) -> ClientResponse:
        """As any pool's, with the proof added."""
        proof = Proof(PROXY_USER, (), "tracker", method, parse_http_url(url)[1])
        signed = (PROOF_HEADER, sign_proof(self._tracker_key, proof, time.time()))
        return await super().request(method, url, [*headers, signed], body, timeout_s, max_body_bytes)


def _pool_of_one(name: str, address: Address, tell: Publish) -> Pool:
    pool = Pool(PoolConfig(name, ()), tell)
    pool.set_members({address: Member()}, time.monotonic())
    return pool


def _proof(
    key: bytes | None, visitor: Visitor, request: Request, target: str, path: str
) -> tuple[tuple[str, str], ...]:
    if key is None:
        return ()
    user = visitor.user
    name, peers = (user.name, user.peers) if user is not None else (PROXY_USER, (ALL_PEERS,))
    return ((PROOF_HEADER, sign_proof(key, Proof(name, peers, target, request.method, path), time.time())),)
