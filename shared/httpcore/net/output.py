"""What one connection has still to send: bytes and file spans, in order, as fast as the other side reads.

Owns partial sends and the wait for writability. A reply that fits the socket's buffer costs one `send` and no object.
"""

import asyncio
import socket
from collections import deque
from typing import Protocol

from shared.httpcore.net.file_span import FileSpan
from shared.httpcore.net.tls_socket import TlsSocket

JOINED_BYTES = 16 * 1024  # up to this, joining the parts costs less than handing them over one by one
MAX_GATHERED_PARTS = 64  # well below IOV_MAX of any system


class OutputOwner(Protocol):
    """Whoever wants to know how the sending goes."""

    def on_output_progress(self) -> None:
        """Some was sent, some is left."""

    def on_output_drained(self) -> None:
        """Nothing is left, after something had been."""

    def on_output_failed(self) -> None:
        """The other side is gone."""


class Output:
    """The outgoing side of one connection's socket."""

    __slots__ = ("_can_gather", "_is_waiting", "_loop", "_owner", "_parts", "_queue", "_sock", "size")

    def __init__(self, loop: asyncio.AbstractEventLoop, sock: socket.socket, owner: OutputOwner) -> None:
        self._loop = loop
        self._sock = sock
        self._owner = owner
        self._parts: list[bytes] = []  # written in this turn, not yet tried
        self._queue: deque[memoryview | FileSpan] | None = None  # what the socket did not take
        self._is_waiting = False
        self._can_gather = not isinstance(sock, TlsSocket)  # which encrypts what it is given in one piece
        self.size = 0  # bytes not yet taken by the kernel, those of files included

    @property
    def is_empty(self) -> bool:
        """Whether everything written was taken by the kernel."""
        return not self._parts and not self._queue

    @property
    def plain_fd(self) -> int | None:
        """The socket's descriptor, where what is written to it arrives as it is; None under TLS."""
        return None if isinstance(self._sock, TlsSocket) else self._sock.fileno()

    def write(self, data: bytes) -> None:
        """`data` is sent by the next `flush`, in one call with what was written before it."""
        self._parts.append(data)
        self.size += len(data)

    def write_file(self, span: FileSpan) -> None:
        """The span is sent after everything written so far."""
        self._enqueue_parts()
        if self._queue is None:
            self._queue = deque()
        self._queue.append(span)
        self.size += span.left

    def flush(self) -> None:
        """Sends what the socket takes now; the owner hears of failure, or later of progress."""
        if self._queue:
            self._enqueue_parts()
            if not self._is_waiting:
                self._send_queue()
            return
        if not self._parts:
            return
        parts, size = self._parts, self.size
        if len(parts) > 1 and (size <= JOINED_BYTES or len(parts) > MAX_GATHERED_PARTS or not self._can_gather):
            parts[:] = [b"".join(parts)]
        try:
            sent = self._sock.send(parts[0]) if len(parts) == 1 else self._sock.sendmsg(parts)
        except (BlockingIOError, InterruptedError):
            sent = 0
        except OSError:
            self._owner.on_output_failed()
            return
        self.size = size - sent
        if sent < size:
            self._keep_unsent(sent)
        else:
            parts.clear()

    def _keep_unsent(self, sent: int) -> None:
        """What is left of the parts waits until the socket takes more."""
        for part in self._parts:
            if sent < len(part):
                self._keep(memoryview(part)[sent:])
            sent = max(0, sent - len(part))
        self._parts.clear()
        self._wait()

    def _keep(self, view: memoryview) -> None:
        if self._queue is None:
            self._queue = deque()
        self._queue.append(view)

    def _enqueue_parts(self) -> None:
        if self._parts:
            self._keep(memoryview(b"".join(self._parts)))
            self._parts.clear()

    def _wait(self) -> None:
        if not self._is_waiting:
            self._is_waiting = True
            self._loop.add_writer(self._sock.fileno(), self._send_queue)
        self._owner.on_output_progress()

    def _send_queue(self) -> None:
        queue = self._queue
        try:
            while queue:
                self._send_first(queue)
        except (BlockingIOError, InterruptedError):
            self._wait()
        except OSError:
            self._owner.on_output_failed()
        else:
            self._stop_waiting()
            self._owner.on_output_drained()

    def _send_first(self, queue: deque[memoryview | FileSpan]) -> None:
        first = queue[0]
        if isinstance(first, FileSpan):
            self._send_span(first)
            first.close()
            queue.popleft()
            return
        sent = self._sock.send(first)
        self.size -= sent
        if sent == len(first):
            queue.popleft()
        else:
            queue[0] = first[sent:]

    def _send_span(self, span: FileSpan) -> None:
        before = span.left
        try:
            span.send_to(self._sock)
        finally:
            self.size -= before - span.left

    def _stop_waiting(self) -> None:
        if self._is_waiting:
            self._is_waiting = False
            self._loop.remove_writer(self._sock.fileno())

    def discard(self) -> None:
        """Nothing more is sent; files are closed. For a socket about to be closed."""
        self._stop_waiting()
        self._parts.clear()
        for item in self._queue or ():
            if isinstance(item, FileSpan):
                item.close()
        self._queue = None
        self.size = 0
