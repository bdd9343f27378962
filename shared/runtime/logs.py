"""Events of a service as log lines: `logging` for those who log, one handler for all that is written.

Owns the two formats and `configure_logs`. An event's values go by `extra`, never into its text:
`logger.info("peer registered", extra={"peer_id": peer_id})`. Requests are in `access_log`; escaping and the
writer in `log_lines`.
"""

import logging
from json.encoder import encode_basestring_ascii as json_string

from shared.runtime.access_log import AccessLog
from shared.runtime.log_lines import MASK, LineWriter, Stamp, escape_control, is_secret_name, quote_value

__all__ = ["AccessLog", "LineWriter", "configure_logs", "get_logger"]

ROOT_LOGGER = "weaprous"
_STANDARD_FIELDS = frozenset({*vars(logging.makeLogRecord({})), "message", "asctime", "taskName"})


def get_logger(service: str) -> logging.Logger:
    """The logger of a service or of one of its rooms (`tracker`, `tracker.expiry`)."""
    return logging.getLogger(f"{ROOT_LOGGER}.{service}")


def configure_logs(service: str, level: str, format: str, writer: LineWriter | None = None) -> LineWriter:
    """Every event from `level` on goes to standard output in that format, other libraries' from warning on.

    Returns the writer, for an AccessLog to share: then lines keep their order. May be called again.
    """
    writer = writer or LineWriter()
    handler = EventHandler(service, format, writer)
    root = logging.getLogger()
    for old in [old for old in root.handlers if isinstance(old, EventHandler)]:
        root.removeHandler(old)
    root.addHandler(handler)
    root.setLevel(logging.WARNING)
    logging.getLogger(ROOT_LOGGER).setLevel(level.upper())
    logging.raiseExceptions = False  # a mistake in a log call is no reason to write a traceback of logging's own
    return writer


def _fields(record: logging.LogRecord) -> list[tuple[str, object]]:
    """The event's values in the order given; those of a secret name masked."""
    return [
        (name, MASK if is_secret_name(name) else value)
        for name, value in vars(record).items()
        if name not in _STANDARD_FIELDS
    ]


class EventHandler(logging.Handler):
    """Writes each event at once, after the access lines that came before it."""

    def __init__(self, service: str, format: str, writer: LineWriter) -> None:
        super().__init__()
        self._service = service
        self._writer = writer
        self._stamp = Stamp()
        self._tracebacks = logging.Formatter()
        self._render = self._render_json if format == "json" else self._render_text

    def emit(self, record: logging.LogRecord) -> None:
        """Called by `logging` under the handler's lock."""
        try:
            self._writer.write(self._render(record))
        except Exception:  # a log line is never worth a failure
            self.handleError(record)

    def flush(self) -> None:
        """Access lines that wait are written, too."""
        self._writer.flush()

    def _traceback(self, record: logging.LogRecord) -> str:
        if not record.exc_info or record.exc_info[0] is None:
            return ""
        return self._tracebacks.formatException(record.exc_info)

    def _render_text(self, record: logging.LogRecord) -> str:
        values = "".join(f" {name}={quote_value(value)}" for name, value in _fields(record))
        line = (
            f"{self._stamp.render(record.created)} {record.levelname:<7} {self._service} "
            f"{escape_control(record.getMessage())}{values}\n"
        )
        trace = self._traceback(record)
        return line + "".join(f"    | {escape_control(part)}\n" for part in trace.split("\n") if part)

    def _render_json(self, record: logging.LogRecord) -> str:
        pairs: list[tuple[str, object]] = [
            ("time", self._stamp.render(record.created)),
            ("level", record.levelname.lower()),
            ("service", self._service),
            ("logger", record.name),
            ("message", record.getMessage()),
            *_fields(record),
        ]
        if trace := self._traceback(record):
            pairs.append(("exception", trace))
        return "{" + ",".join(f"{json_string(name)}:{_json_value(value)}" for name, value in pairs) + "}\n"


def _json_value(value: object) -> str:
    """Numbers, truth and null as JSON's own, anything else as a string."""
    if value is None or isinstance(value, bool):
        return {None: "null", True: "true", False: "false"}[value]
    if isinstance(value, int):
        return str(value)
    if isinstance(value, float) and value - value == 0:  # finite
        return repr(value)
    return json_string(str(value))
