"""A WebSocket over a scripted stream: who waits for what, who wakes whom, and how it ends."""

import asyncio
import zlib
from collections.abc import Awaitable, Callable

import pytest

from shared.httpcore.limits import MIB
from shared.httpcore.net.websocket_connection import (
    WebSocket,
    WebSocketClosed,
)
from shared.httpcore.net.websocket_inbox import MAX_WAITING_MESSAGES
from shared.httpcore.websocket.close_codes import serialize_close
from shared.httpcore.websocket.deflate import Deflate
from shared.httpcore.websocket.frames import Opcode, parse_frame_head, serialize_frame
from shared.httpcore.websocket.keepalive import WebSocketTimeouts
from shared.httpcore.websocket.protocol import ProtocolOptions, Role, WebSocketProtocol, serialize_message
from tests.shared.httpcore.net.scripted_stream import ScriptedStream
from tests.shared.httpcore.net.waiting import until

MASK = b"\x01\x02\x03\x04"
PATIENT = WebSocketTimeouts(ping_interval_s=None, close_s=10.0)
END = b""
SMALL = ProtocolOptions(max_message_bytes=1000)
ROOMY = ProtocolOptions(max_message_bytes=8 * MIB, deflate=Deflate())


def frame(opcode: Opcode, payload: bytes = b"") -> bytes:
    """As a client sends it."""
    return serialize_frame(opcode, payload, mask=MASK)


def text(message: str) -> bytes:
    return frame(Opcode.TEXT, message.encode())


def close(code: int, reason: str = "") -> bytes:
    return frame(Opcode.CLOSE, serialize_close(code, reason))


def sent_frames(stream: ScriptedStream) -> list[tuple[Opcode, bytes]]:
    """What the server sent, frame by frame."""
    frames, data = [], bytes(stream.sent)
    while (head := parse_frame_head(data)) is not None:
        end = head.head_bytes + head.payload_bytes
        frames.append((head.opcode, data[head.head_bytes : end]))
        data = data[end:]
    assert not data
    return frames


def serve(
    test: Callable[[WebSocket, ScriptedStream], Awaitable[None]],
    *chunks: bytes,
    timeouts: WebSocketTimeouts = PATIENT,
    leftover: bytes = b"",
    options: ProtocolOptions = SMALL,
) -> None:
    """Runs the test with a server's WebSocket to which a client sends the chunks; nothing may be left running."""

    async def run() -> None:
        stream = ScriptedStream(chunks)
        websocket = WebSocket(stream, WebSocketProtocol(Role.SERVER, options), timeouts, leftover)
        async with asyncio.timeout(20):
            await test(websocket, stream)
            websocket.abort()
            await websocket.wait_closed()
            await until(lambda: len(asyncio.all_tasks()) == 1)
        assert stream.is_closed

    asyncio.run(run())


def test_messages_are_received_in_order_and_a_clean_close_ends_the_iteration() -> None:
    async def test(websocket: WebSocket, stream: ScriptedStream) -> None:
        assert [message async for message in websocket] == ["one", b"two", "three"]
        with pytest.raises(WebSocketClosed, match="WebSocket closed: 1000 bye") as closed:
            await websocket.receive()
        assert (closed.value.code, closed.value.reason, closed.value.is_clean) == (1000, "bye", True)
        await websocket.wait_closed()
        assert sent_frames(stream) == [(Opcode.CLOSE, serialize_close(1000))]
        assert stream.has_ended_sending

    serve(test, text("one") + frame(Opcode.BINARY, b"two"), text("three") + close(1000, "bye"), END)


def test_bytes_that_came_with_the_handshake_are_read_first() -> None:
    async def test(websocket: WebSocket, stream: ScriptedStream) -> None:
        assert await websocket.receive() == "early"
        assert await websocket.receive() == "late"

    serve(test, text("late"), leftover=text("early"))


