"""What the upstream learns about the client: Forwarded, X-Forwarded-For, -Proto, -Host, -Port and X-Real-IP, or a
header of the PROXY protocol.

From strangers these fields are dropped and written anew; what a trusted hop says in the field of
`real_ip_header` is continued. What was worked out is kept, for clients come again. No sockets.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from ipaddress import ip_address
from typing import TypeVar

from services.proxy.trusted_hops import MAX_WALK, RealIpField, TrustedHops, parse_hop, parse_hops
from shared.httpcore.forwarded import (
    ForwardedElement,
    Node,
    canonical_address,
    parse_forwarded,
    parse_node,
    serialize_forwarded,
    serialize_node,
)
from shared.httpcore.grammar import HOST
from shared.httpcore.headers import Headers
from shared.httpcore.message import Request
from shared.httpcore.proxy_protocol import Endpoint, serialize_proxy_header
from shared.httpcore.serializing import serialize_fields

# In the order they are sent. Lower-case names are what a plan says of fields that `proxy_set_header` sets.
FORWARDING_FIELDS = (
    "X-Forwarded-For",
    "X-Forwarded-Proto",
    "X-Forwarded-Host",
    "X-Forwarded-Port",
    "X-Real-IP",
    "Forwarded",
)
FORWARDING_NAMES = frozenset(name.lower() for name in FORWARDING_FIELDS)
MAX_KEPT_VIEWS = 4096
MAX_KEPT_CHARS = 512  # of what a trusted hop said; more is worked out each time
_X_FIELDS = ("x-forwarded-proto", "x-forwarded-host", "x-forwarded-port")
_SAID = {
    RealIpField.FORWARDED: ("forwarded",),
    RealIpField.X_REAL_IP: ("x-real-ip", *_X_FIELDS),
    RealIpField.X_FORWARDED_FOR: ("x-forwarded-for", *_X_FIELDS),
}
_Key = TypeVar("_Key")
_DEFAULT_PORTS = {"http": "80", "https": "443"}


@dataclass(frozen=True, slots=True)
class _Origin:
    """What the client's side looked like from outside: who, by which scheme, to which host and port."""

    client: Node
    peer: str
    scheme: str
    host: str
    port: str
    trail: str  # the whole X-Forwarded-For
    forwarded: str


@dataclass(frozen=True, slots=True)
class ClientView:
    """Who sent a request, and the fields that say so. `client_port` is that which a hop told, else 0."""

    client_ip: str
    client_port: int
    scheme: str
    site: str  # what the client asked for, as far as we believe it: `https://shop.example`
    peer_ip: str  # who connected: the client, or a hop that speaks for it
    pairs: tuple[tuple[str, str], ...]
    by_name: Mapping[str, str]  # the same by the names of FORWARDING_FIELDS
    _lines: dict[frozenset[str], bytes] = field(default_factory=dict, compare=False, repr=False)

    def lines(self, omitted: frozenset[str] = frozenset()) -> bytes:
        """The field lines, ready to send, without those whose lower-case names are in `omitted`.

        Made once for each plan that asks.
        """
        made = self._lines.get(omitted)
        if made is None:
            kept = [pair for pair in self.pairs if pair[0].lower() not in omitted]
            made = self._lines[omitted] = serialize_fields(kept).encode("latin-1")
        return made


class ClientFinder:
    """Finds out who sent requests. One lives as long as its configuration."""

    def __init__(self, trusted: TrustedHops) -> None:
        self._trusted = trusted
        self._strangers: dict[tuple[str, str, str], ClientView] = {}
        # By what trusted hops said as well: their clients come again, too.
        self._served: dict[tuple[tuple[str, str, str], str], ClientView] = {}

    def view(self, request: Request) -> ClientView:
        """The view for a request whose `remote_ip` is who connected, or whom PROXY protocol named.

        `client_ip` is then what logs, limits and `$remote_addr` are to show: the caller's to set. With a `client_port`
        of 0 the connection's own port holds when the peer is the client, and none otherwise.
        """
        key = request.remote_ip, request.host, request.scheme
        view = self._strangers.get(key)
        if view is not None:
            return view
        trail = _Trail(request, self._trusted)
        if trail.is_trusted:
            return self._served_view(key, trail)
        return _keep(self._strangers, key, _view(trail.look()))

    def _served_view(self, key: tuple[str, str, str], trail: "_Trail") -> ClientView:
        said = trail.said()
        if len(said) > MAX_KEPT_CHARS:
            return _view(trail.look())
        return self._served.get((key, said)) or _keep(self._served, (key, said), _view(trail.look()))


_VIEW = "client_view"  # in a request's `state`, where somebody else's word was heard
_STRANGERS = ClientFinder(TrustedHops())


def remember_view(request: Request, view: ClientView) -> None:
    """From now on the request says who its client is, and `client_view` who spoke for it."""
    request.state[_VIEW] = view
    if view.client_ip != request.remote_ip:
        request.remote_ip, request.remote_port = view.client_ip, view.client_port


def is_spoken_for(request: Request) -> bool:
    """Whether somebody else's word about the client was heard."""
    return _VIEW in request.state


def client_view(request: Request) -> ClientView:
    """What was found out about the request's client; where nobody's word counts, what its connection shows."""
    view = request.state.get(_VIEW)
    return view if isinstance(view, ClientView) else _STRANGERS.view(request)


def proxy_header(request: Request, local_address: tuple[str, int], version: int) -> bytes:
    """The same as a header of the PROXY protocol: who the client is, and which of our addresses it wanted; nothing of
    both where that is no address.
    """
    try:
        source: Endpoint | None = Endpoint(str(ip_address(request.remote_ip)), request.remote_port)
        destination: Endpoint | None = Endpoint(str(ip_address(local_address[0])), local_address[1])
    except ValueError:
        source = destination = None
    return serialize_proxy_header(version, source, destination)


