"""Who is linked with whom: dialling, accepting, limits and refusals, between real listeners on loopback."""

import asyncio
import socket
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from typing import TypeVar

import pytest

from services.peer import links as links_room
from services.peer.frames import Hello, serialize_frame
from services.peer.group_writer import Lane
from services.peer.handshake import Identity
from services.peer.inbox import InboxMessage
from services.peer.link import LinkError, LinkLimits
from services.peer.links import Address, LinkEvents, Links, UnreachableError
from services.peer.messages import Message
from shared.httpcore.net.server import bind_listener

T = TypeVar("T")
KEY = b"k" * 64


def run(story: Awaitable[None]) -> None:
    async def bounded() -> None:
        async with asyncio.timeout(20):
            await story

    asyncio.run(bounded())


async def until(condition: Callable[[], T]) -> T:
    """The condition's first true value; the test's own timeout bounds the wait."""
    while not (value := condition()):
        await asyncio.sleep(0.005)
    return value


class Peer:
    """A peer that has links and an inbox in memory. `book` says where others are."""

    def __init__(self, peer_id: str, book: dict[str, Address], key: bytes | None = None, **limits: float) -> None:
        self.peer_id = peer_id
        self.messages: list[Message] = []
        self.linked: list[str] = []
        events = LinkEvents(self._receive, book.get, self.linked.append)
        self.links = Links(Identity(peer_id, key), events, LinkLimits(**limits))  # type: ignore[arg-type]
        listener = bind_listener("127.0.0.1", 0)
        self.address = Address("127.0.0.1", listener.getsockname()[1])
        self.links.start(listener)

    def _receive(self, message: Message, _: Lane) -> "asyncio.Future[InboxMessage | None]":
        self.messages.append(message)
        future: asyncio.Future[InboxMessage | None] = asyncio.get_running_loop().create_future()
        future.set_result(InboxMessage(len(self.messages), 1.0, message))
        return future

    async def say(self, to: str, message_id: str = "m") -> None:
        link = await self.links.open(to)
        await link.transmit(Message(message_id, self.peer_id, to, None, "hi", 1.0))


class Room:
    """Peers that know each other's addresses, ended together."""

    def __init__(self, stack: AsyncExitStack) -> None:
        self.book: dict[str, Address] = {}
        self._stack = stack

    def peer(self, peer_id: str, key: bytes | None = None, **limits: float) -> Peer:
        peer = Peer(peer_id, self.book, key, **limits)
        self.book[peer_id] = peer.address
        self._stack.push_async_callback(peer.links.finish, 0.2)
        return peer


@asynccontextmanager
async def room() -> AsyncIterator[Room]:
    async with AsyncExitStack() as stack:
        yield Room(stack)


@pytest.mark.parametrize("key", [None, KEY], ids=["keyless", "keyed"])
def test_a_link_is_dialled_once_and_used_again(key: bytes | None) -> None:
    async def story() -> None:
        async with room() as peers:
            p1, p2 = peers.peer("p1", key), peers.peer("p2", key)
            await p1.say("p2", "a")
            await p1.say("p2", "b")
            assert [message.id for message in p2.messages] == ["a", "b"]
            assert (p1.links.dialled_count, p2.links.accepted_count) == (1, 1)
            assert (p1.links.linked_peers, p2.links.linked_peers) == (("p2",), ("p1",))
            assert p2.linked == ["p1"]

    run(story())


def test_with_a_key_an_accepted_link_serves_both_ways() -> None:
    async def story() -> None:
        async with room() as peers:
            p1, p2 = peers.peer("p1", KEY), peers.peer("p2", KEY)
            await p1.say("p2")
            await p2.say("p1")
            assert p2.links.dialled_count == 0
            assert len(p1.messages) == 1

    run(story())


def test_without_a_key_a_peer_whose_address_is_known_is_dialled_there() -> None:
    async def story() -> None:
        async with room() as peers:
            p1, p2 = peers.peer("p1"), peers.peer("p2")
            await p1.say("p2")
            await p2.say("p1")
            assert p2.links.dialled_count == 1
            del peers.book["p1"]
            await p2.say("p1", "over-what-is-there")
            assert p2.links.dialled_count == 1

    run(story())


def test_a_peer_that_nobody_knows_is_reached_once_it_has_dialled() -> None:
    async def story() -> None:
        async with room() as peers:
            p1, p2 = peers.peer("p1"), peers.peer("p2")
            del peers.book["p2"]
            with pytest.raises(UnreachableError, match="nobody has told where this peer is") as caught:
                await p1.links.open("p2")
            assert caught.value.is_unknown
            await p2.say("p1")
            await p1.say("p2")
            assert len(p2.messages) == 1

    run(story())


def test_two_peers_that_dial_each_other_at_once_both_get_through() -> None:
    async def story() -> None:
        async with room() as peers:
            p1, p2 = peers.peer("p1", KEY), peers.peer("p2", KEY)
            await asyncio.gather(p1.say("p2"), p2.say("p1"))
            assert (len(p1.messages), len(p2.messages)) == (1, 1)

    run(story())


