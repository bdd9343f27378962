"""The values of fields that have a grammar of their own: conditions, ranges, dates, codings, cookies, extensions.

Nothing in a value may raise; what makes no sense is ignored, and a range lies within the file.
"""

import random

from fuzz.target import Target, take_choices
from shared.httpcore.conditional import Validators, Verdict, evaluate_preconditions, is_range_current
from shared.httpcore.cookies import parse_cookie_header
from shared.httpcore.dates import format_http_date, parse_http_date
from shared.httpcore.headers import Headers
from shared.httpcore.negotiation import accepts_gzip, coding_weights
from shared.httpcore.ranges import ByteRange, parse_range
from shared.httpcore.websocket.handshake import parse_extensions

VALIDATORS = Validators('"abc"', 1_700_000_000)
CONDITIONS = ("If-Match", "If-None-Match", "If-Modified-Since", "If-Unmodified-Since", "If-Range")


def check(data: bytes) -> None:
    """Every reader of values gets the same text."""
    choices, octets = take_choices(data)
    text = octets.decode("latin-1")
    lines = text.split("\n")
    headers = Headers((choices.choice(CONDITIONS), line) for line in lines)
    assert isinstance(evaluate_preconditions(choices.choice(["GET", "HEAD", "PUT"]), headers, VALIDATORS), Verdict)
    is_range_current(headers, VALIDATORS)
    total = choices.choice([0, 1, 26, 2**40])
    wanted = parse_range(text, total)
    if isinstance(wanted, ByteRange):
        assert 0 <= wanted.first <= wanted.last < total, f"{wanted} is not within {total} bytes"
    unix_s = parse_http_date(text)
    if unix_s is not None:
        assert parse_http_date(format_http_date(unix_s)) == unix_s, "a date is not what it was"
    weights = coding_weights(text)
    assert all(0 <= weight <= 1 for weight in weights.values()), weights
    accepts_gzip(text)
    assert len(parse_cookie_header(text)) <= 100
    try:
        parse_extensions(Headers(("Sec-WebSocket-Extensions", line) for line in lines))
    except ValueError:
        pass


def _seeds() -> list[bytes]:
    choices = random.Random(3)
    texts = (
        b'"abc"\nW/"abc", "x" ,,"y"\n*',
        b"Sun, 06 Nov 1994 08:49:37 GMT",
        b"Sunday, 06-Nov-94 08:49:37 GMT",
        b"Sun Nov  6 08:49:37 1994",
        b"bytes=0-4",
        b"bytes=-5",
        b"bytes=20-",
        b"bytes=0-1,4-5",
        b"gzip;q=0.5, br;q=1.000, identity; q=0, *",
        b'a=b; c="d"; e=; =f',
        b'permessage-deflate; server_max_window_bits=10; client_max_window_bits, x; y="z"',
    )
    return [choices.randbytes(2) + text for text in texts for _ in range(5)]


TARGET = Target(
    "field_values",
    check,
    ("shared.httpcore",),
    _seeds(),
    (
        b'W/"',
        b'"abc"',
        b"bytes=",
        b"GMT",
        b" Feb ",
        b"29",
        b";q=0.",
        b"gzip",
        b"=",
        b"; ",
        b", ",
        b"permessage-deflate",
    ),
    max_bytes=512,
)
