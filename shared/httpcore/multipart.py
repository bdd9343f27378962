"""multipart/form-data (RFC 7578, on RFC 2046 §5.1): bytes in, at any split, and what they mean out.

Owns the grammar of boundaries and of the heads of parts, and how much of anything is taken. Holds of a body only what
may be the beginning of a boundary, or one part's head. How a handler reads parts from a request is in `uploads`.
"""

import re
from dataclasses import dataclass
from enum import Enum

from shared.httpcore.errors import HttpError
from shared.httpcore.grammar import FIELD_SECTION
from shared.httpcore.headers import Headers
from shared.httpcore.limits import KIB, MIB

# RFC 2046 §5.1.1: boundary := 0*69<bchars> bcharsnospace; as a parameter it is a token or quoted (RFC 2045 §5.1).
_BOUNDARY = re.compile(r"[0-9A-Za-z'()+_,\-./:=? ]{0,69}[0-9A-Za-z'()+_,\-./:=?]")
_CONTENT_TYPE = re.compile(
    r"""multipart/form-data[ \t]*+((?:;[ \t]*+[!#$%&'*+\-.^_`|~0-9A-Za-z]++=(?:"[^"\\]*+"|[^";\s]++)[ \t]*+)*+);?+""",
    re.IGNORECASE,
)
_BOUNDARY_PARAMETER = re.compile(r""";[ \t]*+boundary=(?:"([^"]*+)"|([^";\s]++))""", re.IGNORECASE)

# RFC 7578 §4.2, in the words of the HTML standard, which all browsers, curl and the Python clients keep to: a value is
# quoted and holds no quote. Deliberate: no backslash escapes, since what `a\` means would depend on who reads it.
_DISPOSITION = re.compile(r"""form-data((?:[ \t]*+;[ \t]*+[A-Za-z0-9*_-]++=(?:"[^"]*+"|[^";\s]++))*+)[ \t;]*+""", re.I)
_PARAMETER = re.compile(r""";[ \t]*+([A-Za-z0-9*_-]++)=(?:"([^"]*+)"|([^";\s]++))""")
_ESCAPES = {"%22": '"', "%0D": "\r", "%0A": "\n"}
_ESCAPE = re.compile("|".join(_ESCAPES), re.IGNORECASE)
_PLAIN_ENCODINGS = frozenset({"7bit", "8bit", "binary"})

# What may stand between a boundary and the end of its line (RFC 2046: transport-padding).
_DELIMITER_REST = re.compile(rb"(--)?[ \t]{0,64}+(\r\n|\r?\Z)?")
_MAX_PREAMBLE_BYTES = 1 * KIB


@dataclass(frozen=True, slots=True)
class MultipartLimits:
    """The bounds of one multipart body; over any of them: 413."""

    max_parts: int = 100
    max_part_head_bytes: int = 8 * KIB
    max_total_bytes: int | None = 100 * MIB  # boundaries and heads included; None: the route's limit alone


DEFAULT_MULTIPART_LIMITS = MultipartLimits()


@dataclass(frozen=True, slots=True)
class PartBegin:
    """A part's head. `filename` is the client's own word, None for a plain field: never use it as a path."""

    name: str
    filename: str | None
    headers: Headers


@dataclass(frozen=True, slots=True)
class PartData:
    """Some of the part's bytes, never none."""

    data: bytes


@dataclass(frozen=True, slots=True)
class PartEnd:
    """The part is whole."""


MultipartEvent = PartBegin | PartData | PartEnd


class _State(Enum):
    PREAMBLE = "preamble"
    DELIMITER = "rest of a boundary's line"
    HEAD = "head of a part"
    HEAD_END = "line end after a part's head"
    DATA = "data of a part"
    EPILOGUE = "epilogue"


