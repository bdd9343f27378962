"""Connections to upstreams: what their users hear, what becomes of idle ones, and back-pressure both ways."""

import asyncio
import socket
import struct
from collections.abc import Awaitable, Callable

import pytest

from services.proxy.connections import IdleConnections, UpstreamConnection
from services.proxy.upstreams import Address, Member, Upstream

RESET = struct.pack("ii", 1, 0)
MANY = b"0123456789abcdef" * 65536  # more than a socket's buffers hold


class Recorder:
    """A user that writes down what it hears."""

    def __init__(self) -> None:
        self.heard: list[object] = []
        self._changed = asyncio.Event()

    def on_data(self, data: bytes) -> None:
        self._note(data)

    def on_end(self, detail: str, *, is_orderly: bool) -> None:
        self._note((detail, is_orderly))

    def on_sent(self) -> None:
        self._note("sent")

    def on_send_failed(self) -> None:
        self._note("send failed")

    def _note(self, what: object) -> None:
        self.heard.append(what)
        self._changed.set()

    async def until(self, count: int) -> None:
        async with asyncio.timeout(10):
            while len(self.heard) < count:
                self._changed.clear()
                await self._changed.wait()


class Pair:
    """A connection in use, and the upstream's end of it."""

    def __init__(self) -> None:
        ours, self.far = socket.socketpair()
        ours.setblocking(False)
        self.far.setblocking(False)
        self.upstream = Upstream(Address("10.0.0.1", 80), Member(), 0.0)
        self.idle = IdleConnections(max_per_upstream=2, idle_s=30.0)
        self.connection = UpstreamConnection(self.idle, ours, self.upstream)
        self.user = Recorder()
        self.connection.user = self.user

    async def far_receives(self, count: int) -> bytes:
        data = b""
        async with asyncio.timeout(10):
            while len(data) < count:
                part = await asyncio.get_running_loop().sock_recv(self.far, 1 << 20)
                if not part:
                    break
                data += part
        return data


def run(story: Callable[[Pair], Awaitable[None]]) -> None:
    async def tell() -> None:
        pair = Pair()
        try:
            await story(pair)
        finally:
            pair.connection.close()
            pair.idle.close()
            pair.far.close()

    asyncio.run(tell())


async def until(condition: Callable[[], object]) -> None:
    async with asyncio.timeout(10):
        while not condition():
            await asyncio.sleep(0.001)


# --- in use ----------------------------------------------------------------------------------------------------


def test_the_user_hears_what_the_upstream_says_and_that_it_has_ended() -> None:
    async def story(pair: Pair) -> None:
        pair.far.send(b"HTTP/1.1 200 OK\r\n")
        await pair.user.until(1)
        pair.far.close()
        await pair.user.until(2)
        assert pair.user.heard == [b"HTTP/1.1 200 OK\r\n", ("the upstream ended the connection", True)]

    run(story)


def test_a_reset_is_no_orderly_end() -> None:
    async def tell() -> None:
        with socket.create_server(("127.0.0.1", 0)) as listener:
            ours = socket.create_connection(listener.getsockname())
            far, _ = listener.accept()
        ours.setblocking(False)
        connection = UpstreamConnection(IdleConnections(), ours, Upstream(Address("a", 1), Member(), 0.0))
        connection.user = user = Recorder()
        far.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
        far.close()
        await user.until(1)
        [(detail, is_orderly)] = user.heard  # type: ignore[misc]
        assert "Connection reset by peer" in detail  # type: ignore[has-type]
        assert is_orderly is False  # type: ignore[has-type]
        connection.close()

    asyncio.run(tell())


def test_nothing_is_read_while_nothing_is_wanted() -> None:
    async def story(pair: Pair) -> None:
        pair.connection.set_reading(False)
        pair.far.send(b"later")
        for _ in range(20):
            await asyncio.sleep(0)
        assert pair.user.heard == []
        assert pair.connection.sock.recv(100, socket.MSG_PEEK) == b"later", "it waits in the kernel"
        pair.connection.set_reading(True)
        await pair.user.until(1)
        assert pair.user.heard == [b"later"]

    run(story)


