"""TLS on a socket that is there: its verbs and its errors are those of a plain one.

`Transport`, `Output` and `Stream` know nothing of TLS: a `TlsSocket` raises BlockingIOError where OpenSSL wants to
wait, so the plain path costs nothing more. By which rules it is spoken is in `tls`.

Why buffers in memory and not `ssl.SSLSocket`: one system call carries several records, and ending one direction leaves
the other whole, where SSLSocket's unwrap reads, and loses, what is on its way. Nobody renegotiates, so reading never
waits for writability, nor writing for readability.
"""

import socket
import ssl
from typing import TYPE_CHECKING

from shared.httpcore.limits import RECV_BYTES

if TYPE_CHECKING:
    from _typeshed import ReadableBuffer

MAX_RECORD_BYTES = 16 * 1024  # of plain text, RFC 8446 §5.1
SEND_BYTES = 4 * MAX_RECORD_BYTES  # encrypted at a time


class TlsSocket(socket.socket):
    """A non-blocking TLS connection, with the verbs and the errors of a plain socket, which it takes over.

    The client's side names the server, which must prove that name. After the `handshake`, what came with it may be
    unread (`has_unread`); later `recv` leaves nothing behind that the descriptor does not show.
    """

    __slots__ = (
        "_arrived",
        "_credit",
        "_engine",
        "_has_ended",
        "_is_server",
        "_is_shut",
        "_leaving",
        "_unsent",
    )

    def __init__(self, sock: socket.socket, context: ssl.SSLContext, server_name: str | None = None) -> None:
        self._is_server = server_name is None
        self._arrived = ssl.MemoryBIO()
        self._leaving = ssl.MemoryBIO()
        self._engine = context.wrap_bio(self._arrived, self._leaving, self._is_server, server_name)
        self._unsent = b""  # encrypted, not yet taken by the kernel
        self._credit = 0  # bytes of plain text that are told as sent when `_unsent` is
        self._has_ended = False  # the other side said close_notify
        self._is_shut = False  # this side did
        super().__init__(sock.family, sock.type, sock.proto, fileno=sock.detach())
        self.setblocking(False)

    def handshake(self) -> None:
        """TLS is agreed. SSLWantReadError or SSLWantWriteError: call again when that is possible; OSError."""
        while True:
            try:
                self._engine.do_handshake()
            except ssl.SSLWantReadError:
                self._flush_handshake()
                self._receive()
            except ssl.SSLError:
                self._flush_if_possible()  # the alert that says why
                raise
            else:
                self._flush_handshake()
                return

    def _flush_handshake(self) -> None:
        try:
            self._flush()
        except BlockingIOError:
            raise ssl.SSLWantWriteError("the socket takes no more") from None

    def _receive(self) -> None:
        try:
            data = super().recv(RECV_BYTES)
        except BlockingIOError:
            raise ssl.SSLWantReadError("nothing is there") from None
        if not data:
            raise ConnectionAbortedError("the other side ended the connection")
        self._arrived.write(data)

    @property
    def context(self) -> ssl.SSLContext:
        """By whose rules TLS was agreed."""
        return self._engine.context

    @property
    def has_unread(self) -> bool:
        """Whether something was received that `recv` has not returned, beside what the descriptor shows."""
        return self._arrived.pending > 0

    def recv(self, bufsize: int = RECV_BYTES, flags: int = 0) -> bytes:
        """All that has arrived, which may be some bytes more than asked for; b"" when the other side has ended."""
        data = self._decrypt()
        while not data and not self._has_ended:
            received = super().recv(RECV_BYTES)
            if not received:
                return self._end()
            self._arrived.write(received)
            data = self._decrypt()
        return data

    def _decrypt(self) -> bytes:
        parts = []
        try:
            while self._arrived.pending and not self._has_ended:
                parts.append(self._engine.read(MAX_RECORD_BYTES))
                self._has_ended = not parts[-1]
        except ssl.SSLWantReadError:
            pass  # a part of a record
        except ssl.SSLZeroReturnError:  # close_notify, after this side's own
            self._has_ended = True
        return parts[0] if len(parts) == 1 else b"".join(parts)

    def _end(self) -> bytes:
        """An end without close_notify. RFC 9112 §9.8: to a client its reply may be cut, to a server it is an end."""
        self._has_ended = True
        if not self._is_server:
            raise ConnectionAbortedError("the other side ended without close_notify")
        return b""

    def send(self, data: "ReadableBuffer", flags: int = 0) -> int:
        """How many bytes were taken. After BlockingIOError, or fewer than given, the next call begins with the rest."""
        view = memoryview(data)
        sent = 0
        try:
            if self._unsent:
                self._flush()
                sent, self._credit = self._credit, 0
            while sent < len(view):
                part = view[sent : sent + SEND_BYTES]
                self._encrypt(part)
                self._credit = len(part)
                self._flush()
                sent, self._credit = sent + self._credit, 0
        except BlockingIOError:
            if not sent:
                raise
        return sent

    def _encrypt(self, part: memoryview) -> None:
        while part:
            part = part[self._engine.write(part) :]  # a record each

    def _flush(self) -> None:
        """What was encrypted is with the kernel; BlockingIOError when not all of it."""
        if self._leaving.pending:
            self._unsent += self._leaving.read()
        while self._unsent:
            self._unsent = self._unsent[super().send(self._unsent) :]

    def _flush_if_possible(self) -> None:
        try:
            self._flush()
        except OSError:
            pass

    def shutdown(self, how: int) -> None:
        """The other side reads a clean end (close_notify) after what was sent; reading goes on."""
        self._say_goodbye()
        super().shutdown(how)

    def close(self) -> None:
        """Says close_notify, unless the socket is to be reset: then the other side must see that it was cut."""
        if self.fileno() >= 0 and not self._is_to_be_reset():
            self._say_goodbye()
        super().close()

    def _is_to_be_reset(self) -> bool:
        return self.getsockopt(socket.SOL_SOCKET, socket.SO_LINGER, 8)[:4] != b"\0\0\0\0"

    def _say_goodbye(self) -> None:
        if self._is_shut:
            return
        self._is_shut = True
        try:
            self._engine.unwrap()
        except (OSError, ValueError):
            pass  # written, and the other side's is not waited for; or TLS was never agreed, or is broken
        self._flush_if_possible()
