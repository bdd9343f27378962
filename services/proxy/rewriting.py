"""What changes in a head on its way through: which field lines go, which come, in bytes. Values in, values out.

A line that was found valid passes as it came unless it must go (see `field_lines`), and what was made of a client's
fields is kept for its next request with the same ones. The request-target is `routing`'s, variables are `templates`'.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from random import getrandbits

from services.proxy.features import Tracing
from services.proxy.field_lines import DropRule, drop_also, make_drop_rule, without
from services.proxy.forwarding_fields import is_spoken_for
from services.proxy.templates import RequestFacts, Template, parse_template
from shared.httpcore.headers import HOP_BY_HOP
from shared.httpcore.message import Request
from shared.httpcore.serializing import serialize_field, serialize_fields
from shared.httpcore.trace_context import trace_fields

REQUEST_ID_FIELD = "X-Request-Id"
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
        (REQUEST_ID_FIELD, "$request_id"),
    )
)
# RFC 9110 §10.1.1: Expect is answered here, by the 100 (Continue) that comes when the body is wanted.
NEVER_FORWARDED = HOP_BY_HOP | {"expect"}
TRACE_NAMES = frozenset({"traceparent", "tracestate"})
TUNNEL_PROTOCOL = "websocket"
UPGRADE_FIELDS = f"Connection: Upgrade\r\nUpgrade: {TUNNEL_PROTOCOL}\r\n"  # what asks the upstream to switch
MAX_KEPT_CLIENTS = 1024
MAX_KEPT_HOST_BYTES = 256
_StandingLines = dict[tuple[str, str, str, bytes], tuple[str, str]]


@dataclass(frozen=True, slots=True)
class HeaderPlan:
    """What becomes of the fields of the requests of one place."""

    host: Template
    standing: tuple[tuple[str, Template], ...]  # rendered once for all requests of a client to a host
    steady: tuple[tuple[str, Template], ...]  # rendered once for all requests with the same fields
    varying: tuple[tuple[str, Template], ...]  # rendered for each
    has_request_id: bool  # the field is the request's id and nothing else, as nearly always
    tracing: Tracing
    sets_authorization: bool
    dropped: DropRule
    dropped_with_authorization: DropRule
    standing_lines: _StandingLines = field(default_factory=dict, compare=False)  # a memory, see there


def make_header_plan(
    set_headers: Sequence[tuple[str, Template]] = (),
    dropped: Iterable[str] = (),
    tracing: Tracing = Tracing.CONTINUE,
) -> HeaderPlan:
    """The plan for a place's `proxy_set_header` lines, which replace the proxy's own fields of the same name.

    An empty value drops the field, as in nginx; an empty Host is the upstream's. `dropped` names more fields that must
    not pass.
    """
    chosen = {name.lower() for name, _ in set_headers}
    added = [pair for pair in OWN_FIELDS if pair[0].lower() not in chosen]
    added += [pair for pair in set_headers if not pair[1].is_empty or pair[0].lower() == "host"]
    own_id = OWN_FIELDS[-1]
    others = [pair for pair in added if pair is not own_id and pair[0].lower() != "host"]
    names = NEVER_FORWARDED | chosen | {name.lower() for name, _ in OWN_FIELDS} | {name.lower() for name in dropped}
    if chosen & TRACE_NAMES:
        tracing = Tracing.OFF  # what the file says counts
    if tracing is not Tracing.OFF:
        names |= TRACE_NAMES
    return HeaderPlan(
        host=next(template for name, template in reversed(added) if name.lower() == "host"),
        standing=tuple(pair for pair in others if pair[1].is_standing),
        steady=tuple(pair for pair in others if pair[1].is_steady and not pair[1].is_standing),
        varying=tuple(pair for pair in others if not pair[1].is_steady),
        has_request_id=own_id in added,
        tracing=tracing,
        sets_authorization="authorization" in chosen,
        dropped=make_drop_rule(names),
        dropped_with_authorization=make_drop_rule(names | {"authorization"}),
    )


def without_fields(plan: HeaderPlan, names: frozenset[str]) -> HeaderPlan:
    """The same plan, by which these of the client's fields do not pass either. Names in lower case."""
    rules = (drop_also(plan.dropped, names), drop_also(plan.dropped_with_authorization, names))
    return replace(plan, dropped=rules[0], dropped_with_authorization=rules[1])


