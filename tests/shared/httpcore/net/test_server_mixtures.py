"""Pipelines of whatever there is, cut anywhere: each request gets what it would have got alone, in its turn."""

import os
import random
from pathlib import Path

import pytest

from shared.httpcore.limits import Limits
from shared.httpcore.message import FileResponse, Request, Response
from tests.shared.httpcore.net.exchanges import GET, get, make_router, post, post_chunked, run
from tests.shared.httpcore.net.raw_client import RawClient
from tests.shared.httpcore.net.serving import Serving
from tests.shared.httpcore.net.waiting import until

BODY = bytes(range(256)) * 3
LARGE = bytes(range(251)) * 1200  # more than a socket takes at once from a client that reads late
# What leaves the connection open: the request, its method, status and body (None: whatever).
OPEN: list[tuple[bytes, str, int, bytes | None]] = [
    (GET, "GET", 200, b"hello"),
    (GET.replace(b"GET", b"HEAD"), "HEAD", 200, b""),
    (b"\r\n" + GET, "GET", 200, b"hello"),
    (get("/", "X: y"), "GET", 200, b"hello"),
    (get("/", "Content-Length: 3") + b"abc", "GET", 200, b"hello"),
    (post("/echo", BODY), "POST", 200, BODY),
    (post("/echo", b""), "POST", 200, b""),
    (post_chunked("/echo", b"a", BODY[:300], b"b"), "POST", 200, b"a" + BODY[:300] + b"b"),
    (post("/async-echo", BODY), "POST", 200, BODY),
    (post("/blocking-echo", BODY), "POST", 200, BODY),
    (post("/stream-echo", BODY), "POST", 200, BODY),
    (post_chunked("/stream-echo", BODY), "POST", 200, BODY),
    (get("/stream"), "GET", 200, b"0 1 2 3 4 "),
    (get("/known-stream"), "GET", 200, b"0 1 2 3 4 "),
    (get("/nothing"), "GET", 204, b""),
    (get("/missing"), "GET", 404, None),
    (get("/echo"), "GET", 405, None),
    (get("/teapot"), "GET", 418, None),
    (get("/part"), "GET", 200, b"x"),
    (get("/large-file"), "GET", 200, LARGE),
    (get("/large"), "GET", 200, LARGE),
    (get("/", "Connection: keep-alive", version="1.0"), "GET", 200, b"hello"),
]
LAST: list[tuple[bytes, str, int, bytes | None]] = [
    (get("/", "Connection: close"), "GET", 200, b"hello"),
    (get("/", version="1.0"), "GET", 200, b"hello"),
    (get("/stream", version="1.0"), "GET", 200, b"0 1 2 3 4 "),
    (get("/large", "Connection: close"), "GET", 200, LARGE),
    (get("/large-file", "Connection: close"), "GET", 200, LARGE),
    (b"rubbish\r\n\r\n", "GET", 400, None),
    (get("/", "Host: y"), "GET", 400, None),
    (post_chunked("/echo", b"a")[:-3] + b"x\r\n\r\n", "POST", 400, None),
    (post("/no-thanks", BODY)[:-1], "POST", 403, None),
]


@pytest.mark.parametrize("seed", range(40))
def test_each_request_of_a_mixture_gets_its_reply_in_its_turn(seed: int, tmp_path: Path) -> None:
    chance = random.Random(seed)
    (tmp_path / "file").write_bytes(LARGE)
    router = make_router()

    @router.get("/part")
    def part(_: Request) -> Response:
        (tmp_path / "part").write_bytes(b"xyz")
        return FileResponse(os.open(tmp_path / "part", os.O_RDONLY), 0, 1, 200, "text/plain")

    @router.get("/large-file")
    def large_file(_: Request) -> Response:
        return FileResponse(os.open(tmp_path / "file", os.O_RDONLY), 0, len(LARGE), 200, "text/plain")

    @router.get("/large")
    def large(_: Request) -> Response:
        return Response(200, LARGE, "text/plain")

    few = chance.sample(OPEN, 5)  # so that some repeat each other's fields
    exchanges = [chance.choice(few if chance.random() < 0.5 else OPEN) for _ in range(chance.randrange(60))]
    exchanges.append(chance.choice(LAST))
    wire = b"".join(exchange[0] for exchange in exchanges)
    cuts = sorted(chance.randrange(len(wire)) for _ in range(chance.choice((0, 3, 30, 300))))
    pieces = [wire[start:end] for start, end in zip([0, *cuts], [*cuts, len(wire)], strict=True)]

    async def test(client: RawClient, running: Serving) -> None:
        if chance.random() < 0.3:
            client.pause()
        await client.send(*pieces)
        if chance.random() < 0.3 and b"stream HTTP" not in wire:  # whose makers count such a client as gone
            client.end_sending()
        client.resume()
        replies = await client.replies([method for _, method, _, _ in exchanges])
        assert [reply.status for reply in replies] == [status for _, _, status, _ in exchanges]
        for reply, (_, _, _, body) in zip(replies, exchanges, strict=True):
            assert body is None or reply.body == body
        assert await client.rest() == b""
        client.writer.close()
        await until(lambda: running.server.connection_count == 0)
        assert len({reply.headers.get("x-request-id") for reply in replies}) == len(replies)

    run(test, router, Limits(max_body_bytes=1000))
