"""How far a request has come on its way through the proxy.

Moved on by `attempt`, `answering` and `forward`; what each step does is theirs.
"""

from enum import Enum


class Stage(Enum):
    """Where a request stands. From the three between, a failure leads back to `CHOOSING`."""

    CHOOSING = "choosing"  # it is at no upstream
    CONNECTING = "connecting"
    ASKING = "asking"  # sent, or being sent; no final head yet
    REPLYING = "replying"  # the head is there; the body may be on its way
    TUNNELLING = "tunnelling"
    OVER = "over"


# As in `net/transport`: names cost less than looking members up in their Enum.
CHOOSING, CONNECTING, ASKING = Stage.CHOOSING, Stage.CONNECTING, Stage.ASKING
REPLYING, TUNNELLING, OVER = Stage.REPLYING, Stage.TUNNELLING, Stage.OVER
