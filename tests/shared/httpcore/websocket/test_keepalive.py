"""When to ping a silent peer, and when to give it up."""

import pytest

from shared.httpcore.websocket.keepalive import Step, WebSocketTimeouts, next_step

# name, seconds: now, last bytes, last ping; what to do
CASES = [
    ("bytes just came", 100.0, 100.0, None, 30.0),
    ("bytes came a while ago", 120.0, 100.0, None, 10.0),
    ("silent for long enough", 130.0, 100.0, None, Step.PING),
    ("silent for too long", 500.0, 100.0, None, Step.PING),
    ("just pinged", 130.0, 100.0, 130.0, 20.0),
    ("pinged, no answer yet", 145.0, 100.0, 130.0, 5.0),
    ("pinged, no answer", 150.0, 100.0, 130.0, Step.GIVE_UP),
    ("answered", 145.0, 140.0, 130.0, 25.0),
    ("answered, then silent", 171.0, 140.0, 130.0, Step.PING),
    ("the answer came late, but came", 151.0, 150.5, 130.0, 29.5),
]


@pytest.mark.parametrize(
    ("now_s", "received_at_s", "pinged_at_s", "expected"), [case[1:] for case in CASES], ids=[case[0] for case in CASES]
)
def test_what_silence_leads_to(
    now_s: float, received_at_s: float, pinged_at_s: float | None, expected: Step | float
) -> None:
    timeouts = WebSocketTimeouts(ping_interval_s=30.0, pong_s=20.0)
    assert next_step(timeouts, now_s, received_at_s, pinged_at_s) == expected


def test_an_interval_shorter_than_the_wait_for_a_pong_is_kept_to() -> None:
    assert next_step(WebSocketTimeouts(ping_interval_s=5.0, pong_s=20.0), 101.0, 90.0, 100.0) == 5.0
