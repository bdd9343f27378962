"""Requests and responses as values. Nothing here reads or writes; `parsing` makes requests, `serializing` the bytes of
responses, and `net/connection` carries both. What a request's head says is in `request_head`. Read `parsing` next."""

import json
from collections.abc import AsyncIterator, Callable, Sequence
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qsl

from shared.httpcore.cookies import parse_cookie_header
from shared.httpcore.errors import HttpError
from shared.httpcore.headers import Headers
from shared.httpcore.request_head import HeadFields, RequestLine, decode_path, parse_query, split_request_line

if TYPE_CHECKING:
    from shared.httpcore.net.replying import ReplySide
    from shared.httpcore.net.stream import Stream

JSON_TYPE = "application/json; charset=utf-8"
TEXT_TYPE = "text/plain; charset=utf-8"
HTML_TYPE = "text/html; charset=utf-8"


class Request:
    """One request. What decides framing is parsed at once; fields, query, cookies and path only when asked for.

    What most requests leave as it is stands in the class, so that making one costs what differs.
    """

    scheme = "http"
    body = b""
    trace: tuple[str, str] | None = None  # the ids of its trace and of our span in it, for the log
    _path: str | None = None
    _query_params: dict[str, list[str]] | None = None
    _cookies: dict[str, str] | None = None
    _state: dict[str, object] | None = None
    _path_params: dict[str, str] | None = None
    _body_stream: AsyncIterator[bytes] | None = None

    def __init__(
        self,
        method: str,
        target: str,
        version_minor: int = 1,
        field_lines: bytes = b"",
        fields: HeadFields | None = None,
        line: RequestLine | None = None,
    ) -> None:
        """`line`, when it is at hand, says what method and target do, taken apart before."""
        if fields is None:
            fields = HeadFields(field_lines, version_minor)
        if line is None:
            line = split_request_line(method, target)
        self.method, self.target, self.raw_path, self.query = line
        self.fields = fields
        self.host = fields.host
        self.id = fields.request_id
        self.remote_ip = ""
        self.remote_port = 0
        self.received_at = 0.0  # loop time, seconds

    @property
    def version_minor(self) -> int:
        """1 for HTTP/1.1, 0 for HTTP/1.0."""
        return self.fields.version_minor

    @property
    def content_length(self) -> int | None:
        """Bytes of body; None without a Content-Length field."""
        return self.fields.content_length

    @property
    def is_chunked(self) -> bool:
        """Whether the body comes in chunks."""
        return self.fields.is_chunked

    @property
    def keep_alive(self) -> bool:
        """Whether the client wants to go on with the connection (RFC 9112 §9.3)."""
        return self.fields.keep_alive

    @property
    def expects_continue(self) -> bool:
        """Whether the client waits for a 100 before it sends the body."""
        return self.fields.expects_continue

    @property
    def upgrade(self) -> str:
        """The protocol the client wants to change to, lower case; "" for none."""
        return self.fields.upgrade

    @property
    def has_body(self) -> bool:
        """Whether a body follows the head, perhaps an empty chunked one."""
        return self.fields.has_body

    @property
    def path_params(self) -> dict[str, str]:
        """The parts of the path that the route gave names."""
        if self._path_params is None:
            self._path_params = {}
        return self._path_params

    @property
    def headers(self) -> Headers:
        """All fields, parsed when first asked for."""
        return self.fields.headers

    @property
    def field_lines(self) -> bytes:
        """The field lines as they were received."""
        return self.fields.lines

    @property
    def path(self) -> str:
        """The path, percent-decoded as UTF-8, dot segments left alone. Raises HttpError 400 when it is no text."""
        if self._path is None:
            self._path = decode_path(self.raw_path) if "%" in self.raw_path else self.raw_path
        return self._path

    @property
    def query_params(self) -> dict[str, list[str]]:
        """The query as name → values, in order; what is not UTF-8 is replaced."""
        if self._query_params is None:
            self._query_params = parse_query(self.query)
        return self._query_params

    def query_param(self, name: str, default: str | None = None) -> str | None:
        """The first value of a query parameter, or `default`."""
        values = self.query_params.get(name)
        return values[0] if values else default

    @property
    def cookies(self) -> dict[str, str]:
        """The cookies by name (RFC 6265 §5.4)."""
        if self._cookies is None:
            self._cookies = parse_cookie_header("; ".join(self.headers.get_all("cookie")))
        return self._cookies

    @property
    def state(self) -> dict[str, object]:
        """A place for hooks to leave values for handlers."""
        if self._state is None:
            self._state = {}
        return self._state

    @property
    def wants_html(self) -> bool:
        """Whether the client prefers a page to JSON, as browsers say for what a person opens."""
        accept = (self.headers.get("accept") or "").lower()
        html, json_at = accept.find("text/html"), accept.find("application/json")
        return html >= 0 and (json_at < 0 or html < json_at)

    def json(self) -> Any:
        """The body as JSON; HttpError 400 `bad_json` when it is not UTF-8 JSON without NaN or Infinity."""
        try:
            return json.loads(self.body.decode("utf-8"), parse_constant=_refuse_constant)
        except (ValueError, RecursionError) as error:
            raise HttpError(400, "bad_json", f"the body is not JSON: {_first_line(error)}") from None

    def json_object(self) -> dict[str, Any]:
        """The body as a JSON object; HttpError 400 `bad_json` when it is anything else."""
        value = self.json()
        if not isinstance(value, dict):
            raise HttpError(400, "bad_json", f"got a JSON {type(value).__name__}, expected an object")
        return value

    def form(self) -> dict[str, str]:
        """The body as application/x-www-form-urlencoded, first value of each name; HttpError 400 `bad_form`."""
        try:
            text = self.body.decode("ascii")
            pairs = parse_qsl(text, keep_blank_values=True, errors="strict", max_num_fields=200)
        except ValueError as error:
            raise HttpError(400, "bad_form", f"the body is no urlencoded form: {_first_line(error)}") from None
        form: dict[str, str] = {}
        for name, value in pairs:
            form.setdefault(name, value)
        return form

    def attach_body_stream(self, chunks: AsyncIterator[bytes]) -> None:
        """The connection's part: where `stream()` gets the body of a streamed route from."""
        self._body_stream = chunks

    def stream(self) -> AsyncIterator[bytes]:
        """The body as it arrives. On a collected route, the collected body as one chunk."""
        return self._body_stream if self._body_stream is not None else _once(self.body)


