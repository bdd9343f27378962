"""How a peer and a list of peers are written as JSON. Read `watch` or `handlers` to see who asks for it.

A list of ten thousand peers is written in a few milliseconds: the part of a peer that changes only with its
revision is kept as text, the lease is put behind it.
"""

import json
from collections.abc import Iterable

from services.tracker.lease import Peer
from services.tracker.registry import Change

_MIN_SHOWN_S = 0.001  # a peer that is listed is alive: rounding never shows that its lease has ended


class PeerEncoder:
    """Writes peers; remembers the lasting part of each until `forget` hears that it is gone."""

    def __init__(self) -> None:
        self._lasting: dict[str, tuple[int, str]] = {}  # peer id -> revision, text without the closing brace

    def peer_json(self, peer: Peer, now: float) -> bytes:
        """The JSON object of one peer."""
        return self._text(peer, now).encode()

    def list_json(self, peers: Iterable[Peer], revision: int, now: float, next_after: str | None = None) -> bytes:
        """`{count, peers, revision}`, and `next`, the `after` of the page that follows, when there is one."""
        texts = [self._text(peer, now) for peer in peers]
        following = f',"next":"{next_after}"' if next_after is not None else ""
        return f'{{"count":{len(texts)},"revision":{revision}{following},"peers":[{",".join(texts)}]}}'.encode()

    def forget(self, change: Change) -> None:
        """An observer of the registry: nothing is kept of a peer that is gone."""
        if change.new is None and change.old is not None:
            self._lasting.pop(change.old.peer_id, None)

    def _text(self, peer: Peer, now: float) -> str:
        revision, lasting = self._lasting.get(peer.peer_id, (-1, ""))
        if revision != peer.revision:
            lasting = _lasting_text(peer)
            self._lasting[peer.peer_id] = (peer.revision, lasting)
        expires_in = max(peer.expires_at - now, _MIN_SHOWN_S)
        return (
            f'{lasting},"ttl":{peer.ttl_s!r},"last_heartbeat":{peer.last_heartbeat:.3f},"expires_in":{expires_in:.3f}}}'
        )


def _lasting_text(peer: Peer) -> str:
    fields = {
        "peer_id": peer.peer_id,
        "ip": peer.ip,
        "port": peer.port,
        "roles": peer.roles,
        "channels": peer.channels,
        "meta": peer.meta,
        "load": peer.load,
        "registered_at": round(peer.registered_at, 3),
        "registered_by": peer.registered_by,
        "revision": peer.revision,
    }
    return json.dumps(fields, ensure_ascii=False, allow_nan=False, separators=(",", ":"))[:-1]
