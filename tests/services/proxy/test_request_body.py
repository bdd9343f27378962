"""A request's body on its way to an upstream: whole however it comes, in step with both sides, and again from its kept
beginning.
"""

import asyncio
import socket
from collections.abc import Awaitable, Callable

import pytest

from services.proxy.connections import IdleConnections, UpstreamConnection
from services.proxy.request_body import MAX_KEPT_BYTES, BodySender, RequestBody
from services.proxy.upstreams import Address, Member, Upstream
from shared.httpcore.errors import ConnectionClosed, HttpCoreError, HttpError
from shared.httpcore.framing import ChunkedDecoder
from shared.httpcore.limits import DEFAULT_LIMITS
from shared.httpcore.net.body import BodyStream
from shared.httpcore.parsing import parse_request_head

HEAD = b"POST / HTTP/1.1\r\n\r\n"
CHUNKED = b"Host: a\r\nTransfer-Encoding: chunked\r\n"
MANY = b"0123456789abcdef" * 65536  # more than a socket's buffers hold


class Upload:
    """One request whose body a test feeds, an upstream's socket that it reads, and all that the sender says."""

    def __init__(self, fields: bytes, max_bytes: int | None = None) -> None:
        self.asked = 0
        self.stream = BodyStream(self._on_ask)
        head = b"POST / HTTP/1.1\r\n" + fields + b"\r\n"
        request = parse_request_head(head, len(head), DEFAULT_LIMITS)
        request.attach_body_stream(self.stream)
        self.body = RequestBody(request, max_bytes)
        self.told: list[str | HttpCoreError] = []
        self._told = asyncio.Event()
        self.sender: BodySender | None = None
        self.connect()

    def connect(self) -> None:
        """A connection of its own, for one attempt."""
        ours, self.far = socket.socketpair()
        ours.setblocking(False)
        self.far.setblocking(False)
        upstream = Upstream(Address("10.0.0.1", 80), Member(), 0.0)
        self.connection = UpstreamConnection(IdleConnections(), ours, upstream)
        self.connection.user = self
        self.sender = BodySender(self.body, self.connection, self)

    def close(self) -> None:
        if self.sender is not None:
            self.sender.stop()
        self.connection.close()
        self.far.close()

    def start(self) -> None:
        assert self.sender is not None
        self.sender.start(HEAD)

    def _on_ask(self) -> None:
        self.asked += 1

    def _tell(self, what: str | HttpCoreError) -> None:
        self.told.append(what)
        self._told.set()

    # the connection's user
    def on_data(self, data: bytes) -> None:
        raise AssertionError("the upstream says nothing here")

    def on_end(self, detail: str, *, is_orderly: bool) -> None:
        pass

    def on_sent(self) -> None:
        assert self.sender is not None
        self.sender.on_sent()

    def on_send_failed(self) -> None:
        self._tell("send failed")

    # the sender's owner
    def on_waiting_for_upstream(self) -> None:
        self._tell("upstream")

    def on_waiting_for_client(self) -> None:
        self._tell("client")

    def on_request_sent(self) -> None:
        self._tell("sent")

    def on_body_failed(self, error: HttpCoreError) -> None:
        self._tell(error)

    async def until(self, what: object) -> None:
        async with asyncio.timeout(10):
            while what not in self.told:
                self._told.clear()
                await self._told.wait()

    async def received(self, count: int) -> bytes:
        """That many bytes after the head."""
        data = b""
        async with asyncio.timeout(10):
            while len(data) < len(HEAD) + count:
                data += await asyncio.get_running_loop().sock_recv(self.far, 1 << 20)
        assert data.startswith(HEAD)
        return data[len(HEAD) :]

    def waiting(self) -> bytes:
        """What is with the kernel now."""
        try:
            return self.far.recv(1 << 20)
        except BlockingIOError:
            return b""


def sized(length: int) -> bytes:
    return b"Host: a\r\nContent-Length: %d\r\n" % length


def run(fields: bytes, story: Callable[[Upload], Awaitable[None]], max_bytes: int | None = None) -> None:
    async def tell() -> None:
        upload = Upload(fields, max_bytes)
        try:
            await story(upload)
        finally:
            upload.close()

    asyncio.run(tell())


def decoded(wire: bytes) -> bytes:
    decoder = ChunkedDecoder()
    body, rest = decoder.feed(wire)
    assert decoder.is_complete
    assert rest == b""
    return body


# --- whole -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("at", range(9))
@pytest.mark.parametrize("is_chunked", [False, True])
def test_a_body_that_comes_in_two_parts_arrives_whole_wherever_it_is_split(at: int, is_chunked: bool) -> None:
    text = b"12345678"

    async def story(upload: Upload) -> None:
        upload.stream.feed(text[:at])
        upload.start()
        upload.stream.feed(text[at:])
        upload.stream.finish()
        await upload.until("sent")
        data = upload.waiting().removeprefix(HEAD)
        assert (decoded(data) if is_chunked else data) == text
        assert upload.sender is not None
        assert upload.sender.is_done

    run(CHUNKED if is_chunked else sized(8), story)


def test_a_body_that_was_there_goes_with_the_head_in_one_call() -> None:
    async def story(upload: Upload) -> None:
        upload.stream.feed(b"body")
        upload.stream.finish()
        upload.start()
        assert upload.told == ["sent"]
        assert upload.waiting() == HEAD + b"body"

    run(sized(4), story)


