"""One link over a pair of sockets: acks, order, limits, keep-alive, and a decent end. The other end is bytes."""

import asyncio
import json
import socket
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

import pytest

from services.peer import link as link_room
from services.peer.frames import Frame, Hello, serialize_frame
from services.peer.greeting import greet
from services.peer.group_writer import Lane, StorageError
from services.peer.handshake import Handshake, Identity, Role
from services.peer.inbox import InboxMessage
from services.peer.link import Link, LinkError, LinkLimits, RejectedError
from services.peer.messages import Message
from services.peer.remembered import IdConflictError
from services.peer.wire import LineDecoder, RefusedError, WireError
from shared.httpcore.errors import ConnectionClosed
from shared.httpcore.net.stream import Stream

Outcome = InboxMessage | None | Exception


def run(story: Awaitable[None]) -> None:
    async def bounded() -> None:
        async with asyncio.timeout(20):
            await story

    asyncio.run(bounded())


class Inbox:
    """Answers what it is told to, and remembers what came. With `is_slow`, only when `release` is called."""

    def __init__(self, outcomes: dict[str, Outcome] | None = None, *, is_slow: bool = False) -> None:
        self.outcomes = outcomes or {}
        self.is_slow = is_slow
        self.messages: list[Message] = []
        self.lanes: set[int] = set()
        self._held: list[tuple[asyncio.Future[InboxMessage | None], Outcome]] = []

    def receive(self, message: Message, lane: Lane) -> "asyncio.Future[InboxMessage | None]":
        future: asyncio.Future[InboxMessage | None] = asyncio.get_running_loop().create_future()
        self.messages.append(message)
        self.lanes.add(id(lane))
        outcome = self.outcomes.get(message.id, InboxMessage(len(self.messages), 1.0, message))
        self._held.append((future, outcome))
        if not self.is_slow:
            self.release()
        return future

    def release(self) -> None:
        for future, outcome in self._held:
            if isinstance(outcome, Exception):
                future.set_exception(outcome)
            else:
                future.set_result(outcome)
        self._held.clear()


class OtherEnd:
    """The peer p2, as bytes on a socket."""

    def __init__(self, sock: socket.socket) -> None:
        sock.setblocking(False)
        self._sock = sock
        self._loop = asyncio.get_running_loop()
        self._buffer = b""

    async def send(self, *frames: Frame | dict[str, Any] | bytes) -> None:
        for frame in frames:
            if isinstance(frame, dict):
                frame = json.dumps(frame).encode() + b"\n"
            elif not isinstance(frame, bytes):
                frame = serialize_frame(frame)
            await self._loop.sock_sendall(self._sock, frame)

    async def read(self) -> dict[str, Any] | None:
        """The next frame; None at the end of the stream."""
        while b"\n" not in self._buffer:
            data = await self._loop.sock_recv(self._sock, 65536)
            if not data:
                assert self._buffer == b"", "half a line before the end"
                return None
            self._buffer += data
        line, _, self._buffer = self._buffer.partition(b"\n")
        frame: dict[str, Any] = json.loads(line)
        return frame

    async def read_until_end(self) -> list[dict[str, Any]]:
        frames = []
        while (frame := await self.read()) is not None:
            frames.append(frame)
        return frames

    def close(self) -> None:
        self._sock.close()


@asynccontextmanager
async def linked(inbox: Inbox, **limits: float | int) -> AsyncIterator[tuple[Link, OtherEnd]]:
    """A link of p1 with p2 whose handshake is over; `max_line` is p2's."""
    max_line = int(limits.pop("max_line", 65_536))
    ours, theirs = socket.socketpair()
    handshake = Handshake(Identity("p1"), Role.SERVER)
    handshake.receive(Hello("p2", "", max_line=max_line))
    stream = Stream(ours)
    link = Link(stream, handshake, LineDecoder(), inbox.receive, LinkLimits(**limits))  # type: ignore[arg-type]
    running = asyncio.create_task(link.run())
    other = OtherEnd(theirs)
    try:
        yield link, other
    finally:
        other.close()
        link.close("the test is over")
        await running
        assert stream.is_closed


def direct(message_id: str, content: str = "hi", sender: str = "p2", to: str = "p1") -> dict[str, Any]:
    return {"type": "direct", "id": message_id, "from": sender, "to": to, "sent_at": 1, "content": content}


def own(message_id: str, content: str = "hi") -> Message:
    return Message(message_id, "p1", "p2", None, content, 1.0)


# --- receiving -----------------------------------------------------------------------------------------------


