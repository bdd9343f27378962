"""Heads from bytes: one strict regex accepts or refuses the whole head, then only what decides is taken out.

Owns the syntax of requests (RFC 9112 §2–§5), the Host rules (§3.2) and where any head ends; replies are
`reply_parsing`'s, and what follows from the deciding fields for the body is `framing`'s. When the regex refuses, a
second, slower look finds the words for the error.
"""

import re
from functools import lru_cache

from shared.httpcore.errors import ProtocolError
from shared.httpcore.framing import parse_content_length, parse_transfer_encoding
from shared.httpcore.grammar import (
    AUTHORITY_END,
    BAD_TARGET,
    DECIDING_REQUEST_FIELDS,
    FIELD_SECTION,
    HOST,
    REQUEST_ID,
    REQUEST_LINE,
    STRAY_OCTET,
)
from shared.httpcore.headers import Headers
from shared.httpcore.limits import Limits
from shared.httpcore.message import Request
from shared.httpcore.request_head import HeadFields, RequestLine, split_request_line

HEAD_END = b"\r\n\r\n"
MAX_KEPT_LINE_BYTES = 512  # of the request lines that are remembered: half a MiB at most


def find_head_end(buffer: bytes, scanned: int, limits: Limits) -> int:
    """Where the head at the start of `buffer` ends, its empty line included; 0 while it is incomplete.

    `scanned` bytes were looked at by earlier calls, so a head that comes byte by byte costs linear time. Raises
    ProtocolError as soon as what is there can't become a legal head: too long, or a stray CR, LF or NUL.
    """
    end = buffer.find(HEAD_END, scanned - 3 if scanned > 3 else 0)
    if end >= 0 and end + 4 <= limits.max_head_bytes:
        return end + 4
    _check_line_length(buffer, limits)
    if len(buffer) > limits.max_head_bytes:
        raise ProtocolError(431, "head_too_large", f"got a head over {limits.max_head_bytes} bytes")
    if (stray := STRAY_OCTET.search(buffer, max(0, scanned - 1))) is not None:
        raise ProtocolError(
            400, "bad_line_end", f"got {stray[0]!r} at byte {stray.start()}, expected lines ended by CRLF"
        )
    return 0


def parse_request_head(buffer: bytes, end: int, limits: Limits, previous: HeadFields | None = None) -> Request:
    """The request whose head is `buffer[:end]`; ProtocolError says which rule it breaks and the status to answer.

    `end` comes from `find_head_end`. The body's length is decided here too: `is_chunked` or `content_length`.
    `previous` are the fields of the connection's last request: when the lines are the same, so is what they mean.
    """
    line = REQUEST_LINE.match(buffer, 0, end)
    if line is None:
        raise _explain_request(buffer[:end], limits)
    version_minor = 1 if line[3] == b"1" else 0
    lines = buffer[line.end() : end - 2]
    if previous is None or previous.lines != lines or previous.version_minor != version_minor:
        if FIELD_SECTION.fullmatch(lines) is None:
            raise _explain_request(buffer[:end], limits)
        previous = _parse_fields(lines, version_minor, limits)
    return _make_request(line, previous, limits)


def parse_repeated_head(buffer: bytes, previous: HeadFields, limits: Limits) -> Request | None:
    """The request in `buffer` when that is one request line, the fields of the last request, and nothing else.

    The common case of a client that waits for its replies, decided by one comparison and one short match. None
    means that `find_head_end` and `parse_request_head` must look, also for everything that is wrong.
    """
    end_of_head = previous.end_of_head
    if not buffer.endswith(end_of_head):
        return None
    octets = buffer[: -len(end_of_head)]
    if len(octets) > MAX_KEPT_LINE_BYTES or len(octets) - 2 > limits.max_request_line_bytes:
        return None
    if len(buffer) > limits.max_head_bytes:  # a longer line before fields that were just short enough
        return None
    line = _parse_plain_line(octets, previous.version_minor)
    return Request("", "", 1, b"", previous, line) if line is not None else None