def test_a_chunked_body_without_bytes_is_still_ended() -> None:
    async def story(upload: Upload) -> None:
        upload.stream.finish()
        upload.start()
        assert upload.waiting() == HEAD + b"0\r\n\r\n"

    run(CHUNKED, story)


def test_the_head_is_not_held_up_by_a_body_that_is_yet_to_come() -> None:
    async def story(upload: Upload) -> None:
        upload.start()
        assert upload.waiting() == HEAD
        assert upload.told == ["client"]
        assert upload.asked == 1, "so that a client that waits for 100 Continue gets it"

    run(sized(4), story)


# --- in step ---------------------------------------------------------------------------------------------------


def test_nothing_is_taken_from_the_client_before_the_upstream_has_taken_what_came_before() -> None:
    async def story(upload: Upload) -> None:
        upload.stream.feed(MANY)
        upload.start()
        assert upload.told == ["upstream"]
        upload.stream.feed(b"the rest")
        for _ in range(20):
            await asyncio.sleep(0)
        assert upload.stream.size == 8, "it waits, and a full stream has the connection stop reading"
        assert upload.asked == 0
        upload.stream.finish()
        assert await upload.received(len(MANY) + 8) == MANY + b"the rest"
        await upload.until("sent")

    run(sized(len(MANY) + 8), story)


def test_the_client_is_asked_for_more_once_the_upstream_has_taken_all() -> None:
    async def story(upload: Upload) -> None:
        upload.stream.feed(MANY)
        upload.start()
        assert await upload.received(len(MANY)) == MANY
        await upload.until("client")
        assert upload.asked == 1
        upload.stream.feed(b"x")
        upload.stream.finish()
        await upload.until("sent")
        assert upload.waiting() == b"x"

    run(sized(len(MANY) + 1), story)


# --- broken ----------------------------------------------------------------------------------------------------

GONE = ConnectionClosed("the client is gone")


def test_a_client_that_leaves_inside_its_body_is_told_and_no_end_is_made_up() -> None:
    async def story(upload: Upload) -> None:
        upload.stream.feed(b"half")
        upload.start()
        upload.stream.fail(GONE)
        await upload.until(GONE)
        data = upload.waiting()
        assert data == HEAD + b"4\r\nhalf\r\n"
        assert "sent" not in upload.told

    run(CHUNKED, story)


def test_a_client_that_leaves_while_the_upstream_is_slow_is_told_at_once() -> None:
    async def story(upload: Upload) -> None:
        upload.stream.feed(MANY)
        upload.start()
        upload.stream.fail(GONE)
        await upload.until(GONE)
        assert upload.connection.has_unsent

    run(sized(len(MANY) + 8), story)


def test_after_stop_nothing_is_sent_and_nothing_told() -> None:
    async def story(upload: Upload) -> None:
        upload.start()
        assert upload.sender is not None
        upload.sender.stop()
        upload.stream.feed(b"body")
        upload.stream.finish()
        for _ in range(20):
            await asyncio.sleep(0)
        assert upload.waiting() == HEAD
        assert upload.told == ["client"]

    run(sized(4), story)


def test_an_upstream_that_breaks_is_not_the_body_s_failure() -> None:
    async def story(upload: Upload) -> None:
        upload.far.close()
        upload.stream.feed(b"body")
        upload.stream.finish()
        upload.start()
        await upload.until("send failed")
        assert upload.body.error is None
        assert upload.body.is_at_hand

    run(sized(4), story)


# --- limits, and again -----------------------------------------------------------------------------------------


def test_a_body_that_says_that_it_is_too_large_is_refused_before_it_comes() -> None:
    async def story(_: Upload) -> None:
        raise AssertionError("never begun")

    with pytest.raises(HttpError) as caught:
        run(sized(101), story, max_bytes=100)
    assert (caught.value.status, caught.value.code) == (413, "body_too_large")


def test_a_chunked_body_is_stopped_where_it_becomes_too_large() -> None:
    async def story(upload: Upload) -> None:
        upload.stream.feed(b"x" * 60)
        upload.start()
        upload.stream.feed(b"y" * 60)
        async with asyncio.timeout(10):
            while not isinstance(upload.told[-1], HttpError):
                await asyncio.sleep(0)
        assert b"y" not in upload.waiting()

    run(CHUNKED, story, max_bytes=100)


def test_a_small_body_is_sent_again_from_its_beginning_on_another_connection() -> None:
    async def story(upload: Upload) -> None:
        upload.stream.feed(b"first ")
        upload.start()
        assert upload.sender is not None
        upload.sender.stop()
        upload.connection.close()
        upload.connect()
        upload.start()
        upload.stream.feed(b"second")
        upload.stream.finish()
        await upload.until("sent")
        assert upload.waiting() == HEAD + b"first second"

    run(sized(12), story)


def test_no_more_is_kept_than_may_be() -> None:
    async def story(upload: Upload) -> None:
        upload.stream.feed(b"x" * MAX_KEPT_BYTES)
        assert len(upload.body.take()) == MAX_KEPT_BYTES
        assert upload.body.is_at_hand
        upload.stream.feed(b"x")
        upload.body.take()
        assert not upload.body.is_at_hand
        assert upload.body.kept == []

    run(CHUNKED, story)