def test_messages_are_acknowledged_in_order_and_pings_answered() -> None:
    async def story() -> None:
        inbox = Inbox({"again": None})
        async with linked(inbox) as (_, other):
            await other.send(direct("a"), {"type": "ping", "n": 7}, direct("again"))
            assert await other.read() == {"type": "pong", "n": 7}  # a's ack comes with the next turn of the loop
            assert await other.read() == {"type": "ack", "id": "a"}
            assert await other.read() == {"type": "ack", "id": "again", "repeat": True}
        assert [message.id for message in inbox.messages] == ["a", "again"]
        assert len(inbox.lanes) == 1

    run(story())


def test_nothing_is_acknowledged_before_it_is_stored() -> None:
    async def story() -> None:
        inbox = Inbox(is_slow=True)
        async with linked(inbox) as (_, other):
            await other.send(direct("a"), {"type": "ping", "n": 1})
            assert await other.read() == {"type": "pong", "n": 1}
            inbox.release()
            assert await other.read() == {"type": "ack", "id": "a"}

    run(story())


REFUSED: list[tuple[str, dict[str, Any], dict[str, Any]]] = [
    (
        "another sender than the peer of the link",
        direct("a", sender="p3"),
        {"code": "wrong_sender", "message": "from: got 'p3' on a link with 'p2'", "id": "a"},
    ),
    (
        "another target than this peer",
        direct("a", to="p3"),
        {"code": "wrong_target", "message": "to: got 'p3', this is 'p1'", "id": "a"},
    ),
    (
        "an unknown type",
        {"type": "wave"},
        {"code": "unknown_type", "message": 'type: got "wave", which this peer doesn\'t know'},
    ),
    (
        "a message without content",
        {"type": "chat", "id": "a", "from": "p2", "channel": "c", "sent_at": 1},
        {"code": "bad_frame", "message": "content: got null, expected text", "id": "a"},
    ),
]


@pytest.mark.parametrize(("sent", "error"), [case[1:] for case in REFUSED], ids=[case[0] for case in REFUSED])
def test_what_is_refused_is_told_and_the_link_goes_on(sent: dict[str, Any], error: dict[str, Any]) -> None:
    async def story() -> None:
        inbox = Inbox()
        async with linked(inbox) as (_, other):
            await other.send(sent, direct("next"))
            assert await other.read() == {"type": "error", **error}
            assert await other.read() == {"type": "ack", "id": "next"}
        assert [message.id for message in inbox.messages] == ["next"]

    run(story())


FATAL: list[tuple[str, bytes, str]] = [
    ("garbage", b"\x00\xff\xfe\n", "bad_utf8"),
    ("an HTTP request", b"GET / HTTP/1.1\r\nHost: p1\r\n\r\n", "bad_json"),
    ("a line a byte too long", b'"' + b"x" * 65_536 + b"\n", "line_too_long"),
    ("a line without end", b"x" * 200_000, "line_too_long"),
    ("a second hello", b'{"type":"hello","v":1,"peer_id":"p2"}\n', "unexpected_frame"),
    ("an auth", b'{"type":"auth","mac":"' + b"ab" * 32 + b'"}\n', "unexpected_frame"),
]


@pytest.mark.parametrize(("data", "code"), [case[1:] for case in FATAL], ids=[case[0] for case in FATAL])
def test_after_a_fatal_error_the_other_end_reads_why_and_then_the_end(data: bytes, code: str) -> None:
    async def story() -> None:
        inbox = Inbox()
        async with linked(inbox) as (link, other):
            await other.send(direct("a"))
            assert await other.read() == {"type": "ack", "id": "a"}
            await other.send(data, direct("too late"))
            [error] = await other.read_until_end()
            assert (error["type"], error["code"]) == ("error", code)
            assert link.end_reason.startswith(code)
        assert [message.id for message in inbox.messages] == ["a"]

    run(story())


def test_a_conflict_of_ids_is_told_and_the_link_goes_on() -> None:
    async def story() -> None:
        inbox = Inbox({"a": IdConflictError("taken")})
        async with linked(inbox) as (_, other):
            await other.send(direct("a"), direct("b"))
            assert await other.read() == {"type": "error", "code": "id_conflict", "message": "taken", "id": "a"}
            assert await other.read() == {"type": "ack", "id": "b"}

    run(story())


def test_a_message_that_cannot_be_stored_is_never_acknowledged_and_the_link_ends() -> None:
    async def story() -> None:
        inbox = Inbox({"a": StorageError("the disk is full", is_full=True)})
        async with linked(inbox) as (link, other):
            await other.send(direct("a"))
            told = {"type": "error", "code": "storage_failed", "message": "the disk is full", "id": "a"}
            assert await other.read() == told
            await other.send(direct("b"))
            assert (await other.read() or {})["code"] == "going_away"
            link.check(asyncio.get_running_loop().time())
            assert await other.read() is None

    run(story())


