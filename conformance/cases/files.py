"""A file of 26 octets, `abcdefghijklmnopqrstuvwxyz`: methods, ranges, and conditions on it."""

from conformance.case import Case, get

EARLY = b"Mon, 01 Jan 2001 00:00:00 GMT"
LATE = b"Sun, 01 Jan 2090 00:00:00 GMT"


def file(name: str, section: str, field_lines: bytes, rule: str, right: str, *also: str) -> Case:
    """A GET of the file."""
    return Case(name, section, get("/file.txt", field_lines), rule, right, also)


def ranged(name: str, value: bytes, rule: str, right: str, *also: str, section: str = "9110 §14.2") -> Case:
    """A GET of the file with a Range; Content-Range is part of the outcome."""
    return Case(name, section, get("/file.txt", b"Range: " + value + b"\r\n"), rule, right, also, shows="Content-Range")


METHODS = (
    file("GET", "9110 §9.3.1", b"", "the file", "200"),
    Case(
        "HEAD of the file",
        "9110 §8.6",
        get("/file.txt", method="HEAD"),
        "the length of GET's",
        "200 (26)",
        is_head=True,
        shows="Content-Length",
    ),
    Case(
        "DELETE",
        "9110 §15.5.6",
        get("/file.txt", method="DELETE"),
        "405 MUST come with Allow",
        "405 (GET, HEAD, OPTIONS)",
        ("405 (*?)", "501 (*)"),
        shows="Allow",
    ),
    Case(
        "TRACE",
        "9110 §9.3.8",
        get("/file.txt", method="TRACE"),
        "405 MUST come with Allow",
        "405 (GET, HEAD, OPTIONS)",
        ("405 (*?)", "501 (*)"),
        shows="Allow",
    ),
    Case(
        "OPTIONS",
        "9110 §9.3.7",
        get("/file.txt", method="OPTIONS"),
        "Allow SHOULD be told",
        "204 (GET, HEAD, OPTIONS)",
        ("2?? (*?)",),
        shows="Allow",
    ),
)

RANGES = (
    ranged("Range `bytes=0-4`", b"bytes=0-4", "the part, or all", "206 (bytes 0-4/26)", "200"),
    ranged("Range `bytes=20-`", b"bytes=20-", "the part, or all", "206 (bytes 20-25/26)", "200"),
    ranged("Range `bytes=-5`", b"bytes=-5", "the part, or all", "206 (bytes 21-25/26)", "200"),
    ranged("Range `bytes=-100`", b"bytes=-100", "the whole as a part, or all", "206 (bytes 0-25/26)", "200"),
    ranged("Range `bytes=20-999`", b"bytes=20-999", "cut at the end", "206 (bytes 20-25/26)", "200"),
    ranged("Range `BYTES=0-4`", b"BYTES=0-4", "units ignore case", "206 (bytes 0-4/26)", "200", section="9110 §14.1"),
    ranged(
        "Range `bytes=26-`", b"bytes=26-", "416 with the length", "416 (bytes */26)", "200", section="9110 §15.5.17"
    ),
    ranged("Range `bytes=-0`", b"bytes=-0", "416 with the length", "416 (bytes */26)", "200", section="9110 §15.5.17"),
    ranged("Range `bytes=4-0`", b"bytes=4-0", "invalid: ignored", "200", "416 (bytes [*]/26)", section="9110 §14.1.1"),
    ranged("Range `bytes=a-b`", b"bytes=a-b", "invalid: ignored", "200", "416 (bytes [*]/26)", section="9110 §14.1.1"),
    ranged("Range `bytes=`", b"bytes=", "invalid: ignored", "200", "416 (bytes [*]/26)", section="9110 §14.1.1"),
    ranged("Range `lines=0-4`", b"lines=0-4", "an unknown unit MUST be ignored", "200", section="9110 §14.2"),
    ranged("Range `bytes=0-1,4-5`", b"bytes=0-1,4-5", "parts, or all; here: all", "200", "206"),
    ranged("Range `bytes=0-,0-,0-,0-`", b"bytes=0-,0-,0-,0-", "overlapping: MAY be ignored", "200", "206*", "416*"),
    Case(
        "HEAD with Range",
        "9110 §14.2",
        get("/file.txt", b"Range: bytes=0-4\r\n", "HEAD"),
        "for GET only: MUST be ignored",
        "200",
        is_head=True,
        shows="Content-Range",
    ),
)