REFUSALS: list[tuple[str, bytes | None, bytes | None, str]] = [
    ("another key", KEY, b"j" * 64, "bad_auth"),
    ("no key where one is wanted", None, KEY, "auth_required"),
    ("a key where there is none", KEY, None, "unexpected_frame"),
]


@pytest.mark.parametrize(
    ("dialler", "acceptor", "code"), [case[1:] for case in REFUSALS], ids=[case[0] for case in REFUSALS]
)
def test_peers_whose_keys_differ_exchange_nothing(dialler: bytes | None, acceptor: bytes | None, code: str) -> None:
    async def story() -> None:
        async with room() as peers:
            p1, p2 = peers.peer("p1", dialler), peers.peer("p2", acceptor)
            with pytest.raises((UnreachableError, LinkError), match=code):
                await p1.say("p2")
            assert p2.messages == []

    run(story())


def test_a_peer_that_dials_itself_is_refused() -> None:
    async def story() -> None:
        async with room() as peers:
            p1 = peers.peer("p1", KEY)
            peers.book["p9"] = p1.address
            with pytest.raises(UnreachableError, match="self_connection"):
                await p1.links.open("p9")

    run(story())


def test_another_peer_than_was_dialled_gets_nothing() -> None:
    async def story() -> None:
        async with room() as peers:
            p1, p2 = peers.peer("p1"), peers.peer("p2")
            peers.book["p9"] = p2.address
            with pytest.raises(UnreachableError, match="wrong_peer: got 'p2' where 'p9' was dialled"):
                await p1.links.open("p9")

    run(story())


def test_nobody_listening_is_told_as_that() -> None:
    async def story() -> None:
        async with room() as peers:
            p1 = peers.peer("p1")
            with socket.socket() as taken:
                taken.bind(("127.0.0.1", 0))
                peers.book["p2"] = Address("127.0.0.1", taken.getsockname()[1])
                with pytest.raises(UnreachableError, match="no connection to 127") as caught:
                    await p1.links.open("p2")
            assert not caught.value.is_unknown

    run(story())


# --- strangers -----------------------------------------------------------------------------------------------


async def connect(address: Address) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    return await asyncio.open_connection(address.host, address.port)


def test_whoever_says_nothing_is_sent_away() -> None:
    async def story() -> None:
        async with room() as peers:
            p1 = peers.peer("p1", handshake_s=0.05)
            reader, writer = await connect(p1.address)
            assert b'"type":"hello"' in await reader.readline()
            assert await reader.read() == b""
            writer.close()
            await until(lambda: p1.links.refused_count == 1)

    run(story())


def test_a_hello_byte_by_byte_does_not_win_time() -> None:
    async def story() -> None:
        async with room() as peers:
            p1 = peers.peer("p1", handshake_s=0.2)
            reader, writer = await connect(p1.address)
            await reader.readline()

            async def dribble() -> None:
                for byte in serialize_frame(Hello("p2", "")):
                    writer.write(bytes([byte]))
                    await asyncio.sleep(0.02)

            dribbling = asyncio.create_task(dribble())
            assert await reader.read() == b""
            dribbling.cancel()
            writer.close()
            assert p1.links.count == 0

    run(story())


def test_many_slow_strangers_do_not_keep_a_peer_out(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(links_room, "MAX_GREETING", 5)

    async def story() -> None:
        async with room() as peers:
            p1, p2 = peers.peer("p1", KEY), peers.peer("p2", KEY)
            strangers = [await connect(p2.address) for _ in range(30)]
            await p1.say("p2")
            assert len(p2.messages) == 1
            await strangers[0][0].read()  # the oldest had to go
            for _, writer in strangers:
                writer.close()

    run(story())


async def strangers_link(address: Address, peer_id: str) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    reader, writer = await connect(address)
    await reader.readline()
    writer.write(serialize_frame(Hello(peer_id, "")))
    return reader, writer


def test_a_quiet_link_makes_room_for_another(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(links_room, "MAX_LINKS", 3)

    async def story() -> None:
        async with room() as peers:
            p1 = peers.peer("p1")
            opened = []
            for number in range(5):
                opened.append(await strangers_link(p1.address, f"q{number}"))
                await until(lambda number=number: f"q{number}" in p1.linked)  # type: ignore[misc]
            await until(lambda: p1.links.count == 3)
            assert p1.links.linked_peers == ("q2", "q3", "q4")
            for _, writer in opened:
                writer.close()

    run(story())


def test_a_peer_may_not_hold_more_than_four_links() -> None:
    async def story() -> None:
        async with room() as peers:
            p1 = peers.peer("p1")
            opened = [await strangers_link(p1.address, "q") for _ in range(6)]
            await until(lambda: len(p1.linked) == 6)
            await until(lambda: p1.links.count == 4)
            for _, writer in opened:
                writer.close()
            await until(lambda: p1.links.count == 0)

    run(story())


def test_finish_ends_every_link_and_the_listener() -> None:
    async def story() -> None:
        async with room() as peers:
            p1, p2 = peers.peer("p1"), peers.peer("p2")
            await p1.say("p2")
            await connect(p2.address)
            await p2.links.finish(1.0)
            assert p2.links.count == 0
            await until(lambda: p1.links.count == 0)
            with pytest.raises(UnreachableError):
                await p1.links.open("p2")

    run(story())