def test_beyond_so_many_unanswered_messages_nothing_more_is_read() -> None:
    async def story() -> None:
        inbox = Inbox(is_slow=True)
        async with linked(inbox, max_unanswered=3) as (_, other):
            for number in range(3):
                await other.send(direct(f"m{number}"))
                while len(inbox.messages) <= number:
                    await asyncio.sleep(0)
            await other.send(direct("m3"))
            for _ in range(20):
                await asyncio.sleep(0)
            assert len(inbox.messages) == 3
            inbox.release()
            acks = [await other.read() for _ in range(3)]
            assert acks == [{"type": "ack", "id": f"m{number}"} for number in range(3)]
            while len(inbox.messages) < 4:
                await asyncio.sleep(0)
            inbox.release()
            assert await other.read() == {"type": "ack", "id": "m3"}

    run(story())


# --- sending -------------------------------------------------------------------------------------------------


def test_a_sent_message_is_done_when_it_is_acknowledged() -> None:
    async def story() -> None:
        async with linked(Inbox()) as (link, other):
            first, second = link.transmit(own("a")), link.transmit(own("b"))
            assert (await other.read() or {})["id"] == "a"
            assert (await other.read() or {})["id"] == "b"
            await other.send({"type": "ack", "id": "b"}, {"type": "ack", "id": "never sent"})
            await second
            assert not first.done()
            await other.send({"type": "ack", "id": "a", "repeat": True}, {"type": "ack", "id": "a"})
            await first
            assert link.is_quiet

    run(story())


@pytest.mark.parametrize(
    ("code", "expected"), [("id_conflict", RejectedError), ("wrong_target", RejectedError), ("busy", LinkError)]
)
def test_an_error_about_a_message_says_whether_to_try_again(code: str, expected: type[Exception]) -> None:
    async def story() -> None:
        async with linked(Inbox()) as (link, other):
            sent = link.transmit(own("a"))
            await other.send({"type": "error", "code": code, "message": "no", "id": "a"})
            with pytest.raises(expected, match=f"{code}: no"):
                await sent
            assert link.is_usable

    run(story())


@pytest.mark.parametrize("how", ["end", "error"])
def test_what_was_not_acknowledged_when_the_link_ends_counts_as_not_sent(how: str) -> None:
    async def story() -> None:
        async with linked(Inbox()) as (link, other):
            sent = link.transmit(own("a"))
            if how == "end":
                other.close()
            else:
                await other.send({"type": "error", "code": "auth_required", "message": "no"})
            with pytest.raises(LinkError, match=r"the other end closed|auth_required: no|reading failed"):
                await sent
            with pytest.raises(LinkError):
                await link.transmit(own("b"))

    run(story())


def test_a_large_message_reaches_an_end_that_reads_slowly() -> None:
    async def story() -> None:
        content = '"' * 32_768
        async with linked(Inbox()) as (link, other):
            sent = [link.transmit(own(f"m{number}", content)) for number in range(64)]
            for number in range(64):
                frame = await other.read()
                assert frame is not None
                assert (frame["id"], frame["encoding"]) == (f"m{number}", "base64")
                await other.send({"type": "ack", "id": frame["id"]})
            await asyncio.gather(*sent)

    run(story())


def test_no_line_is_sent_that_the_other_end_does_not_take() -> None:
    async def story() -> None:
        async with linked(Inbox(), max_line=1024) as (link, other):
            with pytest.raises(RejectedError, match=r"line_too_long: .* no more than 1024"):
                await link.transmit(own("a", "x" * 1000))
            link.transmit(own("b", "x" * 900))
            assert (await other.read() or {})["id"] == "b"

    run(story())


# --- keep-alive and the end ----------------------------------------------------------------------------------


def test_a_silent_link_is_pinged_once_and_then_given_up() -> None:
    async def story() -> None:
        async with linked(Inbox()) as (link, other):
            start = link.last_received_at
            link.check(start + 14)
            link.check(start + 16)
            link.check(start + 17)
            assert (await other.read() or {})["type"] == "ping"
            link.check(start + 46)
            assert await other.read() is None
            assert link.end_reason == "nothing was heard for 45 s"

    run(story())