def test_what_the_upstream_does_not_take_at_once_follows_and_is_told() -> None:
    async def story(pair: Pair) -> None:
        assert pair.connection.send(b"head") is True
        assert pair.connection.send(MANY) is False
        assert pair.connection.has_unsent
        with pytest.raises(RuntimeError, match="still unsent"):
            pair.connection.send(b"more")
        assert pair.user.heard == []
        assert await pair.far_receives(4 + len(MANY)) == b"head" + MANY
        await pair.user.until(1)
        assert pair.user.heard == ["sent"]
        assert not pair.connection.has_unsent
        assert pair.connection.send(b"next") is True

    run(story)


def test_an_upstream_that_takes_no_more_can_still_be_heard() -> None:
    async def story(pair: Pair) -> None:
        pair.connection.set_reading(False)
        pair.far.send(b"HTTP/1.1 413 Too Large\r\n\r\n")
        pair.far.close()
        assert pair.connection.send(b"body") is False
        await pair.user.until(1)
        assert pair.user.heard == ["send failed"]
        pair.connection.set_reading(True)
        await pair.user.until(2)
        assert pair.user.heard[1] == b"HTTP/1.1 413 Too Large\r\n\r\n"

    run(story)


def test_one_that_breaks_while_it_is_being_sent_to_says_so() -> None:
    async def story(pair: Pair) -> None:
        pair.connection.set_reading(False)
        assert pair.connection.send(MANY) is False
        pair.far.close()
        await pair.user.until(1)
        assert pair.user.heard == ["send failed"]
        assert not pair.connection.has_unsent

    run(story)


def test_nobody_hears_of_a_connection_that_was_closed() -> None:
    async def story(pair: Pair) -> None:
        pair.connection.send(MANY)
        pair.connection.close()
        pair.connection.close()
        pair.far.close()
        await asyncio.sleep(0)
        assert pair.user.heard == []

    run(story)


def test_a_released_socket_is_somebody_else_s() -> None:
    async def story(pair: Pair) -> None:
        with pair.connection.release_socket() as sock:
            pair.far.send(b"tunnelled")
            assert await asyncio.get_running_loop().sock_recv(sock, 100) == b"tunnelled"
            pair.connection.close()
            assert sock.fileno() >= 0
        assert pair.user.heard == []

    run(story)


# --- idle ------------------------------------------------------------------------------------------------------


def test_one_that_ends_while_it_is_idle_is_offered_to_nobody() -> None:
    async def story(pair: Pair) -> None:
        pair.idle.put(pair.connection)
        assert pair.idle.by_upstream[pair.upstream] == [pair.connection]
        pair.far.close()
        await until(lambda: pair.connection.is_closed)
        assert pair.idle.by_upstream[pair.upstream] == []
        assert pair.user.heard == [], "its last user is done with it"

    run(story)


def test_one_that_speaks_unasked_is_closed_for_that_would_be_the_next_reply() -> None:
    async def story(pair: Pair) -> None:
        pair.connection.set_reading(False)
        pair.far.send(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")
        pair.idle.put(pair.connection)
        await until(lambda: pair.connection.is_closed)
        assert pair.idle.by_upstream[pair.upstream] == []
        assert await pair.far_receives(1) == b""

    run(story)


def test_no_more_are_kept_than_may_be_and_none_for_longer() -> None:
    async def story(pair: Pair) -> None:
        others = [Pair() for _ in range(2)]
        pair.idle.put(pair.connection)
        pair.idle.sweep(pair.idle.now + 20)
        for other in others:
            other.connection.upstream = pair.upstream
            pair.idle.put(other.connection)
        kept, dropped = others[0].connection, others[1].connection
        assert (pair.connection.is_closed, kept.is_closed, dropped.is_closed) == (False, False, True)
        assert pair.idle.sweep(pair.idle.now + 10)
        assert (pair.connection.is_closed, kept.is_closed) == (True, False), "the one that has waited longest"
        assert not pair.idle.sweep(pair.idle.now + 20)
        assert kept.is_closed

    run(story)


def test_those_of_an_upstream_that_is_gone_are_closed() -> None:
    async def story(pair: Pair) -> None:
        other = Pair()
        other.upstream = other.connection.upstream
        pair.idle.put(pair.connection)
        pair.idle.put(other.connection)
        pair.idle.drop(pair.upstream)
        assert (pair.connection.is_closed, other.connection.is_closed) == (True, False)
        pair.idle.close()
        assert other.connection.is_closed

    run(story)
