"""The values of fields that have a grammar of their own: conditions, ranges, dates, codings, cookies, extensions,
hops, traces, caching.

Nothing in a value may raise; what makes no sense is ignored, and a range lies within the file.
"""

import random

from fuzz.target import Target, take_choices
from shared.httpcore.cache_control import MAX_SECONDS, parse_cache_control
from shared.httpcore.conditional import Validators, Verdict, evaluate_preconditions, is_range_current
from shared.httpcore.cookies import parse_cookie_header
from shared.httpcore.dates import format_http_date, parse_http_date
from shared.httpcore.forwarded import parse_forwarded, parse_node, serialize_forwarded, serialize_node
from shared.httpcore.headers import Headers
from shared.httpcore.negotiation import accepts_gzip, coding_weights
from shared.httpcore.ranges import ByteRange, parse_range
from shared.httpcore.trace_context import combine_tracestate, parse_traceparent, serialize_traceparent
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
    seconds = parse_cache_control(lines).seconds("max-age")
    assert seconds is None or 0 <= seconds <= MAX_SECONDS
    _check_hops(text)
    _check_traces(text)
    try:
        parse_extensions(Headers(("Sec-WebSocket-Extensions", line) for line in lines))
    except ValueError:
        pass


def _check_hops(text: str) -> None:
    """What was read can be written and read again."""
    elements = parse_forwarded(text)
    said = [each for each in elements or () if (each.for_, each.by, each.host, each.proto) != (None,) * 4]
    assert parse_forwarded(", ".join(map(serialize_forwarded, said))) == tuple(said)
    node = parse_node(text)
    assert node is None or parse_node(serialize_node(node)) == node


def _check_traces(text: str) -> None:
    parent = parse_traceparent(text)
    assert parent is None or parse_traceparent(serialize_traceparent(parent)) == parent
    state = combine_tracestate(text.split("\n"))
    assert combine_tracestate([state]) == state


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
        b'for="[2001:db8::1]:80";by=_x;host="a\\"b";proto=https, For=192.0.2.1',
        b"[2001:db8::1]:443",
        b"00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
        b"a=1,b@c=2 3",
        b'private="x, y", max-age=60, s-maxage="5"',
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
        b"for=",
        b"proto=",
        b"max-age=",
        b"00-",
    ),
    max_bytes=512,
)
