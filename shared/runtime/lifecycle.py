"""One service process from its start to its end: listener, logs, metrics, signals, drain, exit status.

Owns the order in which these happen. Read `drain` for the steps of the end, `stop_signals` for what asks for it,
`workers` for several processes on one port. What a service serves is its own `build`'s matter.
"""

import asyncio
import gc
import os
import socket
import sys
from collections.abc import Awaitable, Callable, Coroutine, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

from shared.httpcore.limits import DEFAULT_LIMITS, Limits
from shared.httpcore.message import TEXT_TYPE, Request, Response
from shared.httpcore.net.loop import new_event_loop
from shared.httpcore.net.server import Server
from shared.httpcore.routing import Router
from shared.runtime.drain import MIN_STEP_S, Callback, drain_servers, end_tasks, reserve_s, run_in_reverse
from shared.runtime.errors import StartupError
from shared.runtime.hangup import Hangup
from shared.runtime.listening import (
    close_all,
    describe_openness,
    listen_for_workers,
    raise_file_limit,
    show_address,
)
from shared.runtime.logs import LineWriter, configure_logs, get_logger
from shared.runtime.metrics import CONTENT_TYPE, MetricsRegistry
from shared.runtime.observing import RequestObserver, SlowHandlerLog
from shared.runtime.process_metrics import add_process_metrics
from shared.runtime.settings import CommonSettings
from shared.runtime.stop_signals import StopSignals, end_despite_threads

__all__ = ["Lifecycle", "StartupError", "run_service"]

ACCESS_BATCH_S = 0.5
LEFTOVERS_S = 0.5
EXIT_FAILED = 1
EXIT_STARTUP = 2


class Lifecycle:
    """What a service's `build` gets: where it leaves its tasks, callbacks and metrics, and learns that it is to end."""

    def __init__(
        self, name: str, settings: CommonSettings, writer: LineWriter | None = None, worker: int | None = None
    ) -> None:
        self.name = name
        self.settings = settings
        self.worker = worker  # its number, from 1, when several processes share the listener
        self.metrics = MetricsRegistry({} if worker is None else {"worker": str(worker)})
        self.draining = asyncio.Event()
        self.limits: Limits = limits_of(settings)  # `build` may set others for the main server
        self.open_warning: str | None = None  # `build` may set its own words about missing keys; "": none
        self.exit_status = 0
        add_process_metrics(self.metrics, name)
        self.observer = RequestObserver(label_of(name, worker), settings, self.metrics, writer)
        self.on_slow_handler = SlowHandlerLog(get_logger(name), self.metrics)
        self._logger = get_logger(name)
        self.hangup = Hangup(self._logger, self.stop)
        # Whether connections from an address begin with a PROXY header, on all servers. Set by `build`, or never.
        self.expects_proxy_header: Callable[[str], bool] | None = None
        self._main_server: Server | None = None
        self._more_servers: list[Server] = []
        self._tasks: set[asyncio.Task[None]] = set()
        self._on_drain: list[Callback] = []
        self._on_stop: list[Callback] = []
        self._stop_requested = asyncio.Event()

    @property
    def is_draining(self) -> bool:
        """Whether the end has begun."""
        return self.draining.is_set()

    @property
    def server(self) -> Server:
        """The main server; RuntimeError while `build` runs, because there is none yet."""
        if self._main_server is None:
            raise RuntimeError("the server starts after build")
        return self._main_server

    @property
    def servers(self) -> list[Server]:
        """The main server, once it runs, and those that were added."""
        return [*([self._main_server] if self._main_server else []), *self._more_servers]

    @property
    def on_response(self) -> Callable[[Request, int, int, float], None]:
        """For servers of the service's own: counts and logs each reply."""
        return self.observer.record

    @property
    def connection_count(self) -> int:
        """Open connections of all servers."""
        return sum(server.connection_count for server in self.servers)

    def start_server(self, router: Router, listener: socket.socket, siblings: Sequence[socket.socket] = ()) -> None:
        """The main server accepts from the listener, and from other workers' what they leave."""
        self._main_server = Server(
            router, limits=self.limits, on_response=self.on_response, on_slow_handler=self.on_slow_handler
        )
        self._main_server.expects_proxy_header = self.expects_proxy_header
        self.metrics.gauge("weaprous_connections", "Open connections.", ask=lambda: self.connection_count)
        refused = self.metrics.counter("weaprous_connections_refused_total", "Connections over the limits.").labels()

        def refresh_refused() -> None:
            refused.value = sum(server.refused_count for server in self.servers)

        self.metrics.before_render(refresh_refused)
        self.metrics.gauge("weaprous_draining", "1 while the service drains.", ask=lambda: int(self.is_draining))
        self._main_server.start([listener], siblings)

    def add_server(self, server: Server) -> None:
        """The server, which its owner starts, is drained with the main one."""
        server.expects_proxy_header = self.expects_proxy_header
        self._more_servers.append(server)

    def start_task(self, work: Coroutine[Any, Any, None], name: str) -> "asyncio.Task[None]":
        """The work runs in the background until it ends or the service does; a failure is logged, nothing restarts."""
        task = asyncio.get_running_loop().create_task(work, name=name)
        self._tasks.add(task)
        task.add_done_callback(self._on_task_done)
        return task

    def on_drain(self, callback: Callback) -> None:
        """`callback` runs at once when the drain begins, beside the others."""
        self._on_drain.append(callback)

    def on_stop(self, callback: Callback) -> None:
        """`callback` runs when all work has ended, the last registered first; also when the start fails."""
        self._on_stop.append(callback)

    def on_hangup(self, callback: Callable[[], None]) -> None:
        """`callback` runs in the loop at each SIGHUP, which otherwise changes nothing."""
        self.hangup.add(callback)

    def stop(self, exit_status: int = 0) -> None:
        """The drain begins as if SIGTERM had come; the highest status that was asked for is the exit status."""
        self.exit_status = max(self.exit_status, exit_status)
        self._stop_requested.set()

    async def wait_stop_requested(self) -> None:
        """Returns when a signal or `stop` asked for the end."""
        await self._stop_requested.wait()

    async def drain(self) -> None:
        """Connections, listeners, tasks and callbacks have ended, in this order, within `drain_s`."""
        drain_s = self.settings.drain_s
        self.draining.set()
        self._logger.info("draining", extra={"connections": self.connection_count})
        await drain_servers(self.servers, self._on_drain, drain_s)
        await self.close(reserve_s(drain_s))

    async def close(self, timeout_s: float) -> None:
        """Tasks are cancelled, then the `on_stop` callbacks run."""
        self.draining.set()
        await end_tasks(self._tasks, max(timeout_s / 2, MIN_STEP_S))
        callbacks, self._on_stop = self._on_stop, []
        await run_in_reverse(callbacks, max(timeout_s, MIN_STEP_S))

    def _on_task_done(self, task: "asyncio.Task[None]") -> None:
        self._tasks.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            self._logger.error("a background task failed", exc_info=error, extra={"task": task.get_name()})