async def _once(body: bytes) -> AsyncIterator[bytes]:
    if body:
        yield body


def _refuse_constant(name: str) -> Any:
    raise ValueError(f"{name} is not JSON")


def _first_line(error: BaseException) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0][:200]


class Response:
    """A reply whose body is at hand. The connection writes Date, Content-Length, Connection and X-Request-Id."""

    # No __slots__: with them the interpreter makes an object a fifth slower.

    def __init__(
        self,
        status: int = 200,
        body: bytes = b"",
        content_type: str | None = None,
        headers: Sequence[tuple[str, str]] = (),
    ) -> None:
        self.status = status
        self.body = body
        self.content_type = content_type
        self.headers = [*headers]

    def add_header(self, name: str, value: str) -> None:
        """One more field line of this name."""
        self.headers.append((name, value))

    def set_header(self, name: str, value: str) -> None:
        """This value is the only one of that name."""
        lower = name.lower()
        self.headers = [pair for pair in self.headers if pair[0].lower() != lower]
        self.headers.append((name, value))

    def get_header(self, name: str) -> str | None:
        """The first value of the field, or None."""
        lower = name.lower()
        return next((value for key, value in self.headers if key.lower() == lower), None)

    @classmethod
    def json(cls, value: object, status: int = 200, headers: Sequence[tuple[str, str]] = ()) -> "Response":
        """A JSON reply; ValueError for NaN or Infinity, TypeError for what JSON has no word for."""
        text = json.dumps(value, ensure_ascii=False, separators=(",", ":"), allow_nan=False)
        try:
            body = text.encode("utf-8")
        except UnicodeEncodeError:  # a lone surrogate; escaped, it is legal JSON
            body = json.dumps(value, separators=(",", ":"), allow_nan=False).encode("ascii")
        return cls(status, body, JSON_TYPE, headers)

    @classmethod
    def text(cls, text: str, status: int = 200, headers: Sequence[tuple[str, str]] = ()) -> "Response":
        """A plain text reply in UTF-8."""
        return cls(status, text.encode("utf-8"), TEXT_TYPE, headers)

    @classmethod
    def html(cls, text: str, status: int = 200, headers: Sequence[tuple[str, str]] = ()) -> "Response":
        """A page in UTF-8."""
        return cls(status, text.encode("utf-8"), HTML_TYPE, headers)

    @classmethod
    def redirect(cls, location: str, status: int = 302, headers: Sequence[tuple[str, str]] = ()) -> "Response":
        """Sends the client to `location`, which must already be percent-encoded."""
        return cls(status, b"", None, [("Location", location), *headers])

    @classmethod
    def error(cls, status: int, code: str, message: str, headers: Sequence[tuple[str, str]] = ()) -> "Response":
        """The error object that every service answers with."""
        return cls.json({"error": {"code": code, "message": message}}, status, headers)


