"""Server-sent events as bytes: the event stream format of the HTML standard (§9.2.5). `net/event_stream` sends them."""

import re
from dataclasses import dataclass

SSE_TYPE = "text/event-stream; charset=utf-8"
HEARTBEAT = b":\n\n"  # a comment: it means nothing, and shows that both sides and all between them are there

_LINE_END = re.compile(r"\r\n|\r|\n")


@dataclass(frozen=True, slots=True)
class ServerSentEvent:
    """One event. `data` None: nothing is dispatched, only `id` and `retry_ms` are noted.

    `id` is what the client says in Last-Event-ID when it comes back, `event` its type (None: `message`), `retry_ms`
    how long it waits before that. ValueError for an `id` or `event` that can't be written.
    """

    data: str | None = None
    event: str | None = None
    id: str | None = None
    retry_ms: int | None = None

    def __post_init__(self) -> None:
        for name, text in (("id", self.id), ("event", self.event)):
            if text is not None and (_LINE_END.search(text) or "\x00" in text):
                raise ValueError(f"{name}: got {text[:80]!r}, expected text without line ends and NUL")
        if self.retry_ms is not None and self.retry_ms < 0:
            raise ValueError(f"retry_ms: got {self.retry_ms}, expected a number >= 0")


def serialize_event(event: ServerSentEvent) -> bytes:
    """The event with the empty line that dispatches it; line ends in `data` become LF, lone surrogates `?`."""
    lines = []
    if event.id is not None:
        lines.append(f"id: {event.id}")
    if event.event is not None:
        lines.append(f"event: {event.event}")
    if event.retry_ms is not None:
        lines.append(f"retry: {event.retry_ms}")
    if event.data is not None:
        lines += [f"data: {line}" for line in _LINE_END.split(event.data)]
    return ("\n".join(lines) + "\n\n").encode("utf-8", "replace")


def serialize_comment(text: str) -> bytes:
    """A comment that clients pass over."""
    return "".join(f": {line}\n" for line in _LINE_END.split(text)).encode("utf-8", "replace") + b"\n"


def accepts_events(accept: str | None) -> bool:
    """Whether an Accept value names the format, as every EventSource does."""
    return any(part.split(";")[0].strip(" \t").lower() == "text/event-stream" for part in (accept or "").split(","))
