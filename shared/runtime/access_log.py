"""One line for each request, formatted once and written in batches. No logging record is made.

Read `log_lines` for what may stand in a line.
"""

import time
from collections.abc import Callable
from functools import lru_cache
from json.encoder import encode_basestring_ascii as json_string
from typing import Protocol

from shared.runtime.log_lines import LineWriter, Stamp, mask_query, quote_value

MAX_KEPT_CHARS = 256
# Unix time, method, target, status, bytes of body, seconds, the client's address, the request's id.
LineValues = tuple[float, str, str, int, int, float, str, str]


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
        values = (
            self._clock(), request.method, request.target, status, body_bytes, duration_s, request.remote_ip,
            request.id,
        )  # fmt: skip
        if request.trace is None:
            self._writer.render_later(self._render, values)
        else:
            self._writer.render_later(self._render_traced, (values, request.trace))

    def flush(self) -> None:
        """Every line so far is with the kernel afterwards."""
        self._writer.flush()

    def _render_traced(self, traced: tuple[LineValues, tuple[str, str]]) -> str:
        """The line with the ids by which tracing tools find it; they are hexadecimal, so nothing needs quoting."""
        values, (trace_id, span_id) = traced
        line = self._render(values)
        if self._is_json:
            return f'{line[:-2]},"trace_id":"{trace_id}","span_id":"{span_id}"}}\n'
        return f"{line[:-1]} trace_id={trace_id} span_id={span_id}\n"

    def _render_text(self, values: LineValues) -> str:
        now_s, method, target, status, body_bytes, duration_s, remote_ip, request_id = values
        begin = _begin_text if len(method) + len(target) <= MAX_KEPT_CHARS else _begin_text.__wrapped__
        return (
            f"{self._stamp.render(now_s)}{begin(self._service, method, target)}{status}"
            f" bytes={body_bytes} duration_ms={_milliseconds(int(duration_s * 1e6 + 0.5))}"
            f" remote={remote_ip} request_id={request_id}\n"
        )

    def _render_json(self, values: LineValues) -> str:
        now_s, method, target, status, body_bytes, duration_s, remote_ip, request_id = values
        begin = _begin_json if len(method) + len(target) <= MAX_KEPT_CHARS else _begin_json.__wrapped__
        return (
            f'{{"time":"{self._stamp.render(now_s)}{begin(self._service, method, target)}{status},'
            f'"bytes":{body_bytes},"duration_ms":{_milliseconds(int(duration_s * 1e6 + 0.5))},'
            f'"remote":{json_string(remote_ip)},"request_id":{json_string(request_id)}}}\n'
        )


# What follows is made once for what comes again and again: methods and targets, and short durations.


@lru_cache(maxsize=1024)
def _begin_text(service: str, method: str, target: str) -> str:
    method, target = quote_value(mask_query(method)), quote_value(mask_query(target))
    return f" INFO    {service} access method={method} target={target} status="


@lru_cache(maxsize=1024)
def _begin_json(service: str, method: str, target: str) -> str:
    return (
        f'","level":"info","service":{json_string(service)},"message":"access",'
        f'"method":{json_string(method)},"target":{json_string(mask_query(target))},"status":'
    )


@lru_cache(maxsize=4096)
def _milliseconds(microseconds: int) -> str:
    return f"{microseconds / 1000:.3f}"
