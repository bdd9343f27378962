"""One line for each request, formatted once and written in batches. No logging record is made.

Read `log_lines` for what may stand in a line.
"""

import time
from collections.abc import Callable, Sequence
from functools import lru_cache
from json.encoder import encode_basestring_ascii as json_string
from typing import Protocol

from shared.runtime.log_lines import LineWriter, Stamp, mask_query, quote_value

MAX_KEPT_CHARS = 256
# Unix time, method, target, status, bytes of body, seconds, the client's address, the request's id, and those by which
# tracing tools find it, which are hexadecimal, so nothing needs quoting.
LineValues = tuple[float, str, str, int, int, float, str, str, tuple[str, str] | None]


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
        self._render = self._render_json if format == "json" else self._render_text

    def record(self, request: LoggedRequest, status: int, body_bytes: int, duration_s: float) -> None:
        """The line is with the writer, which writes it within half a second, or sooner when there are many."""
        self._writer.render_later(
            self._render,
            (
                self._clock(), request.method, request.target, status, body_bytes, duration_s, request.remote_ip,
                request.id, request.trace,
            ),
        )  # fmt: skip

    def flush(self) -> None:
        """Every line so far is with the kernel afterwards."""
        self._writer.flush()

    # Many lines are made at once, as parts for one `join`: half the price of a format string each.

    def _render_text(self, batch: Sequence[LineValues]) -> str:
        service, stamp, last_ms, parts = self._service, "", -1, list[str]()
        for now_s, method, target, status, body_bytes, duration_s, remote_ip, request_id, trace in batch:
            if (now_ms := int(now_s * 1000)) != last_ms:
                stamp, last_ms = self._stamp.render(now_s), now_ms
            middle = _middle_of_text if len(method) + len(target) <= MAX_KEPT_CHARS else _middle_of_text.__wrapped__
            parts += (
                stamp, middle(service, method, target, status, body_bytes),
                _milliseconds(int(duration_s * 1e6 + 0.5)), " remote=", remote_ip, " request_id=", request_id,
                "\n" if trace is None else f" trace_id={trace[0]} span_id={trace[1]}\n",
            )  # fmt: skip
        return "".join(parts)

    def _render_json(self, batch: Sequence[LineValues]) -> str:
        service, stamp, last_ms, parts = self._service, "", -1, list[str]()
        for now_s, method, target, status, body_bytes, duration_s, remote_ip, request_id, trace in batch:
            if (now_ms := int(now_s * 1000)) != last_ms:
                stamp, last_ms = self._stamp.render(now_s), now_ms
            middle = _middle_of_json if len(method) + len(target) <= MAX_KEPT_CHARS else _middle_of_json.__wrapped__
            parts += (
                '{"time":"', stamp, middle(service, method, target, status, body_bytes),
                _milliseconds(int(duration_s * 1e6 + 0.5)), ',"remote":', json_string(remote_ip), ',"request_id":',
                json_string(request_id),
                "}\n" if trace is None else f',"trace_id":"{trace[0]}","span_id":"{trace[1]}"}}\n',
            )  # fmt: skip
        return "".join(parts)


# What follows is made once for what comes again and again: what was asked and answered, and short durations.


@lru_cache(maxsize=2048)
def _middle_of_text(service: str, method: str, target: str, status: int, body_bytes: int) -> str:
    method, target = quote_value(mask_query(method)), quote_value(mask_query(target))
    return f" INFO    {service} access method={method} target={target} status={status} bytes={body_bytes} duration_ms="


@lru_cache(maxsize=2048)
def _middle_of_json(service: str, method: str, target: str, status: int, body_bytes: int) -> str:
    return (
        f'","level":"info","service":{json_string(service)},"message":"access",'
        f'"method":{json_string(method)},"target":{json_string(mask_query(target))},'
        f'"status":{status},"bytes":{body_bytes},"duration_ms":'
    )


@lru_cache(maxsize=4096)
def _milliseconds(microseconds: int) -> str:
    return f"{microseconds / 1000:.3f}"