NO_STORE = (("Cache-Control", "no-store"),)

Build = Callable[[Lifecycle], Awaitable[Router]]


def limits_of(settings: CommonSettings) -> Limits:
    """The limits of httpcore, with the numbers of connections that the settings ask for."""
    return replace(
        DEFAULT_LIMITS,
        max_connections=settings.max_connections,
        max_connections_per_client=settings.max_connections_per_client,
    )


def label_of(name: str, worker: int | None) -> str:
    """The name of a process in its log lines: `backend`, or `backend/2`."""
    return name if worker is None else f"{name}/{worker}"


@dataclass(frozen=True, slots=True)
class ServicePlan:
    """What `run_service` was asked for, as each of its processes needs it."""

    name: str
    settings: CommonSettings
    build: Build
    own_health: bool


@dataclass(frozen=True, slots=True)
class WorkerPlace:
    """Which of several processes this one is; `parent_fd` becomes readable when the one that started it is gone.

    `siblings` are the listeners of the others, where each has one of its own.
    """

    number: int
    parent_fd: int
    siblings: tuple[socket.socket, ...] = ()


def run_service(
    name: str,
    settings: CommonSettings,
    build: Build,
    *,
    ip: str,
    port: int,
    workers: int = 1,
    own_health: bool = True,
) -> int:
    """Run the service until a signal ends it; its exit status: 0 after a drain, 2 when it could not start.

    `build` makes the router, in the loop, before the first connection is accepted; it may raise StartupError.
    `/healthz` and `/metrics` are added, unless the router has them or `own_health` is False. A second signal ends the
    process at once with 130 or 143. `workers` above 1: so many processes share the port.
    """
    writer = configure_logs(name, settings.log_level, settings.log_format)
    plan = ServicePlan(name, settings, build, own_health)
    try:
        listeners = listen_for_workers(ip, port, workers)
    except StartupError as error:
        return _refuse_start(name, error)
    raise_file_limit()
    if workers == 1:
        return run_process(plan, listeners[0])
    from shared.runtime.workers import WorkerPool

    writer.flush()

    def run_child(number: int, parent_fd: int) -> int:
        # The parent keeps all open, so a worker that is started again goes on with the queue of the one before.
        own = listeners[(number - 1) % len(listeners)]
        siblings = tuple(each for each in listeners if each is not own)
        return run_process(plan, own, WorkerPlace(number, parent_fd, siblings))

    return WorkerPool(name, workers, run_child, settings.drain_s, on_stop=partial(close_all, listeners)).run()


