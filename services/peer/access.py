"""Who may ask this peer anything: the hooks before every handler.

Owns the open paths and what a user of the proxy may reach. Keys and proofs are read by `shared.runtime.key_check`,
Host and Origin by `shared.runtime.guard`; as whom a caller may post is decided in `posting`.
"""

import time

from services.peer.handlers import CALLER
from services.peer.settings import Settings
from shared.httpcore.errors import HttpError
from shared.httpcore.message import Request, Response
from shared.httpcore.routing import Router
from shared.runtime.guard import Guard
from shared.runtime.key_check import KeyCheck

KEY_HEADER = "X-P2P-Key"
OPEN_PATHS = frozenset({"/healthz", "/p2p/whoami"})


def add_gates(router: Router, settings: Settings, key: bytes | None) -> None:
    """From now on every request passes the guard, and proves itself where there is a key."""
    hosts = {settings.server_ip} | ({settings.advertise} if settings.advertise else set())
    key_check = KeyCheck(key, KEY_HEADER, f"peer:{settings.peer_id}")

    def is_vouched_for(request: Request) -> bool:
        return key_check.is_vouched_for(request, time.time())

    guard = Guard(key is not None, settings.cors_origin, frozenset(hosts), is_vouched_for)

    def identify(request: Request) -> Response | None:
        if request.raw_path in OPEN_PATHS:
            return None
        caller = key_check.identify(request, time.time())
        if caller is None:
            raise HttpError(401, "key_required", f"expected the peers' key in {KEY_HEADER}, or a proof")
        if not caller.may_use(settings.peer_id):
            raise HttpError(403, "not_your_peer", f"{settings.peer_id} is not one of the peers of {caller.name}")
        request.state[CALLER] = caller
        return None

    router.before(guard.check)
    router.before(identify)
    router.after(guard.decorate)
