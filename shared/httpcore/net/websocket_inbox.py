"""Messages of a WebSocket between the pump that reads them and the handler that asks for them, and who waits for whom.

Bounded: the pump waits while the inbox is full, so that a flood stays in the kernel's buffers. Knows nothing of sockets
and frames; `websocket_connection` has one.
"""

import asyncio

from shared.httpcore.limits import KIB

MAX_WAITING_MESSAGES = 64  # received, not yet asked for; past either, the inbox is full
MAX_WAITING_BYTES = 256 * KIB


class Inbox:
    """One putter, one taker. A waiting one looks again after each wake, for it may be that all is over."""

    __slots__ = ("_messages", "_reader", "_room", "size")

    def __init__(self) -> None:
        self._messages: list[str | bytes] = []  # an empty deque would take 600 bytes of every idle connection
        self.size = 0  # of all messages; characters, for text
        self._reader: asyncio.Future[None] | None = None  # who waits for a message
        self._room: asyncio.Future[None] | None = None  # who waits for room

    @property
    def is_empty(self) -> bool:
        """Whether there is nothing to take."""
        return not self._messages

    @property
    def is_full(self) -> bool:
        """Whether the next message has to wait."""
        return len(self._messages) >= MAX_WAITING_MESSAGES or self.size >= MAX_WAITING_BYTES

    @property
    def is_waited_for(self) -> bool:
        """Whether somebody waits for room now."""
        return self._room is not None

    def put(self, message: str | bytes) -> None:
        """The message is there for the taker; there is no refusal, so ask `is_full` first."""
        self._messages.append(message)
        self.size += len(message)
        if self._reader is not None:
            wake(self._reader)

    def take(self) -> str | bytes:
        """The oldest message; IndexError when the inbox is empty."""
        message = self._messages.pop(0)
        self.size -= len(message)
        if self._room is not None and not self.is_full:
            wake(self._room)
        return message

    async def wait_change(self) -> None:
        """Returns after the next `put` or `wake_all`. RuntimeError for a second one who waits."""
        if self._reader is not None:
            raise RuntimeError("another task is receiving from this WebSocket")
        self._reader = asyncio.get_running_loop().create_future()
        try:
            await self._reader
        finally:
            self._reader = None

    async def wait_room(self) -> None:
        """Returns when there is room, or after `wake_putter` or `wake_all`."""
        self._room = asyncio.get_running_loop().create_future()
        try:
            await self._room
        finally:
            self._room = None

    def wake_putter(self) -> None:
        """Whoever waits for room goes on."""
        if self._room is not None:
            wake(self._room)

    def wake_all(self) -> None:
        """Whoever waits for anything goes on."""
        self.wake_putter()
        if self._reader is not None:
            wake(self._reader)


def wake(waiter: "asyncio.Future[None]") -> None:
    """The waiter goes on, unless it does already."""
    if not waiter.done():
        waiter.set_result(None)