def _refuse_start(name: str, error: StartupError) -> int:
    print(f"{name}: {error}", file=sys.stderr, flush=True)
    return EXIT_STARTUP


def run_process(plan: ServicePlan, listener: socket.socket, place: WorkerPlace | None = None) -> int:
    """Serve on the listener in an event loop of this process; the exit status."""
    worker = place.number if place else None
    writer = configure_logs(label_of(plan.name, worker), plan.settings.log_level, plan.settings.log_format)
    loop = new_event_loop()
    asyncio.set_event_loop(loop)
    writer.flush_every(ACCESS_BATCH_S, loop.call_later)
    try:
        status = loop.run_until_complete(_live(plan, listener, place, writer))
    finally:
        loop.close()
        writer.flush()
    end_despite_threads(plan.name, status)
    return status


async def _live(plan: ServicePlan, listener: socket.socket, place: WorkerPlace | None, writer: LineWriter) -> int:
    """The whole life of the process, between a loop and its end."""
    lifecycle = Lifecycle(plan.name, plan.settings, writer, place.number if place else None)
    signals = StopSignals(plan.name, plan.settings.drain_s, lifecycle.stop, writer.flush_if_free)
    signals.install()
    lifecycle.hangup.install()
    if place is not None:
        _watch_parent(place.parent_fd, signals)
    try:
        router = await _build_unless_stopped(plan, lifecycle)
        if router is not None:
            _serve(plan, router, listener, lifecycle, place.siblings if place is not None else ())
        await lifecycle.wait_stop_requested()
        signals.start_clock()
        await lifecycle.drain()
        return lifecycle.exit_status
    except StartupError as error:
        await lifecycle.close(1.0)
        return _refuse_start(plan.name, error)
    except Exception:
        get_logger(plan.name).exception("the service failed")
        await lifecycle.close(1.0)
        return EXIT_FAILED
    finally:
        await end_tasks(asyncio.all_tasks() - {asyncio.current_task()}, LEFTOVERS_S)
        lifecycle.hangup.uninstall()
        signals.uninstall()


def _watch_parent(parent_fd: int, signals: StopSignals) -> None:
    loop = asyncio.get_running_loop()

    def on_gone() -> None:
        loop.remove_reader(parent_fd)
        signals.stop()

    loop.add_reader(parent_fd, on_gone)


async def _build_unless_stopped(plan: ServicePlan, lifecycle: Lifecycle) -> Router | None:
    """What `build` made; None when the end was asked for before it was done."""
    building = asyncio.ensure_future(plan.build(lifecycle))
    stopping = asyncio.ensure_future(lifecycle.wait_stop_requested())
    await asyncio.wait({building, stopping}, return_when=asyncio.FIRST_COMPLETED)
    stopping.cancel()
    if building.done():
        return building.result()
    building.cancel()
    await asyncio.wait({building}, timeout=reserve_s(plan.settings.drain_s))
    return None


def _serve(
    plan: ServicePlan,
    router: Router,
    listener: socket.socket,
    lifecycle: Lifecycle,
    siblings: tuple[socket.socket, ...],
) -> None:
    """Connections are accepted from now on."""
    if plan.own_health:
        add_health(router, lifecycle)
    gc.collect()
    gc.freeze()  # what was built at the start lives until the end: no need to look at it again and again
    logger = get_logger(plan.name)
    if plan.settings.keys_dir is None and lifecycle.open_warning != "" and lifecycle.worker in (None, 1):
        logger.warning(lifecycle.open_warning or describe_openness(plan.name, listener))
    lifecycle.start_server(router, listener, siblings)
    logger.info("listening", extra={"address": show_address(listener), "pid": os.getpid()})


def add_health(router: Router, lifecycle: Lifecycle) -> None:
    """The router answers `GET /healthz` and `GET /metrics`, unless it did before."""

    def handle_health(_request: Request) -> Response:
        if lifecycle.is_draining:
            return Response(503, b"draining", TEXT_TYPE, NO_STORE)
        return Response(200, b"ok", TEXT_TYPE, NO_STORE)

    def handle_metrics(_request: Request) -> Response:
        return Response(200, lifecycle.metrics.render().encode("utf-8"), CONTENT_TYPE)

    for path, handler in (("/healthz", handle_health), ("/metrics", handle_metrics)):
        if not router.has_path(path):
            router.add("GET", path, handler)
