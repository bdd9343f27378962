"""Texts with variables (`$remote_addr`), as `proxy_set_header` takes them: parsed once, rendered each
request.

Owns the list of variables and their meaning, which is nginx's where nginx has the variable. No sockets.
"""

import re
from collections.abc import Callable
from dataclasses import dataclass

from services.proxy.field_lines import field_values
from services.proxy.forwarding_fields import client_view
from shared.httpcore.grammar import make_field_finder
from shared.httpcore.message import Request


@dataclass(frozen=True, slots=True)
class RequestFacts:
    """What variables are rendered from: the client's request, and the `host:port` of its upstream."""

    request: Request
    upstream: str


class TemplateError(ValueError):
    """The text holds a `$` that begins no known variable. `instead`: what to write, "" where nobody knows."""

    def __init__(self, message: str, instead: str = "") -> None:
        super().__init__(message)
        self.instead = instead


Render = Callable[[RequestFacts], str]


def _host(facts: RequestFacts) -> str:
    return host_name(facts.request.host)


def host_name(host: str) -> str:
    """A Host value without its port; an IPv6 address keeps its brackets."""
    if host.endswith("]"):
        return host
    name, colon, port = host.rpartition(":")
    return name if colon and (port.isdigit() or not port) else host


_HOST_FIELD = make_field_finder(["host"])


def _http_host(facts: RequestFacts) -> str:
    """RFC 9112 §3.2.2: who forwards an absolute-form target makes Host from it. Where there is a field as well, it says
    the same (see `parsing`), so only HTTP/1.0 has a target alone.
    """
    return ", ".join(field_values(facts.request.field_lines, _HOST_FIELD)) or facts.request.host


def _proxy_add_x_forwarded_for(facts: RequestFacts) -> str:
    earlier = facts.request.headers.get_all("x-forwarded-for")
    return ", ".join([*earlier, client_view(facts.request).peer_ip])


def _forwarding(field_name: str) -> Render:
    """What a field of `forwarding_fields` holds."""
    return lambda facts: client_view(facts.request).by_name[field_name]


def _argument(query: str, prefix: str) -> str:
    """As it was sent: decoded it could hold a line end."""
    for part in query.split("&"):
        if part.startswith(prefix):
            return part[len(prefix) :]
    return ""


def _uri(facts: RequestFacts) -> str:
    return facts.request.raw_path


VARIABLES: dict[str, Render] = {
    "host": _host,
    "http_host": _http_host,
    "remote_addr": lambda facts: facts.request.remote_ip,
    "realip_remote_addr": lambda facts: client_view(facts.request).peer_ip,
    "forwarded": _forwarding("Forwarded"),
    "forwarded_for": _forwarding("X-Forwarded-For"),
    "forwarded_host": _forwarding("X-Forwarded-Host"),
    "forwarded_port": _forwarding("X-Forwarded-Port"),
    "forwarded_proto": _forwarding("X-Forwarded-Proto"),
    "remote_port": lambda facts: str(facts.request.remote_port),
    "proxy_add_x_forwarded_for": _proxy_add_x_forwarded_for,
    "proxy_host": lambda facts: facts.upstream,
    "scheme": lambda facts: facts.request.scheme,
    "request_id": lambda facts: facts.request.id,
    "request_method": lambda facts: facts.request.method,
    "request_uri": lambda facts: facts.request.target,
    "uri": _uri,
    "args": lambda facts: facts.request.query,
}
# What stays the same for as long as a client repeats its fields; all others are rendered for each request.
FORWARDED = ("forwarded", "forwarded_for", "forwarded_host", "forwarded_port", "forwarded_proto")
STEADY = frozenset({"remote_port", "proxy_add_x_forwarded_for"})
# And of these, what stays the same for one client at one host, whatever other fields it sends, unless a trusted hop
# speaks for it.
STANDING = frozenset({"host", "http_host", "remote_addr", "realip_remote_addr", "scheme", *FORWARDED})
STEADY |= STANDING
STEADY_PREFIXES = ("http_", "cookie_")
# Families: `$http_user_agent` is the field User-Agent, `$cookie_theme` the cookie `theme`, `$arg_q` what follows `q=`
# in the query.
PREFIXES = (*STEADY_PREFIXES, "arg_")

# Variables of nginx that people try, and what there is in their place.
ELSEWHERE = {
    "upstream_cache_status": "every reply that the cache had a part in says so in Cache-Status",
    "upstream_addr": "the upstream is $proxy_host, and stands in the access log",
    "host_header": "write $http_host",
    "server_name": "write $host",
    "binary_remote_addr": "write $remote_addr",
    "proxy_protocol_addr": "write $remote_addr, which is what the PROXY header says",
    "document_uri": "write $uri",
    "query_string": "write $args",
    "request": "write $request_method and $request_uri",
    "is_args": "write $request_uri, or $uri and $args",
}

_PART = re.compile(
    r"\$(?:\{(?P<braced>[A-Za-z0-9_]+)\}|(?P<bare>[A-Za-z0-9_]+))|(?P<stray>\$)|(?P<text>[^$]+)", re.DOTALL
)


@dataclass(frozen=True, slots=True)
class Template:
    """A text whose variables were found; `source` is what was written.

    `is_steady`: two requests of one connection with the same fields give the same text. `is_standing`: so do all that
    have the same address, scheme and Host field.
    """

    source: str
    parts: tuple[str | Render, ...]
    is_steady: bool = True
    is_standing: bool = True

    @property
    def is_empty(self) -> bool:
        """Whether nothing was written, by which nginx means: do not send the field."""
        return not self.parts

    @property
    def is_constant(self) -> bool:
        """Whether it is the same for every request."""
        return all(isinstance(part, str) for part in self.parts)

    def render(self, facts: RequestFacts) -> str:
        """The text with each variable's value in its place."""
        parts = self.parts
        if len(parts) == 1:  # nearly always
            return parts[0] if isinstance(parts[0], str) else parts[0](facts)
        return "".join([part if isinstance(part, str) else part(facts) for part in parts])


def parse_template(text: str) -> Template:
    """The template that `text` spells. TemplateError for an unknown variable and a lone `$`."""
    parts: list[str | Render] = []
    is_steady = is_standing = True
    for match in _PART.finditer(text):
        if match["stray"]:
            raise TemplateError("got a '$' that begins no variable's name")
        name = match["braced"] or match["bare"]
        parts.append(_variable(name) if name else match["text"])
        is_steady = is_steady and (not name or name in STEADY or name.startswith(STEADY_PREFIXES))
        is_standing = is_standing and (not name or name in STANDING)
    return Template(text, tuple(parts), is_steady, is_standing)


def _variable(name: str) -> Render:
    if (render := VARIABLES.get(name)) is not None:
        return render
    if name.startswith("http_") and len(name) > 5:
        finder = make_field_finder([name[5:].replace("_", "-")])
        return lambda facts: ", ".join(field_values(facts.request.field_lines, finder))
    if name.startswith("cookie_") and len(name) > 7:
        cookie_name = name[7:]
        return lambda facts: facts.request.cookies.get(cookie_name, "")
    if name.startswith("arg_") and len(name) > 4:
        prefix = name[4:] + "="
        return lambda facts: _argument(facts.request.query, prefix)
    raise TemplateError(f"there is no variable ${name}", ELSEWHERE.get(name, ""))