@lru_cache(maxsize=1024)
def _parse_plain_line(octets: bytes, version_minor: int) -> RequestLine | None:
    """A whole request line with a good target in origin-form; None for anything else.

    Clients ask for the same few targets again and again, so the lines of late are kept.
    """
    line = REQUEST_LINE.fullmatch(octets)
    if line is None or (line[3] == b"1") is not (version_minor == 1):
        return None
    method, target, _ = line.groups()
    if target[0] != 0x2F or method == b"CONNECT" or BAD_TARGET.search(target) is not None:  # "/"
        return None
    return split_request_line(method.decode("ascii"), target.decode("ascii"))


def _make_request(line: re.Match[bytes], fields: HeadFields, limits: Limits) -> Request:
    """The request of this request line and these fields; ProtocolError for a line too long or a bad target."""
    method, target, _ = line.groups()
    if line.end() - 2 > limits.max_request_line_bytes:
        raise _line_too_long(limits)
    if BAD_TARGET.search(target) is not None:
        raise ProtocolError(400, "bad_target", "got a request-target with a fragment or a bad percent-escape")
    request = Request(method.decode("ascii"), target.decode("ascii"), fields.version_minor, fields=fields)
    if target[0] != 0x2F or method == b"CONNECT":  # "/"
        _resolve_target_form(request)
    return request


def _parse_fields(lines: bytes, version_minor: int, limits: Limits) -> HeadFields:
    """What valid field lines decide; ProtocolError when they break a rule."""
    if lines.count(b"\n") > limits.max_field_count:
        raise ProtocolError(431, "too_many_fields", f"got more than {limits.max_field_count} field lines")
    found = DECIDING_REQUEST_FIELDS.findall(b"\n" + lines.lower())
    values = dict(found)
    if len(values) != len(found):
        values = _join_repeated(found)
    fields = HeadFields(lines, version_minor)
    _decide_request(fields, values)
    return fields


def _decide_request(fields: HeadFields, values: dict[bytes, bytes]) -> None:
    host = values.get(b"host")
    if host is not None:
        fields.host = _check_host(host)
    elif fields.version_minor:
        # RFC 9112 §3.2: a server MUST answer 400 to an HTTP/1.1 request without Host.
        raise ProtocolError(400, "missing_host", "an HTTP/1.1 request needs a Host field")
    if len(values) == 1 and host is not None:
        return
    if (coding := values.get(b"transfer-encoding")) is not None:
        parse_transfer_encoding(coding, fields.version_minor, has_length=b"content-length" in values)
        fields.is_chunked = fields.has_body = True
    elif (length := values.get(b"content-length")) is not None:
        fields.content_length = parse_content_length(length)
        fields.has_body = fields.content_length > 0
    if (connection := values.get(b"connection")) is not None:
        _decide_connection(fields, connection, values.get(b"upgrade", b""))
    if (expect := values.get(b"expect")) is not None and fields.version_minor:
        # RFC 9110 §10.1.1: 100-continue is the only expectation there is.
        if expect.strip(b" \t") != b"100-continue":
            raise ProtocolError(417, "bad_expectation", "got an Expect other than 100-continue")
        fields.expects_continue = True
    fields.has_origin = b"origin" in values
    if b"x-request-id" in values:
        fields.request_id = _request_id(fields.headers)


def _decide_connection(fields: HeadFields, connection: bytes, upgrade: bytes) -> None:
    """RFC 9112 §9.3: close wins; HTTP/1.0 needs keep-alive. RFC 9110 §7.8: Upgrade counts only when named."""
    tokens = [token.strip(b" \t") for token in connection.split(b",")]
    if b"close" in tokens:
        fields.keep_alive = False
    elif b"keep-alive" in tokens:
        fields.keep_alive = True
    if b"upgrade" in tokens and fields.version_minor:
        fields.upgrade = upgrade.strip(b" \t").decode("latin-1")


def _request_id(headers: Headers) -> str:
    values = headers.get_all("x-request-id")
    if len(values) == 1 and REQUEST_ID.fullmatch(values[0].encode("latin-1")):
        return values[0]
    return ""


def _join_repeated(found: list[tuple[bytes, bytes]]) -> dict[bytes, bytes]:
    """Repeated fields: list-valued ones are joined (RFC 9110 §5.3), the others are an error."""
    fields: dict[bytes, bytes] = {}
    for name, value in found:
        if name in (b"connection", b"upgrade", b"origin", b"x-request-id"):
            fields[name] = fields[name] + b"," + value if name in fields else value
        elif name in fields:
            status = 501 if name == b"transfer-encoding" else 400
            raise ProtocolError(status, "repeated_field", f"got more than one {name.decode()} field")
        else:
            fields[name] = value
    return fields


