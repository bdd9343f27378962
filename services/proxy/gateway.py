"""The configuration in force and what lives by it: route table, pools, names looked up, health checks.

Owns reloading: a new configuration takes over in one step of the event loop, and pools and upstreams that
stay keep their states, counters and requests under way. `routing`, `upstreams`, `discovery` and `health`
know nothing of each other; they meet here.
"""

import asyncio
import math
import os
import time
from collections.abc import Callable, Mapping
from typing import NamedTuple

from services.proxy.config_values import LocationConfig, PoolConfig, ProxyConfig
from services.proxy.destination import Destination
from services.proxy.discovery import Addresses, Discovery, Lookup, look_up, members_of
from services.proxy.exchanges import ExchangeTable
from services.proxy.health import HealthChecks
from services.proxy.pool_events import PoolEvent, Publish
from services.proxy.rewritten_routes import Redirect, find_route, has_rewrites
from services.proxy.routing import Decision, NoRoute, Route, RouteTable, SlashRedirect
from services.proxy.upstreams import NO_ANNOTATION, Address, Annotation, Pool
from shared.httpcore.message import Request

MAX_KEPT_PLACES = 4096
MAX_KEPT_PATH = 256  # characters


TICK_S = 0.1


class Place(NamedTuple):
    """Where a request goes, and by which rule. `needs_look`: there is more to do than to forward it."""

    destination: Destination | None  # None: it is always answered here (see `answers`)
    route: Route
    needs_look: bool
    target: str | None = None  # for the upstream, where `rewrite` lines made one