class RepeatableResponse(Response):
    """A reply that the same request gets again without its handler, whoever sends it, for as long as `is_current`.

    The same request: method, target and fields. What depends on anything else, a session's age or a limit of rate, is
    not repeatable. `is_current` is asked each time, so it is quick, and never raises.
    """

    __slots__ = ("is_current",)

    def __init__(
        self,
        is_current: Callable[[], bool],
        status: int,
        body: bytes,
        content_type: str | None,
        headers: Sequence[tuple[str, str]],
    ) -> None:
        super().__init__(status, body, content_type, headers)
        self.is_current = is_current


class StreamingResponse(Response):
    """A reply whose body is made while it is sent: chunked, or with a known length, or until close for HTTP/1.0.

    `chunks` is closed (`aclose`) when the reply is complete and when the client leaves. An error in it after the head
    is out cuts the connection, so that the client can tell the reply is not whole.
    """

    __slots__ = ("chunks", "content_length")

    def __init__(
        self,
        status: int,
        chunks: AsyncIterator[bytes],
        content_type: str | None = None,
        headers: Sequence[tuple[str, str]] = (),
        content_length: int | None = None,
    ) -> None:
        super().__init__(status, b"", content_type, headers)
        self.chunks = chunks
        self.content_length = content_length  # bytes; None: not known


class FileResponse(Response):
    """A reply whose body is `length` bytes of an open file from `offset`, by sendfile. The connection closes `fd`."""

    __slots__ = ("fd", "length", "offset")

    def __init__(
        self,
        fd: int,
        offset: int,
        length: int,
        status: int = 200,
        content_type: str | None = None,
        headers: Sequence[tuple[str, str]] = (),
    ) -> None:
        super().__init__(status, b"", content_type, headers)
        self.fd = fd
        self.offset = offset
        self.length = length


class Deferred(Response):
    """No reply yet: it comes later, from callbacks, without a task. A plain handler returns it.

    `begin` gets the connection, which is `handling` until the deferred either gives it a whole reply (`reply`) or
    writes head and body into its `output` and says so (`finish`); `advance` then goes on with the next request, and is
    not to be called from within `begin`.
    """

    __slots__ = ()

    def __init__(self) -> None:
        """Status, fields and body stay unset: there is nothing to tell yet."""

    def begin(self, client: "ReplySide", request: Request) -> None:
        """The reply is wanted. What fails is answered here: nobody catches it."""
        raise NotImplementedError

    def resume(self) -> None:
        """Output that had been held up is sent."""

    def abandon(self) -> None:
        """The client is gone: nobody wants the reply any more."""


class Upgrade(Response):
    """A 101 reply. Once its head is out the connection runs `run` in a task and leaves the socket to it."""

    __slots__ = ()

    def __init__(self, headers: Sequence[tuple[str, str]] = ()) -> None:
        super().__init__(101, b"", None, headers)

    async def run(self, stream: "Stream", leftover: bytes) -> None:
        """Owns the socket from now on; `leftover` was read past the request's head. The caller closes the stream."""
        raise NotImplementedError

    def discard(self) -> None:
        """The client left before its 101 was sent, so `run` will not be called: give back what is held for it."""

    def begin_drain(self) -> None:
        """The server is going away: say so to the other side, if the protocol has a word for it."""
