"""The table in a file, so that a tracker that starts again knows the peers it had: `--snapshot FILE`.

JSON Lines: a head with format, time and number of leases, then a lease a line. The file is replaced whole:
written beside, flushed to the disk, renamed, so that a crash leaves the old one or the new one. Nothing
depends on it: what is lost, peers register again. `SnapshotWriter` decides when, in a thread; the rest are
functions from values to text and back.
"""

import asyncio
import json
import logging
import math
import os
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

from services.tracker.lease import LeaseError, Peer, PeerFilter
from services.tracker.registry import Registry
from services.tracker.validation import parse_registration
from shared.runtime.atomic_file import replace_file

FORMAT = "weaprous-tracker-snapshot-1"
WRITE_INTERVAL_S = 2.0

_log = logging.getLogger("weaprous.tracker.snapshot")


class SnapshotError(Exception):
    """The file is no snapshot of this tracker; the text says why and where."""


def serialize_snapshot(peers: Iterable[Peer], now: float) -> Iterable[str]:
    """The lines of the file, without their ends."""
    leases = list(peers)
    yield json.dumps({"format": FORMAT, "saved_at": now, "count": len(leases)})
    for peer in leases:
        yield json.dumps(
            {
                "peer_id": peer.peer_id,
                "ip": peer.ip,
                "port": peer.port,
                "roles": peer.roles,
                "channels": peer.channels,
                "meta": peer.meta,
                "load": peer.load,
                "ttl": peer.ttl_s,
                "registered_at": peer.registered_at,
                "last_heartbeat": peer.last_heartbeat,
                "registered_by": peer.registered_by,
                "revision": peer.revision,
            }
        )


def parse_snapshot(lines: Iterable[str]) -> tuple[Peer, ...]:
    """The leases of a file, ended ones included; SnapshotError when a line is not what it must be."""
    numbered = enumerate(lines, start=1)
    try:
        head = _parse_line(*next(numbered))
    except StopIteration:
        raise SnapshotError("line 1: got nothing, expected the head") from None
    if head.get("format") != FORMAT:
        raise SnapshotError(f"line 1: got no head of the format {FORMAT}")
    peers = tuple(_parse_peer(number, _parse_line(number, line)) for number, line in numbered)
    if len(peers) != head.get("count"):
        raise SnapshotError(f"got {len(peers)} leases, expected {head.get('count')} as the head says")
    return peers


def load_snapshot(path: Path) -> tuple[Peer, ...]:
    """The leases of the file, () when there is none. A file that makes no sense is set aside, as FILE.bad."""
    try:
        with path.open(encoding="utf-8") as file:
            return parse_snapshot(file)
    except FileNotFoundError:
        return ()
    except (SnapshotError, UnicodeDecodeError) as error:
        bad = path.with_name(f"{path.name}.bad")
        os.replace(path, bad)
        extra = {"path": path, "reason": error, "set_aside_as": bad}
        _log.warning("the snapshot makes no sense, starting without it", extra=extra)
        return ()


class SnapshotWriter:
    """Writes the registry to `path`, at most every `interval_s`, when it was written to since."""

    def __init__(
        self, path: Path, registry: Registry, clock: Callable[[], float], interval_s: float = WRITE_INTERVAL_S
    ) -> None:
        self._path = path
        self._registry = registry
        self._clock = clock
        self._interval_s = interval_s
        self._saved_writes = registry.writes
        self._is_failing = False
        self._writing: asyncio.Future[None] | None = None

    async def run(self) -> None:
        """Writes until cancelled."""
        while True:
            await asyncio.sleep(self._interval_s)
            await self.write_if_changed()

    async def write_if_changed(self) -> None:
        """The file is as new as the table; a failure is logged once until a write works again.

        A write that is under way when its caller is cancelled goes on, and the next one waits for it.
        """
        if self._writing is not None and not self._writing.done():
            await asyncio.wait([self._writing])
        now = self._clock()
        peers = self._registry.select(PeerFilter(), now)
        writes = self._registry.writes
        if writes == self._saved_writes:
            return
        lines = serialize_snapshot(peers, now)
        try:
            self._writing = asyncio.ensure_future(asyncio.to_thread(_write, self._path, lines))
            await asyncio.shield(self._writing)
        except OSError as error:
            if not self._is_failing:
                extra = {"path": self._path, "reason": error}
                _log.warning("can't write the snapshot, trying again", extra=extra)
            self._is_failing = True
            return
        self._is_failing = False
        self._saved_writes = writes


def _write(path: Path, lines: Iterable[str]) -> None:
    replace_file(path, "".join(f"{line}\n" for line in lines).encode("ascii"))


def _parse_line(number: int, line: str) -> Mapping[str, Any]:
    try:
        value = json.loads(line)
    except (ValueError, RecursionError):
        value = None
    if not isinstance(value, dict) or not line.endswith("\n"):
        raise SnapshotError(f"line {number}: got no JSON object, expected one a line")
    return value


def _parse_peer(number: int, fields: Mapping[str, Any]) -> Peer:
    """A lease by the rules that registrations obey, plus what only the tracker writes."""
    try:
        wanted = parse_registration(fields, caller_ip="127.0.0.1")
        peer = Peer(
            **{name: getattr(wanted, name) for name in wanted.__slots__},
            registered_at=_parse_time(fields["registered_at"]),
            last_heartbeat=_parse_time(fields["last_heartbeat"]),
            registered_by=str(fields["registered_by"]),
            revision=int(fields["revision"]),
        )
    except (LeaseError, KeyError, TypeError, ValueError, OverflowError) as error:
        raise SnapshotError(f"line {number}: {error}") from None
    return peer


def _parse_time(value: Any) -> float:
    time_s = float(value)
    if not math.isfinite(time_s):
        raise ValueError(f"got the time {time_s}, expected unix seconds")
    return time_s