def parse_boundary(content_type: str | None) -> bytes:
    """The boundary of a Content-Type value. HttpError 415 for another type, 400 for a boundary that can't be one."""
    match = _CONTENT_TYPE.fullmatch((content_type or "").strip(" \t"))
    if match is None:
        got = f"got {content_type[:80]!r}" if content_type else "got no Content-Type"
        raise HttpError(415, "unsupported_media_type", f"{got}, expected multipart/form-data with a boundary")
    found: list[str] = [quoted or token for quoted, token in _BOUNDARY_PARAMETER.findall(match[1])]
    if len(found) != 1 or not _BOUNDARY.fullmatch(found[0]):
        raise _bad(f"got {len(found)} boundaries in Content-Type, expected one of 1 to 70 characters that may be one")
    return found[0].encode("ascii")


class MultipartParser:
    """One body, fed piece by piece. Every error is an HttpError: 400 when it breaks the grammar, 413 over a limit."""

    def __init__(self, boundary: bytes, limits: MultipartLimits = DEFAULT_MULTIPART_LIMITS) -> None:
        self._delimiter = b"\r\n--" + boundary
        self._limits = limits
        self._buffer = b"\r\n"  # the first boundary may have no line end of its own before it
        self._scanned = 0  # bytes of the buffer known to hold no end of a head
        self._state = _State.PREAMBLE
        self._part_count = self._total_bytes = self._preamble_bytes = 0

    def feed(self, data: bytes) -> list[MultipartEvent]:
        """What is certain after these bytes, in order."""
        self._total_bytes += len(data)
        limit = self._limits.max_total_bytes
        if limit is not None and self._total_bytes > limit:
            raise HttpError(413, "body_too_large", f"the form has more than {limit} bytes")
        self._buffer += data
        events: list[MultipartEvent] = []
        while self._step(events):
            pass
        return events

    def finish(self) -> None:
        """The body ends here. HttpError 400 when the last boundary has not come."""
        last = _DELIMITER_REST.fullmatch(self._buffer) if self._state is _State.DELIMITER else None
        if self._state is not _State.EPILOGUE and (last is None or not last[1] or last[2]):
            raise _bad(f"the form ends in the {self._state.value}, expected its last boundary")

    def _step(self, events: list[MultipartEvent]) -> bool:
        """Whether it got any further, and may get further still."""
        if self._state is _State.DATA or self._state is _State.PREAMBLE:
            return self._take_data(events)
        if self._state is _State.DELIMITER:
            return self._take_delimiter_rest()
        if self._state is _State.HEAD:
            return self._take_head(events)
        if self._state is _State.HEAD_END:
            return self._take_head_end()
        self._buffer = b""  # RFC 2046 §5.1.1: an epilogue means nothing
        return False

    def _take_data(self, events: list[MultipartEvent]) -> bool:
        buffer = self._buffer
        at = buffer.find(self._delimiter)
        end = at if at >= 0 else self._possible_delimiter(buffer)
        if self._state is _State.PREAMBLE:
            self._preamble_bytes += end
            if self._preamble_bytes > _MAX_PREAMBLE_BYTES:
                raise _bad(f"no boundary in the first {_MAX_PREAMBLE_BYTES} bytes")
        elif end:
            events.append(PartData(buffer[:end]))
        if at < 0:
            self._buffer = buffer[end:]
            return False
        if self._state is _State.DATA:
            events.append(PartEnd())
        self._buffer = buffer[at + len(self._delimiter) :]
        self._state = _State.DELIMITER
        return True

    def _possible_delimiter(self, buffer: bytes) -> int:
        """Where, at the end of the buffer, the next boundary may have begun; its length when nowhere."""
        at = buffer.rfind(b"\r", max(0, len(buffer) - len(self._delimiter) + 1))
        return at if at >= 0 and self._delimiter.startswith(buffer[at:]) else len(buffer)

    def _take_delimiter_rest(self) -> bool:
        """The rest of a boundary's line: nothing, or the two hyphens that make it the last one."""
        buffer = self._buffer
        if buffer in (b"", b"-"):
            return False
        match = _DELIMITER_REST.match(buffer)
        if match is None or match[2] is None:
            # RFC 2046 §5.1.1: whatever begins with the boundary is one, so no other text may follow it.
            raise _bad("got other text on a boundary's line, expected its end")
        if match[2] != b"\r\n":
            return False
        if match[1]:
            self._state = _State.EPILOGUE
            return True
        self._buffer = buffer[match.end() - 2 :]  # the line end stays: two in a row end the head
        self._scanned = 0
        self._state = _State.HEAD
        return True

    def _take_head(self, events: list[MultipartEvent]) -> bool:
        limit = self._limits.max_part_head_bytes
        end = self._buffer.find(b"\r\n\r\n", max(0, self._scanned - 3))
        if (end if end >= 0 else len(self._buffer) - 3) - 2 > limit:  # without the CRLF in front
            raise HttpError(413, "part_head_too_large", f"a part's head has more than {limit} bytes")
        if end < 0:
            self._scanned = len(self._buffer)
            return False
        self._part_count += 1
        if self._part_count > self._limits.max_parts:
            raise HttpError(413, "too_many_parts", f"the form has more than {self._limits.max_parts} parts")
        events.append(_parse_part_head(self._buffer[2 : end + 2]))
        self._buffer = self._buffer[end + 2 :]
        self._state = _State.HEAD_END
        return True

    def _take_head_end(self) -> bool:
        """The empty line after a head. RFC 2046 §5.1.1: where a boundary follows, its CRLF belongs to that."""
        buffer, delimiter = self._buffer, self._delimiter
        if len(buffer) < len(delimiter) and delimiter.startswith(buffer):
            return False
        if not buffer.startswith(delimiter):
            self._buffer = buffer[2:]
        self._state = _State.DATA
        return True


