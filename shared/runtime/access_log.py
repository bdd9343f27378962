"""One line for each request, formatted once and written in batches. No logging record is made.

Read `log_lines` for what may stand in a line.
"""

import time
from collections.abc import Callable
from functools import lru_cache
from json.encoder import encode_basestring_ascii as json_string
from typing import Any, Protocol

from shared.runtime.log_lines import LineWriter, Stamp, mask_query, quote_value

MAX_KEPT_CHARS = 256


class LoggedRequest(Protocol):
    """What a line tells of a request. The id is harmless as it is: ours, or a client's that matched `REQUEST_ID`."""

    id: str
    method: str
    target: str
    remote_ip: str
    trace: tuple[str, str] | None


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
        self._is_json = format == "json"
        self._render = self._render_json if self._is_json else self._render_text

    def record(self, request: LoggedRequest, status: int, body_bytes: int, duration_s: float) -> None:
        """The line is with the writer, which writes it within half a second, or sooner when there are many."""
        now_s = self._clock()
        if request.trace is not None:
            self._writer.render_later(
                self._render_traced, request.trace, now_s, request.method, request.target, status, body_bytes,
                duration_s, request.remote_ip, request.id,
            )  # fmt: skip
            return
        self._writer.render_later(
            self._render, now_s, request.method, request.target, status, body_bytes, duration_s, request.remote_ip,
            request.id,
        )  # fmt: skip

    def flush(self) -> None:
        """Every line so far is with the kernel afterwards."""
        self._writer.flush()

    def _render_traced(self, trace: tuple[str, str], *args: Any) -> str:
        """The line with the ids by which tracing tools find it; they are hexadecimal, so nothing needs quoting."""
        line, (trace_id, span_id) = self._render(*args), trace
        if self._is_json:
            return f'{line[:-2]},"trace_id":"{trace_id}","span_id":"{span_id}"}}\n'
        return f"{line[:-1]} trace_id={trace_id} span_id={span_id}\n"

    def _render_text(
        self,
        now_s: float,
        method: str,
        target: str,
        status: int,
        body_bytes: int,
        duration_s: float,
        remote_ip: str,
        request_id: str,
    ) -> str:
        return (
            f"{self._stamp.render(now_s)} INFO    {self._service} access"
            f" method={_quote(method)} target={_quote(target)} status={status}"
            f" bytes={body_bytes} duration_ms={duration_s * 1000:.3f}"
            f" remote={remote_ip} request_id={request_id}\n"
        )

    def _render_json(
        self,
        now_s: float,
        method: str,
        target: str,
        status: int,
        body_bytes: int,
        duration_s: float,
        remote_ip: str,
        request_id: str,
    ) -> str:
        return (
            f'{{"time":"{self._stamp.render(now_s)}","level":"info",'
            f'"service":{json_string(self._service)},"message":"access",'
            f'"method":{json_string(method)},"target":{json_string(mask_query(target))},"status":{status},'
            f'"bytes":{body_bytes},"duration_ms":{duration_s * 1000:.3f},'
            f'"remote":{json_string(remote_ip)},"request_id":{json_string(request_id)}}}\n'
        )


def _quote(text: str) -> str:
    return _quote_short(text) if len(text) <= MAX_KEPT_CHARS else quote_value(mask_query(text))


@lru_cache(maxsize=1024)
def _quote_short(text: str) -> str:
    """Methods and targets come again and again."""
    return quote_value(mask_query(text))
