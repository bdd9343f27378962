"""Reading the configuration again, for SIGHUP and for `POST /_proxy/reload`: all of it takes over, or nothing.

Owns one reload at a time, and what is told about it: log, events, metrics, and the outcome as a value. How a
configuration takes over is `gateway`'s; certificates are `tls_port`'s.
"""

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from services.proxy.config_changes import compare
from services.proxy.config_file import ConfigError, load_config
from services.proxy.config_findings import told
from services.proxy.config_syntax import Mistake
from services.proxy.config_values import ProxyConfig
from services.proxy.events import EventFeed
from services.proxy.gateway import Gateway
from services.proxy.proxy_metrics import ProxyMetrics
from shared.runtime.errors import StartupError

TakeOver = Callable[[ProxyConfig], Awaitable[None]]

_log = logging.getLogger("weaprous.proxy")


@dataclass(frozen=True, slots=True)
class Reloaded:
    """The configuration of the file is in force. `changes` as `config_changes.compare` has them, `warnings` like
    mistakes.
    """

    version: int
    changes: dict[str, Any]
    warnings: Sequence[dict[str, Any]]


@dataclass(frozen=True, slots=True)
class Refused:
    """Nothing has changed. `mistakes` have file, line, column and message."""

    mistakes: Sequence[dict[str, Any]]


class Reloader:
    """The file of one proxy. `version` counts the configurations that were in force, the first is 1."""

    def __init__(
        self, path: Path, take_over: TakeOver, gateway: Gateway, metrics: ProxyMetrics, feed: EventFeed
    ) -> None:
        """`take_over` puts a configuration in force; `gateway` has the one that is."""
        self.path = path
        self.version = 0
        self.loaded_at = 0.0  # Unix time
        self.refused: Refused | None = None  # the last reload, when it was
        self.warnings: Sequence[dict[str, Any]] = ()  # what is odd in the file that is in force
        self._take_over = take_over
        self._gateway = gateway
        self._metrics = metrics
        self._feed = feed
        self._one_at_a_time = asyncio.Lock()

    async def load_first(self) -> None:
        """The file is in force. StartupError when it can't be used."""
        async with self._one_at_a_time:
            try:
                config = await asyncio.to_thread(load_config, self.path)
            except ConfigError as error:
                raise StartupError("\n".join(error.lines())) from None
            await self._apply(config)

    async def reload(self) -> Reloaded | Refused:
        """The file is read again; one with mistakes changes nothing."""
        async with self._one_at_a_time:
            try:
                config = await asyncio.to_thread(load_config, self.path)
            except ConfigError as error:
                return self._refuse(error)
            changes = compare(self._gateway.config, config)
            await self._apply(config)
            self._metrics.reloads.labels("done").inc()
            _log.info("configuration read again", extra={"file": str(self.path), "hosts": len(config.hosts)})
            self._feed.publish("reloaded", file=str(self.path), version=self.version, changes=changes)
            return Reloaded(self.version, changes, self.warnings)

    async def _apply(self, config: ProxyConfig) -> None:
        for line in told(str(self.path), (), config.warnings):
            _log.warning("the configuration can be used, but %s", line)
        await self._take_over(config)
        self.version += 1
        self.loaded_at = time.time()
        self.refused = None
        self.warnings = describe_mistakes(str(self.path), config.warnings)

    def _refuse(self, error: ConfigError) -> Refused:
        for line in error.lines():
            _log.error("the configuration stays as it was: %s", line)
        self._metrics.reloads.labels("refused").inc()
        self.refused = Refused(describe_mistakes(error.file_name, error.mistakes))
        lines = ["{file}:{line}:{column}: {message}".format(**mistake) for mistake in self.refused.mistakes]
        self._feed.publish("reload_refused", file=str(self.path), mistakes=lines)
        return self.refused


def describe_mistakes(file_name: str, mistakes: Iterable[Mistake]) -> list[dict[str, Any]]:
    """Each as an object with the place, in the order given."""
    return [
        {
            "file": file_name,
            "line": mistake.position.line,
            "column": mistake.position.column,
            "message": mistake.message,
        }
        for mistake in mistakes
    ]
