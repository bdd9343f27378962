"""The handlers of `/_proxy/…`: status, metrics, events, explain, reload, and the page that shows all that.

Thin: values come from `admin` and `explaining`, the stream of events is `live`'s, reloading `reloading`'s. Who may
come in is decided before (`handlers.OwnPaths`).
"""

import os
import platform
import time
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from services.proxy.access import Visitor
from services.proxy.admin import describe_host, describe_pool, find_problems
from services.proxy.events import EventFeed
from services.proxy.exchanges import ExchangeTable
from services.proxy.explaining import Known, explain, parse_question
from services.proxy.gateway import Gateway
from services.proxy.handlers import OwnPaths
from services.proxy.intake import Intake
from services.proxy.live import serve_events
from services.proxy.moments import Moment
from services.proxy.proxy_metrics import ProxyMetrics
from services.proxy.reloading import Refused, Reloaded, Reloader
from services.proxy.upstreams import Pool
from shared.httpcore.errors import HttpError
from shared.httpcore.message import Request, Response
from shared.httpcore.static import StaticFiles
from shared.runtime.lifecycle import Lifecycle
from shared.runtime.metrics import CONTENT_TYPE
from shared.runtime.proofs import ALL_PEERS
from shared.runtime.version import VERSION

PAGE_DIR = Path(__file__).parent / "page"
EVENTS_SHOWN = 20
_NO_STORE = [("Cache-Control", "no-store")]
# Everything comes from the proxy itself; what the page shows came from files, names and clients, so nothing inline.
_PAGE_FIELDS = [
    ("Cache-Control", "private, no-cache"),
    ("Referrer-Policy", "same-origin"),
    ("X-Content-Type-Options", "nosniff"),
    ("X-Frame-Options", "DENY"),
    (
        "Content-Security-Policy",
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; "
        "form-action 'none'; base-uri 'none'; frame-ancestors 'none'",
    ),
]


@dataclass(frozen=True, slots=True)
class Parts:
    """What the console shows, and `reload`, which it can have done."""

    gateway: Gateway
    exchanges: ExchangeTable
    metrics: ProxyMetrics
    feed: EventFeed
    reloader: Reloader
    pools: Callable[[], Iterable[Pool]]
    intake: Intake
    peers: Callable[[], dict[str, str]]
    reload: Callable[[], Awaitable[tuple[Reloaded | Refused, str | None]]]


