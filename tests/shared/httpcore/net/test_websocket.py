"""Our WebSockets on real sockets, against the `websockets` library at the other end, and against ourselves."""

import asyncio
import contextlib
import logging
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

import pytest
from websockets.asyncio.client import ClientConnection, connect
from websockets.asyncio.server import Server as OtherServer
from websockets.asyncio.server import ServerConnection, serve
from websockets.exceptions import ConnectionClosed as OtherClosed
from websockets.exceptions import InvalidStatus
from websockets.frames import CloseCode, Frame, Opcode

from shared.httpcore.errors import ConnectFailed, ProtocolError
from shared.httpcore.message import Request, Response
from shared.httpcore.net.websocket import (
    WebSocket,
    WebSocketClosed,
    WebSocketTimeouts,
    WebSocketUpgrade,
    connect_websocket,
)
from shared.httpcore.routing import Router
from tests.shared.httpcore.net.serving import Serving, serving
from tests.shared.httpcore.net.waiting import until

MIB = 1024 * 1024
Handler = Callable[[WebSocket], Awaitable[None]]


async def echo(websocket: WebSocket) -> None:
    async for message in websocket:
        await websocket.send(message)


def route(handler: Handler, max_message_bytes: int = 16 * MIB, subprotocol: str | None = None) -> Router:
    router = Router()

    @router.get("/ws")
    def upgrade(request: Request) -> Response:
        return WebSocketUpgrade(request, handler, max_message_bytes, subprotocol)

    return router


@asynccontextmanager
async def other_client(
    handler: Handler, compression: str | None = None
) -> AsyncIterator[tuple[ClientConnection, Serving]]:
    """The library's client, connected to our server."""
    async with (
        asyncio.timeout(30),
        serving(route(handler)) as running,
        connect(f"ws://127.0.0.1:{running.port}/ws", compression=compression, max_size=20 * MIB) as client,
    ):
        yield client, running


@asynccontextmanager
async def our_client(
    handler: Callable[[ServerConnection], Awaitable[None]], compression: str | None = None
) -> AsyncIterator[WebSocket]:
    """Our client, connected to the library's server."""
    async with (
        asyncio.timeout(30),
        serve(handler, "127.0.0.1", 0, compression=compression, max_size=20 * MIB) as server,
        await connect_websocket(f"ws://127.0.0.1:{port_of(server)}/ws", max_message_bytes=16 * MIB) as websocket,
    ):
        yield websocket


def port_of(server: OtherServer) -> int:
    port: int = next(iter(server.sockets)).getsockname()[1]
    return port


MESSAGES: list[str | bytes] = [
    "",
    b"",
    "xin chào 😀",
    bytes(range(256)),
    "x" * 125,
    "x" * 126,
    b"y" * 65536,
    "z" * 3 * MIB,
]


@pytest.mark.parametrize("compression", [None, "deflate"])
def test_a_client_of_another_make_gets_its_messages_back(compression: str | None) -> None:
    async def run() -> None:
        async with other_client(echo, compression) as (client, _):
            for message in MESSAGES:
                await client.send(message)
                assert await client.recv() == message
            assert client.response is not None
            assert ("Sec-WebSocket-Extensions" in client.response.headers) is (compression is not None)
            await client.close(1000, "done")
            assert (client.close_code, client.close_reason) == (1000, "")

    asyncio.run(run())


@pytest.mark.parametrize("compression", [None, "deflate"])
def test_a_server_of_another_make_sends_our_messages_back(compression: str | None) -> None:
    async def echo_back(connection: ServerConnection) -> None:
        async for message in connection:
            await connection.send(message)

    async def run() -> None:
        async with our_client(echo_back, compression) as websocket:
            for message in MESSAGES:
                await websocket.send(message)
                assert await websocket.receive() == message
            assert await websocket.ping() >= 0

    asyncio.run(run())


def test_many_messages_under_way_at_once_arrive_in_order() -> None:
    async def run() -> None:
        async with (
            serving(route(echo)) as running,
            await connect_websocket(f"ws://127.0.0.1:{running.port}/ws") as websocket,
        ):
            sending = asyncio.create_task(send_all(websocket))
            for number in range(3000):
                assert await websocket.receive() == f"{number} " + "x" * 500
            await sending

    async def send_all(websocket: WebSocket) -> None:
        for number in range(3000):
            await websocket.send(f"{number} " + "x" * 500)

    asyncio.run(run())


def test_fragments_and_pings_of_a_client_of_another_make() -> None:
    async def run() -> None:
        async with other_client(echo) as (client, _):
            await client.send(["one ", "two ", "three"])
            assert await client.recv() == "one two three"
            await (await client.ping(b"are you there"))

    asyncio.run(run())


def test_a_handler_that_returns_closes_with_1000() -> None:
    async def greet(websocket: WebSocket) -> None:
        await websocket.send("hello")

    async def run() -> None:
        async with other_client(greet) as (client, running):
            assert [message async for message in client] == ["hello"]
            assert client.close_code == 1000
            await until(lambda: running.server.connection_count == 0)

    asyncio.run(run())


