"""Who the caller of tracker or peer is: one with the key, a user the proxy vouches for, or anyone where no key is set.

Owns that decision. What each may do is the service's matter; Host and Origin are `guard`'s.
"""

import hmac
from dataclasses import dataclass
from typing import Literal

from shared.httpcore.message import Request
from shared.runtime.proofs import ALL_PEERS, PROOF_HEADER, is_in_scope, verify_proof


@dataclass(frozen=True, slots=True)
class Caller:
    """`kind` says how the caller proved itself; `user` is set for "user"; `peers` are those it may act for."""

    kind: Literal["key", "user", "anyone"]
    user: str | None
    peers: tuple[str, ...]

    def may_use(self, peer_id: str) -> bool:
        """Whether the caller may act for this peer."""
        return is_in_scope(self.peers, peer_id)

    @property
    def name(self) -> str:
        """As records and logs name the caller: `key`, `user:<name>` or `anyone`."""
        return f"user:{self.user}" if self.kind == "user" else self.kind


KEY_HOLDER = Caller("key", None, (ALL_PEERS,))
ANYONE = Caller("anyone", None, (ALL_PEERS,))


class KeyCheck:
    """The key of one service. `target` is what proofs must be made for: `tracker` or `peer:<id>`."""

    def __init__(self, key: bytes | None, header_name: str, target: str) -> None:
        self._key = key
        self._header_name = header_name
        self._target = target

    def identify(self, request: Request, now_s: float) -> Caller | None:
        """The caller; None when it proved nothing (401 `key_required`). Without a key everybody is `ANYONE`."""
        if self._key is None:
            return ANYONE
        headers = request.headers
        keys, proofs = headers.get_all(self._header_name), headers.get_all(PROOF_HEADER)
        if len(keys) + len(proofs) != 1:  # nothing, or contradictions
            return None
        if keys:
            given = keys[0].encode("latin-1", "replace")
            return KEY_HOLDER if hmac.compare_digest(given, self._key) else None
        proof = verify_proof(self._key, proofs[0], self._target, request.method, request.target, now_s)
        return Caller("user", proof.user, proof.peers) if proof is not None else None

    def is_vouched_for(self, request: Request, now_s: float) -> bool:
        """Whether the request carries a right proof, so that the proxy has judged it by rules of its own."""
        caller = self.identify(request, now_s)
        return caller is not None and caller.kind == "user"
