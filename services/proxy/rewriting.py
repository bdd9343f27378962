"""What changes in a head on its way through: which fields are dropped, which are added. Values in, values
out.

Owns the fields that the proxy writes by itself. The request-target is `routing`'s, variables are
`templates`'.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from services.proxy.templates import RequestFacts, Template, parse_template
from shared.httpcore.headers import HOP_BY_HOP, Headers, without_hop_by_hop
from shared.httpcore.message import Request

# Deliberate: X-Forwarded-For and Forwarded that a client sends are not believed, so they are replaced rather than
# continued, unless it is a trusted hop (`forwarding_fields`).
OWN_FIELDS: tuple[tuple[str, Template], ...] = tuple(
    (name, parse_template(text))
    for name, text in (
        ("Host", "$http_host"),
        ("X-Forwarded-For", "$forwarded_for"),
        ("X-Forwarded-Proto", "$forwarded_proto"),
        ("X-Forwarded-Host", "$forwarded_host"),
        ("X-Forwarded-Port", "$forwarded_port"),
        ("X-Real-IP", "$remote_addr"),
        ("Forwarded", "$forwarded"),
        ("X-Request-Id", "$request_id"),
    )
)
# RFC 9110 §10.1.1: Expect is answered here, by the 100 (Continue) that comes when the body is wanted.
NEVER_FORWARDED = HOP_BY_HOP | {"expect"}
# Date, Content-Length and X-Request-Id are written by our own server.
NEVER_RETURNED = HOP_BY_HOP | {"content-length", "date", "x-request-id"}
TUNNEL_PROTOCOL = "websocket"


@dataclass(frozen=True, slots=True)
class HeaderPlan:
    """What becomes of the fields of the requests of one place. `dropped` is in lower case."""

    added: tuple[tuple[str, Template], ...]
    dropped: frozenset[str]


def make_header_plan(set_headers: Sequence[tuple[str, Template]] = (), dropped: Iterable[str] = ()) -> HeaderPlan:
    """The plan for a place's `proxy_set_header` lines, which come before the proxy's own fields of the same
    name.

    An empty value drops the field, as in nginx; an empty Host is the upstream's. `dropped` names more
    fields that must not pass.
    """
    chosen = {name.lower() for name, _ in set_headers}
    added = [pair for pair in OWN_FIELDS if pair[0].lower() not in chosen]
    added += [pair for pair in set_headers if not pair[1].is_empty or pair[0].lower() == "host"]
    names = chosen | {name.lower() for name, _ in OWN_FIELDS} | {name.lower() for name in dropped}
    return HeaderPlan(tuple(added), NEVER_FORWARDED | names)


def request_fields(facts: RequestFacts, plan: HeaderPlan, authorization: str | None = None) -> list[tuple[str, str]]:
    """The fields for the upstream. `authorization` is that of the `proxy_pass` URL and replaces the
    client's.

    Hop-by-hop fields and those that Connection names go first (RFC 9110 §7.6.1), so that no client can make
    the proxy drop a field of its own.
    """
    request = facts.request
    dropped = plan.dropped
    if authorization is not None:
        dropped |= {"authorization"}
    fields = without_hop_by_hop(request.headers, dropped)
    is_set = False
    for name, template in plan.added:
        value = template.render(facts)
        lower = name.lower()
        is_set = is_set or lower == "authorization"
        if lower == "host":
            fields.insert(0, (name, value or facts.upstream))  # RFC 9110 §7.2: Host first
        elif value:
            fields.append((name, value))
    if authorization is not None and not is_set:
        fields.append(("Authorization", authorization))
    return fields


def upgrade_fields(protocol: str) -> list[tuple[str, str]]:
    """What asks the upstream to switch to `protocol`."""
    return [("Connection", "Upgrade"), ("Upgrade", protocol)]


def wants_tunnel(request: Request) -> bool:
    """Whether the client asks for a WebSocket. Any other upgrade is ignored (RFC 9110 §7.8), h2c above all:
    behind it a client could send requests that no rule sees.
    """
    return request.upgrade == TUNNEL_PROTOCOL and request.method == "GET" and not request.has_body


def response_fields(headers: Headers) -> list[tuple[str, str]]:
    """The upstream's fields for the client, without those of the connection."""
    return without_hop_by_hop(headers, NEVER_RETURNED)


def tunnel_fields(headers: Headers) -> list[tuple[str, str]]:
    """The upstream's fields of a 101 for the client; the server writes Connection."""
    return [*response_fields(headers), ("Upgrade", headers.get("upgrade") or TUNNEL_PROTOCOL)]
