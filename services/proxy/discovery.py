"""Where upstreams come from: the addresses behind names, looked up each second, and nothing else.

Owns the resolver threads and the last good answer of each name. The tracker only annotates what is found
here (see `annotations`). Who belongs to which pool is decided in `members_of`, which is pure; `gateway`
puts it together.
"""

import asyncio
import logging
import socket
import threading
import time
from collections.abc import Callable, Collection, Mapping
from dataclasses import replace

from services.proxy.config_values import PoolConfig, ServerConfig
from services.proxy.upstreams import Address, Member

LOOKUP_INTERVAL_S = 1.0

Addresses = tuple[str, ...]
Lookup = Callable[[str], Addresses]

_log = logging.getLogger("weaprous.proxy.discovery")


def members_of(pool: PoolConfig, answers: Mapping[str, Addresses]) -> tuple[dict[Address, Member], bool]:
    """The members of a pool by what names stand for now, and whether every name has been looked up.

    A name without `resolve` is one upstream, found anew at each connect. An address that is listed twice
    has both weights.
    """
    members: dict[Address, Member] = {}
    for server in pool.servers:
        if server.is_down:
            continue
        hosts = answers.get(server.host, ()) if server.is_resolved else (server.host,)
        for host in hosts:
            address = Address(host, server.port, pool.tls is not None)
            members[address] = _member(server, members.get(address))
    return members, all(server.host in answers for server in pool.servers if server.is_resolved and not server.is_down)


def _member(server: ServerConfig, earlier: Member | None) -> Member:
    """What a line says of one upstream, together with an earlier line that says something of it, too."""
    member = Member(
        weight=server.weight,
        authorization=server.authorization,
        max_conns=server.max_conns,
        is_backup=server.is_backup,
        slow_start_s=server.slow_start_s,
        max_fails=server.max_fails,
        fail_timeout_s=server.fail_timeout_s,
        tls_name=server.host,
    )
    if earlier is None:
        return member
    weight = earlier.weight + server.weight
    authorization = server.authorization or earlier.authorization
    return replace(member, weight=weight, authorization=authorization, is_backup=member.is_backup and earlier.is_backup)


def look_up(name: str) -> Addresses:
    """The addresses behind a name, sorted. Blocks. OSError when the resolver has no answer.

    IPv4 addresses if there are any, else IPv6: a replica with both must not count twice.
    """
    found = socket.getaddrinfo(name, None, type=socket.SOCK_STREAM)
    for family in (socket.AF_INET, socket.AF_INET6):
        addresses = {str(entry[4][0]) for entry in found if entry[0] == family}
        if addresses:
            return tuple(sorted(addresses))
    raise OSError(f"no address for {name}")


class Discovery:
    """Looks names up in threads, one for each name, so that a slow answer holds up nobody else.

    `on_change(name, addresses)` is called in the event loop for the first answer and for each other one.
    When the resolver fails, the last good answer stays: a name server that is away is no reason to lose
    what works.
    """

    def __init__(
        self,
        on_change: Callable[[str, Addresses], None],
        lookup: Lookup = look_up,
        interval_s: float | None = None,
    ) -> None:
        self.answers: dict[str, Addresses] = {}
        self._on_change = on_change
        self._lookup = lookup
        self._interval_s = LOOKUP_INTERVAL_S if interval_s is None else interval_s
        self._loop = asyncio.get_running_loop()
        self._stops: dict[str, threading.Event] = {}
        self._first_tries: dict[str, asyncio.Event] = {}
        self._failing: set[str] = set()

    async def watch(self, names: Collection[str], timeout_s: float = 2.0) -> None:
        """These names are looked up from now on. Returns when each was tried once, or after `timeout_s`."""
        for name in names:
            if name not in self._stops:
                self._start(name)
        tried = [self._first_tries[name].wait() for name in names]
        if tried:
            try:
                async with asyncio.timeout(timeout_s):
                    await asyncio.gather(*tried)
            except TimeoutError:
                pass

    def keep_only(self, names: Collection[str]) -> None:
        """All other names are forgotten."""
        for name in [name for name in self._stops if name not in names]:
            self._stops.pop(name).set()
            self._first_tries.pop(name).set()
            self.answers.pop(name, None)
            self._failing.discard(name)

    def _start(self, name: str) -> None:
        self._stops[name] = threading.Event()
        self._first_tries[name] = asyncio.Event()
        # A daemon, because getaddrinfo can't be interrupted and must not hold up the end of the process.
        threading.Thread(target=self._run, args=(name, self._stops[name]), name=f"resolve {name}", daemon=True).start()

    def _run(self, name: str, stop: threading.Event) -> None:
        """The thread of one name."""
        while not stop.is_set():
            asked_at = time.monotonic()
            answer: Addresses | OSError
            try:
                answer = self._lookup(name)
            except (OSError, UnicodeError) as error:
                answer = error if isinstance(error, OSError) else OSError(str(error))
            try:
                self._loop.call_soon_threadsafe(self._take, name, stop, answer)
            except RuntimeError:  # the loop is closed
                return
            # Each second, not a second after each answer; but a resolver that is slower than that gets a pause too.
            passed_s = time.monotonic() - asked_at
            stop.wait(max(self._interval_s - passed_s, self._interval_s / 4))

    def _take(self, name: str, stop: threading.Event, answer: Addresses | OSError) -> None:
        if stop.is_set():
            return
        if isinstance(answer, OSError):
            if name not in self._failing:
                kept = ", ".join(self.answers.get(name, ())) or "none"
                extra = {"host": name, "reason": str(answer), "kept": kept}
                _log.warning("a name can't be looked up; the last addresses stay in use", extra=extra)
            self._failing.add(name)
        else:
            self._failing.discard(name)
            if self.answers.get(name) != answer:
                self.answers[name] = answer
                self._on_change(name, answer)
        self._first_tries[name].set()
