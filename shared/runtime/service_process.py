"""One service process from its start to its end: listener, logs, an event loop, the life in it, exit status.

Owns the order in which these happen. What a service sees of it is its `lifecycle`; `stop_signals` is what asks for the
end, `workers` runs several processes on one port. What a service serves is its own `build`'s matter.
"""

import asyncio
import gc
import os
import socket
import sys
from dataclasses import dataclass
from typing import TYPE_CHECKING

from shared.httpcore.message import TEXT_TYPE, Request, Response
from shared.httpcore.net.loop import new_event_loop
from shared.httpcore.routing import Router
from shared.runtime.drain import end_tasks, reserve_s
from shared.runtime.errors import StartupError
from shared.runtime.lifecycle import Build, Lifecycle, label_of
from shared.runtime.listening import describe_openness, listen_for_workers, raise_file_limit, show_address
from shared.runtime.logs import LineWriter, configure_logs, get_logger
from shared.runtime.metrics import CONTENT_TYPE
from shared.runtime.settings import CommonSettings
from shared.runtime.stop_signals import StopSignals, end_despite_threads

if TYPE_CHECKING:  # loaded where there are several workers
    from shared.runtime.worker_balance import Seat

ACCESS_BATCH_S = 0.5
LEFTOVERS_S = 0.5
EXIT_FAILED = 1
EXIT_STARTUP = 2
NO_STORE = (("Cache-Control", "no-store"),)


@dataclass(frozen=True, slots=True)
class ServicePlan:
    """What `run_service` was asked for, as each of its processes needs it."""

    name: str
    settings: CommonSettings
    build: Build
    own_health: bool


@dataclass(frozen=True, slots=True)
class WorkerPlace:
    """Which of several processes this one is; `parent_fd` becomes readable when the one that started it is gone."""

    number: int
    parent_fd: int
    seat: "Seat"


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
    from shared.runtime.worker_balance import WorkerBalance
    from shared.runtime.workers import WorkerPool

    writer.flush()
    balance = WorkerBalance(listeners, workers)

    def run_child(number: int, parent_fd: int) -> int:
        # The parent keeps all open, so a worker that is started again goes on with the queue of the one before.
        seat = balance.take_seat(number)
        return run_process(plan, seat.listener, WorkerPlace(number, parent_fd, seat))

    return WorkerPool(name, workers, run_child, settings.drain_s, balance).run()


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
            _serve(plan, router, listener, lifecycle, place.seat if place is not None else None)
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
    seat: "Seat | None",
) -> None:
    """Connections are accepted from now on."""
    if plan.own_health:
        add_health(router, lifecycle)
    gc.collect()
    gc.freeze()  # what was built at the start lives until the end: no need to look at it again and again
    logger = get_logger(plan.name)
    if plan.settings.keys_dir is None and lifecycle.open_warning != "" and lifecycle.worker in (None, 1):
        logger.warning(lifecycle.open_warning or describe_openness(plan.name, listener))
    lifecycle.start_server(router, listener, seat)
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
