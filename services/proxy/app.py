"""Builds the proxy from its parts and says when they act: configuration, reload on SIGHUP, the tracker's
watch, drain.

Read `handlers` next for what a request does, then `forward`, the story of one request.
"""

import logging
import ssl
import time

from services.proxy.access import Access, Sessions
from services.proxy.config_values import ProxyConfig
from services.proxy.console import Console, Parts
from services.proxy.events import EventFeed
from services.proxy.exchanges import ExchangeTable
from services.proxy.exposition import expose_intake
from services.proxy.failures import render_error
from services.proxy.forward import Forwarder
from services.proxy.gateway import Gateway
from services.proxy.handlers import OwnPaths, SiteHandler
from services.proxy.intake import Intake
from services.proxy.mesh import Mesh, MeshKeys
from services.proxy.pool_events import PoolEvent, Publish
from services.proxy.proxy_metrics import ProxyMetrics
from services.proxy.reloading import Refused, Reloaded, Reloader
from services.proxy.settings import Settings
from services.proxy.tls_port import TlsPort
from services.proxy.upstreams import Pool
from shared.httpcore.message import Request, Response
from shared.httpcore.routing import Router
from shared.runtime.guard import Guard
from shared.runtime.keys import load_key
from shared.runtime.lifecycle import Lifecycle
from shared.runtime.tracker_tls import load_tracker_tls
from shared.runtime.users_file import UsersFile

HEALTH_PATH = "/_proxy/healthz"
OPEN_WARNING = "no --keys-dir: /_proxy, /tracker and /peers are open to every program of this machine, and to no other"
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
        self._feed = EventFeed(time.time)
        tracker_tls = load_tracker_tls(settings.tracker_ca)
        self._exchanges = ExchangeTable(tls=tracker_tls)
        self._metrics = ProxyMetrics(lifecycle.metrics, self.pools)
        self._forwarder = Forwarder(self._exchanges, self._metrics)
        self._gateway = Gateway(self._exchanges, self._tell, sticky_key=_sticky_key(settings))
        self._intake = Intake()
        expose_intake(lifecycle.metrics, self._intake)
        self._reloader = Reloader(settings.config, self._take_over, self._gateway, self._metrics, self._feed)
        self._sessions = _load_sessions(settings)
        self._mesh = _make_mesh(settings, self._gateway.on_event, tracker_tls)

    def pools(self) -> list[Pool]:
        """Every pool there is: those of the configuration, the tracker's, the peers'."""
        return [*self._gateway.pools.values(), *(self._mesh.pools if self._mesh else ())]

    async def start(self) -> None:
        """Upstreams are known, as far as they can be; tasks run until the lifecycle ends them."""
        self._lifecycle.expects_proxy_header = self._intake.expects_proxy_header
        self._lifecycle.on_hangup(self._on_hangup)
        await self._reloader.load_first()
        if self._mesh is not None:
            self._gateway.heard_at = self._mesh.heard_at
            self._lifecycle.start_task(self._mesh.watch(self._gateway.annotate), "watch the tracker")
            await self._mesh.wait_first(FIRST_WATCH_S)
        self._lifecycle.on_drain(self._drain)
        self._lifecycle.on_stop(self._stop)

    def make_router(self) -> Router:
        """The proxy's own paths, and the rules for everything else."""
        router = Router()
        router.set_error_page(render_error)
        router.before(self._intake.identify)
        router.add("GET", HEALTH_PATH, self._handle_health)
        guard = Guard(self._sessions is not None, self._settings.cors_origin, frozenset({self._settings.server_ip}))
        own = OwnPaths(router, Access(self._sessions, guard))
        self._make_console().add_to(own)
        if self._mesh is not None:
            own.add_mesh(self._mesh, self._forwarder)
        SiteHandler(self._gateway, self._forwarder, self._intake).add_to(router)
        return router

    def _make_console(self) -> Console:
        parts = Parts(
            gateway=self._gateway,
            exchanges=self._exchanges,
            metrics=self._metrics,
            feed=self._feed,
            reloader=self._reloader,
            pools=self.pools,
            intake=self._intake,
            peers=self._peers,
            reload=self._reload,
        )
        return Console(parts, self._lifecycle, keyed=self._sessions is not None)

    # --- reload and end ----------------------------------------------------------------------------------------

    async def _take_over(self, config: ProxyConfig) -> None:
        await self._gateway.apply(config)
        self._intake.apply(config)

    def _on_hangup(self) -> None:
        self._lifecycle.start_task(self._reload_on_hangup(), "reload")

    async def _reload_on_hangup(self) -> None:
        await self._reload()

    async def _reload(self) -> tuple[Reloaded | Refused, str | None]:
        """Configuration and certificates are read again; what can't be used changes nothing, each by itself."""
        return await self._reloader.reload(), await self.tls_port.reload()

    async def _drain(self) -> None:
        self._feed.publish("draining")
        self._feed.close()

    async def _stop(self) -> None:
        await self._gateway.close()
        self._exchanges.close()

    def _tell(self, event: PoolEvent) -> None:
        """Everything that happens to an upstream passes here."""
        level = logging.WARNING if event.kind == "down" else logging.INFO
        names = {"pool": event.pool.name, "upstream": event.upstream.name, "reason": event.reason}
        _log.log(level, "upstream %s", event.kind, extra=names)
        self._metrics.count_event(event)
        self._feed.publish(event.kind, **names)

    def _handle_health(self, _: Request) -> Response:
        no_store = [("Cache-Control", "no-store")]
        if self._lifecycle.is_draining:
            return Response.text("draining", 503, no_store)
        return Response.text("ok", 200, no_store)

    def _peers(self) -> dict[str, str]:
        addresses = self._mesh.peer_addresses if self._mesh is not None else {}
        return {peer_id: str(address) for peer_id, address in addresses.items()}


def _load_sessions(settings: Settings) -> Sessions | None:
    """What verifies sessions; None when keyless. StartupError for a key or users file that can't be used."""
    if settings.keys_dir is None or settings.users_file is None:
        return None
    return Sessions(load_key(settings.keys_dir, "session"), UsersFile(settings.users_file), time.time)


def _sticky_key(settings: Settings) -> bytes | None:
    """What signs the cookies of sticky pools; None when keyless: then they last as long as this process."""
    return None if settings.keys_dir is None else load_key(settings.keys_dir, "session")


def _make_mesh(settings: Settings, tell: Publish, tls: ssl.SSLContext | None) -> Mesh | None:
    if settings.tracker is None:
        return None
    keys = None
    if settings.keys_dir is not None:
        keys = MeshKeys(load_key(settings.keys_dir, "tracker"), load_key(settings.keys_dir, "p2p"))
    return Mesh(settings.tracker, keys, tell, tls)