def test_a_handler_that_raises_closes_with_1011_and_is_logged(caplog: pytest.LogCaptureFixture) -> None:
    async def fail(websocket: WebSocket) -> None:
        raise KeyError("secret")

    async def run() -> None:
        async with other_client(fail) as (client, _):
            with pytest.raises(OtherClosed):
                await client.recv()
            assert (client.close_code, client.close_reason) == (1011, "internal error")

    with caplog.at_level(logging.ERROR):
        asyncio.run(run())
    assert "a WebSocket handler failed" in caplog.text
    assert "KeyError" in caplog.text


def test_a_handler_may_choose_the_code() -> None:
    async def refuse(websocket: WebSocket) -> None:
        await websocket.close(4001, "not you")

    async def run() -> None:
        async with other_client(refuse) as (client, _):
            with pytest.raises(OtherClosed):
                await client.recv()
            assert (client.close_code, client.close_reason) == (4001, "not you")

    asyncio.run(run())


def test_the_drain_says_1001_to_clients_and_handlers() -> None:
    heard: list[int] = []

    async def listen(websocket: WebSocket) -> None:
        try:
            await websocket.receive()
        except WebSocketClosed as closed:
            heard.append(closed.code)
            raise

    async def run() -> None:
        async with other_client(listen) as (client, running):
            await until(lambda: running.server.connection_count == 1)
            running.server.begin_drain()
            with pytest.raises(OtherClosed):
                await client.recv()
            assert (client.close_code, client.close_reason) == (1001, "the server is going away")
            running.server.close_listeners()
            assert await running.server.wait_closed(10) == 0

    asyncio.run(run())
    assert heard == [1001]


def test_an_upgrade_during_the_drain_is_closed_with_1001() -> None:
    async def run() -> None:
        async with serving(route(echo)) as running:
            running.server.begin_drain()
            async with connect(f"ws://127.0.0.1:{running.port}/ws") as client:
                with pytest.raises(OtherClosed):
                    await client.recv()
                assert client.close_code == 1001

    asyncio.run(run())


def test_a_client_that_vanishes_ends_the_handler() -> None:
    ended: list[int] = []

    async def listen(websocket: WebSocket) -> None:
        with pytest.raises(WebSocketClosed) as closed:
            await websocket.receive()
        ended.append(closed.value.code)

    async def run() -> None:
        async with serving(route(listen)) as running:
            client = await connect(f"ws://127.0.0.1:{running.port}/ws")
            client.transport.abort()
            await until(lambda: running.server.connection_count == 0)
            with contextlib.suppress(OtherClosed):
                await client.close()

    asyncio.run(run())
    assert ended == [1006]


def test_a_client_that_is_silent_is_given_up() -> None:
    ended: list[int] = []
    router = Router()

    async def listen(websocket: WebSocket) -> None:
        try:
            await websocket.receive()
        except WebSocketClosed as closed:
            ended.append(closed.code)

    @router.get("/ws")
    def upgrade(request: Request) -> Response:
        return WebSocketUpgrade(request, listen, timeouts=WebSocketTimeouts(0.02, 0.02, 0.02))

    async def run() -> None:
        async with serving(router) as running:
            client = await connect(f"ws://127.0.0.1:{running.port}/ws")
            client.transport.pause_reading()
            await until(lambda: ended)
            await until(lambda: running.server.connection_count == 0)
            client.transport.abort()
            with contextlib.suppress(OtherClosed):
                await client.close()

    asyncio.run(run())
    assert ended == [1011]


def test_sending_waits_for_a_client_that_does_not_read() -> None:
    sent: list[int] = []

    async def flood(websocket: WebSocket) -> None:
        for number in range(1000):
            await websocket.send(bytes(256 * 1024))
            sent.append(number)

    async def run() -> None:
        async with other_client(flood) as (client, _):
            client.transport.pause_reading()
            await until(lambda: sent)
            before = -1
            while before != len(sent):  # it fills the buffers on the way, then it must stop
                before = len(sent)
                for _ in range(100):
                    await asyncio.sleep(0.001)
            assert len(sent) < 200
            client.transport.abort()

    asyncio.run(run())


@pytest.mark.parametrize(
    ("opcode", "payload", "code"),
    [
        (Opcode.TEXT, b"\xff", CloseCode.INVALID_DATA),
        (Opcode.CONT, b"x", CloseCode.PROTOCOL_ERROR),
        (Opcode.CLOSE, b"\x03\xec", CloseCode.PROTOCOL_ERROR),
    ],
)
def test_a_client_that_breaks_a_rule_is_told_which(opcode: Opcode, payload: bytes, code: CloseCode) -> None:
    async def run() -> None:
        async with other_client(echo) as (client, running):
            async with client.send_context():
                client.protocol.send_frame(Frame(opcode, payload))
            with pytest.raises(OtherClosed):
                await client.recv()
            assert client.close_code == code
            await until(lambda: running.server.connection_count == 0)

    asyncio.run(run())