CONDITIONS = (
    file("If-None-Match, the tag", "9110 §13.1.2", b"If-None-Match: {etag}\r\n", "MUST get 304", "304"),
    file(
        "If-None-Match, the tag as a weak one",
        "9110 §13.1.2",
        b"If-None-Match: W/{etag}\r\n",
        "compared weakly: 304",
        "304",
    ),
    file(
        "If-None-Match, a list with the tag", "9110 §13.1.2", b'If-None-Match: "a", {etag}\r\n', "MUST get 304", "304"
    ),
    file("If-None-Match, another tag", "9110 §13.1.2", b'If-None-Match: "a"\r\n', "the file", "200"),
    file("If-None-Match `*`", "9110 §13.1.2", b"If-None-Match: *\r\n", "MUST get 304", "304"),
    file("If-Modified-Since, its date", "9110 §13.1.3", b"If-Modified-Since: {modified}\r\n", "SHOULD get 304", "304"),
    file(
        "If-Modified-Since, an early date", "9110 §13.1.3", b"If-Modified-Since: " + EARLY + b"\r\n", "the file", "200"
    ),
    file(
        "If-Modified-Since, a late date",
        "9110 §13.1.3",
        b"If-Modified-Since: " + LATE + b"\r\n",
        "SHOULD get 304",
        "304",
        "200",
    ),
    file("If-Modified-Since, no date", "9110 §13.1.3", b"If-Modified-Since: yesterday\r\n", "MUST be ignored", "200"),
    file(
        "If-None-Match, another tag, and If-Modified-Since, its date",
        "9110 §13.1.3",
        b'If-None-Match: "a"\r\nIf-Modified-Since: {modified}\r\n',
        "the date MUST be ignored",
        "200",
    ),
    file("If-Match, the tag", "9110 §13.1.1", b"If-Match: {etag}\r\n", "the file", "200"),
    file("If-Match `*`", "9110 §13.1.1", b"If-Match: *\r\n", "the file", "200"),
    file("If-Match, another tag", "9110 §13.1.1", b'If-Match: "a"\r\n', "412", "412", "412 ×"),
    file(
        "If-Match, the tag as a weak one",
        "9110 §13.1.1",
        b"If-Match: W/{etag}\r\n",
        "compared strongly: 412",
        "412",
        "412 ×",
    ),
    file("If-Unmodified-Since, its date", "9110 §13.1.4", b"If-Unmodified-Since: {modified}\r\n", "the file", "200"),
    file(
        "If-Unmodified-Since, an early date",
        "9110 §13.1.4",
        b"If-Unmodified-Since: " + EARLY + b"\r\n",
        "412",
        "412",
        "412 ×",
    ),
    ranged(
        "Range, If-Range the tag",
        b"bytes=0-4\r\nIf-Range: {etag}",
        "the part",
        "206 (bytes 0-4/26)",
        "200",
        section="9110 §13.1.5",
    ),
    ranged(
        "Range, If-Range another tag",
        b'bytes=0-4\r\nIf-Range: "a"',
        "all: Range MUST be ignored",
        "200",
        section="9110 §13.1.5",
    ),
    ranged(
        "Range, If-Range the tag as a weak one",
        b"bytes=0-4\r\nIf-Range: W/{etag}",
        "compared strongly: all",
        "200",
        section="9110 §13.1.5",
    ),
    ranged(
        "Range, If-Range an early date",
        b"bytes=0-4\r\nIf-Range: " + EARLY,
        "all: Range MUST be ignored",
        "200",
        section="9110 §13.1.5",
    ),
    ranged(
        "Range, If-None-Match the tag",
        b"bytes=0-4\r\nIf-None-Match: {etag}",
        "304 comes before the range",
        "304",
        section="9110 §13.2.2",
    ),
    Case(
        "HEAD, If-None-Match the tag",
        "9110 §13.1.2",
        get("/file.txt", b"If-None-Match: {etag}\r\n", "HEAD"),
        "MUST get 304",
        "304",
        is_head=True,
    ),
)

CASES = METHODS + RANGES + CONDITIONS
