"""`/_proxy/explain`: which rule takes a request, which upstreams it may go to, and which is next and why.

Asks `rewritten_routes`, `answers`, `upstreams` and `policies` what they would do with such a request, and changes
nothing. Limits and cache, which come before an upstream is asked, and a reply's fields are `explaining_intake`'s.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from services.proxy.answers import own_answer
from services.proxy.cache_work import CacheStore
from services.proxy.config_values import ForwardSettings, LocationConfig, RetryCause
from services.proxy.connection_limits import ConnectionLimits
from services.proxy.explaining_intake import (
    explain_cache,
    explain_fields,
    explain_limits,
    explain_own_fields,
    is_at_hand,
)
from services.proxy.features import WholeFileFeatures
from services.proxy.moments import Moment
from services.proxy.rewritten_routes import Redirect, find_route
from services.proxy.routing import BadPathError, NoRoute, Route, RouteTable, SlashRedirect
from services.proxy.standing import standing_of, why_not_in_use
from services.proxy.upstream_states import rank_of
from services.proxy.upstreams import Pool, Upstream
from shared.httpcore.errors import HttpError
from shared.httpcore.grammar import WRITABLE_NAME
from shared.httpcore.message import Request
from shared.httpcore.methods import IDEMPOTENT_METHODS
from shared.httpcore.serializing import REASONS

Json = dict[str, Any]
MAX_HEADERS = 50


@dataclass(frozen=True, slots=True)
class Question:
    """A request that was not made. `path` may have a query; `headers` are names and values."""

    host: str
    path: str
    method: str = "GET"
    client: str = "127.0.0.1"
    headers: tuple[tuple[str, str], ...] = ()
    scheme: str = "http"

    def to_request(self) -> Request:
        """The request as the proxy would have it."""
        lines = [("Host", self.host), *((name, value) for name, value in self.headers if name.lower() != "host")]
        request = Request(self.method, self.path, 1, "".join(f"{n}: {v}\r\n" for n, v in lines).encode("utf-8"))
        request.host, request.remote_ip, request.scheme = self.host, self.client, self.scheme
        if "upgrade" in request.headers.tokens("connection"):  # RFC 9110 §7.8: else Upgrade doesn't count
            request.fields.upgrade = (request.headers.get("upgrade") or "").lower()
        return request


@dataclass(frozen=True, slots=True)
class Known:
    """What is in force, and what answers are made from: the configuration, its pools, what the cache holds, and what is
    under way by the zones of `limit_conn`.
    """

    table: RouteTable
    pools: Mapping[str, Pool]
    whole: WholeFileFeatures
    store: CacheStore
    connections: ConnectionLimits


def parse_question(request: Request) -> Question:
    """What `?host=&path=&method=&client=&scheme=&header=Name: value` asks; the asker's own where nothing is said.

    HttpError 400 `bad_query` for what could be no request.
    """
    path = request.query_param("path") or "/"
    if not path.startswith("/") or not path.isascii() or not path.isprintable() or " " in path:
        raise _bad_query("path", path, "a path such as /a/b?c=d, percent-encoded")
    method = (request.query_param("method") or "GET").upper()
    if not WRITABLE_NAME.fullmatch(method):
        raise _bad_query("method", method, "a method such as GET")
    host = (request.query_param("host") or request.host).lower()
    if not host.isprintable() or " " in host:
        raise _bad_query("host", host, "a Host such as www.example.com")
    scheme = (request.query_param("scheme") or request.scheme).lower()
    if scheme not in ("http", "https"):
        raise _bad_query("scheme", scheme, "http or https")
    headers = [_parse_header(line) for line in request.query_params.get("header", ())[:MAX_HEADERS]]
    client = request.query_param("client") or request.remote_ip
    return Question(host, path, method, client, tuple(headers), scheme)


def _parse_header(line: str) -> tuple[str, str]:
    name, colon, value = line.partition(":")
    if not colon or not WRITABLE_NAME.fullmatch(name) or not value.isprintable():
        raise _bad_query("header", line, "Name: value")
    return name, value.strip()


def _bad_query(name: str, got: str, expected: str) -> HttpError:
    return HttpError(400, "bad_query", f"{name}: got {got[:100]!r}, expected {expected}")


def explain(known: Known, question: Question, now: Moment) -> Json:
    """What would become of the request. With `answer` the proxy answers it itself; else there are `limits` and `cache`
    (None where nothing is cached), and for when the upstream is asked `pool`, `candidates`, `left_out`, `chosen` and
    `why`. `rule` and `reply_fields` are there when one takes it.
    """
    told: Json = {"host": question.host, "path": question.path, "method": question.method, "client": question.client}
    request = question.to_request()
    try:
        routed = find_route(known.table, request)
    except BadPathError as error:
        return told | {"answer": {"status": 400, "code": "bad_path", "why": str(error)}}
    except HttpError as error:
        return told | {"answer": {"status": error.status, "code": error.code, "why": error.message}}
    if isinstance(routed, Redirect):
        return told | {
            "answer": {"status": routed.status, "location": routed.location, "why": "a rewrite line says so"}
        }
    decision = routed.decision
    if isinstance(decision, NoRoute):
        return told | {"answer": _refusal(decision)}
    if isinstance(decision, SlashRedirect):
        why = "a location has this path with a slash at its end"
        return told | {"answer": {"status": 301, "location": decision.location, "why": why}}
    told |= {"rule": _describe_rule(decision)}
    location = decision.location
    if (answer := _own_answer(request, decision)) is not None:
        fields = explain_own_fields(request, location.features.reply_fields, answer["status"])
        return told | {"answer": answer, "reply_fields": fields}
    return told | _explain_way(known, request, routed.target, location, now)


def _explain_way(known: Known, request: Request, target: str, location: LocationConfig, now: Moment) -> Json:
    """What becomes of a request that is forwarded, unless a limit or the cache is in the way."""
    cache = explain_cache(request, location.features, known.store, now.unix_s)
    zones = known.whole.rate_zones
    limits = explain_limits(request, location, zones, known.connections, is_at_hand=is_at_hand(cache))
    choice = explain_choice(known.pools[location.pool], request, now.steady_s)
    return {
        "limits": limits,
        "cache": cache,
        "upstream_target": target,
        **choice,
        "retries": _explain_retries(location.settings, request.method),
        "reply_fields": explain_fields(request, location.features.reply_fields, choice["chosen"] or ""),
    }


def _refusal(decision: NoRoute) -> Json:
    if decision.is_host_known:
        return {"status": 404, "code": "no_location", "why": "no location of this host takes the path"}
    return {"status": 421, "code": "misdirected_host", "why": "no host block has this name, and none is for the rest"}


def _describe_rule(route: Route) -> Json:
    return {
        "host": route.rule_name,
        "host_line": route.host.line,
        "location": route.location.prefix,
        "is_exact": route.location.is_exact,
        "location_line": route.location.line,
    }


def _own_answer(request: Request, route: Route) -> Json | None:
    """What the rule itself answers, by `return` or `deny`; None when the request is forwarded."""
    why = "the rule says return"
    try:
        answer = own_answer(request, route.location)
    except HttpError as error:
        denied = error.code == "address_denied"
        return {"status": error.status, "code": error.code, "why": error.message if denied else why}
    if answer is None:
        return None
    target = next((value for name, value in answer.headers if name.lower() == "location"), None)
    return {"status": answer.status, "location": target, "why": f"{why}: {REASONS.get(answer.status, 'own status')}"}


def explain_choice(pool: Pool, request: Request, now: float) -> Json:
    """Who of the pool may be chosen, who may not and why, and who would be now."""
    candidates = pool.candidates()
    chosen, why = _foresee(pool, request, now)
    return {
        "pool": pool.name,
        "policy": pool.config.policy.value,
        "candidates": [candidate.name for candidate in candidates],
        "left_out": list(_left_out(pool, candidates, now)),
        "chosen": chosen.name if chosen is not None else None,
        "why": why,
        "waiting": len(pool.queue),
    }


def _foresee(pool: Pool, request: Request, now: float) -> tuple[Upstream | None, str]:
    """Who would be chosen, and why; None with the reason why nobody would."""
    foreseen = pool.foresee(request)
    if foreseen is None:
        return None, _why_nobody(pool)
    chosen, why = foreseen
    problem = why_not_in_use(chosen, now)
    if problem is None:
        return chosen, why
    though = "" if standing_of(chosen, now) == "trial" else "nobody fitter is there, although "
    return chosen, f"{why}; {though}{problem}"


def _why_nobody(pool: Pool) -> str:
    if not pool.is_full():
        return "there is no upstream"
    queue = pool.queue
    has_room = queue.config is not None and len(queue) < queue.config.size
    return "all upstreams are full: it would " + ("wait for a place" if has_room else "get a 503, for nobody may wait")


def _left_out(pool: Pool, candidates: Iterable[Upstream], now: float) -> Iterable[Json]:
    for upstream in pool.upstreams:
        if upstream not in candidates:
            yield {
                "upstream": upstream.name,
                "state": standing_of(upstream, now),
                "rank": rank_of(upstream).name.lower(),
                "why": why_not_in_use(upstream, now) or "others are fitter",
            }


def _explain_retries(settings: ForwardSettings, method: str) -> Json:
    return {"on": sorted(cause.value for cause in settings.retry_on), "why": _why_retried(settings, method)}


def _why_retried(settings: ForwardSettings, method: str) -> str:
    if not settings.retry_on:
        return "proxy_next_upstream is off: only a stale pooled connection is replaced"
    if method in IDEMPOTENT_METHODS or RetryCause.NON_IDEMPOTENT in settings.retry_on:
        return f"{method} may be sent again until a reply has begun"
    return f"{method} is not idempotent: it is sent again only where it can't have arrived"