@pytest.mark.parametrize("chunks", [(END,), (text("half a message")[:5], END)])
def test_a_connection_that_breaks_is_1006_and_no_clean_end(chunks: tuple[bytes, ...]) -> None:
    async def test(websocket: WebSocket, stream: ScriptedStream) -> None:
        with pytest.raises(WebSocketClosed) as closed:
            async for _ in websocket:
                pass
        assert (closed.value.code, closed.value.is_clean) == (1006, False)
        with pytest.raises(WebSocketClosed):
            await websocket.send("too late")
        assert not stream.sent

    serve(test, *chunks)


def test_a_broken_rule_is_told_to_both_sides() -> None:
    async def test(websocket: WebSocket, stream: ScriptedStream) -> None:
        assert await websocket.receive() == "fine"
        with pytest.raises(WebSocketClosed, match="1007 text message is not UTF-8"):
            await websocket.receive()
        await websocket.wait_closed()
        assert sent_frames(stream) == [(Opcode.CLOSE, serialize_close(1007, "text message is not UTF-8"))]

    serve(test, text("fine"), frame(Opcode.TEXT, b"\xff"), b"more that is discarded", END)


def test_pings_are_answered_while_nobody_receives() -> None:
    async def test(websocket: WebSocket, stream: ScriptedStream) -> None:
        await until(lambda: sent_frames(stream) == [(Opcode.PONG, b"a"), (Opcode.PONG, b"b")])

    serve(test, frame(Opcode.PING, b"a"), frame(Opcode.PING, b"b"))


def test_concurrent_senders_each_send_whole_frames() -> None:
    async def test(websocket: WebSocket, stream: ScriptedStream) -> None:
        stream.can_send.clear()
        senders = [asyncio.create_task(websocket.send(str(number) * 50)) for number in range(20)]
        await asyncio.sleep(0)
        assert not any(sender.done() for sender in senders)
        stream.can_send.set()
        await asyncio.gather(*senders)
        assert sorted(payload for _, payload in sent_frames(stream)) == sorted(
            (str(number) * 50).encode() for number in range(20)
        )

    serve(test)


def test_a_frame_made_for_many_is_sent_as_it_is() -> None:
    async def test(websocket: WebSocket, stream: ScriptedStream) -> None:
        await websocket.send_serialized(serialize_message("to all", None))
        assert sent_frames(stream) == [(Opcode.TEXT, b"to all")]

    serve(test)


def test_only_one_task_may_receive() -> None:
    async def test(websocket: WebSocket, stream: ScriptedStream) -> None:
        first = asyncio.create_task(websocket.receive())
        await asyncio.sleep(0)
        with pytest.raises(RuntimeError, match="another task is receiving"):
            await websocket.receive()
        stream.feed(text("for the first"))
        assert await first == "for the first"

    serve(test)


def test_a_cancelled_receive_loses_no_message() -> None:
    async def test(websocket: WebSocket, stream: ScriptedStream) -> None:
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0):
                await websocket.receive()
        stream.feed(text("kept"))
        assert await websocket.receive() == "kept"

    serve(test)


def test_a_cancelled_send_ends_the_connection_since_half_a_frame_may_be_out() -> None:
    async def test(websocket: WebSocket, stream: ScriptedStream) -> None:
        stream.can_send.clear()
        sender = asyncio.create_task(websocket.send("stuck"))
        await asyncio.sleep(0)
        sender.cancel()
        await asyncio.wait({sender})
        assert stream.is_closed
        with pytest.raises(WebSocketClosed, match="1006"):
            await websocket.receive()

    serve(test)


def test_reading_stops_while_the_handler_is_behind_and_goes_on_afterwards() -> None:
    async def test(websocket: WebSocket, stream: ScriptedStream) -> None:
        await until(lambda: stream.unread_chunks == 10)
        for _ in range(20):
            await asyncio.sleep(0)
        assert stream.unread_chunks == 10
        received = [await websocket.receive() for _ in range(MAX_WAITING_MESSAGES + 10)]
        assert received == [str(number) for number in range(MAX_WAITING_MESSAGES + 10)]

    serve(test, *[text(str(number)) for number in range(MAX_WAITING_MESSAGES + 10)])


