"""Replies that last no longer than the rights they were begun with: WebSockets, tunnels, streams.

Owns when is looked again, and the cut. Whether somebody still may is `access`'s to say.
"""

import asyncio
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass

from shared.httpcore.errors import ConnectionClosed
from shared.httpcore.message import Request, Response, StreamingResponse, Upgrade
from shared.httpcore.net.stream import Stream

SWEEP_S = 0.5  # besides, the users file is looked at once a second at most

MayStay = Callable[[], bool]


@dataclass(frozen=True, slots=True)
class Oversight:
    """What holds for everything that is sent to one visitor: how long, and what the hooks add to it."""

    revocation: "Revocation"
    may_stay: MayStay
    decorate: Callable[[Request, Response], None]

    def limit(self, response: Response) -> Response:
        """The same reply; what goes on after its head goes on while the visitor may stay."""
        return self.revocation.limit(response, self.may_stay)


class Revocation:
    """Ends the replies whose visitors may no longer have them: one sweep over all that is upgraded."""

    def __init__(self) -> None:
        self._open: dict[asyncio.Task[object], MayStay] = {}
        self._timer: asyncio.TimerHandle | None = None

    def limit(self, response: Response, may_stay: MayStay) -> Response:
        """The same reply; what goes on after its head goes on while `may_stay`."""
        if isinstance(response, Upgrade):
            return _RevocableUpgrade(response, self, may_stay)
        if isinstance(response, StreamingResponse):
            response.chunks = _RevocableChunks(response.chunks, may_stay)
        return response

    def watch(self, task: asyncio.Task[object], may_stay: MayStay) -> None:
        """The task is cancelled soon after it may not stay, unless it ends or `forget` is called before."""
        self._open[task] = may_stay
        self._sweep_later()

    def forget(self, task: asyncio.Task[object]) -> None:
        """The task has nothing left to be cut."""
        self._open.pop(task, None)

    def _sweep_later(self) -> None:
        if self._timer is None:
            self._timer = asyncio.get_running_loop().call_later(SWEEP_S, self._sweep)

    def _sweep(self) -> None:
        self._timer = None
        for task in [task for task, may_stay in self._open.items() if not may_stay()]:
            self.forget(task)
            task.cancel()
        if self._open:
            self._sweep_later()


class _RevocableUpgrade(Upgrade):
    """An upgrade whose task is cancelled when it may not stay; the server then closes the connection."""

    __slots__ = ("_may_stay", "_revocation", "_upgrade")

    def __init__(self, upgrade: Upgrade, revocation: Revocation, may_stay: MayStay) -> None:
        super().__init__(upgrade.headers)
        self._upgrade = upgrade
        self._revocation = revocation
        self._may_stay = may_stay

    async def run(self, stream: Stream, leftover: bytes) -> None:
        """As the upgrade itself, under watch."""
        task = asyncio.current_task()
        assert task is not None
        self._revocation.watch(task, self._may_stay)
        try:
            await self._upgrade.run(stream, leftover)
        finally:
            self._revocation.forget(task)

    def discard(self) -> None:
        """As the upgrade itself."""
        self._upgrade.discard()

    def begin_drain(self) -> None:
        """As the upgrade itself."""
        self._upgrade.begin_drain()


class _RevocableChunks:
    """A body that is cut before the first chunk that its reader may not have."""

    def __init__(self, chunks: AsyncIterator[bytes], may_stay: MayStay) -> None:
        self._chunks = chunks
        self._may_stay = may_stay

    def __aiter__(self) -> "_RevocableChunks":
        return self

    async def __anext__(self) -> bytes:
        chunk = await anext(self._chunks)
        if not self._may_stay():
            raise ConnectionClosed("the session is over")
        return chunk

    async def aclose(self) -> None:
        """Nobody wants the rest."""
        close = getattr(self._chunks, "aclose", None)
        if close is not None:
            await close()
