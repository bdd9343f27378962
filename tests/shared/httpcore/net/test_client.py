"""The client's side of a connection, over a scripted stream and against a real server."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable

import pytest

from shared.httpcore.errors import ConnectFailed, ConnectionClosed, ProtocolError
from shared.httpcore.limits import Limits
from shared.httpcore.net.client import ClientConnection, Origin
from shared.httpcore.net.stream import Stream
from tests.shared.httpcore.net.scripted_stream import ScriptedStream
from tests.shared.httpcore.splitting import every_split

END = b""
HOST = [("Host", "x")]


def run(test: Callable[[ClientConnection, ScriptedStream], Awaitable[None]], *chunks: bytes) -> None:
    """Runs the test with a connection whose server says these chunks."""

    async def main() -> None:
        stream = ScriptedStream(chunks)
        async with asyncio.timeout(20):
            await test(ClientConnection(stream, Origin("x", 80), Limits(max_head_bytes=500)), stream)

    asyncio.run(main())


async def exchange(connection: ClientConnection, method: str = "GET") -> tuple[int, bytes]:
    """Sends a request and reads its reply, the 1xx ones passed over."""
    await connection.send_request(method, "/", HOST)
    while (head := await connection.read_head()).status < 200:
        pass
    return head.status, await connection.read_body(None)


# name, what the server sends, the method, status and body, whether the connection can be used again
OK = b"HTTP/1.1 200 OK\r\n"
OK_CHUNKED = OK + b"Transfer-Encoding: chunked\r\n\r\n"
REPLIES: list[tuple[str, bytes, str, tuple[int, bytes], bool]] = [
    ("a length", OK + b"Content-Length: 5\r\n\r\nhello", "GET", (200, b"hello"), True),
    ("nothing", OK + b"Content-Length: 0\r\n\r\n", "GET", (200, b""), True),
    ("chunked", OK + b"Transfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\nA: b\r\n\r\n", "GET", (200, b"abc"), True),
    ("204", b"HTTP/1.1 204 No Content\r\n\r\n", "GET", (204, b""), True),
    ("304 with a length", b"HTTP/1.1 304 Not Modified\r\nContent-Length: 5\r\n\r\n", "GET", (304, b""), True),
    ("HEAD", OK + b"Content-Length: 5\r\n\r\n", "HEAD", (200, b""), True),
    ("100 before", b"HTTP/1.1 100 x\r\n\r\n" + OK + b"Content-Length: 1\r\n\r\nx", "GET", (200, b"x"), True),
    ("early hints", b"HTTP/1.1 103 x\r\nLink: x\r\n\r\nHTTP/1.1 204 x\r\n\r\n", "GET", (204, b""), True),
    ("close", OK + b"Connection: close\r\nContent-Length: 1\r\n\r\nx", "GET", (200, b"x"), False),
    ("HTTP/1.0", b"HTTP/1.0 200 OK\r\nContent-Length: 1\r\n\r\nx", "GET", (200, b"x"), False),
    ("HTTP/1.0 keep-alive", b"HTTP/1.0 200 OK\r\nConnection: keep-alive\r\nContent-Length: 1\r\n\r\nx", "GET",
     (200, b"x"), True),
    ("bytes after the reply", OK + b"Content-Length: 1\r\n\r\nxHTTP/1.1 200", "GET", (200, b"x"), False),
    ("bytes after a bodiless reply", b"HTTP/1.1 204 x\r\n\r\nx", "GET", (204, b""), False),
    ("204 that announces a body, which may yet come", b"HTTP/1.1 204 x\r\nContent-Length: 5\r\n\r\n", "GET",
     (204, b""), False),
    ("204 that announces chunks", b"HTTP/1.1 204 x\r\nTransfer-Encoding: chunked\r\n\r\n", "GET", (204, b""), False),
    ("204 with a length of nothing", b"HTTP/1.1 204 x\r\nContent-Length: 0\r\n\r\n", "GET", (204, b""), True),
    ("304 with a body", b"HTTP/1.1 304 x\r\nContent-Length: 5\r\n\r\nhello", "GET", (304, b""), False),
    ("chunks to HEAD", OK + b"Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n", "HEAD", (200, b""), False),
    ("a body to HEAD", OK + b"Content-Length: 5\r\n\r\nhello", "HEAD", (200, b""), False),
]  # fmt: skip


@pytest.mark.parametrize(
    ("wire", "method", "expected", "reusable"), [case[1:] for case in REPLIES], ids=[case[0] for case in REPLIES]
)
def test_a_reply_is_read_and_decides_whether_the_connection_goes_on(
    wire: bytes, method: str, expected: tuple[int, bytes], reusable: bool
) -> None:
    async def test(connection: ClientConnection, stream: ScriptedStream) -> None:
        assert await exchange(connection, method) == expected
        assert connection.can_be_reused is reusable

    run(test, wire)


@pytest.mark.parametrize(("wire", "expected"), [(case[1], case[3]) for case in REPLIES if case[2] == "GET" and case[4]])
def test_a_reply_is_the_same_at_any_cut(wire: bytes, expected: tuple[int, bytes]) -> None:
    async def test(connection: ClientConnection, stream: ScriptedStream) -> None:
        assert await exchange(connection) == expected
        assert connection.can_be_reused

    for pieces in every_split(wire):
        run(test, *pieces)


def test_a_reply_without_a_length_ends_with_the_connection() -> None:
    async def test(connection: ClientConnection, stream: ScriptedStream) -> None:
        assert await exchange(connection) == (200, b"hello world")
        assert not connection.can_be_reused

    run(test, b"HTTP/1.1 200 OK\r\n\r\nhello ", b"world", END)


@pytest.mark.parametrize(
    "chunks",
    [
        (END,),
        (b"HTTP/1.1 200", END),
        (b"HTTP/1.1 100 Continue\r\n\r\n", END),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhell", END),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n", END),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n", END),
    ],
)
def test_a_reply_that_is_cut_short_is_an_error(chunks: tuple[bytes, ...]) -> None:
    async def test(connection: ClientConnection, stream: ScriptedStream) -> None:
        with pytest.raises(ConnectionClosed):
            await exchange(connection)
        assert not connection.can_be_reused

    run(test, *chunks)


# what is as wrong from a server as it is from a client
BAD_REPLIES = [
    ("no HTTP", b"hello\r\n\r\n"),
    ("bare LF", b"HTTP/1.1 200 OK\nContent-Length: 0\n\n\r\n\r\n"),
    ("TE and CL", b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nContent-Length: 5\r\n\r\n0\r\n\r\n"),
    ("two lengths", b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\nhello"),
    ("obs-fold", b"HTTP/1.1 200 OK\r\nA: b\r\n c\r\n\r\n"),
    ("a bad chunk", b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5 \r\nhello\r\n0\r\n\r\n"),
    ("a chunk that is too long", b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nhello\r\n0\r\n\r\n"),
    ("a chunk extension with LF", OK_CHUNKED + b"5;\nx\r\nhello\r\n0\r\n\r\n"),
    ("a chunk extension with CR", OK_CHUNKED + b"5;\rx\r\nhello\r\n0\r\n\r\n"),
    ("a chunk size ended by LF", OK_CHUNKED + b"5\nhello\r\n0\r\n\r\n"),
    ("chunk data ended by LF", OK_CHUNKED + b"5\r\nhello\n0\r\n\r\n"),
    ("a chunk size with 0x", OK_CHUNKED + b"0x5\r\nhello\r\n0\r\n\r\n"),
    ("a chunk size with a sign", OK_CHUNKED + b"+5\r\nhello\r\n0\r\n\r\n"),
    ("a chunk size of 16 digits", OK_CHUNKED + b"0000000000000005\r\nhello\r\n0\r\n\r\n"),
    ("a folded trailer", OK_CHUNKED + b"0\r\nA: b\r\n c\r\n\r\n"),
    ("100 that announces a body", b"HTTP/1.1 100 x\r\nContent-Length: 5\r\n\r\nhello" + OK + b"\r\n"),
    ("interim replies without end", b"HTTP/1.1 103 x\r\n\r\n" * 100 + OK + b"Content-Length: 0\r\n\r\n"),
    ("a head without an end", b"HTTP/1.1 200 OK\r\nA: " + b"b" * 1000),
    ("a line without an end", b"HTTP/1.1 200 " + b"b" * 10_000),
]


@pytest.mark.parametrize("wire", [case[1] for case in BAD_REPLIES], ids=[case[0] for case in BAD_REPLIES])
def test_a_reply_that_breaks_the_rules_is_a_bad_gateway_at_any_cut_whatever_follows(wire: bytes) -> None:
    async def test(connection: ClientConnection, stream: ScriptedStream) -> None:
        with pytest.raises(ProtocolError) as refused:
            await exchange(connection)
        assert refused.value.status == 502
        assert not connection.can_be_reused

    for pieces in every_split(wire) if len(wire) < 500 else [(wire,)]:
        run(test, *pieces)
    run(test, wire + OK + b"Content-Length: 0\r\n\r\n")


def test_a_reply_over_the_callers_limit_is_refused() -> None:
    async def test(connection: ClientConnection, stream: ScriptedStream) -> None:
        await connection.send_request("GET", "/", HOST)
        await connection.read_head()
        with pytest.raises(ProtocolError, match="over 4 bytes"):
            await connection.read_body(4)
        assert not connection.can_be_reused

    run(test, b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello")


def test_a_reply_that_nobody_reads_to_its_end_leaves_the_connection_unusable() -> None:
    async def test(connection: ClientConnection, stream: ScriptedStream) -> None:
        await connection.send_request("GET", "/", HOST)
        await connection.read_head()
        assert not connection.can_be_reused
        async for _ in connection.body():
            break
        assert not connection.can_be_reused

    run(test, b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhel")


async def parts(*values: bytes) -> AsyncIterator[bytes]:
    for value in values:
        yield value


@pytest.mark.parametrize(
    ("fields", "body", "expected"),
    [
        ([], None, b"\r\n"),
        ([], b"", b"Content-Length: 0\r\n\r\n"),
        ([], b"abc", b"Content-Length: 3\r\n\r\nabc"),
        ([], [b"ab", b"", b"c"], b"Transfer-Encoding: chunked\r\n\r\n2\r\nab\r\n1\r\nc\r\n0\r\n\r\n"),
        ([("Content-Length", "3")], [b"ab", b"c"], b"Content-Length: 3\r\n\r\nabc"),
    ],
)
def test_a_request_is_written_with_its_framing(
    fields: list[tuple[str, str]], body: bytes | list[bytes] | None, expected: bytes
) -> None:
    async def test(connection: ClientConnection, stream: ScriptedStream) -> None:
        await connection.send_request(
            "POST", "/a?b", [*HOST, *fields], parts(*body) if isinstance(body, list) else body
        )
        assert bytes(stream.sent) == b"POST /a?b HTTP/1.1\r\nHost: x\r\n" + expected

    run(test)


@pytest.mark.parametrize("made", [[b"ab"], [b"abcd"]])
def test_a_body_that_is_not_as_long_as_it_said_is_a_mistake_that_ends_the_connection(made: list[bytes]) -> None:
    async def test(connection: ClientConnection, stream: ScriptedStream) -> None:
        try:
            await connection.send_request("POST", "/", [*HOST, ("Content-Length", "3")], parts(*made))
        except (ValueError, ConnectionClosed, ProtocolError):
            pass
        assert len(stream.sent.partition(b"\r\n\r\n")[2]) <= 3
        stream.feed(b"HTTP/1.1 204 x\r\n\r\n")
        if not stream.is_closed:
            await connection.read_head()
        assert not connection.can_be_reused

    run(test)


def test_a_request_that_was_not_sent_whole_leaves_the_connection_unusable() -> None:
    async def test(connection: ClientConnection, stream: ScriptedStream) -> None:
        async def fails() -> AsyncIterator[bytes]:
            yield b"abc"
            raise KeyError

        with pytest.raises(KeyError):
            await connection.send_request("POST", "/", HOST, fails())
        assert (await connection.read_head()).status == 204
        assert not connection.can_be_reused

    run(test, b"HTTP/1.1 204 x\r\n\r\n")


def test_a_request_that_cannot_be_written_sends_nothing() -> None:
    async def test(connection: ClientConnection, stream: ScriptedStream) -> None:
        with pytest.raises(ValueError, match="can't be written"):
            await connection.send_request("GET", "/", [("A", "b\r\nC: d")])
        assert not stream.sent

    run(test)


def test_an_upgrade_gives_the_stream_and_what_came_with_the_reply() -> None:
    async def test(connection: ClientConnection, stream: ScriptedStream) -> None:
        await connection.send_request("GET", "/", [*HOST, ("Connection", "Upgrade"), ("Upgrade", "x")])
        assert (await connection.read_head()).status == 101
        assert connection.take_stream() == (stream, b"early")
        assert not connection.can_be_reused

    run(test, b"HTTP/1.1 101 x\r\nConnection: Upgrade\r\nUpgrade: x\r\n\r\nearly")


def test_two_exchanges_over_one_connection() -> None:
    async def test(connection: ClientConnection, stream: ScriptedStream) -> None:
        assert await exchange(connection) == (200, b"1")
        assert not connection.is_reused
        stream.feed(b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\n2")
        assert await exchange(connection) == (200, b"2")
        assert connection.is_reused

    run(test, b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\n1")


def test_origins_are_written_as_authorities() -> None:
    assert str(Origin("x", 80)) == "x:80"
    assert str(Origin("::1", 8080)) == "[::1]:8080"


def test_nobody_at_the_port_is_connect_failed() -> None:
    async def main() -> None:
        server = await asyncio.start_server(lambda reader, writer: None, "127.0.0.1", 0)
        port = server.sockets[0].getsockname()[1]
        server.close()
        await server.wait_closed()
        with pytest.raises(ConnectFailed, match=f"127.0.0.1:{port}"):
            await Stream.connect("127.0.0.1", port, 5)
        with pytest.raises(ConnectFailed):
            await Stream.connect("no-such-host.invalid", 80, 5)

    asyncio.run(main())
