"""The floor for Python: `python -m bench.apps.bare_epoll PORT FOLDER` sends files and checks nothing.

One epoll loop; per request one `recv`, one `send` of a fixed head, one `sendfile`. Whatever arrives is taken for a GET.
"""

import os
import select
import socket
import sys
from pathlib import Path


class Loop:
    """All connections, and what each of them is still owed."""

    def __init__(self, port: int, folder: Path) -> None:
        self._listener = socket.create_server(("127.0.0.1", port), backlog=1024)
        self._listener.setblocking(False)
        self._files = {f"/{path.name}".encode(): _open(path) for path in folder.iterdir() if path.is_file()}
        self._epoll = select.epoll()
        self._epoll.register(self._listener.fileno(), select.EPOLLIN)
        self._connections: dict[int, socket.socket] = {}
        self._owed: dict[int, tuple[int, int, int]] = {}  # descriptor of the file, offset, end

    def run(self) -> None:
        """Serves until it is killed."""
        while True:
            for fd, events in self._epoll.poll():
                try:
                    self._serve(fd, events)
                except OSError:
                    self._drop(fd)

    def _serve(self, fd: int, events: int) -> None:
        if fd == self._listener.fileno():
            connection, _ = self._listener.accept()
            connection.setblocking(False)
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            self._connections[connection.fileno()] = connection
            self._epoll.register(connection.fileno(), select.EPOLLIN)
        elif events & select.EPOLLOUT:
            self._epoll.modify(fd, select.EPOLLIN)
            self._send(fd, *self._owed.pop(fd))
        elif request := self._connections[fd].recv(16 * 1024):
            file, size, head = self._files[request.split(b" ", 2)[1]]
            self._connections[fd].send(head, socket.MSG_MORE)
            self._send(fd, file, 0, size)
        else:
            self._drop(fd)

    def _send(self, fd: int, file: int, offset: int, end: int) -> None:
        while offset < end:
            try:
                offset += os.sendfile(fd, file, offset, end - offset)
            except BlockingIOError:
                self._owed[fd] = file, offset, end
                self._epoll.modify(fd, select.EPOLLOUT)
                return

    def _drop(self, fd: int) -> None:
        if (connection := self._connections.pop(fd, None)) is not None:
            connection.close()
        self._owed.pop(fd, None)


def _open(path: Path) -> tuple[int, int, bytes]:
    size = path.stat().st_size
    head = f"HTTP/1.1 200 OK\r\nContent-Type: application/octet-stream\r\nContent-Length: {size}\r\n\r\n"
    return os.open(path, os.O_RDONLY), size, head.encode()


if __name__ == "__main__":
    Loop(int(sys.argv[1]), Path(sys.argv[2])).run()