def _check_host(value: bytes) -> str:
    host = value.strip(b" \t")
    if HOST.fullmatch(host) is None:
        raise ProtocolError(400, "bad_host", "got a Host field that is not a name or address with an optional port")
    return host.decode("ascii")


def _resolve_target_form(request: Request) -> None:
    """RFC 9112 §3.2: absolute-form becomes origin-form when it agrees with Host; `*` is for OPTIONS only."""
    target = request.target
    if target == "*" and request.method == "OPTIONS":
        return
    if request.method == "CONNECT":
        raise ProtocolError(501, "not_implemented", "CONNECT is not implemented")
    scheme, separator, rest = target.partition("://")
    if not separator or scheme.lower() not in ("http", "https"):
        raise ProtocolError(400, "bad_target", "got a request-target that is neither a path nor an http URL")
    authority = AUTHORITY_END.split(rest, maxsplit=1)[0].lower()
    if not request.host and not request.version_minor:
        request.host = authority
    # Deliberate: RFC 9112 §3.2.2 lets the target win over Host; two hosts in one message are refused instead.
    if HOST.fullmatch(authority.encode("latin-1")) is None or not _is_same_host(
        authority, request.host, scheme.lower()
    ):
        raise ProtocolError(400, "host_mismatch", "got a request-target and a Host field that name different hosts")
    path = rest[len(authority) :]
    request.target = path if path.startswith("/") else "/" + path
    request.raw_path, _, request.query = request.target.partition("?")


def _is_same_host(authority: str, host: str, scheme: str) -> bool:
    default_port = ":443" if scheme == "https" else ":80"
    return authority.removesuffix(default_port) == host.removesuffix(default_port)


def _check_line_length(buffer: bytes, limits: Limits) -> None:
    line_end = buffer.find(b"\r\n", 0, limits.max_request_line_bytes + 2)
    # One byte over the limit may be the CR of a line that keeps to it.
    room = limits.max_request_line_bytes + buffer.startswith(b"\r", limits.max_request_line_bytes)
    if line_end < 0 and len(buffer) > room:
        raise _line_too_long(limits)


def _line_too_long(limits: Limits) -> ProtocolError:
    return ProtocolError(414, "line_too_long", f"got a request line over {limits.max_request_line_bytes} bytes")


def _explain_request(head: bytes, limits: Limits) -> ProtocolError:
    """Why the regex refused this head, in the client's words."""
    line, _, fields = head.partition(b"\r\n")
    if STRAY_OCTET.search(head) is not None:
        return ProtocolError(400, "bad_line_end", "got a bare CR, a bare LF or a NUL, expected lines ended by CRLF")
    words = line.split(b" ")
    if len(words) != 3:
        return ProtocolError(400, "bad_request_line", "expected METHOD SP TARGET SP HTTP-VERSION in the request line")
    version = words[2]
    if version[:5] == b"HTTP/" and len(version) == 8 and version[5:6].isdigit() and version[6:7] == b".":
        # Deliberate: RFC 9110 §2.5 has HTTP/1.2 read as 1.1; nobody sends it, so it is refused like 2.0.
        if version not in (b"HTTP/1.0", b"HTTP/1.1") and version[7:].isdigit():
            return ProtocolError(505, "bad_version", f"got {version.decode('latin-1')}, expected HTTP/1.0 or HTTP/1.1")
        return _explain_fields(fields)
    return ProtocolError(400, "bad_request_line", "expected HTTP/1.1 at the end of the request line")


def _explain_fields(fields: bytes) -> ProtocolError:
    for number, line in enumerate(fields.split(b"\r\n"), 1):
        if line[:1] in (b" ", b"\t"):
            return ProtocolError(400, "obs_fold", f"field line {number} starts with white space")
        name, colon, _ = line.partition(b":")
        if line and not colon:
            return ProtocolError(400, "bad_field", f"field line {number} has no colon")
        if name != name.rstrip(b" \t"):
            return ProtocolError(400, "bad_field", f"field line {number} has white space before its colon")
    return ProtocolError(400, "bad_field", "got a field line with an octet that may not stand there")
