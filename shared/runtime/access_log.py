"""One line for each request, formatted once and written in batches. No logging record is made.

Read `log_lines` for what may stand in a line.
"""

import time
from collections.abc import Callable
from json.encoder import encode_basestring_ascii as json_string
from typing import Protocol

from shared.runtime.log_lines import LineWriter, Stamp, mask_query, quote_value


class LoggedRequest(Protocol):
    """What a line tells of a request."""

    id: str
    method: str
    target: str
    remote_ip: str


class AccessLog:
    """Lines in the format `text` (`key=value`) or `json`, each with its request's id and without secrets."""

    def __init__(
        self,
        service: str,
        format: str,
        writer: LineWriter | None = None,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._writer = writer or LineWriter()
        self._service = service
        self._clock = clock
        self._stamp = Stamp()
        self._render = self._render_json if format == "json" else self._render_text

    def record(self, request: LoggedRequest, status: int, body_bytes: int, duration_s: float) -> None:
        """The line is with the writer, which writes it within half a second, or at 64 KiB."""
        target = request.target
        if "=" in target:
            target = mask_query(target)
        self._writer.write_later(self._render(request, target, f"{status}", body_bytes, duration_s * 1000))

    def flush(self) -> None:
        """Every line so far is with the kernel afterwards."""
        self._writer.flush()

    def _render_text(
        self, request: LoggedRequest, target: str, status: str, body_bytes: int, duration_ms: float
    ) -> str:
        return (
            f"{self._stamp.render(self._clock())} INFO    {self._service} access"
            f" method={quote_value(request.method)} target={quote_value(target)} status={status}"
            f" bytes={body_bytes} duration_ms={duration_ms:.3f}"
            f" remote={request.remote_ip} request_id={quote_value(request.id)}\n"
        )

    def _render_json(
        self, request: LoggedRequest, target: str, status: str, body_bytes: int, duration_ms: float
    ) -> str:
        return (
            f'{{"time":"{self._stamp.render(self._clock())}","level":"info",'
            f'"service":{json_string(self._service)},"message":"access",'
            f'"method":{json_string(request.method)},"target":{json_string(target)},"status":{status},'
            f'"bytes":{body_bytes},"duration_ms":{duration_ms:.3f},'
            f'"remote":{json_string(request.remote_ip)},"request_id":{json_string(request.id)}}}\n'
        )
