"""What a connection asks of whoever accepted it. `server` fulfils it; connections know no more of a server."""

import asyncio
import socket
from collections.abc import Callable
from typing import Any, Protocol

from shared.httpcore.limits import Limits
from shared.httpcore.message import Request, Upgrade
from shared.httpcore.net.handler_watch import HandlerWatch
from shared.httpcore.routing import Router

OnResponse = Callable[[Request, int, int, float], None]  # request, status, bytes of body, seconds
OnSlowHandler = Callable[[str, float], None]  # the handler's name, seconds


class Host(Protocol):
    """One application on its listeners."""

    loop: asyncio.AbstractEventLoop
    limits: Limits
    router: Router
    scheme: str
    is_draining: bool
    at_turn_end: Callable[[Callable[[], object]], None]  # see `loop`
    handlers: HandlerWatch  # those that wait
    record: OnResponse  # a reply is complete: whoever counts and logs hears of it
    on_slow_handler: OnSlowHandler  # a handler held the loop for too long

    def http_date(self, now: float) -> str:
        """Now, as an HTTP-date; `now` is the loop's time."""

    def next_request_id(self) -> str:
        """An id that no other request of this or another process has."""

    def forget(self, connection: Any) -> None:
        """The connection is closed, or its socket belongs to an upgrade."""

    def run_upgrade(self, upgrade: Upgrade, sock: socket.socket, leftover: bytes) -> None:
        """The upgrade gets the socket."""
