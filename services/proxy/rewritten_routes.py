"""Routing with `rewrite` lines: those of the host, a location, those of the location, perhaps another location. Pure.

`routing` finds the location for a path, `path_rewriting` says what a path becomes; here is the order of things, which
is nginx's. A host without a `rewrite` anywhere needs none of this (`has_rewrites`).
"""

from dataclasses import dataclass, field

from services.proxy.config_values import HostConfig
from services.proxy.path_rewriting import MAX_SEARCHES, Rewritten, rewrite_path
from services.proxy.reply_fields import NO_FIELDS, ReplyFields
from services.proxy.routing import (
    Decision,
    Route,
    RouteTable,
    escape_path,
    normalize_path,
    upstream_target,
)
from services.proxy.templates import RequestFacts
from shared.httpcore.errors import HttpError
from shared.httpcore.message import Request


@dataclass(frozen=True, slots=True)
class Redirect:
    """The client is sent elsewhere, by a line that says `redirect` or `permanent`. `fields` are those of its block."""

    status: int
    location: str
    fields: ReplyFields = field(default=NO_FIELDS, compare=False)


@dataclass(frozen=True, slots=True)
class Routed:
    """Where a request goes. `target` is the request-target for the upstream."""

    decision: Decision
    target: str = ""


def has_rewrites(host: HostConfig) -> bool:
    """Whether a `rewrite` line stands anywhere in the host."""
    return bool(host.rewrites) or any(location.features.rewrites for location in host.locations)


def find_route(table: RouteTable, request: Request) -> Routed | Redirect:
    """The rule that takes the request once all lines have been heeded. BadPathError as `RouteTable.find`; HttpError 500
    when the lines send it round in circles.
    """
    facts = RequestFacts(request, "")
    path, query = normalize_path(request.raw_path), request.query
    found = table.find_host(request.host)
    fields = found[1].host.redirect_fields if found is not None else NO_FIELDS
    last = rewrite_path(path, query, found[1].host.rewrites, facts) if found is not None else None
    for _ in range(MAX_SEARCHES + 1):
        if last is not None:
            if last.redirect_status:
                return Redirect(last.redirect_status, last.redirect_location, fields)
            path, query = last.path, last.query
        decision = table.find_normal(request.host, path)
        if not isinstance(decision, Route):
            return Routed(decision)
        changed = rewrite_path(path, query, decision.location.features.rewrites, facts)
        if changed is None:
            return Routed(decision, _target(request, decision, last))
        if not changed.redirect_status and not changed.searches_again:  # nginx: then proxy_pass's path is not looked at
            return Routed(decision, changed.target)
        last, fields = changed, decision.location.features.reply_fields
    raise HttpError(500, "rewrite_loop", f"the rewrite lines sent the request round more than {MAX_SEARCHES} times")


def _target(request: Request, route: Route, last: Rewritten | None) -> str:
    if last is None:
        return upstream_target(request.target, request.query, route)
    if route.location.uri is None:
        return last.target
    rest = "" if route.location.is_exact else escape_path(last.path[len(route.location.prefix) :])
    path = route.location.uri + rest
    return f"{path}?{last.query}" if last.query else path
