"""Requests that wait for a free place when all upstreams of a pool are full: first come, first served. Pure.

No clock and no loop: time is a parameter, and whoever waits is told by a call.
"""

from collections.abc import Callable

from services.proxy.config_values import QueueConfig


def _ignore() -> None:
    pass


class Ticket:
    """One who waits. Just one of the two is called, once, and neither after `leave`.

    `on_place`: a place is free; it must be taken inside this call, by `Pool.choose`. `on_timeout`: time is over.
    """

    __slots__ = ("_queue", "deadline", "on_place", "on_timeout")

    def __init__(self, queue: "WaitingQueue", deadline: float) -> None:
        self._queue = queue
        self.deadline = deadline
        self.on_place: Callable[[], None] = _ignore
        self.on_timeout: Callable[[], None] = _ignore

    def leave(self) -> None:
        """It waits no more. Safe to call again, and after it was told."""
        self._queue.remove(self)


class WaitingQueue:
    """Those who wait for one pool. Without a configuration there is no room to wait."""

    def __init__(self, config: QueueConfig | None = None) -> None:
        self.config = config
        self.tickets: dict[Ticket, None] = {}  # in the order of their coming

    def __len__(self) -> int:
        return len(self.tickets)

    def join(self, now: float) -> Ticket | None:
        """A ticket for one who waits from now on; None when no more may wait."""
        config = self.config
        if config is None or len(self.tickets) >= config.size:
            return None
        ticket = Ticket(self, now + config.timeout_s)
        self.tickets[ticket] = None
        return ticket

    def remove(self, ticket: Ticket) -> None:
        """The ticket does not count any more."""
        self.tickets.pop(ticket, None)

    def admit(self, has_room: Callable[[], bool]) -> None:
        """The first in line are told that there is a place, as long as there is one."""
        while self.tickets and has_room():
            ticket = next(iter(self.tickets))
            self.remove(ticket)
            ticket.on_place()

    def expire(self, now: float) -> None:
        """Those whose time is over are told."""
        # The first in line has waited longest, but after a reload the time may be another.
        for ticket in [each for each in self.tickets if each.deadline <= now]:
            if ticket in self.tickets:
                self.remove(ticket)
                ticket.on_timeout()
