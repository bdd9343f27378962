"""When the certificates of a service end: a gauge for each, and a line in the log a day from a month before.

The first to end in a file counts, its own or one between it and the CA: browsers refuse the whole chain then.
"""

import asyncio
import time
from collections.abc import Callable, Iterable
from pathlib import Path

from shared.httpcore.net.tls import read_expiry
from shared.runtime.logs import get_logger
from shared.runtime.metrics import MetricsRegistry

WARN_BEFORE_DAYS = 30
DAY_S = 86_400

_log = get_logger("tls")


class CertificateWatch:
    """The ends of the certificates in these PEM files, as they were last read. `clock` gives Unix seconds."""

    def __init__(self, metrics: MetricsRegistry, files: Iterable[Path], clock: Callable[[], float] = time.time) -> None:
        """The files are read; CertificateError."""
        self._files = tuple(files)
        self._clock = clock
        self._ends: dict[Path, int] = {}
        self._gauge = metrics.gauge(
            "weaprous_tls_certificate_expiry_seconds",
            "When the first certificate in the file ends, Unix time.",
            ("file",),
        )
        self.read_again()

    def read_again(self) -> None:
        """The files are read, to be called when what they hold is in use; warns. CertificateError changes nothing."""
        self._ends = {file: read_expiry(file) for file in self._files}
        for file, end_s in self._ends.items():
            self._gauge.labels(file).set(end_s)
        self.warn()

    def warn(self) -> None:
        """A line for each certificate that has ended, or soon will."""
        for file, end_s in self._ends.items():
            words = describe_expiry(end_s, self._clock())
            if words is not None:
                _log.warning(words, extra={"file": str(file), "ends": format_day(end_s)})

    async def run(self, every_s: float = DAY_S) -> None:
        """Warns each day until cancelled."""
        while True:
            await asyncio.sleep(every_s)
            self.warn()


def describe_expiry(end_s: float, now_s: float) -> str | None:
    """What to say of a certificate that ends at `end_s`; None while it has more than 30 days."""
    left_s = end_s - now_s
    if left_s > WARN_BEFORE_DAYS * DAY_S:
        return None
    if left_s <= 0:
        return "a TLS certificate has expired: clients refuse it"
    days = int(left_s // DAY_S)
    return f"a TLS certificate expires in {days} days" if days > 1 else "a TLS certificate expires within two days"


def format_day(end_s: float) -> str:
    """The time in UTC, as logs write it."""
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(end_s))
