"""From the query of `GET peers` and `GET watch` to values: filter, page, revision, wait. Knows no socket, no time."""

import re
from dataclasses import dataclass

from services.tracker.lease import LeaseError, PeerFilter
from services.tracker.validation import parse_label, parse_peer_id
from shared.httpcore.message import Request

DEFAULT_WAIT_S = 30.0
MAX_WAIT_S = 60.0
_WHOLE = re.compile(r"[0-9]{1,18}")
_SECONDS = re.compile(r"[0-9]{1,9}(?:\.[0-9]{1,9})?")


@dataclass(frozen=True, slots=True)
class PageQuery:
    """Which part of a list: at most `limit` peers behind the id `after`; None and "" for all of it."""

    limit: int | None
    after: str


@dataclass(frozen=True, slots=True)
class WatchQuery:
    """What a watcher knows (`since`, a revision, None for nothing) and how long it waits for news."""

    since: int | None
    wait_s: float


def parse_filter(request: Request) -> PeerFilter:
    """`role` and `channel`; LeaseError for what can be no name of either. An empty parameter is an absent one."""
    role, channel = request.query_param("role"), request.query_param("channel")
    return PeerFilter(
        parse_label(role, "role") if role else None,
        parse_label(channel, "channel") if channel else None,
    )


def parse_page(request: Request) -> PageQuery:
    """`limit` and `after`; LeaseError."""
    limit = _parse_whole(request, "limit")
    if limit == 0:
        raise LeaseError("limit: got 0, expected a whole number >= 1")
    after = request.query_param("after")
    return PageQuery(limit, parse_peer_id(after, "after") if after else "")


def parse_watch(request: Request) -> WatchQuery:
    """`since` and `wait`, the latter 60 s at most; LeaseError."""
    wait = request.query_param("wait")
    if wait and not _SECONDS.fullmatch(wait):
        raise LeaseError(f"wait: got {_shown(wait)}, expected seconds from 0 to {MAX_WAIT_S:g}")
    return WatchQuery(_parse_whole(request, "since"), min(float(wait), MAX_WAIT_S) if wait else DEFAULT_WAIT_S)


def parse_last_event_id(request: Request, since: int | None) -> int | None:
    """The revision in Last-Event-ID, of a client that comes back; `since` when there is none.

    What is no revision counts as one that is not known (None), for a browser would send it again and again.
    """
    last = request.headers.get("last-event-id")
    if not last:
        return since
    return int(last) if _WHOLE.fullmatch(last) else None


def _parse_whole(request: Request, name: str) -> int | None:
    text = request.query_param(name)
    if not text:
        return None
    if not _WHOLE.fullmatch(text):
        raise LeaseError(f"{name}: got {_shown(text)}, expected a whole number of at most 18 digits")
    return int(text)


def _shown(text: str) -> str:
    return repr(text[:60])
