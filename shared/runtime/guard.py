"""Who may ask, as far as browsers are concerned: rules on Host, Origin and Sec-Fetch-Site. Pure decisions.

Owns three rules, each written once. Keys and sessions are not its matter (`key_check`, `sessions`).

1. Host (DNS rebinding). A keyless service trusts whoever reaches it, so a page of evil.example must not reach it
   under that name after its DNS answer has changed to 127.0.0.1: the Host must be one this service goes by.
2. Writes and WebSockets (cross-site request forgery). A browser sends these anywhere, with the cookies it has, and
   asks nobody. They are refused when the browser says that another origin's page made them, unless that origin
   was allowed; a write that carries cookies is refused even then. What the proxy vouches for has passed this there.
3. Reads (CORS protocol, Fetch §3.2). Pages of allowed origins may read replies, never with credentials.

Programs that are no browsers send neither Origin nor Sec-Fetch-Site, and none of this stops them.
"""

import re
from collections.abc import Callable

from shared.httpcore.message import Request, Response
from shared.httpcore.methods import SAFE_METHODS
from shared.runtime.setting_values import is_ip_address

OPEN_PATH = "/healthz"  # probes ask by whatever name or address they have
PREFLIGHT_MAX_AGE_S = 600
MAX_KNOWN_HOSTS = 64
READABLE_HEADERS = "X-Request-Id, Retry-After"

