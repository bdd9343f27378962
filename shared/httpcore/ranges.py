"""Which bytes a Range field asks for (RFC 9110 §14). Values in, values out; `static` serves them."""

import re
from dataclasses import dataclass
from enum import Enum, auto

# RFC 9110 §14.1.2: int-range = first-pos "-" [ last-pos ]; suffix-range = "-" suffix-length. Deliberate: at
# most 18 digits; a longer number is no position in any file.
_RANGE_SPEC = re.compile(r"([0-9]{1,18})-([0-9]{0,18})|-([0-9]{1,18})", re.ASCII)
_BYTES_RANGES = re.compile(r"bytes=(.*)", re.ASCII | re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class ByteRange:
    """Bytes `first` to `last`, both included, as everywhere in RFC 9110 §14."""

    first: int
    last: int

    @property
    def length(self) -> int:
        """How many bytes they are."""
        return self.last - self.first + 1

    def content_range(self, total_bytes: int) -> str:
        """The Content-Range field of a 206 (§14.4)."""
        return f"bytes {self.first}-{self.last}/{total_bytes}"


class Whole(Enum):
    """When it is not one range."""

    IGNORED = auto()  # no range, several, another unit, or malformed: 200 with everything (§14.2)
    UNSATISFIABLE = auto()  # 416 (§15.5.17)


def parse_range(value: str | None, total_bytes: int) -> ByteRange | Whole:
    """What a Range field (None: there is none) means for a representation of `total_bytes`.

    Deliberate: several ranges get the whole representation, as §14.2 allows; nobody needs
    multipart/byteranges, and overlapping ranges are an old way to make a server work.
    """
    unit = _BYTES_RANGES.fullmatch(value) if value is not None else None
    spec = _RANGE_SPEC.fullmatch(unit[1].strip(" \t")) if unit is not None else None
    if spec is None:
        return Whole.IGNORED
    first_text, last_text, suffix_text = spec.groups()
    if suffix_text is not None:
        return _suffix_range(int(suffix_text), total_bytes)
    first = int(first_text)
    last = int(last_text) if last_text else total_bytes - 1
    if last_text and last < first:
        return Whole.IGNORED  # §14.1.1: invalid, and an invalid ranges-specifier is ignored
    if first >= total_bytes:
        return Whole.UNSATISFIABLE
    return ByteRange(first, min(last, total_bytes - 1))


def _suffix_range(length: int, total_bytes: int) -> ByteRange | Whole:
    """The last `length` bytes; more than there are means all (§14.1.2)."""
    if length == 0:
        return Whole.UNSATISFIABLE
    if total_bytes == 0:
        return Whole.IGNORED  # satisfiable by §14.1.2, but no Content-Range can say so
    return ByteRange(max(0, total_bytes - length), total_bytes - 1)


def unsatisfied_content_range(total_bytes: int) -> str:
    """The Content-Range field of a 416 (§14.4)."""
    return f"bytes */{total_bytes}"
