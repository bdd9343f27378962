"""What the head of a request says: its line, taken apart, and its fields with what they decide.

Values for `message.Request`; `parsing` fills them in.
"""

from typing import TYPE_CHECKING
from urllib.parse import parse_qs, unquote_to_bytes

from shared.httpcore.errors import HttpError
from shared.httpcore.headers import Headers

if TYPE_CHECKING:
    from shared.httpcore.net.repeats import Repeat


class HeadFields:
    """The field lines of one request's head and what they decide; `parsing` fills it in.

    A client mostly repeats its fields: the next request with the same lines shares this value, parsed headers included.
    """

    __slots__ = (
        "_headers",
        "content_length",
        "derived",
        "end_of_head",
        "expects_continue",
        "has_body",
        "has_origin",
        "host",
        "is_chunked",
        "keep_alive",
        "lines",
        "repeats",
        "request_id",
        "upgrade",
        "version_minor",
    )

    def __init__(self, lines: bytes, version_minor: int) -> None:
        self.lines = lines  # as received, valid by the grammar, each ended by CRLF
        self.version_minor = version_minor
        self.end_of_head = lines + b"\r\n"  # what follows the request line of a head with these fields
        self.has_origin = False  # whether there is an Origin field: pages of other sites send it
        self.host = ""  # lower case; "" when an HTTP/1.0 request has none
        self.content_length: int | None = None  # None: no Content-Length field
        self.is_chunked = False
        self.has_body = False  # whether one follows, perhaps an empty chunked one
        self.keep_alive = version_minor == 1  # what the client asked for (RFC 9112 §9.3)
        self.expects_continue = False
        self.upgrade = ""  # lower case; only when Connection names it
        self.request_id = ""  # the client's, when it is well formed
        self._headers: Headers | None = None
        self.derived: object = None  # a place for what an application makes of these lines, for the next such request
        self.repeats: dict[str, Repeat] | None = None  # replies to requests with these fields, by target; see `repeats`

    @property
    def headers(self) -> Headers:
        """All fields, parsed when first asked for."""
        if self._headers is None:
            self._headers = Headers.parse(self.lines)
        return self._headers


# What a request line says, taken apart: method; target in origin-form, or "*" for OPTIONS; its path as it came; its
# query without the question mark. No NamedTuple: the interpreter unpacks a plain tuple at a third of the price.
RequestLine = tuple[str, str, str, str]


def split_request_line(method: str, target: str) -> RequestLine:
    """The parts of a request line that was found valid."""
    raw_path, _, query = target.partition("?")
    return method, target, raw_path, query


def decode_path(raw_path: str) -> str:
    """The path, percent-decoded as UTF-8. HttpError 400 when it is no text."""
    try:
        path = unquote_to_bytes(raw_path).decode("utf-8")
    except UnicodeDecodeError:
        raise HttpError(400, "bad_path", "the path is not UTF-8 after percent-decoding") from None
    if "\x00" in path:
        raise HttpError(400, "bad_path", "the path holds a NUL")
    return path


def parse_query(query: str) -> dict[str, list[str]]:
    """Name → values, in order; what is not UTF-8 is replaced. HttpError 400 when there are too many."""
    if not query:
        return {}
    try:
        return parse_qs(query, keep_blank_values=True, errors="replace", max_num_fields=1000)
    except ValueError:
        raise HttpError(400, "bad_query", "got more than 1000 query parameters") from None
