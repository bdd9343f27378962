"""Server-sent events as bytes, and read back the way the HTML standard says."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.httpcore.sse import ServerSentEvent, accepts_events, serialize_comment, serialize_event

# name, the event, its bytes
EVENTS: list[tuple[str, ServerSentEvent, bytes]] = [
    ("data alone", ServerSentEvent("hello"), b"data: hello\n\n"),
    ("all of it", ServerSentEvent("x", "peers", "7", 100), b"id: 7\nevent: peers\nretry: 100\ndata: x\n\n"),
    ("lines", ServerSentEvent("a\nb\r\nc\rd\n"), b"data: a\ndata: b\ndata: c\ndata: d\ndata: \n\n"),
    ("empty data", ServerSentEvent(""), b"data: \n\n"),
    ("nothing but a delay", ServerSentEvent(retry_ms=2000), b"retry: 2000\n\n"),
    ("an id that forgets", ServerSentEvent("x", id=""), b"id: \ndata: x\n\n"),
    ("UTF-8", ServerSentEvent("đ \u2028"), "data: đ \u2028\n\n".encode()),
    ("a lone surrogate", ServerSentEvent("\ud800"), b"data: ?\n\n"),
    ("space and colon in front", ServerSentEvent(" :x"), b"data:  :x\n\n"),
]


@pytest.mark.parametrize(("_", "event", "expected"), EVENTS, ids=[case[0] for case in EVENTS])
def test_an_event_is_written_as_the_standard_reads_it(_: str, event: ServerSentEvent, expected: bytes) -> None:
    assert serialize_event(event) == expected


@pytest.mark.parametrize(
    "fields", [{"id": "a\nb"}, {"id": "\x00"}, {"event": "a\r"}, {"event": "\x00"}, {"retry_ms": -1}], ids=repr
)
def test_what_would_become_another_line_is_refused(fields: dict[str, object]) -> None:
    with pytest.raises(ValueError, match=next(iter(fields))):
        ServerSentEvent(**fields)  # type: ignore[arg-type]


def test_a_comment_is_passed_over() -> None:
    assert serialize_comment("a\nb") == b": a\n: b\n\n"
    assert read_stream(serialize_comment("data: x\ndata: y")) == []


@pytest.mark.parametrize(
    ("accept", "expected"),
    [
        ("text/event-stream", True),
        ("text/html, Text/Event-Stream;q=0.9", True),
        ("*/*", False),
        ("text/event-streams", False),
        (None, False),
    ],
)
def test_a_client_asks_for_events_by_accept(accept: str | None, expected: bool) -> None:
    assert accepts_events(accept) is expected


def read_stream(stream: bytes) -> list[tuple[str, str, str]]:
    """HTML §9.2.6, in a few lines: type, data and last event id of each event that is dispatched."""
    events, last_id, kind, data = [], "", "", ""
    for line in stream.decode().replace("\r\n", "\n").replace("\r", "\n").split("\n"):
        field, _, value = line.partition(":")
        value = value.removeprefix(" ")
        if not line:
            if data:
                events.append((kind or "message", data.removesuffix("\n"), last_id))
            kind = data = ""
        elif field == "data":
            data += value + "\n"
        elif field == "event":
            kind = value
        elif field == "id":
            last_id = value
    return events


TEXT = st.text(st.characters(exclude_categories=["Cs"]) | st.sampled_from(": \r\n"))
WORDS = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\r\n\x00"), min_size=1)


@given(st.lists(st.tuples(WORDS, TEXT, WORDS)))
def test_what_is_written_is_read(events: list[tuple[str, str, str]]) -> None:
    stream = b"".join(serialize_event(ServerSentEvent(data, kind, name)) for kind, data, name in events)
    as_read = [(kind, data.replace("\r\n", "\n").replace("\r", "\n"), name) for kind, data, name in events]
    assert read_stream(stream) == as_read