def test_a_message_over_the_limit_is_1009() -> None:
    async def run() -> None:
        async with serving(route(echo, 1000)) as running, connect(f"ws://127.0.0.1:{running.port}/ws") as client:
            await client.send("x" * 1000)
            assert await client.recv() == "x" * 1000
            await client.send("x" * 1001)
            with pytest.raises(OtherClosed):
                await client.recv()
            assert client.close_code == 1009

    asyncio.run(run())


def test_a_close_frame_arrives_even_when_the_client_still_sends() -> None:
    """Closing with unread bytes would be a reset, and a reset takes back what the client has not read yet."""

    async def leave(websocket: WebSocket) -> None:
        await websocket.receive()
        await websocket.close(4000, "enough")

    async def run() -> None:
        async with other_client(leave) as (client, _):
            with contextlib.suppress(OtherClosed):
                for _ in range(50):
                    await client.send(bytes(10_000))
            with pytest.raises(OtherClosed):
                await client.recv()
            assert (client.close_code, client.close_reason) == (4000, "enough")

    asyncio.run(run())


def test_bytes_sent_together_with_the_handshake_are_not_lost() -> None:
    async def run() -> None:
        async with serving(route(echo)) as running:
            reader, writer = await asyncio.open_connection("127.0.0.1", running.port)
            writer.write(
                b"GET /ws HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
                b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n"
                b"\x81\x82\x00\x00\x00\x00hi"
            )
            head = await reader.readuntil(b"\r\n\r\n")
            assert head.startswith(b"HTTP/1.1 101 ")
            assert b"\r\nSec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n" in head
            assert head.lower().count(b"\r\nconnection:") == 1
            assert await reader.readexactly(4) == b"\x81\x02hi"
            writer.close()

    asyncio.run(run())


def test_a_subprotocol_is_agreed_on() -> None:
    agreed: list[str | None] = []

    async def look(websocket: WebSocket) -> None:
        agreed.append(websocket.subprotocol)

    async def run() -> None:
        async with serving(route(look, subprotocol="chat.v1")) as running:
            url = f"ws://127.0.0.1:{running.port}/ws"
            async with connect(url, subprotocols=["soap", "chat.v1"]) as client:  # type: ignore[list-item]
                assert client.subprotocol == "chat.v1"

    asyncio.run(run())
    assert agreed == ["chat.v1"]


def test_a_get_without_a_handshake_is_answered_426_and_the_connection_goes_on() -> None:
    async def run() -> None:
        async with serving(route(echo)) as running:
            reader, writer = await asyncio.open_connection("127.0.0.1", running.port)
            for _ in range(2):
                writer.write(b"GET /ws HTTP/1.1\r\nHost: x\r\n\r\n")
                head = await reader.readuntil(b"\r\n\r\n")
                assert head.startswith(b"HTTP/1.1 426 ")
                assert b"\r\nUpgrade: websocket\r\n" in head
                length = int(head.lower().split(b"content-length: ")[1].split(b"\r\n")[0])
                await reader.readexactly(length)
            writer.close()

    asyncio.run(run())


def test_our_client_says_what_went_wrong() -> None:
    async def run() -> None:
        async with serving(route(echo)) as running:
            with pytest.raises(ProtocolError, match="got status 404, expected 101"):
                await connect_websocket(f"ws://127.0.0.1:{running.port}/nothing")
            port = running.port
        with pytest.raises(ConnectFailed):
            await connect_websocket(f"ws://127.0.0.1:{port}/ws", timeout_s=2)
        with pytest.raises(ValueError, match="ftp://"):
            await connect_websocket("ftp://127.0.0.1/")

    asyncio.run(run())


def test_our_client_gives_up_on_a_server_that_never_answers() -> None:
    async def run() -> None:
        held: list[object] = []  # since Python 3.13 a writer that nobody holds is closed
        async with await asyncio.start_server(lambda *each: held.append(each), "127.0.0.1", 0) as silent:
            port = silent.sockets[0].getsockname()[1]
            with pytest.raises(TimeoutError):
                await connect_websocket(f"ws://127.0.0.1:{port}/", timeout_s=0.05)
            held.clear()

    asyncio.run(run())


def test_our_client_passes_fields_and_gets_the_servers_reason() -> None:
    seen: list[str | None] = []

    async def refuse(connection: ServerConnection) -> None:
        assert connection.request is not None
        seen.append(connection.request.headers.get("X-P2P-Key"))
        await connection.close(4003, "wrong key")

    async def run() -> None:
        async with asyncio.timeout(30), serve(refuse, "127.0.0.1", 0) as server:
            url = f"ws://127.0.0.1:{port_of(server)}/p2p/ws?since=1"
            async with await connect_websocket(url, [("X-P2P-Key", "k")]) as websocket:
                with pytest.raises(WebSocketClosed, match="4003 wrong key"):
                    await websocket.receive()

    asyncio.run(run())
    assert seen == ["k"]


def test_another_maker_s_client_is_refused_by_status() -> None:
    async def run() -> None:
        async with serving(route(echo)) as running:
            with pytest.raises(InvalidStatus, match="404"):
                await connect(f"ws://127.0.0.1:{running.port}/nothing").__aenter__()

    asyncio.run(run())