def _keep(views: dict[_Key, ClientView], key: _Key, view: ClientView) -> ClientView:
    if len(views) >= MAX_KEPT_VIEWS:
        views.clear()
    views[key] = view
    return view


class _Trail:
    """One request, as its connection shows it, and as far as we believe it, its fields."""

    def __init__(self, request: Request, trusted: TrustedHops) -> None:
        self._peer = Node(canonical_address(request.remote_ip) or request.remote_ip, 0)
        self._scheme = request.scheme
        self._host = request.host
        self._request = request
        self._trusted = trusted
        self.is_trusted = trusted.trusts(self._peer.address)

    def said(self) -> str:
        """All that `look` goes by of the request's fields, as one text; no field holds a line end."""
        headers = self._request.headers
        return "\n".join(["\r".join(headers.get_all(name)) for name in _SAID[self._trusted.field]])

    def look(self) -> _Origin:
        """What can be told of the client."""
        if not self.is_trusted:
            return self._own()
        headers = self._request.headers
        return self._by_forwarded(headers) if self._trusted.field is RealIpField.FORWARDED else self._by_x(headers)

    def _own(self) -> _Origin:
        """As the connection itself shows it."""
        return _Origin(
            client=self._peer,
            peer=self._peer.address,
            scheme=self._scheme,
            host=self._host,
            port=port_of(self._host, self._scheme),
            trail=self._peer.address,
            forwarded=self._element(),
        )

    def _element(self) -> str:
        """Our own element of Forwarded. The peer's port is left out: it says nothing to most, and changes always."""
        return _element(self._peer, self._host, self._scheme)

    def _by_forwarded(self, headers: Headers) -> _Origin:
        """Each hop's element says what it saw; the client's is the one that the farthest trusted hop wrote."""
        received = ", ".join(headers.get_all("forwarded"))
        parsed = parse_forwarded(received)
        elements = parsed[-MAX_WALK:] if parsed else ()
        hops = [parse_node(element.for_ or "") for element in elements]
        at = self._trusted.walk(hops)
        if at < 0:
            return self._own()
        chain = [node for node in hops[at:] if node is not None]
        scheme = _scheme(elements[at].proto) or self._scheme
        host = _host(elements[at].host) or self._host
        return _Origin(
            client=chain[0],
            peer=self._peer.address,
            scheme=scheme,
            host=host,
            port=port_of(host, scheme),
            trail=", ".join([node.address for node in (*chain, self._peer)]),
            forwarded=f"{received}, {self._element()}",
        )

    def _by_x(self, headers: Headers) -> _Origin:
        """A field that is not asked for is not believed, for a hop may have passed it on from its own client: so
        Forwarded is written anew from the hops that were found.
        """
        said, hops = self._said_hops(headers)
        at = self._trusted.walk(hops)
        chain = [node for node in hops[at:] if node is not None] if at >= 0 else []
        scheme = _scheme(_single(headers, "x-forwarded-proto")) or self._scheme
        host = _host(_single(headers, "x-forwarded-host")) or self._host
        port = _single(headers, "x-forwarded-port")
        elements = [_element(node, *((host, scheme) if node is chain[0] else ())) for node in chain]
        return _Origin(
            client=chain[0] if chain else self._peer,
            peer=self._peer.address,
            scheme=scheme,
            host=host,
            port=port if _is_port(port) else port_of(host, scheme),
            trail=", ".join([*said, self._peer.address]),
            forwarded=", ".join([*elements, self._element()]),
        )

    def _said_hops(self, headers: Headers) -> tuple[list[str], list[Node | None]]:
        """What the field holds, as text and as addresses."""
        if self._trusted.field is RealIpField.X_REAL_IP:
            node = parse_hop(_single(headers, "x-real-ip"))
            return ([node.address], [node]) if node is not None else ([], [])
        lines = headers.get_all("x-forwarded-for")
        return lines, parse_hops(lines)


def _element(node: Node, host: str = "", scheme: str = "") -> str:
    for_ = serialize_node(Node(node.address))
    return serialize_forwarded(ForwardedElement(for_=for_, host=host or None, proto=scheme or None))


def _view(origin: _Origin) -> ClientView:
    client = origin.client
    values = (origin.trail, origin.scheme, origin.host, origin.port, client.address, origin.forwarded)
    by_name = dict(zip(FORWARDING_FIELDS, values))
    pairs = tuple((name, value) for name, value in by_name.items() if value)
    site = f"{origin.scheme}://{origin.host}"
    return ClientView(client.address, client.port, origin.scheme, site, origin.peer, pairs, by_name)


def _single(headers: Headers, name: str) -> str:
    """The field's value when it is there once and is no list; of several nobody knows whose counts."""
    values = headers.get_all(name)
    return values[0] if len(values) == 1 and "," not in values[0] else ""


def _scheme(text: str | None) -> str:
    lower = (text or "").lower()
    return lower if lower in _DEFAULT_PORTS else ""


def _host(text: str | None) -> str:
    return text.lower() if text and text.isascii() and HOST.fullmatch(text.encode("ascii")) else ""


def _is_port(text: str) -> bool:
    return text.isascii() and text.isdigit() and len(text) <= 5 and 0 < int(text) < 65_536


def port_of(host: str, scheme: str) -> str:
    """The port that the client asked for. Not our listener's: behind Docker's mapping that is another."""
    _, colon, port = host.rpartition(":")
    return port if colon and _is_port(port) and not host.endswith("]") else _DEFAULT_PORTS[scheme]
