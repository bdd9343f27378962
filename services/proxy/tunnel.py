"""What follows a 101: bytes both ways between client and upstream, not looked at (RFC 9110 §7.8).

Owns the end of a tunnel: when one side has ended, the other gets a while to finish. The handshake is
`forward`'s.
"""

import asyncio
import socket
from collections.abc import Sequence

from services.proxy.exchanges import Exchange
from shared.httpcore.errors import ConnectionClosed
from shared.httpcore.message import Upgrade
from shared.httpcore.net.stream import Stream

HANDOVER_TIMEOUT_S = 30.0
HALF_CLOSED_S = 10.0


class TunnelUpgrade(Upgrade):
    """The client's 101 reply; afterwards the tunnel to the upstream that `exchange` holds."""

    __slots__ = ("_exchange", "_is_draining", "_task")

    def __init__(self, headers: Sequence[tuple[str, str]], exchange: Exchange) -> None:
        super().__init__(headers)
        self._exchange = exchange
        self._task: asyncio.Task[None] | None = None
        self._is_draining = False
        exchange.wait_at_most(HANDOVER_TIMEOUT_S)

    async def run(self, stream: Stream, leftover: bytes) -> None:
        """Carries bytes until both sides have ended, one of them breaks, or the server drains."""
        connection = self._exchange.connection
        if connection is None or self._exchange.is_over or self._is_draining:
            self._exchange.finish(reuse=False)
            return
        self._exchange.wait_as_long_as_it_takes()
        upstream, early = connection.take_stream()
        _keep_alive(stream, upstream)
        self._task = asyncio.get_running_loop().create_task(_carry_both(stream, upstream, leftover, early))
        try:
            await asyncio.wait([self._task])
        finally:
            self._task.cancel()
            self._exchange.finish(reuse=False)

    def discard(self) -> None:
        """The client is gone before the tunnel began."""
        self._exchange.finish(reuse=False)

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
