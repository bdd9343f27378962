"""Builds the proxy from its parts and says when they act: configuration, reload on SIGHUP, the tracker's
watch, drain.

Read `handlers` next for what a request does, then `forward`, the story of one request.
"""

import asyncio
import logging
import time

from services.proxy.access import Access, Sessions, Visitor
from services.proxy.admin import describe_host, describe_pool, explain
from services.proxy.config_file import ConfigError, load_config
from services.proxy.events import EventFeed
from services.proxy.exchanges import ExchangeTable
from services.proxy.failures import render_error
from services.proxy.forward import Forwarder
from services.proxy.gateway import Gateway
from services.proxy.handlers import OwnPaths, SiteHandler
from services.proxy.live import serve_events
from services.proxy.mesh import Mesh, MeshKeys
from services.proxy.proxy_metrics import ProxyMetrics
from services.proxy.settings import Settings
from services.proxy.tls_port import TlsPort
from services.proxy.upstreams import Pool, PoolEvent, Publish
from shared.httpcore.errors import HttpError
from shared.httpcore.message import Request, Response
from shared.httpcore.net.pool import ConnectionPool
from shared.httpcore.routing import Router
from shared.runtime.errors import StartupError
from shared.runtime.guard import Guard
from shared.runtime.keys import load_key
from shared.runtime.lifecycle import Lifecycle
from shared.runtime.metrics import CONTENT_TYPE
from shared.runtime.users_file import UsersFile

HEALTH_PATH = "/_proxy/healthz"
OPEN_WARNING = "no --keys-dir: /_proxy, /tracker and /peers are open to every program of this machine, and to no other"
IDLE_CONNECTION_S = 30.0
FIRST_WATCH_S = 1.0

_log = logging.getLogger("weaprous.proxy")


async def build(settings: Settings, lifecycle: Lifecycle) -> Router:
    """The proxy, ready to serve. StartupError for a configuration or key that can't be used."""
    proxy = Proxy(settings, lifecycle)
    await proxy.start()
    lifecycle.observer.quiet_paths.add(HEALTH_PATH)
    lifecycle.open_warning = OPEN_WARNING
    router = proxy.make_router()
    proxy.tls_port.start(router)
    return router


