"""W3C Trace Context: the field `traceparent` read, continued or begun, and what becomes of `tracestate`. Values in,
values out; randomness is a parameter.
"""

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from shared.httpcore.headers import Headers

# §3.2.2: version "-" trace-id "-" parent-id "-" trace-flags, lower case only; a later version may go on after a "-".
_TRACEPARENT = re.compile(r"([0-9a-f]{2})-([0-9a-f]{32})-([0-9a-f]{16})-([0-9a-f]{2})(-.*)?", re.DOTALL)
# §3.3.1: list-member = key "=" value; the value ends with no space.
_KEY = r"[a-z0-9][a-z0-9_\-*/@]{0,255}"
_MEMBER = re.compile(rf"{_KEY}=[ -+\--<>-~]{{0,255}}[!-+\--<>-~]")
MAX_MEMBERS = 32
MAX_STATE_CHARS = 8192
SAMPLED = 1

Draw = Callable[[int], int]  # a random number of so many bits, as `random.getrandbits`


@dataclass(frozen=True, slots=True)
class TraceParent:
    """Where in which trace: ids in lower-case hex. `is_sampled`: the caller may have recorded its part."""

    trace_id: str
    parent_id: str
    is_sampled: bool


def parse_traceparent(value: str) -> TraceParent | None:
    """What the field says; None when it is invalid, and then it must not be passed on (§3.2)."""
    found = _TRACEPARENT.fullmatch(value)
    if found is None:
        return None
    version, trace_id, parent_id, flags, rest = found.groups()
    if version == "ff" or (version == "00" and rest is not None):
        return None
    if trace_id == "0" * 32 or parent_id == "0" * 16:
        return None
    return TraceParent(trace_id, parent_id, bool(int(flags, 16) & SAMPLED))


def serialize_traceparent(parent: TraceParent) -> str:
    """The field in version 00, the one we know; flags that we don't know are zero (§3.2.2.5)."""
    return f"00-{parent.trace_id}-{parent.parent_id}-{'01' if parent.is_sampled else '00'}"


def next_parent(received: Sequence[str], draw: Draw) -> tuple[TraceParent, bool]:
    """Our own place in the trace, for the next hop, and whether it continues the caller's.

    `received` holds the traceparent lines of the request. A valid one is continued under a new parent id; without
    one, with several or with an invalid one a trace begins. It begins as sampled, since this hop writes its line in
    the log: otherwise parent-based samplers behind us would never record anything.
    """
    parent = parse_traceparent(received[0]) if len(received) == 1 else None
    if parent is None:
        return TraceParent(f"{_draw_id(draw, 128):032x}", f"{_draw_id(draw, 64):016x}", True), False
    return TraceParent(parent.trace_id, f"{_draw_id(draw, 64):016x}", parent.is_sampled), True


def _draw_id(draw: Draw, bits: int) -> int:
    return draw(bits) or 1  # §3.2.2.3: all zero is invalid


def trace_fields(headers: Headers, draw: Draw, *, begins: bool = True) -> list[tuple[str, str]]:
    """The fields for the next hop, in place of the client's. `tracestate` passes only beside a valid `traceparent`,
    and valid itself (§3.3). Without `begins` a request that has no `traceparent` gets none.
    """
    received = headers.get_all("traceparent")
    if not received and not begins:
        return []
    parent, is_continued = next_parent(received, draw)
    fields = [("traceparent", serialize_traceparent(parent))]
    if is_continued and (state := combine_tracestate(headers.get_all("tracestate"))):
        fields.append(("tracestate", state))
    return fields


def combine_tracestate(lines: Sequence[str]) -> str:
    """The lines as one (§3.3.1), empty members left out; "" when there is nothing, or anything invalid."""
    text = ",".join(lines)
    members = [member for each in text.split(",") if (member := each.strip(" \t"))]
    keys = {member.partition("=")[0] for member in members}
    if len(members) > MAX_MEMBERS or len(keys) < len(members) or len(text) > MAX_STATE_CHARS:
        return ""
    return ",".join(members) if all(_MEMBER.fullmatch(member) for member in members) else ""
