"""What a service does with each reply (count, log) and with each handler that held the loop (warn, not too often)."""

import logging
import time
from collections.abc import Callable

from shared.httpcore.message import Request
from shared.runtime.http_metrics import HttpMetrics
from shared.runtime.logs import AccessLog, LineWriter
from shared.runtime.metrics import MetricsRegistry
from shared.runtime.settings import CommonSettings

WARNING_INTERVAL_S = 10.0
MAX_WATCHED_NAMES = 200


class RequestObserver:
    """Hears of each reply. A good answer to a probe is not logged, except at the level `debug`: there are too many."""

    def __init__(
        self, service: str, settings: CommonSettings, metrics: MetricsRegistry, writer: LineWriter | None
    ) -> None:
        self._metrics = HttpMetrics(metrics)
        self._access = AccessLog(service, settings.log_format, writer) if settings.access_log else None
        self.quiet_paths = set() if settings.log_level == "debug" else {"/healthz"}

    def record(self, request: Request, status: int, body_bytes: int, duration_s: float) -> None:
        """A server's `on_response`."""
        self._metrics.record(request.method, status, body_bytes, duration_s)
        if self._access is not None and (status != 200 or request.raw_path not in self.quiet_paths):
            self._access.record(request, status, body_bytes, duration_s)


class SlowHandlerLog:
    """A server's `on_slow_handler`: a warning names the handler, at most once in ten seconds for each."""

    def __init__(
        self, logger: logging.Logger, metrics: MetricsRegistry, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._logger = logger
        self._clock = clock
        self._count = metrics.counter(
            "weaprous_slow_handlers_total", "How often a handler held the event loop for more than 50 ms."
        ).labels()
        self._next_warning_s: dict[str, float] = {}
        self._unsaid: dict[str, int] = {}

    def __call__(self, name: str, held_s: float) -> None:
        """The handler `name` held the loop for `held_s`."""
        self._count.inc()
        now_s = self._clock()
        if now_s < self._next_warning_s.get(name, 0.0):
            self._unsaid[name] = self._unsaid.get(name, 0) + 1
            return
        if len(self._next_warning_s) >= MAX_WATCHED_NAMES:
            self._next_warning_s.clear()
        self._next_warning_s[name] = now_s + WARNING_INTERVAL_S
        extra: dict[str, object] = {"handler": name, "held_ms": round(held_s * 1000, 1)}
        if unsaid := self._unsaid.pop(name, 0):
            extra["more_since_last_warning"] = unsaid
        self._logger.warning("a handler held the event loop; others waited meanwhile", extra=extra)