class Proxy:
    """The parts of one running proxy."""

    def __init__(self, settings: Settings, lifecycle: Lifecycle) -> None:
        self._settings = settings
        self._lifecycle = lifecycle
        self.tls_port = TlsPort(settings, lifecycle)
        self._started_at = time.time()
        self._loaded_at = self._started_at
        self._reloading = asyncio.Lock()
        self._feed = EventFeed(time.time)
        self._connections = ConnectionPool(idle_s=IDLE_CONNECTION_S)
        self._exchanges = ExchangeTable(self._connections)
        self._metrics = ProxyMetrics(lifecycle.metrics, self.pools)
        self._forwarder = Forwarder(self._exchanges, self._metrics)
        self._gateway = Gateway(self._exchanges, self._tell, sticky_key=_sticky_key(settings))
        self._sessions = _load_sessions(settings)
        self._mesh = _make_mesh(settings, self._gateway.on_event)

    def pools(self) -> list[Pool]:
        """Every pool there is: those of the configuration, the tracker's, the peers'."""
        return [*self._gateway.pools.values(), *(self._mesh.pools if self._mesh else ())]

    async def start(self) -> None:
        """Upstreams are known, as far as they can be; tasks run until the lifecycle ends them."""
        self._lifecycle.on_hangup(self._on_hangup)
        async with self._reloading:
            try:
                config = await asyncio.to_thread(load_config, self._settings.config)
            except ConfigError as error:
                raise StartupError("\n".join(error.lines())) from None
            await self._gateway.apply(config)
        if self._mesh is not None:
            self._lifecycle.start_task(self._mesh.watch(self._gateway.annotate), "watch the tracker")
            await self._mesh.wait_first(FIRST_WATCH_S)
        self._lifecycle.on_drain(self._drain)
        self._lifecycle.on_stop(self._stop)

    def make_router(self) -> Router:
        """The proxy's own paths, and the rules for everything else."""
        router = Router()
        router.set_error_page(render_error)
        router.add("GET", HEALTH_PATH, self._handle_health)
        guard = Guard(self._sessions is not None, self._settings.cors_origin, frozenset({self._settings.server_ip}))
        own = OwnPaths(router, Access(self._sessions, guard))
        own.add_page("/_proxy/status", self._handle_status)
        own.add_page("/_proxy/explain", self._handle_explain)
        own.add_page("/_proxy/metrics", self._handle_metrics)
        own.add_page("/_proxy/events", self._handle_events)
        own.reserve("/_proxy")
        if self._mesh is not None:
            own.add_mesh(self._mesh, self._forwarder)
        SiteHandler(self._gateway, self._forwarder).add_to(router)
        return router

    # --- reload and end ----------------------------------------------------------------------------------------

    def _on_hangup(self) -> None:
        self._lifecycle.start_task(self._reload(), "reload")
        self._lifecycle.start_task(self.tls_port.reload(), "reload certificates")

    async def _reload(self) -> None:
        """The file is read again; one with mistakes changes nothing."""
        async with self._reloading:
            path = self._settings.config
            try:
                config = await asyncio.to_thread(load_config, path)
            except ConfigError as error:
                for line in error.lines():
                    _log.error("the configuration stays as it was: %s", line)
                self._metrics.reloads.labels("refused").inc()
                self._feed.publish("reload_refused", file=str(path), mistakes=error.lines())
                return
            await self._gateway.apply(config)
            self._loaded_at = time.time()
            self._metrics.reloads.labels("done").inc()
            _log.info("configuration read again", extra={"file": str(path), "hosts": len(config.hosts)})
            self._feed.publish("reloaded", file=str(path))

    async def _drain(self) -> None:
        self._feed.publish("draining")
        self._feed.close()

    async def _stop(self) -> None:
        await self._gateway.close()
        await self._connections.aclose()

    def _tell(self, event: PoolEvent) -> None:
        """Everything that happens to an upstream passes here."""
        level = logging.WARNING if event.kind == "down" else logging.INFO
        names = {"pool": event.pool.name, "upstream": event.upstream.name, "reason": event.reason}
        _log.log(level, "upstream %s", event.kind, extra=names)
        self._metrics.count_event(event)
        self._feed.publish(event.kind, **names)

    # --- the proxy's own paths ---------------------------------------------------------------------------------

    def _handle_health(self, _: Request) -> Response:
        no_store = [("Cache-Control", "no-store")]
        if self._lifecycle.is_draining:
            return Response.text("draining", 503, no_store)
        return Response.text("ok", 200, no_store)

    def _handle_status(self, _: Request, __: Visitor) -> Response:
        now = time.monotonic()
        status = {
            "uptime_s": round(time.time() - self._started_at, 3),
            "draining": self._lifecycle.is_draining,
            "keyed": self._sessions is not None,
            "config": {"file": str(self._settings.config), "loaded_at": round(self._loaded_at, 3)},
            "connections": self._lifecycle.connection_count,
            "in_flight": len(self._exchanges),
            "hosts": [describe_host(host) for host in self._gateway.config.hosts],
            "pools": [describe_pool(pool, now) for pool in self.pools()],
            "peers": {peer_id: str(at) for peer_id, at in self._mesh.peer_addresses.items()} if self._mesh else {},
            "events": self._feed.recent(),
        }
        return Response.json(status, headers=[("Cache-Control", "no-store")])

    def _handle_explain(self, request: Request, _: Visitor) -> Response:
        host, path = request.query_param("host", request.host), request.query_param("path", "/")
        if not path or not path.startswith("/") or not path.isascii() or host is None:
            raise HttpError(400, "bad_query", "expected ?host=NAME&path=/a/path")
        return Response.json(explain(self._gateway.table, self._gateway.pools, host, path))

    def _handle_metrics(self, _: Request, __: Visitor) -> Response:
        return Response(200, self._lifecycle.metrics.render().encode("utf-8"), CONTENT_TYPE)

    def _handle_events(self, request: Request, _: Visitor) -> Response:
        return serve_events(request, self._feed)


def _load_sessions(settings: Settings) -> Sessions | None:
    """What verifies sessions; None when keyless. StartupError for a key or users file that can't be used."""
    if settings.keys_dir is None or settings.users_file is None:
        return None
    return Sessions(load_key(settings.keys_dir, "session"), UsersFile(settings.users_file), time.time)


def _sticky_key(settings: Settings) -> bytes | None:
    """What signs the cookies of sticky pools; None when keyless: then they last as long as this process."""
    return None if settings.keys_dir is None else load_key(settings.keys_dir, "session")


def _make_mesh(settings: Settings, tell: Publish) -> Mesh | None:
    if settings.tracker is None:
        return None
    keys = None
    if settings.keys_dir is not None:
        keys = MeshKeys(load_key(settings.keys_dir, "tracker"), load_key(settings.keys_dir, "p2p"))
    return Mesh(settings.tracker, keys, tell)