def compressed(payload: bytes) -> bytes:
    deflate = zlib.compressobj(wbits=-15)
    packed = (deflate.compress(payload) + deflate.flush(zlib.Z_SYNC_FLUSH))[:-4]
    return serialize_frame(Opcode.BINARY, packed, mask=MASK, is_compressed=True)


def test_messages_that_arrive_together_are_inflated_only_as_there_is_room_for_them() -> None:
    # Before, all of one read were inflated at once: 64 KiB took 64 MiB, whether or not anybody asked for them.
    async def answer_sizes(websocket: WebSocket) -> None:
        async for message in websocket:
            await websocket.send(str(len(message)))

    async def test(websocket: WebSocket, stream: ScriptedStream) -> None:
        stream.can_send.clear()
        handler = asyncio.create_task(answer_sizes(websocket))  # has one message, and can't send
        for _ in range(50):
            await asyncio.sleep(0)
            assert websocket._inbox.size <= 8 * MIB
        assert websocket._inbox.size == 8 * MIB
        stream.can_send.set()
        await handler
        sizes = [(Opcode.TEXT, str(8 * MIB).encode())] * 20
        await until(lambda: stream.has_ended_sending)
        assert sent_frames(stream) == [*sizes, (Opcode.PONG, b"?"), (Opcode.CLOSE, serialize_close(1000))]

    flood = compressed(bytes(8 * MIB)) * 20 + frame(Opcode.PING, b"?") + close(1000)
    serve(test, leftover=flood, options=ROOMY)


@pytest.mark.parametrize("says_goodbye", [True, False])
def test_an_end_on_this_side_inflates_nothing_more_into_the_inbox(says_goodbye: bool) -> None:
    async def test(websocket: WebSocket, stream: ScriptedStream) -> None:
        await until(lambda: websocket._inbox.size > 0)
        if says_goodbye:
            await websocket.close()
        else:
            websocket.abort()
        await websocket.wait_closed()
        assert websocket._inbox.size == 8 * MIB

    serve(test, END, leftover=compressed(bytes(8 * MIB)) * 5 + close(1000), options=ROOMY)


def test_close_waits_for_the_other_side() -> None:
    async def test(websocket: WebSocket, stream: ScriptedStream) -> None:
        closing = asyncio.create_task(websocket.close(1001, "going away"))
        await until(lambda: sent_frames(stream) == [(Opcode.CLOSE, serialize_close(1001, "going away"))])
        assert not closing.done()
        assert not websocket.is_open
        with pytest.raises(WebSocketClosed, match="1001 going away"):
            await websocket.send("too late")
        stream.feed(text("on its way"), close(1001), END)
        await closing
        with pytest.raises(WebSocketClosed, match="1001 going away"):
            await websocket.receive()
        await websocket.close()  # again, which does nothing

    serve(test)


def test_close_wakes_whoever_receives() -> None:
    async def test(websocket: WebSocket, stream: ScriptedStream) -> None:
        receiving = asyncio.create_task(websocket.receive())
        await asyncio.sleep(0)
        closing = asyncio.create_task(websocket.close(1001))
        with pytest.raises(WebSocketClosed, match="1001"):
            await receiving
        stream.feed(close(1001), END)
        await closing

    serve(test)


def test_close_while_the_handler_is_behind_reads_on_to_the_close_frame() -> None:
    async def test(websocket: WebSocket, stream: ScriptedStream) -> None:
        await until(lambda: stream.unread_chunks == 12)
        await websocket.close()
        assert stream.unread_chunks == 0

    serve(test, *[text("flood")] * (MAX_WAITING_MESSAGES + 10), close(1000), END)


IMPATIENT = WebSocketTimeouts(ping_interval_s=None, close_s=0.01)


@pytest.mark.parametrize("can_send", [True, False])
def test_close_does_not_wait_for_ever(can_send: bool) -> None:
    async def test(websocket: WebSocket, stream: ScriptedStream) -> None:
        if not can_send:
            stream.can_send.clear()
        await websocket.close()
        assert stream.is_closed

    serve(test, timeouts=IMPATIENT)


def test_a_peer_that_says_close_but_never_ends_is_cut() -> None:
    async def test(websocket: WebSocket, stream: ScriptedStream) -> None:
        await websocket.wait_closed()
        assert stream.is_closed

    serve(test, close(1000), timeouts=IMPATIENT)


