"""The cookie by which a client stays with its upstream: whom it stands for, and how it is set. Pure.

Its value says nothing about the upstream: it is an HMAC over pool and address, which only the proxy can make.
Who may still be chosen is `upstreams`' to say.
"""

import base64
import hmac
from collections.abc import Iterable

from services.proxy.config_values import StickyConfig
from services.proxy.upstream_states import Upstream
from shared.httpcore.message import Request

_PURPOSE = b"weaprous sticky upstream\x00"


def sticky_token(key: bytes, pool_name: str, upstream_name: str) -> str:
    """What stands for this upstream of this pool, for as long as the key is the same."""
    digest = hmac.digest(key, _PURPOSE + pool_name.encode() + b"\x00" + upstream_name.encode(), "sha256")
    return base64.urlsafe_b64encode(digest[:18]).decode("ascii")


def set_cookie(config: StickyConfig, token: str, request: Request) -> tuple[str, str]:
    """The Set-Cookie field (RFC 6265 §4.1) for a client that came with this request."""
    parts = [f"{config.cookie}={token}", f"Path={config.path}"]
    if config.domain:
        parts.append(f"Domain={config.domain}")
    if config.max_age_s is not None:
        parts.append(f"Max-Age={max(1, round(config.max_age_s))}")
    if config.is_http_only:
        parts.append("HttpOnly")
    if config.is_secure or request.scheme == "https":
        parts.append("Secure")
    parts.append(f"SameSite={config.same_site.capitalize()}")
    return "Set-Cookie", "; ".join(parts)


class Stickiness:
    """The cookies of one pool. Only candidates have one: whoever drains or is down is let go."""

    def __init__(self, config: StickyConfig, pool_name: str, key: bytes) -> None:
        self.config = config
        self._pool_name = pool_name
        self._key = key
        self._by_token: dict[str, Upstream] = {}

    def take(self, candidates: Iterable[Upstream]) -> None:
        """These are the candidates from now on."""
        self._by_token = {self._token_of(upstream): upstream for upstream in candidates}

    def find(self, request: Request) -> Upstream | None:
        """The candidate that the request's cookie stands for, if any."""
        return self._by_token.get(request.cookies.get(self.config.cookie, ""))

    def cookie(self, request: Request, upstream: Upstream) -> tuple[str, str] | None:
        """The field that binds the client to this candidate; None when it is bound, or the upstream is none."""
        token = self._token_of(upstream)
        if token not in self._by_token or request.cookies.get(self.config.cookie) == token:
            return None
        return set_cookie(self.config, token, request)

    def _token_of(self, upstream: Upstream) -> str:
        if not upstream.token:  # it depends on nothing that could change while the upstream is there
            upstream.token = sticky_token(self._key, self._pool_name, upstream.name)
        return upstream.token
