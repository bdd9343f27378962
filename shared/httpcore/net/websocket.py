"""How a WebSocket begins: as the reply to a GET (`WebSocketUpgrade`), or as a client (`connect_websocket`).

What happens on it afterwards is in `websocket_connection`; what a handshake must hold in
`websocket.handshake`.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Sequence

from shared.httpcore.limits import MIB
from shared.httpcore.message import Request, Upgrade
from shared.httpcore.net.client import ClientConnection
from shared.httpcore.net.pool import parse_http_url
from shared.httpcore.net.stream import Stream
from shared.httpcore.net.tls import make_client_context
from shared.httpcore.net.websocket_connection import WebSocket, WebSocketClosed
from shared.httpcore.websocket.close_codes import CloseCode
from shared.httpcore.websocket.handshake import (
    Agreement,
    accept_handshake,
    check_reply,
    new_key,
    offer_handshake,
)
from shared.httpcore.websocket.keepalive import DEFAULT_TIMEOUTS, WebSocketTimeouts
from shared.httpcore.websocket.protocol import ProtocolOptions, Role, WebSocketProtocol

__all__ = ["WebSocket", "WebSocketClosed", "WebSocketTimeouts", "WebSocketUpgrade", "connect_websocket"]

logger = logging.getLogger("weaprous.websocket")


class WebSocketUpgrade(Upgrade):
    """The 101 reply that turns a GET into a WebSocket; `run` then speaks on it, and returns or raises to
    close it.

    HttpError 426 or 400 when the request is no valid handshake. A handler that waits for other things than
    messages should also wait for `WebSocket.wait_closed`, to notice that the other side is gone.
    """

    __slots__ = ("_agreement", "_drain", "_handler", "_is_draining", "_options", "_timeouts", "_websocket")

    def __init__(
        self,
        request: Request,
        run: Callable[[WebSocket], Awaitable[None]],
        max_message_bytes: int = 1 * MIB,
        subprotocol: str | None = None,
        timeouts: WebSocketTimeouts = DEFAULT_TIMEOUTS,
    ) -> None:
        agreement = accept_handshake(request.method, request.version_minor, request.headers, subprotocol)
        super().__init__(agreement.headers)
        self._agreement = agreement
        self._handler = run
        self._options = ProtocolOptions(max_message_bytes, agreement.deflate)
        self._timeouts = timeouts
        self._websocket: WebSocket | None = None
        self._is_draining = False
        self._drain: asyncio.Task[None] | None = None

    async def run(self, stream: Stream, leftover: bytes) -> None:
        """Runs the handler; the connection is closed afterwards, with 1011 when the handler failed."""
        protocol = WebSocketProtocol(Role.SERVER, self._options)
        websocket = self._websocket = WebSocket(stream, protocol, self._timeouts, leftover)
        websocket.subprotocol = self._agreement.subprotocol
        if self._is_draining:
            self.begin_drain()
        try:
            await self._handler(websocket)
            await websocket.close()
        except WebSocketClosed:
            await websocket.close()
        except Exception:
            logger.exception("a WebSocket handler failed")
            await websocket.close(CloseCode.INTERNAL_ERROR, "internal error")
        finally:
            websocket.abort()

    def begin_drain(self) -> None:
        """The other side gets 1001; the handler gets WebSocketClosed when it next receives or sends."""
        self._is_draining = True
        if self._websocket is not None and self._drain is None:
            closing = self._websocket.close(CloseCode.GOING_AWAY, "the server is going away")
            self._drain = asyncio.get_running_loop().create_task(closing)


async def connect_websocket(
    url: str,
    headers: Sequence[tuple[str, str]] = (),
    max_message_bytes: int = 1 * MIB,
    timeout_s: float = 10.0,
    timeouts: WebSocketTimeouts = DEFAULT_TIMEOUTS,
) -> WebSocket:
    """An open WebSocket to a `ws://HOST[:PORT]/PATH` URL, or `wss://` (system CAs). Use it in `async with` or close it.

    ConnectFailed, ConnectionClosed, ProtocolError when the server says no or breaks the rules, TimeoutError
    after `timeout_s`, ValueError for another URL.
    """
    origin, target = parse_http_url(url)
    key = new_key()
    async with asyncio.timeout(timeout_s):
        tls = await asyncio.to_thread(make_client_context) if origin.is_tls else None
        stream = await Stream.connect(origin.host, origin.port, timeout_s, tls)
        try:
            connection = ClientConnection(stream, origin)
            await connection.send_request("GET", target, [("Host", str(origin)), *offer_handshake(key), *headers])
            agreement = await _read_agreement(connection, key)
        except BaseException:
            stream.close()
            raise
    stream, leftover = connection.take_stream()
    protocol = WebSocketProtocol(Role.CLIENT, ProtocolOptions(max_message_bytes, agreement.deflate))
    return WebSocket(stream, protocol, timeouts, leftover)


async def _read_agreement(connection: ClientConnection, key: str) -> Agreement:
    """The server's answer, after any 1xx that only say it is at work (RFC 9110 §15.2)."""
    while (head := await connection.read_head()).status < 200 and head.status != 101:
        pass
    return check_reply(head.status, head.headers, key)
