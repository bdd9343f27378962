"""The real server on a real socket: what comes back for exactly these bytes, and when the connection ends."""

import asyncio
import logging
import socket
import time
from collections.abc import AsyncIterator
from contextlib import closing

import pytest

from shared.httpcore.message import Request, Response, StreamingResponse
from shared.httpcore.net.connection import Connection
from shared.httpcore.routing import Router
from tests.shared.httpcore.net.exchanges import GET, get, make_router, post, post_chunked, run
from tests.shared.httpcore.net.raw_client import RawClient, raw_client
from tests.shared.httpcore.net.serving import Serving
from tests.shared.httpcore.net.waiting import until
from tests.shared.httpcore.splitting import every_split

BIG = bytes(range(250)) * 4
# name, what is sent, the replies' statuses and bodies (None: whatever), whether the connection then ends
EXCHANGES: list[tuple[str, bytes, list[tuple[int, bytes | None]], bool]] = [
    ("a request", GET, [(200, b"hello")], False),
    ("two requests", GET + GET, [(200, b"hello"), (200, b"hello")], False),
    ("an empty line before a request", b"\r\n" + GET + b"\r\n" + GET, [(200, b"hello"), (200, b"hello")], False),
    ("empty lines before a request", b"\r\n" * 3 + GET + b"\r\n\r\n" + GET, [(200, b"hello")] * 2, False),
    ("CONNECT of a path", get("/").replace(b"GET", b"CONNECT") + GET, [(501, None)], True),
    ("CONNECT of a path after a GET", GET + GET.replace(b"GET", b"CONNECT") + GET, [(200, None), (501, None)], True),
    ("close", get("/", "Connection: close"), [(200, b"hello")], True),
    ("nothing is answered after close", get("/", "Connection: close") + GET, [(200, b"hello")], True),
    ("HTTP/1.0", get(version="1.0"), [(200, b"hello")], True),
    ("HTTP/1.0 without Host", b"GET / HTTP/1.0\r\n\r\n", [(200, b"hello")], True),
    ("HTTP/1.0 keep-alive", get("/", "Connection: keep-alive", version="1.0") * 2, [(200, b"hello")] * 2, False),
    ("absolute form", get("http://x/"), [(200, b"hello")], False),
    ("a body", post("/echo", BIG) + GET, [(200, BIG), (200, b"hello")], False),
    ("an empty body", post("/echo", b"") + GET, [(200, b""), (200, b"hello")], False),
    ("no body and no length", b"POST /echo HTTP/1.1\r\nHost: x\r\n\r\n" + GET, [(200, b""), (200, b"hello")], False),
    ("a chunked body", post_chunked("/echo", b"a", BIG[:500], b"\r\n") + GET,
     [(200, b"a" + BIG[:500] + b"\r\n"), (200, b"hello")], False),
    ("an empty chunked body", post_chunked("/echo") + GET, [(200, b""), (200, b"hello")], False),
    ("a body for an async handler", post("/async-echo", BIG) + GET, [(200, BIG), (200, b"hello")], False),
    ("a body for a blocking handler", post("/blocking-echo", BIG) + GET, [(200, BIG), (200, b"hello")], False),
    ("a streamed body", post("/stream-echo", BIG) + GET, [(200, BIG), (200, b"hello")], False),
    ("a streamed chunked body", post_chunked("/stream-echo", b"a", BIG) + GET, [(200, b"a" + BIG), (200, None)], False),
    ("an empty streamed body", post("/stream-echo", b"") + GET, [(200, b""), (200, b"hello")], False),
    ("a body to a GET", get("/", "Content-Length: 3") + b"abc" + GET, [(200, b"hello")] * 2, False),
    ("a streamed reply", get("/stream") + GET, [(200, b"0 1 2 3 4 "), (200, b"hello")], False),
    ("a streamed reply to HTTP/1.0", get("/stream", version="1.0"), [(200, b"0 1 2 3 4 ")], True),
    ("a streamed reply of a known length", get("/known-stream") + GET, [(200, b"0 1 2 3 4 "), (200, b"hello")], False),
    ("no content", get("/nothing") + GET, [(204, b""), (200, b"hello")], False),
    ("not found", get("/missing") + GET, [(404, None), (200, b"hello")], False),
    ("the wrong method", get("/echo") + GET, [(405, None), (200, b"hello")], False),
    ("an HttpError", get("/teapot") + GET, [(418, None), (200, b"hello")], False),
    ("a handler that raises", get("/fail") + GET, [(500, None), (200, b"hello")], False),
    ("an async handler that raises", get("/async-fail") + GET, [(500, None), (200, b"hello")], False),
    ("a blocking handler that raises", get("/blocking-fail") + GET, [(500, None), (200, b"hello")], False),
    ("a reply that can't be written", get("/bad-field") + GET, [(500, None), (200, b"hello")], False),
    ("a path that is no text", get("/%ff") + GET, [(400, None), (200, b"hello")], False),
    # refused: each ends the connection, and what follows is not looked at
    ("no HTTP", b"hello\r\n\r\n" + GET, [(400, None)], True),
    ("TLS", bytes.fromhex("16030100c8010000c40303") + bytes(100), [(400, None)], True),
    ("no Host", b"GET / HTTP/1.1\r\n\r\n" + GET, [(400, None)], True),
    ("two Hosts", get("/", "Host: y") + GET, [(400, None)], True),
    ("another host than Host", get("http://y/") + GET, [(400, None)], True),
    ("an odd target", get("http://x]/") + GET, [(400, None)], True),
    ("HTTP/2", b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", [(505, None)], True),
    ("HTTP/0.9", b"GET /\r\n\r\n", [(400, None)], True),
    ("CONNECT", b"CONNECT x:80 HTTP/1.1\r\nHost: x:80\r\n\r\n" + GET, [(501, None)], True),
    ("a long request line", get("/" + "a" * 300) + GET, [(414, None)], True),
    ("a long head", get("/", "A: " + "b" * 2000) + GET, [(431, None)], True),
    ("many fields", get("/", *["A: b"] * 11) + GET, [(431, None)], True),
    ("a body that is announced too large", post("/echo", bytes(1001)) + GET, [(413, None)], True),
    ("a body that turns out too large", post_chunked("/echo", bytes(600), bytes(600)) + GET, [(413, None)], True),
    ("another expectation", get("/", "Expect: coffee") + GET, [(417, None)], True),
    ("a broken chunk", post_chunked("/echo", b"a")[:-5] + b"x\r\n\r\n" + GET, [(400, None)], True),
    ("a broken chunk of a stream", post_chunked("/stream-echo", b"a")[:-5] + b"x\r\n\r\n", [(400, None)], True),
    # smuggling: a second request hidden in what could be read as the body of the first
    ("CL.TE", get("/", "Content-Length: 4", "Transfer-Encoding: chunked") + b"0\r\n\r\n" + GET, [(400, None)], True),
    ("TE.CL", get("/", "Transfer-Encoding: chunked", "Content-Length: 4") + b"0\r\n\r\n" + GET, [(400, None)], True),
    ("TE.TE", get("/", "Transfer-Encoding: chunked", "Transfer-Encoding: x") + b"0\r\n\r\n" + GET, [(501, None)], True),
    ("TE with a tail", get("/", "Transfer-Encoding: chunked, identity") + b"0\r\n\r\n" + GET, [(501, None)], True),
    ("TE behind a control", get("/", "Transfer-Encoding: \x0bchunked") + b"0\r\n\r\n" + GET, [(400, None)], True),
    ("TE with a space before the colon", get("/", "Transfer-Encoding : chunked") + b"0\r\n\r\n", [(400, None)], True),
    ("TE on HTTP/1.0", get("/", "Transfer-Encoding: chunked", version="1.0") + b"0\r\n\r\n" + GET, [(400, None)], True),
    ("CL.CL", get("/", "Content-Length: 0", f"Content-Length: {len(GET)}") + GET, [(400, None)], True),
    ("a folded CL", get("/", "Content-Length:", f" {len(GET)}") + GET, [(400, None)], True),
    ("a signed CL", get("/", "Content-Length: +0") + GET, [(400, None)], True),
    ("a CL behind a bare LF", get("/", "A: b\nContent-Length: 99") + GET, [(400, None)], True),
    ("a CL behind a bare CR", get("/", "A: b\rContent-Length: 99") + GET, [(400, None)], True),
    ("a chunk size with a sign", post_chunked("/echo", b"a").replace(b"1\r\na", b"+1\r\na") + GET, [(400, None)], True),
    ("a chunk ended by a bare LF", post_chunked("/echo", b"a").replace(b"1\r\na", b"1\na") + GET, [(400, None)], True),
    ("an extension with LF", post_chunked("/echo", b"a").replace(b"1\r\na", b"1;\nx\r\na") + GET, [(400, None)], True),
]  # fmt: skip


@pytest.mark.parametrize(
    ("wire", "expected", "ends"), [case[1:] for case in EXCHANGES], ids=[case[0] for case in EXCHANGES]
)
@pytest.mark.parametrize("byte_by_byte", [False, True], ids=["whole", "byte by byte"])
def test_what_comes_back(wire: bytes, expected: list[tuple[int, bytes | None]], ends: bool, byte_by_byte: bool) -> None:
    async def test(client: RawClient, running: Serving) -> None:
        await client.send(*([wire[at : at + 1] for at in range(len(wire))] if byte_by_byte else [wire]))
        replies = await client.replies(["GET"] * len(expected))
        assert [reply.status for reply in replies] == [status for status, _ in expected]
        for reply, (_, body) in zip(replies, expected):
            assert body is None or reply.body == body
        assert replies[-1].says_close is ends
        if ends:
            assert await client.rest() == b""
            client.end_sending()
            await until(lambda: running.server.connection_count == 0)
        else:
            await client.send(GET)
            assert (await client.reply()).body == b"hello"
        assert len({reply.headers.get("x-request-id") for reply in replies}) == len(replies)

    run(test)


@pytest.mark.parametrize(
    "wire", [GET + GET, post("/echo", b"abc"), post_chunked("/echo", b"a", b"bc"), post("/missing", b"abc")]
)
def test_a_request_is_the_same_at_any_cut(wire: bytes) -> None:
    async def test(client: RawClient, running: Serving) -> None:
        expected = None
        for pieces in every_split(wire):
            async with raw_client(running.port) as other:
                await other.send(*pieces)
                other.end_sending()
                statuses = [line for line in (await other.rest()).split(b"\r\n") if line.startswith(b"HTTP/")]
                assert statuses == (expected or statuses)
                expected = statuses

    run(test)


def test_a_body_to_nowhere_that_is_here_already_is_passed_over() -> None:
    async def test(client: RawClient, running: Serving) -> None:
        await client.send(post("/missing", b"abc") + GET)
        missing, after = await client.replies(["GET", "GET"])
        assert (missing.status, missing.says_close, after.body) == (404, False, b"hello")

    run(test)


def test_a_reply_has_its_fields() -> None:
    async def test(client: RawClient, running: Serving) -> None:
        await client.send(get("/", "X-Request-Id: mine"))
        reply = await client.reply()
        assert reply.head.startswith(b"HTTP/1.1 200 OK\r\n")
        assert sorted(name.lower() for name, _ in reply.headers) == [
            "content-length",
            "content-type",
            "date",
            "x-request-id",
        ]
        assert reply.headers.get("x-request-id") == "mine"
        assert reply.headers.get("date", "").endswith(" GMT")  # type: ignore[union-attr]

    run(test)


def test_http_1_0_gets_its_keep_alive_confirmed_and_http_1_1_needs_no_word() -> None:
    async def test(client: RawClient, running: Serving) -> None:
        await client.send(get("/", "Connection: keep-alive", version="1.0"), GET)
        first, second = await client.replies(["GET", "GET"])
        assert first.headers.get("connection") == "keep-alive"
        assert second.headers.get("connection") is None

    run(test)


@pytest.mark.parametrize("path", ["/", "/stream", "/known-stream", "/missing", "/teapot", "/fail"])
def test_head_is_get_without_the_body(path: str) -> None:
    async def test(client: RawClient, running: Serving) -> None:
        await client.send(get(path), get(path).replace(b"GET", b"HEAD"), GET)
        whole, bare, after = await client.replies(["GET", "HEAD", "GET"])
        assert bare.status == whole.status
        assert bare.body == b""
        unique = ("x-request-id", "date", "content-length") if path == "/fail" else ("x-request-id", "date")
        assert [pair for pair in bare.headers if pair[0].lower() not in unique] == [
            pair for pair in whole.headers if pair[0].lower() not in unique
        ]
        assert after.body == b"hello"

    run(test)


def test_errors_are_json_to_programs_and_a_page_to_browsers() -> None:
    async def test(client: RawClient, running: Serving) -> None:
        await client.send(get("/teapot"), get("/teapot", "Accept: text/html,*/*"))
        as_json, as_page = await client.replies(["GET", "GET"])
        assert as_json.body == b'{"error":{"code":"teapot","message":"no coffee here"}}'
        assert as_json.headers.get("content-type") == "application/json; charset=utf-8"
        assert as_json.headers.get("x-pot") == as_page.headers.get("x-pot") == "tea"
        assert as_page.headers.get("content-type") == "text/html; charset=utf-8"
        assert b"no coffee here" in as_page.body

    run(test)


@pytest.mark.parametrize("path", ["/fail", "/async-fail", "/blocking-fail"])
def test_a_handler_that_raises_tells_the_log_and_not_the_client(path: str, caplog: pytest.LogCaptureFixture) -> None:
    async def test(client: RawClient, running: Serving) -> None:
        await client.send(get(path, "X-Request-Id: find-me"))
        reply = await client.reply()
        assert reply.status == 500
        assert b"internal_error" in reply.body
        assert b"find-me" in reply.body
        assert b"secret" not in reply.body
        assert b"Traceback" not in reply.body

    with caplog.at_level(logging.ERROR):
        run(test)
    assert "find-me" in caplog.text
    assert "a secret" in caplog.text
    assert len(caplog.records) == 1


@pytest.mark.parametrize("path", ["/missing", "/fail", "/teapot", "/async-fail"])
def test_an_error_page_that_fails_leaves_the_plain_error(path: str, caplog: pytest.LogCaptureFixture) -> None:
    def fail(request: Request, status: int, code: str, message: str) -> Response | None:
        raise KeyError("the page itself")

    async def test(client: RawClient, running: Serving) -> None:
        await client.send(get(path), GET)
        first, after = await client.replies(["GET", "GET"])
        assert first.status in (404, 418, 500)
        assert after.body == b"hello"

    router = make_router()
    router.set_error_page(fail)
    run(test, router)


@pytest.mark.parametrize("path", ["/", "/missing", "/stream", "/teapot"])
def test_an_after_hook_that_fails_is_500(path: str) -> None:
    failing = [True]

    def fail(request: Request, response: Response) -> None:
        if failing:
            raise KeyError("a secret")

    async def test(client: RawClient, running: Serving) -> None:
        await client.send(get(path))
        reply = await client.reply()
        assert reply.status == 500
        assert b"secret" not in reply.body
        failing.clear()
        await client.send(GET)
        assert (await client.reply()).body == b"hello"

    router = make_router()
    router.after(fail)
    run(test, router)


def test_a_handler_that_returns_no_response_is_500() -> None:
    router = Router()
    router.add("GET", "/plain", lambda request: None)  # type: ignore[arg-type]

    async def nothing(request: Request) -> Response:
        return None  # type: ignore[return-value]

    router.add("GET", "/async", nothing)

    async def test(client: RawClient, running: Serving) -> None:
        await client.send(get("/plain"), get("/async"))
        assert [reply.status for reply in await client.replies(["GET"] * 2)] == [500, 500]

    run(test, router)


def test_a_plain_handler_that_raises_a_stray_cancellation_is_500_and_ends_no_server() -> None:
    router = Router()

    @router.get("/")
    def cancelled(request: Request) -> Response:
        future: asyncio.Future[Response] = asyncio.get_running_loop().create_future()
        future.cancel()
        return future.result()

    async def test(client: RawClient, running: Serving) -> None:
        await client.send(GET, GET)
        assert [reply.status for reply in await client.replies(["GET"] * 2)] == [500, 500]

    run(test, router)


def test_a_failure_of_the_one_who_counts_replies_is_logged_and_not_the_client_s(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async def test(client: RawClient, running: Serving) -> None:
        def fail(*_: object) -> None:
            raise OSError(28, "No space left on device")

        running.server.record = fail
        for wire in (GET, post("/async-echo", b"hello"), get("/stream"), GET + GET):
            await client.send(wire)
            assert (await client.reply()).status == 200
        assert (await client.reply()).body == b"hello"

    run(test)
    assert [record.getMessage().partition(" (")[0] for record in caplog.records] == ["recording a reply failed"] * 5


def test_a_connection_that_fails_in_an_unforeseen_way_ends_alone(caplog: pytest.LogCaptureFixture) -> None:
    """Whether its callback, its time-out or its turn to go on fails: it is cut, and the log tells once."""

    async def test(client: RawClient, running: Serving) -> None:
        def fail(*_: object) -> None:
            raise RuntimeError("on purpose")

        for broken in ("_take_requests", "on_deadline", "_on_all_sent"):
            async with raw_client(running.port) as other:
                await other.send(GET)
                await other.reply()
                port = other.writer.get_extra_info("sockname")[1]
                (connection,) = (each for each in running.server._connections if each.remote_port == port)
                connection.__class__ = type("Failing", (Connection,), {broken: fail, "__slots__": ()})
                if broken == "on_deadline":
                    connection.deadline = 0.0
                    running.server._sweep()
                else:
                    await other.send(get("/", "Connection: close"))
                with pytest.raises((ConnectionError, asyncio.IncompleteReadError)):
                    await other.replies(["GET"] * 2)  # of which the first may have been sent before
            await until(lambda: running.server.connection_count == 1)
        assert running.server._sweep_timer is not None, "time-outs are still looked after"
        await client.send(GET)
        assert (await client.reply()).status == 200

    run(test)
    assert [record.getMessage().partition(" while")[0] for record in caplog.records] == ["a connection failed"] * 3


def test_every_reply_is_reported_once_with_its_size() -> None:
    async def test(client: RawClient, running: Serving) -> None:
        await client.send(GET, get("/missing"), post_chunked("/echo", b"ab"), get("/stream"), b"rubbish\r\n\r\n")
        await client.replies(["GET"] * 5)
        await client.rest()
        reported = [(request.target, status, size) for request, status, size, _ in running.responses]
        assert [(target, status) for target, status, _ in reported] == [
            ("/", 200),
            ("/missing", 404),
            ("/echo", 200),
            ("/stream", 200),
            ("-", 400),
        ]
        assert [size for _, status, size in reported if status == 200] == [5, 2, 10]
        assert all(duration_s >= 0 for *_, duration_s in running.responses)
        assert {request.remote_ip for request, *_ in running.responses} == {"127.0.0.1"}

    run(test)


def test_a_handler_that_holds_the_loop_is_named() -> None:
    router = Router()

    @router.get("/slow")
    def slow_one(request: Request) -> Response:
        time.sleep(0.06)
        return Response(204)

    @router.get("/slow-step")
    async def slow_step(request: Request) -> Response:
        await asyncio.sleep(0)
        time.sleep(0.06)
        return Response(204)

    @router.get("/patient")
    async def patient(request: Request) -> Response:
        await asyncio.sleep(0.06)
        return Response(204)

    async def test(client: RawClient, running: Serving) -> None:
        await client.send(get("/slow"), get("/slow-step"), get("/patient"))
        await client.replies(["GET"] * 3)
        assert [name.rpartition(".")[2] for name, _ in running.slow_handlers] == ["slow_one", "slow_step"]

    run(test, router)


def test_a_broken_body_is_answered_although_the_client_has_ended_its_side() -> None:
    """An abandonable handler is cancelled when the client leaves, but here it has learnt that the body is broken."""
    router = Router()

    async def read_all(request: Request) -> Response:
        return Response.text(str([part async for part in request.stream()]))

    router.add("POST", "/", read_all, stream_body=True, abandonable=True)

    async def test(client: RawClient, running: Serving) -> None:
        await client.send(b"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n")
        client.end_sending()
        assert (await client.reply()).status == 400

    run(test, router)


def test_a_stream_is_not_begun_for_a_client_that_has_left_meanwhile() -> None:
    """An event stream may wait for ever before it sends anything, so nobody would notice later."""
    router = Router()
    closed: list[bool] = []

    class Silence:
        def __aiter__(self) -> "Silence":
            return self

        async def __anext__(self) -> bytes:
            await asyncio.Event().wait()
            raise AssertionError

        async def aclose(self) -> None:
            closed.append(True)

    async def answer_late(request: Request) -> Response:
        while not left:
            await asyncio.sleep(0)
        return StreamingResponse(200, Silence())

    left: list[bool] = []
    router.add("GET", "/", answer_late)

    async def test(client: RawClient, running: Serving) -> None:
        await client.send(GET)
        client.end_sending()
        for _ in range(20):
            await asyncio.sleep(0.001)
        left.append(True)
        await until(lambda: running.server.connection_count == 0 and closed)

    run(test, router)


def test_a_client_that_leaves_before_its_stream_has_begun_leaves_no_connection_behind() -> None:
    router = Router()

    async def stream(request: Request) -> Response:
        async def chunks() -> AsyncIterator[bytes]:
            yield b"first"
            await asyncio.Event().wait()

        return StreamingResponse(200, chunks())

    router.add("GET", "/", stream)

    async def test(client: RawClient, running: Serving) -> None:
        with closing(socket.create_connection(("127.0.0.1", running.port))) as hasty:
            hasty.sendall(GET)  # read, handled and left in consecutive turns of the loop
        await until(lambda: running.server.connection_count == 1)

    run(test, router)
