"""One attempt to get a reply from one upstream: connect, send, read the reply's head. I/O only.

Whether to try again is decided in `forward` by the rules of `retries`; what the heads hold is
`rewriting`'s; the body of the reply is `relay`'s.
"""

import asyncio
from dataclasses import dataclass

from services.proxy.config_values import ForwardSettings
from services.proxy.delivery import acknowledged_bytes, delivery_since
from services.proxy.exchanges import Exchange, ExchangeTable, origin_of
from services.proxy.request_body import RequestBody
from services.proxy.retries import Delivery, Failure, FailureKind
from shared.httpcore.errors import ConnectFailed, ConnectionClosed, ProtocolError
from shared.httpcore.methods import IDEMPOTENT_METHODS
from shared.httpcore.net.client import ClientConnection
from shared.httpcore.parsing import ResponseHead

MAX_INTERIM_REPLIES = 32


class AttemptFailed(Exception):
    """No reply came of this attempt."""

    def __init__(self, failure: Failure) -> None:
        super().__init__(failure.detail)
        self.failure = failure


@dataclass(frozen=True, slots=True)
class UpstreamRequest:
    """A request as it goes to the upstream. `fields` hold Host, and Content-Length when the body has a
    length.
    """

    method: str
    target: str
    fields: list[tuple[str, str]]
    body: RequestBody | None


async def connect(exchange: Exchange, table: ExchangeTable, timeout_s: float, *, fresh: bool) -> None:
    """The exchange has a connection, an idle one unless `fresh`. AttemptFailed when there is none to be
    had.
    """
    origin = origin_of(exchange.upstream.address)
    connection = None if fresh else table.connections.take_idle(origin)
    if connection is None:
        deadline = table.now() + timeout_s
        try:
            connection = await table.connections.connect(origin, timeout_s)
        except ConnectFailed as error:
            late = table.now() >= deadline
            kind = FailureKind.CONNECT_TIMED_OUT if late else FailureKind.CONNECT_FAILED
            raise AttemptFailed(Failure(kind, str(error))) from None
    exchange.connection = connection


async def ask(exchange: Exchange, request: UpstreamRequest, settings: ForwardSettings) -> ResponseHead:
    """The head of the final reply, or of a 101. AttemptFailed when none comes; the client's own errors
    pass.
    """
    connection = exchange.connection
    assert connection is not None
    is_reused = connection.exchange_count > 0
    mark = (
        acknowledged_bytes(connection.stream.sock) if is_reused and request.method not in IDEMPOTENT_METHODS else None
    )
    try:
        await _send(exchange, connection, request, settings)
        head = await _read_final_head(connection)
    except ProtocolError as error:
        raise AttemptFailed(Failure(FailureKind.BAD_REPLY, str(error), has_reply_begun=True)) from None
    except ConnectionClosed as error:
        if request.body is not None and request.body.error is not None:
            raise request.body.error from None
        raise AttemptFailed(_closed(exchange, connection, str(error), mark, is_reused=is_reused)) from None
    exchange.is_replying = True
    return head


async def _send(
    exchange: Exchange, connection: ClientConnection, request: UpstreamRequest, settings: ForwardSettings
) -> None:
    """The head is sent, and the body by a task of its own, since the reply may come before its end."""
    exchange.wait_at_most(settings.send_timeout_s)
    body = request.body
    if body is not None:
        exchange.sender = asyncio.get_running_loop().create_task(_send_body(exchange, request, body, settings))
        return
    try:
        await connection.send_request(request.method, request.target, request.fields)
    except ConnectionClosed:
        if exchange.is_over:
            raise
        # Not the end: an upstream that closes early may have sent its reply first.
    exchange.is_sent = True
    exchange.wait_at_most(settings.read_timeout_s)


async def _send_body(
    exchange: Exchange, request: UpstreamRequest, body: RequestBody, settings: ForwardSettings
) -> None:
    connection = exchange.connection
    assert connection is not None
    chunks = body.send_through(exchange, settings.send_timeout_s)
    try:
        await connection.send_request(request.method, request.target, request.fields, chunks)
    except ConnectionClosed:
        pass  # as above; when it was the client's side that broke, `body.error` is set
    except Exception as error:
        body.error = error
    if body.error is not None:
        connection.close()
        return
    exchange.is_sent = True
    exchange.expect_progress(settings.read_timeout_s)


async def _read_final_head(connection: ClientConnection) -> ResponseHead:
    """1xx replies are passed over (RFC 9110 §15.2), except the 101 that ends HTTP on this connection."""
    for _ in range(MAX_INTERIM_REPLIES):
        head = await connection.read_head()
        if head.status >= 200 or head.status == 101:
            return head
    raise ProtocolError(502, "bad_reply", f"got {MAX_INTERIM_REPLIES} interim replies and no final one")


def _closed(
    exchange: Exchange, connection: ClientConnection, detail: str, mark: int | None, *, is_reused: bool
) -> Failure:
    """What to make of a connection that ended before a whole head was there."""
    if exchange.has_timed_out:
        kind = FailureKind.REPLY_TIMED_OUT if exchange.is_sent else FailureKind.SEND_TIMED_OUT
        return Failure(kind, kind.value)
    has_begun = connection.has_unread_bytes  # a part of a head
    delivery = delivery_since(connection.stream.sock, mark) if is_reused else Delivery.SOME
    return Failure(FailureKind.CLOSED, detail, is_reused and not has_begun, has_begun, delivery)
