"""`/_proxy/explain`: which rule takes a request, which upstreams it may go to, and which is next and why.

Asks `routing`, `upstreams` and `policies` what they would do, and changes nothing: the policy that looks ahead is a
copy, so that asking takes nobody's turn.
"""

import copy
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from services.proxy.config_values import ForwardSettings, RetryCause
from services.proxy.routing import BadPathError, NoRoute, Route, RouteTable, SlashRedirect, upstream_target
from services.proxy.standing import is_in_use, standing_of, why_not_in_use
from services.proxy.upstreams import Pool, Upstream, rank_of
from shared.httpcore.errors import HttpError
from shared.httpcore.grammar import WRITABLE_NAME
from shared.httpcore.message import Request
from shared.httpcore.methods import IDEMPOTENT_METHODS

Json = dict[str, Any]
MAX_HEADERS = 50


@dataclass(frozen=True, slots=True)
class Question:
    """A request that was not made. `path` may have a query; `headers` are names in lower case and values."""

    host: str
    path: str
    method: str = "GET"
    client: str = "127.0.0.1"
    headers: tuple[tuple[str, str], ...] = ()


def parse_question(request: Request) -> Question:
    """What `?host=&path=&method=&client=&header=Name: value` asks; the asker's own where nothing is said.

    HttpError 400 `bad_query` for what could be no request.
    """
    path = request.query_param("path") or "/"
    if not path.startswith("/") or not path.isascii() or not path.isprintable() or " " in path:
        raise _bad_query("path", path, "a path such as /a/b?c=d, percent-encoded")
    method = (request.query_param("method") or "GET").upper()
    if not WRITABLE_NAME.fullmatch(method):
        raise _bad_query("method", method, "a method such as GET")
    headers = [_parse_header(line) for line in request.query_params.get("header", ())[:MAX_HEADERS]]
    host = request.query_param("host") or request.host
    return Question(host.lower(), path, method, request.query_param("client") or request.remote_ip, tuple(headers))


def _parse_header(line: str) -> tuple[str, str]:
    name, colon, value = line.partition(":")
    if not colon or not WRITABLE_NAME.fullmatch(name) or not value.isprintable():
        raise _bad_query("header", line, "Name: value")
    return name.lower(), value.strip()


def _bad_query(name: str, got: str, expected: str) -> HttpError:
    return HttpError(400, "bad_query", f"{name}: got {got[:100]!r}, expected {expected}")


def explain(table: RouteTable, pools: Mapping[str, Pool], question: Question) -> Json:
    """What would become of the request. With `answer` the proxy answers it itself; else there are `rule`, `pool`,
    `candidates`, `left_out`, `chosen` and `why`.
    """
    told: Json = {"host": question.host, "path": question.path, "method": question.method, "client": question.client}
    raw_path, _, query = question.path.partition("?")
    try:
        decision = table.find(question.host, raw_path)
    except BadPathError as error:
        return told | {"answer": {"status": 400, "code": "bad_path", "why": str(error)}}
    if isinstance(decision, NoRoute):
        return told | {"answer": _refusal(decision)}
    if isinstance(decision, SlashRedirect):
        why = "a location has this path with a slash at its end"
        return told | {"answer": {"status": 301, "location": decision.location, "why": why}}
    told |= {"rule": _describe_rule(decision), "upstream_target": upstream_target(question.path, query, decision)}
    return told | explain_choice(pools[decision.location.pool]) | _explain_retries(decision, question)


def _refusal(decision: NoRoute) -> Json:
    if decision.is_host_known:
        return {"status": 404, "code": "no_location", "why": "no location of this host takes the path"}
    return {"status": 421, "code": "misdirected_host", "why": "no host block has this name, and none is for the rest"}


def _describe_rule(route: Route) -> Json:
    location = route.location
    return {
        "host": route.rule_name,
        "host_line": route.host.line,
        "location": location.prefix,
        "is_exact": location.is_exact,
        "location_line": location.line,
    }


def explain_choice(pool: Pool) -> Json:
    """Who of the pool may be chosen, who may not and why, and who would be now."""
    candidates = pool.candidates()
    chosen = copy.copy(pool.policy).choose(candidates) if candidates else None
    return {
        "pool": pool.name,
        "policy": pool.config.policy.value,
        "candidates": [candidate.name for candidate in candidates],
        "left_out": list(_left_out(pool, candidates)),
        "chosen": chosen.name if chosen is not None else None,
        "why": _why_chosen(pool, chosen),
    }


def _left_out(pool: Pool, candidates: Iterable[Upstream]) -> Iterable[Json]:
    for upstream in pool.upstreams:
        if upstream not in candidates:
            yield {
                "upstream": upstream.name,
                "state": standing_of(upstream),
                "rank": rank_of(upstream).name.lower(),
                "why": why_not_in_use(upstream) or "others are fitter",
            }


def _why_chosen(pool: Pool, chosen: Upstream | None) -> str:
    if chosen is None:
        return "there is no upstream"
    why = pool.policy.reason
    if is_in_use(chosen):
        return why
    return f"{why}; nobody fitter is there, although {why_not_in_use(chosen)}"


def _explain_retries(route: Route, question: Question) -> Json:
    settings = route.location.settings
    return {
        "retries": {"on": sorted(cause.value for cause in settings.retry_on), "why": _why_retried(settings, question)}
    }


def _why_retried(settings: ForwardSettings, question: Question) -> str:
    if not settings.retry_on:
        return "proxy_next_upstream is off: only a stale pooled connection is replaced"
    if question.method in IDEMPOTENT_METHODS or RetryCause.NON_IDEMPOTENT in settings.retry_on:
        return f"{question.method} may be sent again until a reply has begun"
    return f"{question.method} is not idempotent: it is sent again only where it can't have arrived"
