"""Short-lived proofs by which the proxy acts for a user towards tracker and peers, without showing them a key.

A proof is bound to user, target, method and path, so it opens one door for half a minute. Signing and its form are
in `signed`; who accepts which proof is in `key_check`.
"""

from dataclasses import dataclass

from shared.runtime.signed import open_signed, sign

PROOF_HEADER = "X-WeApRous-Proof"
MAX_AGE_S = 30.0
ALL_PEERS = "*"
_PURPOSE = "proof"


@dataclass(frozen=True, slots=True)
class Proof:
    """`user` may do `method` on `path` (the request-target) of `target` (`tracker` or `peer:<id>`).

    `peers`: the peers that are the user's; ("*",) for all.
    """

    user: str
    peers: tuple[str, ...]
    target: str
    method: str
    path: str


def sign_proof(key: bytes, proof: Proof, now_s: float) -> str:
    """The value of X-WeApRous-Proof; `key` is the target's (`tracker` or `p2p`), `now_s` Unix time."""
    fields = {
        "user": proof.user,
        "peers": proof.peers,
        "target": proof.target,
        "method": proof.method,
        "path": proof.path,
        "at": round(now_s, 3),
    }
    return sign(key, _PURPOSE, fields)


def verify_proof(
    key: bytes,
    header_value: str,
    target: str,
    method: str,
    path: str,
    now_s: float,
    max_age_s: float = MAX_AGE_S,
) -> Proof | None:
    """The proof, when it was signed with this key for exactly this request no longer than `max_age_s` ago."""
    fields = open_signed(key, _PURPOSE, header_value)
    if fields is None:
        return None
    user, peers, made_at_s = fields.get("user"), fields.get("peers"), fields.get("at")
    if not isinstance(user, str) or not isinstance(peers, list) or not all(isinstance(p, str) for p in peers):
        return None
    proof = Proof(user, tuple(peers), target, method, path)
    if any(fields.get(name) != getattr(proof, name) for name in ("target", "method", "path")):
        return None
    if not isinstance(made_at_s, int | float):
        return None
    # Clocks of two machines differ, so a proof may also come from a little later than now. NaN is never <=.
    return proof if abs(now_s - made_at_s) <= max_age_s else None


def is_in_scope(peers: tuple[str, ...], peer_id: str) -> bool:
    """Whether somebody who has `peers` may act as, or on, this peer."""
    return ALL_PEERS in peers or peer_id in peers
