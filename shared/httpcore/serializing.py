"""Heads to bytes. The only place where a status line or a field line is written. Read `net/connection` next."""

from collections.abc import Iterable
from functools import lru_cache
from http import HTTPStatus

from shared.httpcore.grammar import WRITABLE_NAME, WRITABLE_VALUE
from shared.httpcore.message import Request, Response

REASONS = {status.value: status.phrase for status in HTTPStatus}
REASONS[413] = "Content Too Large"
REASONS[421] = "Misdirected Request"
CONTINUE = b"HTTP/1.1 100 Continue\r\n\r\n"
KEEPS_ALIVE = ("keep-alive", "")  # by the minor version: what Connection says when nothing is to close
CHUNKED = -1  # instead of a body's length, which is not known
BODILESS = frozenset({204, 304})  # RFC 9110 §6.4.1: never with content


@lru_cache(maxsize=1024)
def serialize_field(name: str, value: str) -> str:
    """One field line. ValueError for a name or value that would break out of it.

    Most lines that a service writes are the same for every reply, so they are checked and joined once.
    """
    if WRITABLE_NAME.fullmatch(name) is None or WRITABLE_VALUE.fullmatch(value) is None:
        raise ValueError(f"the field {name!r} can't be written: {value!r}")
    return f"{name}: {value}\r\n"


def serialize_fields(pairs: Iterable[tuple[str, str]]) -> str:
    """The field lines of `pairs`. ValueError as in `serialize_field`."""
    return "".join([serialize_field(name, value) for name, value in pairs])


def serialize_reply_head(
    request: Request,
    response: Response,
    length: int | None,
    persists: bool,
    date: str,
) -> bytes:
    """The head of a reply, its empty line included. ValueError for a field that can't be written.

    `length` is the body's in bytes, or `CHUNKED`; None: it ends with the connection. `persists`: the connection goes
    on. `date` is now as an HTTP-date; a reply that was made earlier, and kept, brings its own.
    """
    status = response.status
    connection = KEEPS_ALIVE[request.fields.version_minor] if persists else "close"
    line, own_date, fields = fixed_parts(
        status, response.content_type, connection, length == CHUNKED, tuple(response.headers)
    )
    if length is None or length == CHUNKED or status in BODILESS or status == 101:
        text = f"{line}{own_date or date}{fields}X-Request-Id: {request.id}\r\n\r\n"
    else:
        text = f"{line}{own_date or date}{fields}Content-Length: {length}\r\nX-Request-Id: {request.id}\r\n\r\n"
    return text.encode("latin-1")


@lru_cache(maxsize=1024)
def fixed_parts(
    status: int, content_type: str | None, connection: str, chunked: bool, pairs: tuple[tuple[str, str], ...]
) -> tuple[str, str, str]:
    """What stands before the date, the reply's own date if it has one, and what stands after it, the same for most
    replies of one handler, so made once.

    Without the body's length and the request's id. `connection`: what that field says, "" for nothing.
    """
    lines, own_date = [], ""
    if status == 101:
        lines.append("Connection: Upgrade\r\n")
    else:
        if chunked:
            lines.append("Transfer-Encoding: chunked\r\n")
        if connection:
            lines.append(f"Connection: {connection}\r\n")
    if content_type is not None:
        lines.append(serialize_field("Content-Type", content_type))
    for name, value in pairs:
        line = serialize_field(name, value)
        if name.lower() == "date":
            own_date = value
        else:
            lines.append(line)
    return f"HTTP/1.1 {status} {REASONS.get(status, 'Unknown')}\r\nDate: ", own_date, "\r\n" + "".join(lines)


def serialize_request_head(method: str, target: str, pairs: Iterable[tuple[str, str]]) -> bytes:
    """The head of a request. ValueError for a method, target or field that can't be written."""
    if (
        WRITABLE_NAME.fullmatch(method) is None
        or not target
        or not target.isascii()
        or not target.isprintable()
        or " " in target
    ):
        raise ValueError(f"the request line can't be written: {method!r} {target!r}")
    return f"{method} {target} HTTP/1.1\r\n{serialize_fields(pairs)}\r\n".encode("latin-1")