def request_head(
    request: Request, target: str, upstream: str, plan: HeaderPlan, authorization: str | None, more: str = ""
) -> bytes:
    """The head for an upstream. ValueError for a field that can't be written.

    `upstream` is its `host:port`; `authorization` that of the `proxy_pass` URL, which replaces the client's; `more` are
    whole lines that follow.
    """
    steady = request.fields.derived
    if (
        type(steady) is not _Steady
        or steady.plan is not plan
        or steady.authorization != authorization
        or request.host != request.fields.host
    ):
        steady = _make_steady(request, upstream, plan, authorization)
    if steady.is_all:
        return f"{request.method} {target} HTTP/1.1\r\n{steady.lines}{request.id}\r\n{more}\r\n".encode("latin-1")
    facts = RequestFacts(request, upstream)
    lines = [] if steady.has_host else [_line("Host", plan.host.render(facts) or upstream)]
    lines.append(steady.lines)
    lines += [_line(name, template.render(facts)) for name, template in plan.varying]
    if steady.is_traced:
        fields = trace_fields(request.headers, getrandbits, begins=plan.tracing is Tracing.START)
        _, trace_id, span_id, _ = fields[0][1].split("-")
        request.trace = trace_id, span_id
        lines.append(serialize_fields(fields))
    if plan.has_request_id:
        lines.append(f"{REQUEST_ID_FIELD}: {request.id}\r\n")
    return f"{request.method} {target} HTTP/1.1\r\n{''.join(lines)}{more}\r\n".encode("latin-1")


class _Steady:
    """What one plan makes of the fields of a client, beside what varies."""

    __slots__ = ("authorization", "has_host", "is_all", "is_traced", "lines", "plan")

    def __init__(
        self, plan: HeaderPlan, authorization: str | None, lines: str, *, has_host: bool, is_traced: bool
    ) -> None:
        self.plan = plan
        self.authorization = authorization
        self.has_host = has_host  # RFC 9110 §7.2: it stands first
        self.is_traced = is_traced  # each request has a place of its own in its trace
        # Nothing but the id is to be added:
        self.is_all = has_host and plan.has_request_id and not plan.varying and not is_traced
        self.lines = f"{lines}{REQUEST_ID_FIELD}: " if self.is_all else lines


def _make_steady(request: Request, upstream: str, plan: HeaderPlan, authorization: str | None) -> _Steady:
    """Hop-by-hop fields and those that Connection names go first (RFC 9110 §7.6.1), so that no client can make the
    proxy drop a field of its own.
    """
    rule = plan.dropped if authorization is None else plan.dropped_with_authorization
    passed, host_line = without(request.field_lines, rule)
    host, standing = _standing_lines(request, host_line, plan, upstream)
    parts = [host, passed.decode("latin-1"), standing]
    if plan.steady or not plan.host.is_standing:
        facts = RequestFacts(request, upstream)
        parts += [_line(name, template.render(facts)) for name, template in plan.steady]
        if plan.host.is_steady and not plan.host.is_standing:
            host = parts[0] = _line("Host", plan.host.render(facts))
    if authorization is not None and not plan.sets_authorization:
        parts.append(_line("Authorization", authorization))
    is_traced = plan.tracing is Tracing.START or (
        plan.tracing is Tracing.CONTINUE and b"\ntraceparent:" in (b"\n" + request.field_lines).lower()
    )
    steady = _Steady(plan, authorization, "".join(parts), has_host=bool(host), is_traced=is_traced)
    if request.host == request.fields.host:  # else it came with the request-target
        request.fields.derived = steady
    return steady


def _standing_lines(request: Request, host_line: bytes, plan: HeaderPlan, upstream: str) -> tuple[str, str]:
    """The plan's Host line, where that is standing, and its other standing lines. Those of late are kept: a client's
    cookies change, what is to be said of the client itself does not.
    """
    key = request.remote_ip, request.scheme, request.host, host_line
    is_own_word = not is_spoken_for(request)  # else a hop may say something else the next time
    lines = plan.standing_lines.get(key) if is_own_word else None
    if lines is None:
        facts = RequestFacts(request, upstream)
        host = _line("Host", plan.host.render(facts)) if plan.host.is_standing else ""
        lines = host, "".join([_line(name, template.render(facts)) for name, template in plan.standing])
        if is_own_word and len(host_line) <= MAX_KEPT_HOST_BYTES:
            if len(plan.standing_lines) >= MAX_KEPT_CLIENTS:
                plan.standing_lines.clear()
            plan.standing_lines[key] = lines
    return lines


def _line(name: str, value: str) -> str:
    return serialize_field(name, value) if value else ""


def wants_tunnel(request: Request) -> bool:
    """Whether the client asks for a WebSocket. Any other upgrade is ignored (RFC 9110 §7.8), h2c above all:
    behind it a client could send requests that no rule sees.
    """
    return request.upgrade == TUNNEL_PROTOCOL and request.method == "GET" and not request.has_body