def test_a_link_without_messages_ends_but_not_while_something_is_on_its_way() -> None:
    async def story() -> None:
        async with linked(Inbox(), silence_s=1e6, ping_after_s=1e6) as (link, other):
            sent = link.transmit(own("a"))
            link.check(link.last_message_at + 301)
            assert link.is_usable
            await other.send({"type": "ack", "id": "a"})
            await sent
            link.check(link.last_message_at + 301)
            assert link.end_reason == "no longer needed"

    run(story())


def test_finish_waits_for_what_is_on_its_way_both_ways() -> None:
    async def story() -> None:
        inbox = Inbox(is_slow=True)
        async with linked(inbox) as (link, other):
            sent = link.transmit(own("a"))
            await other.send(direct("x"))
            assert (await other.read() or {})["id"] == "a"
            while not inbox.messages:
                await asyncio.sleep(0)
            finishing = asyncio.create_task(link.finish())
            await other.send(direct("y"))
            assert (await other.read() or {})["code"] == "going_away"
            inbox.release()
            assert await other.read() == {"type": "ack", "id": "x"}
            assert not finishing.done()
            await other.send({"type": "ack", "id": "a"})
            await sent
            await finishing
            assert await other.read() is None

    run(story())


def test_an_end_that_takes_nothing_is_given_up() -> None:
    async def story() -> None:
        async with linked(Inbox(), stall_s=0.05) as (link, _):
            sent = [link.transmit(own(f"m{number}", "x" * 32_000)) for number in range(64)]
            with pytest.raises(LinkError, match=r"the other end took nothing for 0\.05 s"):
                await sent[-1]

    run(story())


def test_an_end_that_only_asks_and_never_reads_is_not_read_for_ever() -> None:
    async def story() -> None:
        async with linked(Inbox(), stall_s=0.2) as (link, other):
            flood = b'{"type":"ping","n":1}\n' * 3000

            async def ask_for_ever() -> None:
                while True:
                    await other.send(flood)

            with pytest.raises(ConnectionError):
                await ask_for_ever()
            assert "took nothing" in link.end_reason

    run(story())


def test_a_link_that_waits_for_the_other_end_to_read_can_still_be_closed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(link_room, "MAX_OUTGOING_BYTES", 1000)

    async def story() -> None:
        async with linked(Inbox()) as (link, other):
            for number in range(64):
                link.transmit(own(f"m{number}", "x" * 32_000))
            await other.send({"type": "ping", "n": 1})
            for _ in range(20):
                await asyncio.sleep(0)
        assert link.end_reason  # and `linked` has seen `run` return

    run(story())


# --- greeting ------------------------------------------------------------------------------------------------


async def greeting(story: Callable[[OtherEnd], Awaitable[None]], key: bytes | None = None) -> BaseException | None:
    ours, theirs = socket.socketpair()
    stream, other = Stream(ours), OtherEnd(theirs)
    task = asyncio.create_task(greet(stream, Handshake(Identity("p1", key), Role.SERVER)))
    await story(other)
    await asyncio.wait({task})
    other.close()
    stream.close()
    return task.exception()


def test_a_stranger_that_says_nonsense_reads_hello_the_reason_and_the_end() -> None:
    async def nonsense(other: OtherEnd) -> None:
        await other.send(b"nonsense\n")
        hello, error = await other.read_until_end()
        assert (hello["type"], hello["v"], hello["peer_id"]) == ("hello", 1, "p1")
        assert (error["type"], error["code"]) == ("error", "bad_json")

    async def story() -> None:
        assert isinstance(await greeting(nonsense), WireError)

    run(story())


def test_an_error_is_not_answered_by_an_error() -> None:
    async def refusing(other: OtherEnd) -> None:
        await other.send({"type": "error", "code": "too_many_links", "message": "full"})
        assert [frame["type"] for frame in await other.read_until_end()] == ["hello"]

    async def story() -> None:
        error = await greeting(refusing)
        assert isinstance(error, RefusedError)
        assert str(error) == "refused by the other end: full"

    run(story())


def test_an_end_that_hangs_up_in_the_handshake_is_noticed() -> None:
    async def leaving(other: OtherEnd) -> None:
        other.close()

    async def story() -> None:
        assert isinstance(await greeting(leaving), ConnectionClosed)

    run(story())


def test_messages_before_the_proof_are_refused_and_go_nowhere() -> None:
    async def eager(other: OtherEnd) -> None:
        await other.send(Hello("p2", "a" * 32), direct("a"))
        frames = await other.read_until_end()
        assert [frame["type"] for frame in frames] == ["hello", "error"]
        assert frames[1]["code"] == "auth_required"

    async def story() -> None:
        assert isinstance(await greeting(eager, b"k" * 64), WireError)

    run(story())
