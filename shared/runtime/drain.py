"""How a service goes: the steps of design §3 and their times. What is drained belongs to `lifecycle`."""

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Sequence

from shared.httpcore.net.server import Server
from shared.runtime.logs import get_logger

NOTICE_S = 2.0  # how long new connections are still served, so that whoever balances sees the 503 of /healthz
TELLING_S = 0.25  # what whoever is told may take to ask nothing more; a close would break a request that just comes in
MAX_RESERVE_S = 1.0
MIN_STEP_S = 0.3

Callback = Callable[[], Awaitable[None]]

logger = get_logger("lifecycle")


def notice_s(drain_s: float) -> float:
    """How long new connections are still served."""
    return min(NOTICE_S, drain_s / 2)


def reserve_s(drain_s: float) -> float:
    """What is kept of the time for background tasks and `on_stop`, after connections have ended."""
    return min(MAX_RESERVE_S, drain_s / 5)


async def drain_servers(servers: Sequence[Server], callbacks: Iterable[Callback], drain_s: float) -> None:
    """No connection is open and no listener: what was accepted has ended, or was cut when its time was over."""
    loop = asyncio.get_running_loop()
    deadline = loop.time() + drain_s - reserve_s(drain_s)
    told = [loop.create_task(run_callback(callback, "on_drain")) for callback in callbacks]
    telling_s = min(TELLING_S, notice_s(drain_s)) if told else 0.0
    for server in servers:
        server.begin_drain(closes_idle=not told)
    if servers:
        if told:
            await asyncio.sleep(telling_s)
            for server in servers:
                server.begin_drain()
        await asyncio.sleep(notice_s(drain_s) - telling_s)
    for server in servers:
        server.close_listeners()
        server.begin_drain()  # those that connected meanwhile and asked nothing
    left_s = max(0.0, deadline - loop.time())
    counts = await asyncio.gather(*(server.wait_closed(left_s) for server in servers))
    if sum(counts):
        logger.warning("connections were cut when the time to drain was over", extra={"count": sum(counts)})
    await end_tasks(told, max(MIN_STEP_S, deadline - loop.time()))


async def end_tasks(tasks: Iterable["asyncio.Task[None]"], timeout_s: float) -> None:
    """The tasks have ended, by themselves or cancelled; those that refuse are named after `timeout_s`."""
    waiting = [task for task in tasks if not task.done()]
    for task in waiting:
        task.cancel()
    if not waiting:
        return
    _, stubborn = await asyncio.wait(waiting, timeout=timeout_s)
    for task in stubborn:
        logger.warning("a task does not end", extra={"task": task.get_name()})


async def run_callback(callback: Callback, what: str) -> None:
    """The callback was run; its failure is logged, because the others have to run as well."""
    try:
        await callback()
    except Exception:
        logger.exception("a callback failed", extra={"callback": what})


async def run_in_reverse(callbacks: Sequence[Callback], timeout_s: float) -> None:
    """Each callback was run, the last registered first, as far as the time allows."""
    try:
        async with asyncio.timeout(timeout_s):
            for callback in reversed(callbacks):
                await run_callback(callback, "on_stop")
    except TimeoutError:
        logger.warning("the service's own clean-up did not end in time")
