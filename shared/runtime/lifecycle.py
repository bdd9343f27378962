"""What a service sees of the process it runs in: its servers, tasks, metrics, and the steps of its end.

Read `drain` for these steps, and `service_process` for what comes before and after.
"""

import asyncio
import socket
from collections.abc import Awaitable, Callable, Coroutine
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from shared.httpcore.limits import DEFAULT_LIMITS, Limits
from shared.httpcore.message import Request
from shared.httpcore.net.server import Server
from shared.httpcore.routing import Router
from shared.runtime.drain import MIN_STEP_S, Callback, drain_servers, end_tasks, reserve_s, run_in_reverse
from shared.runtime.hangup import Hangup
from shared.runtime.logs import LineWriter, get_logger
from shared.runtime.metrics import MetricsRegistry
from shared.runtime.observing import RequestObserver, SlowHandlerLog
from shared.runtime.process_metrics import add_process_metrics
from shared.runtime.settings import CommonSettings

if TYPE_CHECKING:  # loaded where there are several workers
    from shared.runtime.worker_balance import Seat


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
        self.is_draining = False  # whether the end has begun, as `draining` says to those who wait for it
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
        self._seat: Seat | None = None  # among the workers
        self._more_servers: list[Server] = []
        self._tasks: set[asyncio.Task[None]] = set()
        self._on_drain: list[Callback] = []
        self._on_stop: list[Callback] = []
        self._stop_requested = asyncio.Event()

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

    def start_server(self, router: Router, listener: socket.socket, seat: "Seat | None" = None) -> None:
        """The main server accepts from the listener; as one of several workers, from what its seat has."""
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
        if seat is None:
            self._main_server.start([listener])
        else:
            self._start_among_workers(self._main_server, seat)

    def _start_among_workers(self, server: Server, seat: "Seat") -> None:
        """The server shares its connections with those of the other workers until the drain begins."""
        self._seat = seat
        handed_over = self.metrics.counter(
            "weaprous_connections_handed_over_total", "Connections accepted here and given to a worker that had fewer."
        ).labels()

        def refresh_handed_over() -> None:
            handed_over.value = seat.handed_over_count

        self.metrics.before_render(refresh_handed_over)
        server.report_count_to(seat.report)
        server.start(seat.listeners, seat.siblings)

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
        self._begin_end()
        self._logger.info("draining", extra={"connections": self.connection_count})
        await drain_servers(self.servers, self._on_drain, drain_s)
        await self.close(reserve_s(drain_s))

    def _begin_end(self) -> None:
        self.is_draining = True
        self.draining.set()
        if self._seat is not None:
            self._seat.withdraw()

    async def close(self, timeout_s: float) -> None:
        """Tasks are cancelled, then the `on_stop` callbacks run."""
        self._begin_end()
        await end_tasks(self._tasks, max(timeout_s / 2, MIN_STEP_S))
        callbacks, self._on_stop = self._on_stop, []
        await run_in_reverse(callbacks, max(timeout_s, MIN_STEP_S))

    def _on_task_done(self, task: "asyncio.Task[None]") -> None:
        self._tasks.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            self._logger.error("a background task failed", exc_info=error, extra={"task": task.get_name()})


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
