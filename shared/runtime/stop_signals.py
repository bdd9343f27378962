"""SIGTERM and SIGINT: the first one asks for an end, the second one ends, and so does the clock when nothing else does.

The handlers are plain signal handlers, not the loop's: they act even while a handler of a request holds the loop.
"""

import asyncio
import os
import signal
import threading
import time
from collections.abc import Callable
from types import FrameType
from typing import NoReturn

STOP_SIGNALS = (signal.SIGTERM, signal.SIGINT)
OVERTIME_S = 1.0
IDLE_THREADS_S = 0.3


class StopSignals:
    """`on_stop` runs once in the loop; `flush` writes what must not be lost, and returns soon whatever happens."""

    def __init__(self, name: str, drain_s: float, on_stop: Callable[[], None], flush: Callable[[], None]) -> None:
        self._name = name
        self._drain_s = drain_s
        self._on_stop = on_stop
        self._flush = flush
        self._loop = asyncio.get_running_loop()
        self._is_stopping = False

    def install(self) -> None:
        """From now on the signals are this object's. For the main thread."""
        for number in (*STOP_SIGNALS, signal.SIGALRM):
            # The loop's own handler makes the system wake the loop, whichever thread it interrupts. Ours replaces what
            # the loop would do then.
            self._loop.add_signal_handler(number, _do_nothing)
        for number in STOP_SIGNALS:
            signal.signal(number, self._on_signal)
        signal.signal(signal.SIGALRM, self._on_alarm)

    def uninstall(self) -> None:
        """The clock stops. Further signals change nothing: the process is about to end by itself."""
        signal.setitimer(signal.ITIMER_REAL, 0)
        for number in (*STOP_SIGNALS, signal.SIGALRM):
            self._loop.remove_signal_handler(number)
            signal.signal(number, signal.SIG_IGN)

    def stop(self) -> None:
        """As the first signal does: the end is asked for, and the clock runs."""
        if not self._is_stopping:
            self._is_stopping = True
            self.start_clock()
            self._loop.call_soon_threadsafe(self._on_stop)

    def start_clock(self) -> None:
        """The process ends, one way or another, a second after its time to drain."""
        if signal.getitimer(signal.ITIMER_REAL)[0] == 0:
            signal.setitimer(signal.ITIMER_REAL, self._drain_s + OVERTIME_S)

    def _on_signal(self, number: int, _frame: FrameType | None) -> None:
        if not self._is_stopping:
            self.stop()
            return
        self._end_at_once(f"a second {signal.Signals(number).name}: ended at once", 128 + number)

    def _on_alarm(self, _number: int, _frame: FrameType | None) -> None:
        self._end_at_once(f"not ended {OVERTIME_S:g} s after --drain-s: something holds the process", 1)

    def _end_at_once(self, why: str, status: int) -> NoReturn:
        self._flush()
        _exit_now(self._name, why, status)


def _do_nothing() -> None:
    pass


def end_despite_threads(name: str, status: int) -> None:
    """Returns when no thread would keep the interpreter from ending; else the process ends here, with that status.

    A blocking handler can hang for ever, and Python waits for its thread before it exits.
    """
    deadline_s = time.monotonic() + IDLE_THREADS_S
    for thread in threading.enumerate():
        if thread is threading.main_thread() or thread.daemon:
            continue
        thread.join(max(0.0, deadline_s - time.monotonic()))
        if thread.is_alive():
            _exit_now(name, f"the thread {thread.name} still works; ended without it", status)


def _exit_now(name: str, why: str, status: int) -> NoReturn:
    try:
        os.write(2, f"{name}: {why}\n".encode())
    except OSError:
        pass
    os._exit(status)
