"""What a page of ours may load and connect to: the security fields of replies. Pure.

Design §8: no inline script, nothing foreign. A keyless backend serves a page whose tracker may be another one on this
machine, so it may connect to every loopback port.
"""

import re
from collections.abc import Iterable

from shared.httpcore.message import Request, Response

_LOOPBACK_SOURCES = (
    "http://localhost:*",
    "http://127.0.0.1:*",
    "ws://localhost:*",
    "ws://127.0.0.1:*",
)
# A Host that may stand in a policy without breaking out of it: RFC 3986 §3.2.2 allows ; and , and ' as well.
_PLAIN_HOST = re.compile(r"(?:[a-z0-9._-]++|\[[0-9a-f:.]++\])(?::[0-9]{1,5})?")


class ContentPolicy:
    """Made once at start; `decorate` is the router's after hook."""

    def __init__(self, *, keyless: bool, connect_origins: Iterable[str] = ()) -> None:
        sources = [*(_LOOPBACK_SOURCES if keyless else ()), *_with_websockets(connect_origins)]
        self._connect = "".join(f" {source}" for source in sources)

    def decorate(self, request: Request, response: Response) -> None:
        """Every reply says that its type is meant; a page also gets its policy."""
        response.headers.append(("X-Content-Type-Options", "nosniff"))
        if response.content_type is not None and response.content_type.startswith("text/html"):
            response.headers += [
                ("Content-Security-Policy", self.render(request.host)),
                ("X-Frame-Options", "DENY"),
                ("Referrer-Policy", "same-origin"),
                ("Cross-Origin-Opener-Policy", "same-origin"),
            ]

    def render(self, host: str) -> str:
        """The policy for a page of that Host. Some browsers don't take ws: for 'self', so the host is named."""
        own = f" ws://{host} wss://{host}" if _PLAIN_HOST.fullmatch(host) else ""
        return (
            "default-src 'self'; img-src 'self' data:; object-src 'none'; "
            f"connect-src 'self'{own}{self._connect}; "
            "form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
        )


def _with_websockets(origins: Iterable[str]) -> Iterable[str]:
    """Each origin, and the same one for WebSockets."""
    for origin in origins:
        yield origin
        yield re.sub(r"^http", "ws", origin)
