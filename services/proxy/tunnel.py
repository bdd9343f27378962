"""What follows a 101: bytes both ways between client and upstream, not looked at (RFC 9110 §7.8).

Owns the end of a tunnel: when one side has ended, the other gets a while to finish. The handshake is
`forward`'s.
"""

import asyncio
import socket
from collections.abc import Sequence
from typing import Protocol

from shared.httpcore.errors import ConnectionClosed
from shared.httpcore.message import Upgrade
from shared.httpcore.net.stream import Stream

HANDOVER_TIMEOUT_S = 30.0
HALF_CLOSED_S = 10.0


class TunnelOwner(Protocol):
    """Whoever counts the tunnel as a request under way."""

    def on_tunnel_begun(self) -> None:
        """The client has its 101."""

    def on_tunnel_ended(self) -> None:
        """Called once, however the tunnel ended; also when it never began."""


class TunnelUpgrade(Upgrade):
    """The client's 101 reply; afterwards the tunnel to the upstream whose socket this owns.

    `early` was read past the upstream's 101.
    """

    __slots__ = ("_early", "_is_draining", "_is_over", "_owner", "_task", "_upstream")

    def __init__(
        self, headers: Sequence[tuple[str, str]], owner: TunnelOwner, sock: socket.socket, early: bytes
    ) -> None:
        super().__init__(headers)
        self._owner = owner
        self._upstream = Stream(sock)
        self._early = early
        self._task: asyncio.Task[None] | None = None
        self._is_draining = False
        self._is_over = False

    async def run(self, stream: Stream, leftover: bytes) -> None:
        """Carries bytes until both sides have ended, one of them breaks, or the server drains."""
        if self._is_draining:
            self.discard()
            return
        self._owner.on_tunnel_begun()
        _keep_alive(stream, self._upstream)
        self._task = asyncio.get_running_loop().create_task(_carry_both(stream, self._upstream, leftover, self._early))
        try:
            await asyncio.wait([self._task])
        finally:
            self._task.cancel()
            self.discard()

    def discard(self) -> None:
        """The upstream is freed; above all when the client is gone before the tunnel began."""
        if not self._is_over:
            self._is_over = True
            self._upstream.close()
            self._owner.on_tunnel_ended()

    def begin_drain(self) -> None:
        """The tunnel is closed at once: what is spoken in it is not ours, so there is no word for going
        away.
        """
        self._is_draining = True
        if self._task is not None:
            self._task.cancel()


async def _carry_both(client: Stream, upstream: Stream, from_client: bytes, from_upstream: bytes) -> None:
    loop = asyncio.get_running_loop()
    tasks = [
        loop.create_task(_carry(client, upstream, from_client)),
        loop.create_task(_carry(upstream, client, from_upstream)),
    ]
    try:
        await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        await asyncio.wait(tasks, timeout=HALF_CLOSED_S)
    finally:
        for task in tasks:
            task.cancel()


async def _carry(source: Stream, target: Stream, leftover: bytes) -> None:
    """Until the source ends; then the target reads the end too. A side that breaks closes both."""
    try:
        data = leftover or await source.recv()
        while data:
            await target.send_all(data)
            data = await source.recv()
        target.end_sending()
    except ConnectionClosed:
        source.close()
        target.close()


def _keep_alive(*streams: Stream) -> None:
    """A tunnel may be silent for hours; TCP's own probes find out when the other side is gone."""
    for stream in streams:
        stream.sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
