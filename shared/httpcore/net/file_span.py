"""A part of an open file on its way into a socket: by `sendfile` in the clear, read and encrypted under TLS.

What each option buys, in CPU time of a 100 MiB file (`make bench`, scenario `files`): TCP_CORK a fourth, for without it
`sendfile` ends a segment with every few pages. TCP_NOTSENT_LOWAT on loopback half of the rest and more, on both sides
together: what waits is one segment, still in the processor's cache when the other side copies it. Between machines it
would only wake us more often.

The cork is out while we wait: a segment that it holds back counts as unsent, so beside that low mark the socket would
not be writable before the kernel's own patience ends, after 200 ms.
"""

import os
import socket

from shared.httpcore.loopback import is_loopback
from shared.httpcore.net.tls_socket import SEND_BYTES, TlsSocket

FILE_BYTES_PER_TURN = 2 * 1024 * 1024  # one fast reader of a large file must not hold the loop
LOOPBACK_UNSENT_BYTES = 48 * 1024
IP_FAMILIES = (socket.AF_INET, socket.AF_INET6)
_CORK = getattr(socket, "TCP_CORK", None)  # Linux


class FileSpan:
    """`length` bytes of an open file from `offset`; the descriptor is closed when it was sent or given up."""

    __slots__ = ("_is_begun", "fd", "left", "offset")

    def __init__(self, fd: int, offset: int, length: int) -> None:
        self.fd = fd
        self.offset = offset
        self.left = length
        self._is_begun = False

    def send_to(self, sock: socket.socket) -> None:
        """All of it is sent. BlockingIOError when the socket, or this turn, takes no more; OSError for a short file."""
        is_tcp = not isinstance(sock, TlsSocket) and sock.family in IP_FAMILIES
        if _CORK is None or not is_tcp:
            self._send_turn(sock)
            return
        if not self._is_begun:
            self._is_begun = True
            _limit_unsent(sock, LOOPBACK_UNSENT_BYTES)
        sock.setsockopt(socket.IPPROTO_TCP, _CORK, 1)
        try:
            self._send_turn(sock)
        finally:
            sock.setsockopt(socket.IPPROTO_TCP, _CORK, 0)
        _limit_unsent(sock, 0)  # as the system has it

    def _send_turn(self, sock: socket.socket) -> None:
        left_in_turn = FILE_BYTES_PER_TURN
        while self.left:
            if left_in_turn <= 0:
                raise BlockingIOError("the others' turn")
            sent = _send_part(sock, self.fd, self.offset, min(self.left, left_in_turn))
            if sent == 0:
                raise OSError("the file became shorter while it was sent")
            self.offset += sent
            self.left -= sent
            left_in_turn -= sent

    def close(self) -> None:
        """The descriptor is closed."""
        os.close(self.fd)


def _limit_unsent(sock: socket.socket, size: int) -> None:
    if is_loopback(sock.getpeername()[0]):
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NOTSENT_LOWAT, size)


def _send_part(sock: socket.socket, fd: int, offset: int, length: int) -> int:
    """How many bytes of the file were taken, 0 for none left."""
    if isinstance(sock, TlsSocket):
        return sock.send(os.pread(fd, min(length, SEND_BYTES), offset))
    return os.sendfile(sock.fileno(), fd, offset, length)
