"""How long a WebSocket may be silent: when to ping, when to give up. Values in, values out; no clock."""

from dataclasses import dataclass
from enum import Enum, auto


@dataclass(frozen=True, slots=True)
class WebSocketTimeouts:
    """How long silence may last, in seconds. `ping_interval_s` None: no pings, silence is never too long."""

    ping_interval_s: float | None = 30.0  # a ping is sent when nothing came for so long
    pong_s: float = 20.0  # after a ping without any bytes; then the connection is closed with 1011
    close_s: float = 5.0  # for the other side's close frame, and then for its end of the connection


DEFAULT_TIMEOUTS = WebSocketTimeouts()


class Step(Enum):
    """What to do about silence."""

    PING = auto()
    GIVE_UP = auto()


def next_step(
    timeouts: WebSocketTimeouts, now_s: float, received_at_s: float, pinged_at_s: float | None
) -> Step | float:
    """What to do now, or in how many seconds to ask again. `ping_interval_s` must not be None.

    `received_at_s`: when the last bytes came, whatever they were; `pinged_at_s`: when the last ping was sent, or None.
    """
    interval_s = timeouts.ping_interval_s
    assert interval_s is not None
    if pinged_at_s is not None and pinged_at_s >= received_at_s:
        left_s = pinged_at_s + timeouts.pong_s - now_s
        return min(left_s, interval_s) if left_s > 0 else Step.GIVE_UP
    silent_s = now_s - received_at_s
    return interval_s - silent_s if silent_s < interval_s else Step.PING
