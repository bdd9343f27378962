"""What a post may say, and what makes two messages the same."""

from dataclasses import replace

import pytest

from services.peer.messages import MAX_CONTENT_BYTES, Message, MessageError, Post, parse_post, shown

REFUSED: list[tuple[dict[str, object], int, str, str | None]] = [
    ({}, 400, "bad_content", "content: got nothing, expected text"),
    ({"content": None}, 400, "bad_content", "content: got nothing, expected text"),
    ({"content": 1}, 400, "bad_content", "content: got int, expected text"),
    ({"content": ["x"]}, 400, "bad_content", "content: got list, expected text"),
    ({"content": "x\ud800"}, 400, "bad_content", "content: half a surrogate pair at character 1 is no text"),
    (
        {"content": "é" * (MAX_CONTENT_BYTES // 2) + "x"},
        413,
        "content_too_large",
        "content: got 32769 bytes of UTF-8, expected no more than 32768",
    ),
    ({"content": "", "to": "p/2"}, 400, "bad_to", 'to: got "p/2", expected 1–63 characters of A–Z a–z 0–9 _ -'),
    ({"content": "", "to": ""}, 400, "bad_to", 'to: got "", expected 1–63 characters of A–Z a–z 0–9 _ -'),
    ({"content": "", "to": "x" * 64}, 400, "bad_to", None),
    ({"content": "", "from": 7}, 400, "bad_from", "from: got 7, expected 1–63 characters of A–Z a–z 0–9 _ -"),
    ({"content": "", "from": "p1\n"}, 400, "bad_from", None),
    ({"content": "", "id": "a b"}, 400, "bad_id", 'id: got "a b", expected 1–64 characters of A–Z a–z 0–9 . _ : -'),
    ({"content": "", "id": "x" * 65}, 400, "bad_id", None),
    (
        {"content": "", "channel": "a\tb"},
        400,
        "bad_channel",
        'channel: got "a\\tb", expected 1–64 printable characters',
    ),
]


@pytest.mark.parametrize(("fields", "status", "code", "text"), REFUSED)
def test_a_bad_post_is_refused_in_words(fields: dict[str, object], status: int, code: str, text: str | None) -> None:
    with pytest.raises(MessageError) as caught:
        parse_post(fields)
    assert (caught.value.status, caught.value.code) == (status, code)
    if text is not None:
        assert str(caught.value) == text


@pytest.mark.parametrize(("value", "picture"), [([[]], "a list"), ({"a": 1}, "an object")])
def test_lists_and_objects_are_not_written_out(value: object, picture: str) -> None:
    assert shown(value) == picture


@pytest.mark.parametrize("name", ["from", "to", "channel", "id"])
def test_a_field_nested_deeper_than_can_be_written_is_refused(name: str) -> None:
    # `json` reads a little deeper than it writes: an id of 960 lists was answered 500.
    deep: list[object] = []
    for _ in range(2_000):
        deep = [deep]
    with pytest.raises(MessageError, match=f"{name}: got a list, expected") as caught:
        parse_post({"content": "x", name: deep})
    assert (caught.value.status, caught.value.code) == (400, f"bad_{name}")


def test_a_post_of_content_alone_leaves_the_rest_open() -> None:
    assert parse_post({"content": "hi", "to": None, "mood": 1}) == Post(None, None, None, "hi", None)


def test_a_post_may_say_everything() -> None:
    fields: dict[str, object] = {"from": "p1", "to": "p2", "channel": "#dev ☕", "content": "", "id": "a.b_c:d-1"}
    assert parse_post(fields) == Post("p1", "p2", "#dev ☕", "", "a.b_c:d-1")


def test_content_of_exactly_32_kib_passes() -> None:
    assert len(parse_post({"content": "x" * MAX_CONTENT_BYTES}).content) == MAX_CONTENT_BYTES


def test_the_digest_tells_messages_apart_but_not_the_times_they_were_sent() -> None:
    message = Message("m", "p1", "p2", None, "hi", 1.0)
    assert message.digest() == replace(message, sent_at=2.0).digest()
    others = [
        replace(message, content="ho"),
        replace(message, to="p3"),
        replace(message, channel="chat"),
        replace(message, to=None, channel="p2"),
    ]
    assert len({other.digest() for other in [message, *others]}) == 5