class Gateway:
    """The proxy as its configuration has it. `tell` hears of everything that happens to an upstream.

    `sticky_key` signs the cookies of sticky pools; None: one for the life of this process.
    """

    def __init__(
        self,
        exchanges: ExchangeTable,
        tell: Publish,
        lookup: Lookup = look_up,
        sticky_key: bytes | None = None,
    ) -> None:
        self.config = ProxyConfig((), ())
        self.table = RouteTable(self.config)
        self.pools: dict[str, Pool] = {}
        self._places: dict[tuple[str, str], Place] = {}
        self._destinations: dict[int, Destination] = {}  # by the id of a location of `config`
        self._rewriting: frozenset[int] = frozenset()  # ids of the hosts with `rewrite` lines
        self._exchanges = exchanges
        self._tell = tell
        self._sticky_key = sticky_key or os.urandom(32)
        self._annotations: Mapping[Address, Annotation] = {}
        self.heard_at: Callable[[], float | None] = lambda: None  # when the tracker last answered
        self._tick_timer: asyncio.TimerHandle | None = None
        self._discovery = Discovery(self._on_addresses, lookup)
        self._health = HealthChecks(on_lost=exchanges.clear)
        self._is_sync_due = False

    async def apply(self, config: ProxyConfig) -> None:
        """This configuration is in force afterwards. Names that are new to it are looked up before it takes
        over.
        """
        names = {server.host for pool in config.pools for server in pool.servers if server.is_resolved}
        await self._discovery.watch(names)
        self._take_over(config)
        self._discovery.keep_only(names)
        if self._tick_timer is None:
            self._tick()

    def _tick(self) -> None:
        """Slow starts, ejections and waiting requests go by time."""
        now, heard_at = time.monotonic(), self.heard_at()
        for pool in self.pools.values():
            pool.tick(now, heard_at)
        self._tick_timer = asyncio.get_running_loop().call_later(TICK_S, self._tick)

    def _take_over(self, config: ProxyConfig) -> None:
        table = RouteTable(config)
        before, self.pools = self.pools, {each.name: self._pool_for(each) for each in config.pools}
        self.config, self.table = config, table
        self._places.clear()
        self._destinations.clear()
        self._rewriting = frozenset(id(host) for host in config.hosts if has_rewrites(host))
        for name, pool in before.items():
            if name not in self.pools:
                pool.set_members({}, time.monotonic())
                pool.queue.expire(math.inf)
        for pool in self.pools.values():
            self._update_members(pool)
        self._sync_health_soon()

    def _pool_for(self, config: PoolConfig) -> Pool:
        pool = self.pools.get(config.name)
        if pool is None:
            return Pool(config, self.on_event, self._sticky_key)
        if pool.config.tls != config.tls:  # what was agreed on by other rules serves nobody any more
            for upstream in pool.upstreams:
                self._exchanges.idle.drop(upstream)
        pool.configure(config, time.monotonic())
        return pool

    def find(self, request: Request) -> Place | NoRoute | SlashRedirect | Redirect:
        """Where a request goes; see `RouteTable.find` and `find_route`. BadPathError, HttpError.

        Clients ask for the same paths again and again, so what was found of late is kept.
        """
        host, raw_path = key = request.host, request.raw_path
        place = self._places.get(key)
        if place is not None:
            return place
        if self._rewrites(host):
            routed = find_route(self.table, request)
            return routed if isinstance(routed, Redirect) else self._place(routed.decision, routed.target)
        found = self._place(self.table.find(host, raw_path))
        if isinstance(found, Place) and len(raw_path) <= MAX_KEPT_PATH:
            if len(self._places) >= MAX_KEPT_PLACES:
                self._places.clear()
            self._places[key] = found
        return found

    def _rewrites(self, host: str) -> bool:
        found = self.table.find_host(host) if self._rewriting else None
        return found is not None and id(found[1].host) in self._rewriting

    def _place(self, decision: Decision, target: str | None = None) -> Place | NoRoute | SlashRedirect:
        if not isinstance(decision, Route):
            return decision
        location = decision.location
        if location.answer is not None:
            return Place(None, decision, True)
        needs_look = bool(location.settings.address_rules) or location.features.concerns_requests
        return Place(self._destination(location), decision, needs_look, target)

    def _destination(self, location: LocationConfig) -> Destination:
        destination = self._destinations.get(id(location))
        if destination is None:
            destination = self._destinations[id(location)] = Destination(
                pool=self.pools[location.pool],
                headers=location.headers,
                settings=location.settings,
                authorization=location.authorization,
                features=location.features,
            )
        return destination

    def annotate(self, annotations: Mapping[Address, Annotation]) -> None:
        """What the tracker says of backends from now on; of those not named it says nothing."""
        self._annotations = annotations
        for pool in self.pools.values():
            self._annotate_pool(pool)

    async def close(self) -> None:
        """Nothing is looked up or checked any more."""
        if self._tick_timer is not None:
            self._tick_timer.cancel()
        self._discovery.keep_only(())
        await self._health.stop()

    def _on_addresses(self, name: str, _: Addresses) -> None:
        for pool in self.pools.values():
            if any(server.is_resolved and server.host == name for server in pool.config.servers):
                self._update_members(pool)

    def _update_members(self, pool: Pool) -> None:
        members, is_complete = members_of(pool.config, self._discovery.answers)
        pool.set_members(members, time.monotonic(), is_complete=is_complete)
        self._annotate_pool(pool)

    def _annotate_pool(self, pool: Pool) -> None:
        for upstream in pool.upstreams:
            place = Address(upstream.address.host, upstream.address.port)  # the tracker says nothing of TLS
            pool.annotate(upstream, self._annotations.get(place, NO_ANNOTATION))

    def on_event(self, event: PoolEvent) -> None:
        """What follows from something that happened to an upstream, of whatever pool."""
        if event.kind in ("left", "draining"):  # before it closes them itself, perhaps on a request
            self._exchanges.idle.drop(event.upstream)
        self._sync_health_soon()
        self._tell(event)

    def _sync_health_soon(self) -> None:
        """Once this turn of the loop is over, because events come in the middle of changes."""
        if not self._is_sync_due:
            self._is_sync_due = True
            asyncio.get_running_loop().call_soon(self._sync_health)

    def _sync_health(self) -> None:
        self._is_sync_due = False
        self._health.sync(self.pools.values())
