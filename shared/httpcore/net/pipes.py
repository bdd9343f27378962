"""Bytes from one socket to another by `os.splice`, through a pipe, without ever entering Python. Linux only.

Owns the pipes: a bounded number, kept for the next body. Where there is none to be had, who asks copies instead.
"""

import fcntl
import os
import socket

from shared.httpcore.net.file_span import FileSpan

# A pipe this large takes what a busy socket has at once. All pipes of an unprivileged user together hold 64 MiB
# (/proc/sys/fs/pipe-user-pages-soft), past which they can't be made larger.
PIPE_BYTES = 1024 * 1024
MAX_PIPES = 48
MAX_IDLE_PIPES = 8
CAN_SPLICE = hasattr(os, "splice")
_FLAGS = os.SPLICE_F_MOVE | os.SPLICE_F_NONBLOCK if CAN_SPLICE else 0


class Pipe:
    """One pipe, and how many bytes are in it."""

    __slots__ = ("capacity", "held", "read_fd", "write_fd")

    def __init__(self) -> None:
        """OSError when there is none to be had, or none of any use."""
        self.held = 0
        self.read_fd, self.write_fd = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
        try:
            self.capacity = fcntl.fcntl(self.write_fd, fcntl.F_SETPIPE_SZ, PIPE_BYTES)
        except OSError:  # the user's share is used up: what it has may do
            self.capacity = fcntl.fcntl(self.write_fd, fcntl.F_GETPIPE_SZ)
        if self.capacity < PIPE_BYTES // 16:
            self.close()
            raise OSError("the pipe is too small to be of use")

    def fill(self, fd: int, limit: int) -> int:
        """How many bytes came from the socket, at most `limit`; 0: it has ended. BlockingIOError, OSError."""
        count = os.splice(fd, self.write_fd, min(limit, self.capacity), flags=_FLAGS)
        self.held += count
        return count

    def drain(self, fd: int) -> None:
        """All that is held was taken by the socket. BlockingIOError for not all of it; OSError."""
        while self.held:
            self.held -= os.splice(self.read_fd, fd, self.held, flags=_FLAGS)

    def close(self) -> None:
        """Its descriptors are closed."""
        os.close(self.read_fd)
        os.close(self.write_fd)


class PipeSpan(FileSpan):
    """What a pipe holds, to be queued in an `Output`: the pipe stays whoever's it is."""

    __slots__ = ("_pipe",)

    def __init__(self, pipe: Pipe) -> None:
        super().__init__(-1, 0, pipe.held)
        self._pipe = pipe

    def send_to(self, sock: socket.socket) -> None:
        """All of it is sent. BlockingIOError when the socket takes no more; OSError."""
        try:
            self._pipe.drain(sock.fileno())
        finally:
            self.left = self._pipe.held

    def close(self) -> None:
        """Nothing to be done."""


class PipePool:
    """The pipes of one event loop."""

    def __init__(self, max_pipes: int = MAX_PIPES) -> None:
        self._room = max_pipes if CAN_SPLICE else 0
        self._idle: list[Pipe] = []

    def take(self) -> Pipe | None:
        """An empty pipe, to be given back; None when there is none to be had."""
        if self._idle:
            return self._idle.pop()
        if self._room == 0:
            return None
        try:
            pipe = Pipe()
        except OSError:
            return None
        self._room -= 1
        return pipe

    def give_back(self, pipe: Pipe) -> None:
        """Kept when it is empty and few are; bytes that nobody took must not reach somebody else."""
        if pipe.held == 0 and len(self._idle) < MAX_IDLE_PIPES:
            self._idle.append(pipe)
            return
        pipe.close()
        self._room += 1

    def close(self) -> None:
        """The idle ones are closed."""
        for pipe in self._idle:
            pipe.close()
        self._room += len(self._idle)
        self._idle.clear()
