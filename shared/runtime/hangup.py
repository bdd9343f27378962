"""SIGHUP: what can be read again is read again, as with nginx, and nothing ends; where nothing can, a line says so.

One exception: a service started in a terminal that is closed drains, for whoever started it can't any more; unless
`nohup` said that it shall stay.
"""

import asyncio
import logging
import os
import signal
from collections.abc import Callable


class Hangup:
    """What SIGHUP does to one process. `stop` begins the drain."""

    def __init__(self, logger: logging.Logger, stop: Callable[[], None]) -> None:
        self._logger = logger
        self._stop = stop
        self._reloads: list[Callable[[], None]] = []
        self._has_terminal = may_lose_terminal()

    def add(self, reload: Callable[[], None]) -> None:
        """`reload` runs in the loop at each SIGHUP, beside the others."""
        self._reloads.append(reload)

    def install(self) -> None:
        """From now on the signal is this object's. In the running loop, in the main thread."""
        asyncio.get_running_loop().add_signal_handler(signal.SIGHUP, self._on_signal)

    def uninstall(self) -> None:
        """The signal changes nothing any more: the process is about to end by itself."""
        asyncio.get_running_loop().remove_signal_handler(signal.SIGHUP)
        signal.signal(signal.SIGHUP, signal.SIG_IGN)

    def _on_signal(self) -> None:
        if self._has_terminal and is_terminal_gone():
            self._logger.info("the terminal is gone")
            self._stop()
            return
        if not self._reloads:
            self._logger.info("SIGHUP: there is nothing to read again here")
        for reload in self._reloads:
            reload()


def may_lose_terminal() -> bool:
    """Whether a later SIGHUP may say that the terminal is gone. To be asked before the signal has a handler."""
    return signal.getsignal(signal.SIGHUP) is not signal.SIG_IGN and not is_terminal_gone()


def is_terminal_gone() -> bool:
    """Whether this process has no terminal, or none any more."""
    try:
        os.close(os.open("/dev/tty", os.O_RDONLY | os.O_NOCTTY | os.O_NONBLOCK | os.O_CLOEXEC))
    except OSError:
        return True
    return False
