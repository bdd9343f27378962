"""What the upstream learns about the client: Forwarded, X-Forwarded-For, -Proto, -Host, -Port and X-Real-IP.

From strangers these fields are dropped and written anew; what a trusted hop says in the field of
`real_ip_header` is continued. A `ClientTrail` lives as long as its client's connection and works the fields out
again only when the client's own fields change. No sockets.
"""

from dataclasses import dataclass, field

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
from shared.httpcore.message import HeadFields
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
_DEFAULT_PORTS = {"http": "80", "https": "443"}


@dataclass(frozen=True, slots=True)
class _Origin:
    """What the client's side looked like from outside: who, by which scheme, to which host and port."""

    client: Node
    scheme: str
    host: str
    port: str
    trail: str  # the whole X-Forwarded-For
    forwarded: str


@dataclass(frozen=True, slots=True)
class ClientView:
    """Who sent a request, and the fields that say so. `client_port` is 0 when a hop did not tell it."""

    client_ip: str
    client_port: int
    scheme: str
    pairs: tuple[tuple[str, str], ...]
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


class ClientTrail:
    """One connection's client, as far as it can be told. `peer_ip` is who connected, or whom PROXY protocol named."""

    __slots__ = ("_last_fields", "_last_view", "_peer", "_scheme", "_trusted", "is_trusted")

    def __init__(self, peer_ip: str, peer_port: int, scheme: str, trusted: TrustedHops) -> None:
        self._peer = Node(canonical_address(peer_ip) or peer_ip, peer_port)
        self._scheme = scheme
        self._trusted = trusted
        self.is_trusted = trusted.trusts(self._peer.address)
        self._last_fields: HeadFields | None = None
        self._last_view: ClientView | None = None

    def view(self, fields: HeadFields) -> ClientView:
        """The view for a request with these fields; the same object while the client repeats them."""
        if fields is self._last_fields and self._last_view is not None:
            return self._last_view
        if not self.is_trusted:
            origin = self._own(fields.host)
        elif self._trusted.field is RealIpField.FORWARDED:
            origin = self._by_forwarded(fields)
        else:
            origin = self._by_x_forwarded(fields)
        self._last_fields, self._last_view = fields, _view(origin)
        return self._last_view

    def _own(self, host: str, earlier: str = "") -> _Origin:
        """As the connection itself shows it."""
        peer, scheme = self._peer, self._scheme
        return _Origin(
            client=peer,
            scheme=scheme,
            host=host,
            port=_port_of(host, scheme),
            trail=_join(earlier, peer.address),
            forwarded=self._element(host, scheme),
        )

    def _element(self, host: str, scheme: str) -> str:
        """Our own element of Forwarded. The peer's port is left out: it says nothing to most, and changes always."""
        node = serialize_node(Node(self._peer.address))
        return serialize_forwarded(ForwardedElement(for_=node, host=host or None, proto=scheme))

    def _by_forwarded(self, fields: HeadFields) -> _Origin:
        """Each hop's element says what it saw; the client's is the one that the farthest trusted hop wrote."""
        received = ", ".join(fields.headers.get_all("forwarded"))
        parsed = parse_forwarded(received)
        elements = parsed[-MAX_WALK:] if parsed else ()
        hops = [parse_node(element.for_ or "") for element in elements]
        at = self._trusted.walk(hops)
        if at < 0:
            return self._own(fields.host)
        client, said = hops[at], elements[at]
        assert client is not None
        scheme = _scheme(said.proto) or self._scheme
        host = _host(said.host) or fields.host
        chain = [node.address for node in hops[at:] if node is not None]
        return _Origin(
            client=client,
            scheme=scheme,
            host=host,
            port=_port_of(host, scheme),
            trail=", ".join([*chain, self._peer.address]),
            forwarded=_join(received, self._element(fields.host, self._scheme)),
        )

    def _by_x_forwarded(self, fields: HeadFields) -> _Origin:
        """A field that is not asked for is not believed, for a hop may have passed it on from its own client: so
        Forwarded is written anew from the hops that were found.
        """
        headers = fields.headers
        hops: list[Node | None]
        if self._trusted.field is RealIpField.X_REAL_IP:
            node = parse_hop(_single(headers, "x-real-ip"))
            hops = [node] if node is not None else []
            earlier = [node.address] if node is not None else []
        else:
            earlier = headers.get_all("x-forwarded-for")
            hops = parse_hops(earlier)
        at = self._trusted.walk(hops)
        chain = [node for node in hops[at:] if node is not None] if at >= 0 else []
        scheme = _scheme(_single(headers, "x-forwarded-proto")) or self._scheme
        host = _host(_single(headers, "x-forwarded-host")) or fields.host
        said_port = _single(headers, "x-forwarded-port")
        seen = [ForwardedElement(for_=serialize_node(Node(node.address))) for node in chain]
        if seen:
            seen[0] = ForwardedElement(for_=seen[0].for_, host=host or None, proto=scheme)
        elements = [*map(serialize_forwarded, seen), self._element(fields.host, self._scheme)]
        return _Origin(
            client=chain[0] if chain else self._peer,
            scheme=scheme,
            host=host,
            port=said_port if _is_port(said_port) else _port_of(host, scheme),
            trail=_join(", ".join(earlier), self._peer.address),
            forwarded=", ".join(elements),
        )


def _view(origin: _Origin) -> ClientView:
    client = origin.client
    values = (origin.trail, origin.scheme, origin.host, origin.port, client.address, origin.forwarded)
    pairs = tuple((name, value) for name, value in zip(FORWARDING_FIELDS, values) if value)
    return ClientView(client.address, client.port, origin.scheme, pairs)


def _join(earlier: str, own: str) -> str:
    return f"{earlier}, {own}" if earlier else own


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


def _port_of(host: str, scheme: str) -> str:
    """The port that the client asked for. Not our listener's: behind Docker's mapping that is another."""
    _, colon, port = host.rpartition(":")
    return port if colon and _is_port(port) and not host.endswith("]") else _DEFAULT_PORTS[scheme]
