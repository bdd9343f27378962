"""What becomes of a message that is posted here: into the own inbox, or by way of the outbox to other peers.

Owns the order of promises: commit first, then send, then say what happened. Keeps a courier for each peer that
messages wait for, and lets a poster wait a moment for the outcome. Doesn't own SQL (`store`), links (`links`),
retries (`courier`) or HTTP (`handlers`).
"""

import asyncio
import logging
import time
from dataclasses import dataclass, replace
from weakref import WeakValueDictionary

from services.peer.courier import Courier, Opener
from services.peer.group_writer import Lane, StorageError
from services.peer.inbox import InboxMessage
from services.peer.live import LiveFeed
from services.peer.membership import Membership
from services.peer.messages import NOT_TOLD, Message
from services.peer.outbox import OutboxEntry, Outgoing, State, Target
from services.peer.store import MessageStore

ACK_WAIT_S = 1.0
STORED = "stored"
_LOG = logging.getLogger("weaprous.peer.delivery")


@dataclass(frozen=True, slots=True)
class Receipt:
    """What can be said of a posted message now. `targets` None: nobody knows yet who they are."""

    message_id: str
    is_stored: bool  # it was for this peer
    targets: tuple[Target, ...] | None = ()

    @property
    def status(self) -> str:
        """One word for it: what the best-off target has, except that nobody may be waiting for "delivered"."""
        if self.is_stored:
            return STORED
        states = {State.QUEUED} if self.targets is None else {target.state for target in self.targets}
        ranked = (State.QUEUED, State.DELIVERED, State.REJECTED, State.REMOVED)
        chosen = next((state for state in ranked if state in states), State.DELIVERED)  # to a channel of nobody else
        return str(chosen.value)