def _parse_part_head(lines: bytes) -> PartBegin:
    if not FIELD_SECTION.fullmatch(lines):
        raise _bad("got a line in a part's head that is no field")
    headers = Headers.parse(lines)
    dispositions = headers.get_all("content-disposition")
    if len(dispositions) != 1:
        raise _bad(f"got {len(dispositions)} Content-Disposition fields in a part's head, expected one")
    encoding = headers.get("content-transfer-encoding", "binary") or ""
    if encoding.lower() not in _PLAIN_ENCODINGS:  # RFC 7578 §4.7: deprecated; ignoring it would change the data
        raise _bad(f"got Content-Transfer-Encoding {encoding[:40]!r}, expected none")
    parameters = _parse_disposition(dispositions[0])
    if "name" not in parameters:
        raise _bad("got a part without a name, expected one (RFC 7578 §4.2)")
    return PartBegin(parameters["name"], parameters.get("filename"), headers)


def _parse_disposition(value: str) -> dict[str, str]:
    match = _DISPOSITION.fullmatch(value)
    if match is None:
        raise _bad(f"got Content-Disposition {value[:80]!r}, expected form-data with name and perhaps filename")
    parameters: dict[str, str] = {}
    for name, quoted, token in _PARAMETER.findall(match[1]):
        lower = name.lower()
        if lower in parameters or lower.endswith("*"):  # RFC 7578 §4.2: no `filename*`; two names are one too many
            raise _bad(f"got {name[:40]} in Content-Disposition, expected name and filename, each once at most")
        parameters[lower] = _decode(quoted or token)
    return parameters


def _decode(value: str) -> str:
    try:
        text = value.encode("latin-1").decode("utf-8")
    except UnicodeDecodeError:
        raise _bad("got a name that is not UTF-8 (RFC 7578 §5.1)") from None
    return _ESCAPE.sub(lambda match: _ESCAPES[match[0].upper()], text)


def _bad(message: str) -> HttpError:
    return HttpError(400, "bad_form", message)