def test_a_close_code_that_no_frame_may_carry_is_the_callers_mistake() -> None:
    async def test(websocket: WebSocket, stream: ScriptedStream) -> None:
        with pytest.raises(ValueError, match="got close code 1006"):
            await websocket.close(1006)
        assert websocket.is_open

    serve(test)


def test_leaving_the_block_closes_with_a_code_that_says_how_it_went() -> None:
    async def test(websocket: WebSocket, stream: ScriptedStream) -> None:
        async def fail() -> None:
            async with websocket:
                stream.feed(close(1011), END)
                raise KeyError

        with pytest.raises(KeyError):
            await fail()
        assert sent_frames(stream) == [(Opcode.CLOSE, serialize_close(1011))]

    serve(test)


def test_ping_is_answered_by_its_pong_and_older_ones_with_it() -> None:
    async def test(websocket: WebSocket, stream: ScriptedStream) -> None:
        first, second = asyncio.create_task(websocket.ping()), asyncio.create_task(websocket.ping())
        await until(lambda: len(sent_frames(stream)) == 2)
        stream.feed(frame(Opcode.PONG, b"unasked"))
        stream.feed(frame(Opcode.PONG, sent_frames(stream)[1][1]))
        assert min(await asyncio.gather(first, second)) >= 0

    serve(test)


def test_ping_fails_when_the_connection_ends_before_the_pong() -> None:
    async def test(websocket: WebSocket, stream: ScriptedStream) -> None:
        with pytest.raises(WebSocketClosed, match="1006"):
            await websocket.ping()

    serve(test, END)


# --- silence -------------------------------------------------------------------------------------------------


def test_a_silent_peer_is_pinged_and_then_given_up_with_1011() -> None:
    async def test(websocket: WebSocket, stream: ScriptedStream) -> None:
        with pytest.raises(WebSocketClosed, match=r"1011 no pong within 0.01 s"):
            await websocket.receive()
        await websocket.wait_closed()
        assert sent_frames(stream) == [
            (Opcode.PING, b""),
            (Opcode.CLOSE, serialize_close(1011, "no pong within 0.01 s")),
        ]

    serve(test, timeouts=WebSocketTimeouts(ping_interval_s=0.01, pong_s=0.01))


def test_a_peer_that_answers_pings_is_kept() -> None:
    async def test(websocket: WebSocket, stream: ScriptedStream) -> None:
        for count in range(1, 4):
            await until(lambda: len(sent_frames(stream)) == count)  # noqa: B023
            stream.feed(frame(Opcode.PONG))
        assert websocket.is_open

    serve(test, timeouts=WebSocketTimeouts(ping_interval_s=0.001, pong_s=10))


def test_a_sender_that_is_stuck_is_freed_when_the_peer_stays_silent() -> None:
    async def test(websocket: WebSocket, stream: ScriptedStream) -> None:
        stream.can_send.clear()
        sending = asyncio.create_task(websocket.send("nobody reads this"))
        with pytest.raises(WebSocketClosed, match="1011 no pong"):
            await websocket.receive()
        with pytest.raises(WebSocketClosed):
            await sending

    serve(test, timeouts=WebSocketTimeouts(ping_interval_s=0.01, pong_s=0.01))


def test_a_peer_is_not_called_silent_while_it_is_we_who_do_not_read() -> None:
    async def test(websocket: WebSocket, stream: ScriptedStream) -> None:
        await until(lambda: stream.unread_chunks == 1)
        for _ in range(50):  # ten times the interval
            await asyncio.sleep(0.001)
        assert websocket.is_open
        assert not stream.sent
        for _ in range(MAX_WAITING_MESSAGES + 1):
            await websocket.receive()
        await until(lambda: sent_frames(stream) == [(Opcode.PING, b"")])

    serve(
        test,
        *[text("x")] * (MAX_WAITING_MESSAGES + 1),
        timeouts=WebSocketTimeouts(ping_interval_s=0.005, pong_s=10),
    )
