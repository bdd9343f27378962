"""Requests as bytes, one handler of each kind, and a run of both against each other."""

import asyncio
import threading
from collections.abc import AsyncIterator, Awaitable, Callable

from shared.httpcore.errors import HttpError
from shared.httpcore.limits import Limits
from shared.httpcore.message import Request, Response, StreamingResponse
from shared.httpcore.routing import Router
from tests.shared.httpcore.net.raw_client import RawClient, raw_client
from tests.shared.httpcore.net.serving import Serving, serving

GET = b"GET / HTTP/1.1\r\nHost: x\r\n\r\n"
LIMITS = Limits(max_body_bytes=1000, max_request_line_bytes=200, max_head_bytes=1000, max_field_count=10)
# Time-outs that have passed before a person notices; the sweep looks once a second.
HASTY = Limits(
    head_timeout_s=0.01, body_timeout_s=0.01, idle_timeout_s=0.01, write_timeout_s=0.01, linger_timeout_s=0.01
)


def get(path: str = "/", *fields: str, version: str = "1.1") -> bytes:
    return "\r\n".join([f"GET {path} HTTP/{version}", "Host: x", *fields, "", ""]).encode()


def post(path: str, body: bytes, *fields: str) -> bytes:
    head = "\r\n".join([f"POST {path} HTTP/1.1", "Host: x", *fields, f"Content-Length: {len(body)}", "", ""])
    return head.encode() + body


def post_chunked(path: str, *chunks: bytes) -> bytes:
    head = f"POST {path} HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n".encode()
    return head + b"".join(b"%x\r\n%b\r\n" % (len(chunk), chunk) for chunk in (*chunks, b""))


async def count_to(number: int) -> AsyncIterator[bytes]:
    for value in range(number):
        yield b"%d " % value


def make_router() -> Router:
    """One of each kind of handler."""
    router = Router()

    @router.get("/")
    def root(request: Request) -> Response:
        return Response.text("hello")

    @router.post("/echo")
    def echo(request: Request) -> Response:
        return Response(200, request.body, "application/octet-stream")

    @router.post("/async-echo")
    async def async_echo(request: Request) -> Response:
        await asyncio.sleep(0)
        return Response(200, request.body, "application/octet-stream")

    @router.post("/blocking-echo", blocking=True)
    def blocking_echo(request: Request) -> Response:
        assert threading.current_thread() is not threading.main_thread()
        return Response(200, request.body, "application/octet-stream")

    @router.post("/stream-echo", stream_body=True)
    async def stream_echo(request: Request) -> Response:
        return Response(200, b"".join([part async for part in request.stream()]), "application/octet-stream")

    @router.post("/no-thanks", stream_body=True)
    async def no_thanks(request: Request) -> Response:
        return Response.text("no, thank you", 403)

    @router.get("/stream")
    def stream(request: Request) -> Response:
        return StreamingResponse(200, count_to(5), "text/plain")

    @router.get("/known-stream")
    async def known_stream(request: Request) -> Response:
        return StreamingResponse(200, count_to(5), "text/plain", content_length=10)

    @router.get("/teapot")
    def teapot(request: Request) -> Response:
        raise HttpError(418, "teapot", "no coffee here", [("X-Pot", "tea")])

    @router.get("/fail")
    def fail(request: Request) -> Response:
        raise KeyError("a secret")

    @router.get("/async-fail")
    async def async_fail(request: Request) -> Response:
        await asyncio.sleep(0)
        raise KeyError("a secret")

    @router.get("/blocking-fail", blocking=True)
    def blocking_fail(request: Request) -> Response:
        raise KeyError("a secret")

    @router.get("/bad-field")
    def bad_field(request: Request) -> Response:
        return Response(200, b"x", "text/plain", [("X-Name", "a\r\nSet-Cookie: b=c")])

    @router.get("/nothing")
    def nothing(request: Request) -> Response:
        return Response(204)

    return router


def waiting_router(events: list[str], **options: bool) -> Router:
    """GET / notes when it starts, and how it ends."""
    router = Router()

    async def wait(request: Request) -> Response:
        events.append("started")
        try:
            await asyncio.sleep(0.2)
        except asyncio.CancelledError:
            events.append("cancelled")
            raise
        events.append("finished")
        return Response.text("waited")

    router.add("GET", "/", wait, **options)
    return router


def run(
    test: Callable[[RawClient, Serving], Awaitable[None]], router: Router | None = None, limits: Limits = LIMITS
) -> None:
    """Runs the test with one client connected to a server."""

    async def main() -> None:
        async with (
            asyncio.timeout(60),
            serving(router or make_router(), limits) as running,
            raw_client(running.port) as client,
        ):
            await test(client, running)

    asyncio.run(main())