class Console:
    """The proxy's own pages. `keyed`: visitors have sessions."""

    def __init__(self, parts: Parts, lifecycle: Lifecycle, *, keyed: bool) -> None:
        self._parts = parts
        self._lifecycle = lifecycle
        self._keyed = keyed
        self._files = StaticFiles(PAGE_DIR)
        self._started_at = time.time()

    def add_to(self, own: OwnPaths) -> None:
        """The paths below `/_proxy` are served; those that are not there are nobody else's."""
        own.add_page("/_proxy", lambda _, __: Response.redirect("/_proxy/", 308))
        own.add_page("/_proxy/", self._page_handler("index.html"))
        for name in self._files.names():
            own.add_page(f"/_proxy/page/{name}", self._page_handler(name))
        own.add_page("/_proxy/status", self._handle_status)
        own.add_page("/_proxy/explain", self._handle_explain)
        own.add_page("/_proxy/metrics", self._handle_metrics)
        own.add_page("/_proxy/events", self._handle_events)
        own.add_action("/_proxy/reload", self._handle_reload)
        own.reserve("/_proxy")

    def _page_handler(self, name: str) -> Callable[[Request, Visitor], Response]:
        def handle_file(request: Request, _: Visitor) -> Response:
            response = self._files.serve(request, name)
            for field, value in _PAGE_FIELDS:
                response.set_header(field, value)
            return response

        return handle_file

    def _handle_status(self, request: Request, visitor: Visitor) -> Response:
        """With `?config=LOADED_AT` of the configuration in force, `hosts` is null: a page asks often, and may have
        hundreds of them already.
        """
        told = self.describe(visitor)
        if request.query_param("config") == str(told["config"]["loaded_at"]):
            told["hosts"] = None
        else:
            told["hosts"] = [describe_host(host) for host in self._parts.gateway.config.hosts]
        return Response.json(told, headers=_NO_STORE)

    def describe(self, visitor: Visitor) -> dict[str, Any]:
        """What is known of the proxy now but its hosts, as it is told to this visitor."""
        parts, reloader = self._parts, self._parts.reloader
        now, pools = time.monotonic(), list(self._parts.pools())
        return {
            "version": VERSION,
            "python": platform.python_version(),
            "pid": os.getpid(),
            "started_at": round(self._started_at, 3),
            "now": round(time.time(), 3),
            "uptime_s": round(time.time() - self._started_at, 3),
            "draining": self._lifecycle.is_draining,
            "keyed": self._keyed,
            "user": visitor.user.name if visitor.user is not None else None,
            "may_reload": may_reload(visitor),
            "config": {
                "file": str(reloader.path),
                "version": reloader.version,
                "loaded_at": round(reloader.loaded_at, 3),
                "warnings": list(reloader.warnings),
                "refused": list(reloader.refused.mistakes) if reloader.refused is not None else None,
            },
            "connections": self._lifecycle.connection_count,
            "in_flight": len(parts.exchanges),
            "problems": find_problems(pools, now),
            "pools": [describe_pool(pool, parts.metrics, now) for pool in pools],
            "cache": describe_cache(parts.intake),
            "limits": describe_limits(parts.intake),
            "peers": parts.peers(),
            "last_event": parts.feed.last_seq,
            "events": parts.feed.recent()[-EVENTS_SHOWN:],
        }

    def _handle_explain(self, request: Request, _: Visitor) -> Response:
        gateway, intake = self._parts.gateway, self._parts.intake
        known = Known(gateway.table, gateway.pools, gateway.config.features, intake.store, intake.connections)
        told = explain(known, parse_question(request), Moment(time.monotonic(), time.time()))
        return Response.json(told, headers=_NO_STORE)

    def _handle_metrics(self, _: Request, __: Visitor) -> Response:
        return Response(200, self._lifecycle.metrics.render().encode("utf-8"), CONTENT_TYPE, _NO_STORE)

    def _handle_events(self, request: Request, _: Visitor) -> Response:
        return serve_events(request, self._parts.feed)

    async def _handle_reload(self, _: Request, visitor: Visitor) -> Response:
        """200 with what is different now, or 422 with every mistake; then nothing has changed."""
        if not may_reload(visitor):
            raise HttpError(403, "admin_only", "only a user with all peers (*) may have the configuration read again")
        outcome, certificate_problem = await self._parts.reload()
        if isinstance(outcome, Refused):
            return Response.json(_refusal(outcome), 422, _NO_STORE)
        told = {
            "reloaded": True,
            "file": str(self._parts.reloader.path),
            "version": outcome.version,
            "changes": outcome.changes,
            "warnings": list(outcome.warnings),
            "certificate_problem": certificate_problem,
        }
        return Response.json(told, headers=_NO_STORE)


def describe_cache(intake: Intake) -> dict[str, Any]:
    """What the cache holds now, and how often it said what since the start."""
    replies = intake.store.replies
    return {
        "replies": len(replies),
        "bytes": replies.size,
        "max_bytes": replies.max_bytes,
        "refreshing": intake.store.refreshing,
        "verdicts": {verdict.value: count for verdict, count in intake.verdicts.items()},
    }


def describe_limits(intake: Intake) -> dict[str, Any]:
    """What limits by rate did since the start, and the zones of those by number, with what is under way there."""
    zones = [
        {
            "zone": zone.config.name,
            "keys": len(zone.counts),
            "max_keys": zone.config.max_keys,
            "in_flight": zone.in_flight,
            "refused": zone.refused,
        }
        for zone in intake.connections.zones
    ]
    return {"delayed": intake.delayed_count, "refused": intake.refused_count, "at_once": zones}


def may_reload(visitor: Visitor) -> bool:
    """Whether the visitor runs this installation: users who may use every peer, and everybody on a keyless proxy."""
    return visitor.user is None or ALL_PEERS in visitor.user.peers


def _refusal(refused: Refused) -> dict[str, Any]:
    count = len(refused.mistakes)
    message = f"the file has {count} mistake{'s' * (count != 1)}; the configuration stays as it was"
    return {"error": {"code": "bad_config", "message": message, "mistakes": list(refused.mistakes)}}