_WILDCARDS = frozenset({"0.0.0.0", "::"})
_LOOPBACK = re.compile(r"localhost|127(?:\.[0-9]{1,3}){3}|::1")
_HOST = re.compile(r"(?:\[([0-9a-f:.]+)\]|([^\[\]:]*))(?::([0-9]*))?")
_ORIGIN = re.compile(r"(https?)://(.+)")
_FIELD_NAMES = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`|~, -]{1,1024}")
_METHOD = re.compile(r"[A-Z]{1,20}")
_DEFAULT_PORTS = {"http": "80", "https": "443"}


class Guard:
    """The rules of one service. `check` goes to `router.before`, `decorate` to `router.after`.

    `keyed`: requests prove themselves by key, proof or session, so any Host is right, and no origin is allowed by
    itself. `cors_origin`: None, `*`, or origins with commas between, as `parse_cors_origin` returns it.
    `allowed_hosts`: names and addresses besides loopback, without port; 0.0.0.0 or :: stands for every IP address,
    which is no risk, because rebinding needs a name. `is_vouched_for`: whether a request carries a proof that this
    service verifies; without it none does.
    """

    def __init__(
        self,
        keyed: bool,
        cors_origin: str | None,
        allowed_hosts: frozenset[str],
        is_vouched_for: Callable[[Request], bool] = lambda _: False,
    ) -> None:
        origins = frozenset((cors_origin or "").split(",")) - {"", "*"}
        self._keyed = keyed
        self._is_vouched_for = is_vouched_for
        self._any_origin = cors_origin == "*"
        self._origins = origins
        self._has_cors = not keyed or cors_origin is not None
        # Deliberate: `--cors-origin '*'` lets every page read and write here, so a rebinding page gains nothing more.
        self._any_host = keyed or self._any_origin
        self._known_hosts: set[str] = set()  # Host values found right, so that most requests cost one look-up
        self._any_address = not _WILDCARDS.isdisjoint(allowed_hosts)
        self._hosts = (allowed_hosts - _WILDCARDS) | {_origin_host(origin) for origin in origins}

    def check(self, request: Request) -> Response | None:
        """The refusal or the answer to a preflight, or None when the request may go on."""
        if not self._any_host and request.host not in self._known_hosts and not self._is_own_host(request):
            name = request.host[:100]
            return Response.error(
                421, "misdirected_host", f"this service does not go by {name!r}; use the address it listens on"
            )
        method = request.method
        if method == "OPTIONS":
            return self._answer_preflight(request)
        if (method not in SAFE_METHODS or request.fields.upgrade) and self._is_forged(request):
            return Response.error(
                403,
                "cross_site",
                "a page of another origin may not do this here; --cors-origin allows an origin",
            )
        return None

    def decorate(self, request: Request, response: Response) -> None:
        """Tell the browser whether the page that asked may read the reply."""
        if not self._has_cors:
            return
        if not self._any_origin:
            response.headers.append(("Vary", "Origin"))  # a cache must not show one origin's reply to another
        if not request.fields.has_origin:
            return  # most requests; their fields need not be parsed
        origin = request.headers.get("origin")
        if origin is not None and self._allows(origin):
            response.set_header("Access-Control-Allow-Origin", "*" if self._any_origin else origin)
            response.set_header("Access-Control-Expose-Headers", READABLE_HEADERS)

    def _is_own_host(self, request: Request) -> bool:
        # An HTTP/1.0 request without a Host comes from no browser.
        if not request.host:
            return True
        host = split_host(request.host)[0]
        is_own = _LOOPBACK.fullmatch(host) is not None or host in self._hosts
        is_own = is_own or (self._any_address and is_ip_address(host))
        if is_own and len(self._known_hosts) < MAX_KNOWN_HOSTS:
            self._known_hosts.add(request.host)
        return is_own or request.raw_path == OPEN_PATH

    def _is_forged(self, request: Request) -> bool:
        """Whether a page that may not do so made this write or this upgrade."""
        # A request with a right proof comes from our proxy, which has kept these rules already, by the Host it saw.
        # Any field of that name would not do: whoever gets a page to send one must not switch the rule off.
        if not is_cross_site(request) or self._is_vouched_for(request):
            return False
        origin = request.headers.get("origin")
        if origin is None or not self._allows(origin):
            return True
        if "cookie" not in request.headers:
            return False
        # A page can't choose whether a WebSocket carries cookies. An origin named in the settings may open one, and
        # so may a page on loopback where the service is keyless; `*` names nobody.
        return not (request.upgrade and (origin in self._origins or self._is_allowed_loopback(origin)))

    def _allows(self, origin: str) -> bool:
        return self._any_origin or origin in self._origins or self._is_allowed_loopback(origin)

    def _is_allowed_loopback(self, origin: str) -> bool:
        return not self._keyed and _LOOPBACK.fullmatch(_origin_host(origin)) is not None

    def _answer_preflight(self, request: Request) -> Response | None:
        """The reply to a CORS preflight (Fetch §3.2.2); None for any other OPTIONS request."""
        origin = request.headers.get("origin")
        method = request.headers.get("access-control-request-method")
        if origin is None or method is None:
            return None
        if not self._allows(origin) or not _METHOD.fullmatch(method):
            return Response(204)  # no permission in it, so the browser stops here
        # `decorate` adds the origin. Nothing allows credentials, ever.
        headers = [
            ("Access-Control-Allow-Methods", method),
            ("Access-Control-Max-Age", str(PREFLIGHT_MAX_AGE_S)),
        ]
        names = request.headers.get("access-control-request-headers", "")
        if names and _FIELD_NAMES.fullmatch(names):
            headers.append(("Access-Control-Allow-Headers", names))
        if request.headers.get("access-control-request-private-network") == "true":
            headers.append(("Access-Control-Allow-Private-Network", "true"))
        return Response(204, headers=headers)


def is_cross_site(request: Request) -> bool:
    """Whether a browser says that a page of another origin made the request. False when nothing says so.

    Deliberate: an origin of the same site counts as another one. Another port of this host is another program, and
    a sibling domain may be somebody else's.
    """
    site = request.headers.get("sec-fetch-site")
    if site is not None:
        return site not in ("same-origin", "none")  # none: the user typed it, or opened a bookmark
    origin = request.headers.get("origin")
    return origin is not None and not _is_same_origin(origin, request)


def may_be_foreign_link(request: Request) -> bool:
    """Whether a page of another origin may have led a browser to make this read: by a link, a redirect, an image.

    Sec-Fetch-Site tells, but browsers send it to https and to loopback only. Elsewhere Referer tells, which a foreign
    page can leave out: a browser that says neither is not believed. A program that is none has no page behind it.
    """
    if request.headers.get("sec-fetch-site") is not None or request.headers.get("origin") is not None:
        return is_cross_site(request)
    referer = request.headers.get("referer")
    if referer is not None:
        return not _is_same_origin("/".join(referer.split("/", 3)[:3]), request)
    return (request.headers.get("user-agent") or "").startswith("Mozilla/")  # every browser's does (Fetch: no page's)


def _is_same_origin(origin: str, request: Request) -> bool:
    """Host and port are the request's; the scheme too, unless TLS may have ended in front of this service."""
    match = _ORIGIN.fullmatch(origin.lower())
    if match is None:  # "null": a sandboxed frame, a file, a redirect across origins
        return False
    scheme, authority = match.groups()
    if request.scheme == "https" and scheme != "https":
        return False
    return _with_port(authority, scheme) == _with_port(request.host, scheme)


def split_host(authority: str) -> tuple[str, str]:
    """The host without brackets and the port ("" if none) of a Host value; a host of "" when it is none."""
    match = _HOST.fullmatch(authority)
    if match is None:
        return "", ""
    return match[1] or match[2] or "", match[3] or ""


def _with_port(authority: str, scheme: str) -> tuple[str, str]:
    host, port = split_host(authority)
    return host, port or _DEFAULT_PORTS[scheme]


def _origin_host(origin: str) -> str:
    match = _ORIGIN.fullmatch(origin.lower())
    return split_host(match[2])[0] if match else ""