class Delivery:
    """Takes posts, and has them carried. `start` resumes what an earlier process left in the outbox."""

    def __init__(self, own_id: str, store: MessageStore, membership: Membership, live: LiveFeed) -> None:
        self.own_id = own_id
        self._store = store
        self._membership = membership
        self._live = live
        self._links: Opener | None = None
        self._couriers: dict[str, tuple[Courier, asyncio.Task[None]]] = {}
        self._completions: WeakValueDictionary[int, asyncio.Event] = WeakValueDictionary()
        self._addressing: asyncio.Task[None] | None = None
        self._must_address = True  # there may be messages to channels whose members weren't known
        self._is_stopped = False
        self.waiting_count = 0
        self.delivered_count = self.received_count = self.repeat_count = 0

    async def start(self, links: Opener) -> None:
        """What waits in the outbox is on its way."""
        self._links = links
        self.waiting_count = await self._store.count_waiting()
        for peer_id in await self._store.queued_peers():
            self._notify(peer_id)
        self._membership.observe(self)

    # --- what arrives ------------------------------------------------------------------------------------------

    def receive(self, message: Message, lane: Lane | None = None) -> "asyncio.Future[InboxMessage | None]":
        """Done when the message is in the inbox; None for a repeat. IdConflictError, StorageError."""
        now_s = time.time()
        if message.sent_at == NOT_TOLD:
            message = replace(message, sent_at=now_s)
        stored = self._store.receive(message, now_s, lane)
        # The first callback of each: so the order of events is the order of commits.
        stored.add_done_callback(self._announce)
        return stored

    def _announce(self, stored: "asyncio.Future[InboxMessage | None]") -> None:
        if stored.cancelled() or stored.exception() is not None:
            return
        arrived = stored.result()
        if arrived is None:
            self.repeat_count += 1
        else:
            self.received_count += 1
            self._live.publish_message(arrived)

    async def clear_inbox(self) -> int:
        """The inbox is empty; returns how many messages it held. StorageError."""
        removed = await self._store.clear_inbox()
        self._live.publish({"type": "cleared", "count": 0})
        return removed

    # --- what is posted ----------------------------------------------------------------------------------------

    async def post(self, message: Message) -> Receipt:
        """The message is kept, and was delivered within a second or waits. A repeat changes nothing.

        IdConflictError, OutboxFullError, StorageError.
        """
        if message.to == self.own_id:
            await self.receive(message)
            return Receipt(message.id, is_stored=True)
        targets = self._targets(message)
        entry = await self._store.queue(message, targets, time.time())
        if not entry.is_repeat:
            self._begin(entry)
        if not entry.pending:
            return Receipt(message.id, False, entry.targets)
        await self._wait(entry.position)
        try:
            return Receipt(message.id, False, await self._store.read_targets(entry.position))
        except StorageError:  # the message is kept all the same
            return Receipt(message.id, False, entry.targets)

    def _targets(self, message: Message) -> tuple[str, ...] | None:
        if message.to is not None:
            return (message.to,)
        return self._membership.members_of(message.channel or "")

    def _begin(self, entry: OutboxEntry) -> None:
        """A new message is in the outbox: browsers see it, couriers take it."""
        if entry.pending:
            self.waiting_count += entry.pending
            self._publish(entry.message.id, State.QUEUED)
        for target in entry.targets or ():
            self._notify(target.peer_id)
        if entry.targets is None:
            self._must_address = True
            self.note_members()

    async def _wait(self, position: int) -> None:
        """Returns when the message has reached everybody it is for, or when the poster has waited long enough."""
        complete = self._completions.setdefault(position, asyncio.Event())
        try:
            async with asyncio.timeout(ACK_WAIT_S):
                await complete.wait()
        except TimeoutError:
            pass

    async def remove(self, message_id: str) -> bool:
        """A waiting message goes to nobody any more; False when none of this id waits. StorageError."""
        entry = await self._store.remove(message_id)
        if entry is None:
            return False
        self.waiting_count -= entry.pending
        self._complete(entry.position, message_id, State.REMOVED)
        return True

    def progress(self, peer_id: str) -> tuple[int, str | None]:
        """How often reaching the peer has failed since it last worked, and why."""
        courier = self._couriers.get(peer_id)
        return (0, None) if courier is None else (courier[0].attempts, courier[0].last_error)

    # --- couriers ----------------------------------------------------------------------------------------------

    def wake(self, peer_id: str) -> None:
        """The peer seems to be there: what waits for it is tried now."""
        courier = self._couriers.get(peer_id)
        if courier is not None:
            courier[0].wake()

    def _notify(self, peer_id: str) -> None:
        if self._is_stopped or self._links is None:
            return
        if peer_id in self._couriers:
            self._couriers[peer_id][0].notify()
            return
        courier = Courier(peer_id, self._store, self._links, self._on_settled)
        task = asyncio.create_task(courier.run(), name=f"courier to {peer_id}")
        self._couriers[peer_id] = (courier, task)
        task.add_done_callback(lambda _: self._end_courier(peer_id, task))

    def _end_courier(self, peer_id: str, task: "asyncio.Task[None]") -> None:
        courier, _ = self._couriers.pop(peer_id)
        error = None if task.cancelled() else task.exception()
        if error is not None:
            _LOG.error("a courier failed", extra={"peer": peer_id}, exc_info=error)
        if courier.has_news:
            self._notify(peer_id)

    def _on_settled(self, outgoing: Outgoing, target: Target, pending: int) -> None:
        self.waiting_count -= 1
        if target.state is State.DELIVERED:
            self.delivered_count += 1
        if pending:
            self._publish(outgoing.message.id, State.QUEUED)
        else:
            self._complete(outgoing.position, outgoing.message.id, target.state)

    def _complete(self, position: int, message_id: str, state: State) -> None:
        """The message waits for nobody any more: whoever posted it and every browser hears of it."""
        complete = self._completions.get(position)
        if complete is not None:
            complete.set()
        self._publish(message_id, state)

    def _publish(self, message_id: str, state: State) -> None:
        self._live.publish(
            {"type": "outbox", "pending": self.waiting_count, "message_id": message_id, "state": state.value}
        )

    # --- channels whose members weren't known ------------------------------------------------------------------

    def note_members(self) -> None:
        """The tracker has told who is there: messages that waited for that are addressed."""
        if self._must_address and self._membership.is_known and self._addressing is None and not self._is_stopped:
            self._must_address = False
            self._addressing = asyncio.create_task(self._address_all(), name="addressing")
            self._addressing.add_done_callback(self._end_addressing)

    async def _address_all(self) -> None:
        for entry in await self._store.read_unaddressed():
            targets = self._membership.members_of(entry.message.channel or "") or ()
            addressed = await self._store.address(entry.position, targets)
            if addressed is None:
                continue
            self.waiting_count += len(targets) - 1
            for peer_id in targets:
                self._notify(peer_id)
            if not targets:
                self._complete(entry.position, entry.message.id, State.DELIVERED)

    def _end_addressing(self, task: "asyncio.Task[None]") -> None:
        self._addressing = None
        error = None if task.cancelled() else task.exception()
        if error is not None:
            self._must_address = True  # at the next change
            _LOG.error("messages to channels still wait", extra={"reason": str(error)})

    async def stop(self, timeout_s: float) -> None:
        """Nothing new is sent; what is on its way was acknowledged, or has been given up for now."""
        self._is_stopped = True
        tasks = [task for _, task in self._couriers.values()]
        for courier, _ in self._couriers.values():
            courier.stop()
        if self._addressing is not None:
            tasks.append(self._addressing)
        if not tasks:
            return
        _, late = await asyncio.wait(tasks, timeout=timeout_s)
        for task in late:
            task.cancel()
        if late:
            await asyncio.wait(late)
