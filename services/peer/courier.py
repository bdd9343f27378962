"""Takes the messages that wait for one peer to that peer, in their order, for as long as there are any.

Owns when to try: at once, again after a growing jittered pause, and without waiting when the peer is shown to
be there. Doesn't own the queue (`outbox`), the links (`links`) or who waits for the outcome (`delivery`).
"""

import asyncio
import logging
from collections.abc import Callable
from typing import Protocol

from services.peer.group_writer import StorageError
from services.peer.link import LinkError, RejectedError
from services.peer.links import UnreachableError
from services.peer.messages import Message
from services.peer.outbox import Outgoing, State, Target
from shared.runtime.tracker_client import Backoff

WINDOW = 64  # messages on their way at once; the protocol lets a receiver count on it
WINDOW_BYTES = 256 * 1024
ACK_TIMEOUT_S = 15.0
FIRST_PAUSE_S = 0.25
MAX_PAUSE_S = 10.0
MIN_RETRY_S = 1.0  # between attempts that new messages ask for
_LOG = logging.getLogger("weaprous.peer.delivery")


class Transmitter(Protocol):
    """A link, as far as a courier needs one."""

    def transmit(self, message: Message) -> "asyncio.Future[None]":
        """See `Link.transmit`."""

    def close(self, reason: str) -> None:
        """See `Link.close`."""


class Opener(Protocol):
    """Something that has links to give."""

    async def open(self, peer_id: str) -> Transmitter:
        """See `Links.open`."""


class Queue(Protocol):
    """The store, as far as a courier needs it."""

    async def read_queue(self, peer_id: str, limit: int, max_bytes: int) -> tuple[Outgoing, ...]:
        """See `outbox.read_queue`."""

    def settle(self, position: int, target: Target) -> "asyncio.Future[int | None]":
        """See `outbox.settle`."""


OnSettled = Callable[[Outgoing, Target, int], None]  # how many the message still waits for


class Courier:
    """The one that brings this peer its messages. `run` returns when none is left."""

    def __init__(self, peer_id: str, queue: Queue, links: Opener, on_settled: OnSettled) -> None:
        self.peer_id = peer_id
        self.attempts = 0  # failed ones, since the last that worked
        self.last_error: str | None = None
        self._queue = queue
        self._links = links
        self._on_settled = on_settled
        self._backoff = Backoff(FIRST_PAUSE_S, MAX_PAUSE_S)
        self.has_news = False  # a message was posted since the queue was read last
        self._wake = asyncio.Event()
        self._tried_at = 0.0
        self._is_stopping = False

    def notify(self) -> None:
        """There is a new message; a pause ends for it unless there was an attempt just now."""
        self.has_news = True
        if asyncio.get_running_loop().time() - self._tried_at >= MIN_RETRY_S:
            self._wake.set()

    def wake(self) -> None:
        """The peer seems to be there: try now."""
        self._backoff.reset()
        self._wake.set()

    def stop(self) -> None:
        """What is on its way may arrive; nothing more is sent."""
        self._is_stopping = True
        self._wake.set()

    async def run(self) -> None:
        """Delivers until nothing waits for the peer, or it is told to stop."""
        while not self._is_stopping:
            self.has_news = False
            self._wake.clear()
            self._tried_at = asyncio.get_running_loop().time()
            try:
                window = await self._queue.read_queue(self.peer_id, WINDOW, WINDOW_BYTES)
                if not window and not self.has_news:
                    return
                await self._deliver(window)
            except (UnreachableError, LinkError, StorageError) as error:
                await self._pause(error)
            else:
                self.attempts, self.last_error = 0, None
                self._backoff.reset()

    async def _deliver(self, window: tuple[Outgoing, ...]) -> None:
        """Each message of the window has been taken or rejected for good. LinkError and others: try again."""
        if not window:
            return
        link = await self._links.open(self.peer_id)
        on_their_way = [(outgoing, link.transmit(outgoing.message)) for outgoing in window]
        settling: list[asyncio.Task[None]] = []
        try:
            async with asyncio.timeout(ACK_TIMEOUT_S):
                for outgoing, acked in on_their_way:
                    target = await self._outcome(acked)
                    settling.append(asyncio.create_task(self._settle(outgoing, target)))
        except TimeoutError:
            link.close(f"no ack within {ACK_TIMEOUT_S:g} s")
            raise LinkError(f"no ack within {ACK_TIMEOUT_S:g} s") from None
        finally:
            if settling:
                await asyncio.wait(settling)
        for settled in settling:
            settled.result()

    async def _outcome(self, acked: "asyncio.Future[None]") -> Target:
        try:
            await acked
        except RejectedError as error:
            _LOG.warning("a message was rejected", extra={"peer": self.peer_id, "reason": str(error)})
            return Target(self.peer_id, State.REJECTED, str(error))
        return Target(self.peer_id, State.DELIVERED)

    async def _settle(self, outgoing: Outgoing, target: Target) -> None:
        pending = await self._queue.settle(outgoing.position, target)
        if pending is not None:
            self._on_settled(outgoing, target, pending)

    async def _pause(self, error: Exception) -> None:
        """Waits before the next attempt; where nobody knows the peer's address, until somebody does."""
        self.attempts += 1
        text = str(error)
        if text != self.last_error:
            _LOG.info("messages wait for a peer", extra={"peer": self.peer_id, "reason": text})
        self.last_error = text
        is_unknown = isinstance(error, UnreachableError) and error.is_unknown
        try:
            async with asyncio.timeout(None if is_unknown else self._backoff.next_s()):
                await self._wake.wait()
        except TimeoutError:
            pass
