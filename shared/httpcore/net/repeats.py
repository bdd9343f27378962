"""Replies that a connection may give again without asking anybody: to the same request, while nothing has changed.

A handler offers one (`RepeatableResponse`); where all hooks decide by the request alone (`steady`), nothing that they
would do can differ the next time. What is left then of a request for a file is its head's comparison with the last one,
the file's look, a date and an id. Kept beside the parsed fields, so for as long as a client sends the same ones and
does not pause; who asks for each thing once pays a look into a dictionary.
"""

from shared.httpcore.message import RepeatableResponse, Request, Response
from shared.httpcore.serializing import KEEPS_ALIVE, fixed_parts

MAX_REPEATS = 16  # targets of one set of fields


class Repeat:
    """One reply, and its head but for the date and the request's id."""

    __slots__ = ("_after_date", "_before_date", "body", "is_current", "status")

    def __init__(self, request: Request, response: RepeatableResponse) -> None:
        """The reply as the hooks have left it; for a connection that goes on after it."""
        connection = KEEPS_ALIVE[request.version_minor]
        self._before_date, _, fields = fixed_parts(
            response.status, response.content_type, connection, False, tuple(response.headers)
        )
        self._after_date = f"{fields}Content-Length: {len(response.body)}\r\nX-Request-Id: "
        self.status = response.status
        self.body = response.body
        self.is_current = response.is_current

    def head(self, date: str, request_id: str) -> bytes:
        """The head of this time, its empty line included."""
        return f"{self._before_date}{date}{self._after_date}{request_id}\r\n\r\n".encode("latin-1")


def remember(request: Request, response: Response) -> None:
    """The reply, which was sent to this request, may be repeated when the same request comes again."""
    fields = request.fields
    if type(response) is not RepeatableResponse or request.method != "GET" or request.host != fields.host:
        return
    if request.has_body:
        return  # which is to be read each time, whether somebody wants it or not
    if fields.repeats is None or len(fields.repeats) >= MAX_REPEATS:
        fields.repeats = {}
    fields.repeats[request.target] = Repeat(request, response)


def recall(request: Request) -> Repeat | None:
    """The reply to the same request, if it still holds."""
    repeats = request.fields.repeats
    if repeats is None or request.method != "GET" or (found := repeats.get(request.target)) is None:
        return None
    if request.host != request.fields.host:  # an HTTP/1.0 target named it, so fields and target do not say all
        return None
    if found.is_current():
        return found
    del repeats[request.target]
    return None
