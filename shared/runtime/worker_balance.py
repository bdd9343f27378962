"""Connections are dealt out evenly among several workers, whoever of them the system let accept.

A worker that has accepted a connection while another has fewer puts its socket into the other's mailbox (SCM_RIGHTS),
and the other serves it as one of its own. To `Server` a mailbox is a listener. What lies in one for long, because its
worker hangs or died, the others take, as they take what waits at its listener; nothing that was in a mailbox is handed
on again. Who gets what is decided in `worker_load`.
"""

import fcntl
import os
import socket
import sys
import termios
from collections.abc import Callable, Sequence
from typing import Any

from shared.httpcore.net.server import Listener
from shared.runtime.listening import close_all
from shared.runtime.worker_load import LoadBoard, choose_worker

# On macOS a socket may be lost when its sender closes it before it has arrived (CPython's issue 14669). There all
# workers accept from one listener, and keep what they get.
CAN_HAND_OVER = sys.platform != "darwin"
MAX_WAITING = 64  # connections in one mailbox: as many wait in vain, for up to half a second, when its worker hangs
HANDED_ON_A_CALL = 32  # then the accepting worker looks after its own connections

_FD_BYTES = 4
_NO_COUNT = bytes(4)
_CLOSE_ON_EXEC: int = getattr(socket, "MSG_CMSG_CLOEXEC", 0)  # Linux, the BSDs

Accepted = tuple[socket.socket, Any]


class Mailbox:
    """Accepted sockets on their way to one worker. All workers have both ends: what one leaves, another takes.

    A byte stands for each socket, so that the system knows how many there are, whoever dies at whatever moment.
    """

    def __init__(self, family: int) -> None:
        self._family = family
        self._exit, self._entry = socket.socketpair(socket.AF_UNIX, socket.SOCK_STREAM)
        for end in (self._exit, self._entry):
            end.setblocking(False)

    def fileno(self) -> int:
        """Readable when a connection waits; -1 when this process has closed the mailbox."""
        return self._exit.fileno()

    @property
    def waiting_count(self) -> int:
        """How many connections nobody has taken yet."""
        return int.from_bytes(fcntl.ioctl(self._exit.fileno(), termios.FIONREAD, _NO_COUNT), sys.byteorder)

    def put(self, sock: socket.socket) -> None:
        """The connection waits here as well; the caller's socket stays open. OSError when there is no room."""
        rights = sock.fileno().to_bytes(_FD_BYTES, sys.byteorder)
        self._entry.sendmsg([b"\0"], [(socket.SOL_SOCKET, socket.SCM_RIGHTS, rights)])

    def accept(self) -> Accepted:
        """The longest waiting connection whose client is still there, and the client's address.

        BlockingIOError when there is none; another OSError when this process can't have more files, and all stay.
        """
        while True:
            os.close(os.dup(self._exit.fileno()))  # the system would throw away a socket for which there is no room
            _, rights, _, _ = self._exit.recvmsg(1, socket.CMSG_LEN(_FD_BYTES), _CLOSE_ON_EXEC)
            for _, _, number in rights:
                fd = int.from_bytes(number[:_FD_BYTES], sys.byteorder)
                if not _CLOSE_ON_EXEC:
                    os.set_inheritable(fd, False)
                sock = socket.socket(self._family, socket.SOCK_STREAM, 0, fileno=fd)
                try:
                    return sock, sock.getpeername()
                except OSError:
                    sock.close()

    def close(self) -> None:
        """This process neither takes nor gives through it any more."""
        self._exit.close()
        self._entry.close()


class DealingListener:
    """A listener whose connections `hand_over` may give to another worker; True when it did, and closed the socket."""

    def __init__(self, listener: socket.socket, hand_over: Callable[[socket.socket], bool]) -> None:
        self._listener = listener
        self._hand_over = hand_over

    def fileno(self) -> int:
        """The listener's."""
        return self._listener.fileno()

    def accept(self) -> Accepted:
        """The next connection that is this worker's own. BlockingIOError when there is none, or after many others'."""
        for _ in range(HANDED_ON_A_CALL):
            sock, address = self._listener.accept()
            if not self._hand_over(sock):
                return sock, address
        raise BlockingIOError

    def close(self) -> None:
        """This process accepts no more."""
        self._listener.close()


class SiblingsListener:
    """What another worker accepts from: as long as it does, nothing is to be had here.

    `Server` looks at it when something has waited for a while. That need not be the same thing all the time, so a
    worker that has given a sign of life since the last look is left alone.
    """

    def __init__(self, listener: Listener, board: LoadBoard, worker: int) -> None:
        self._listener = listener
        self._board = board
        self._worker = worker
        self._signs_seen = board.signs(worker)

    def fileno(self) -> int:
        """The listener's."""
        return self._listener.fileno()

    def accept(self) -> Accepted:
        """What the other has left waiting, which is held against it. BlockingIOError when it is at work."""
        signs = self._board.signs(self._worker)
        if signs != self._signs_seen:
            self._signs_seen = signs
            raise BlockingIOError
        self._board.mark_held(self._worker, signs)
        return self._listener.accept()

    def close(self) -> None:
        """This process accepts no more."""
        self._listener.close()


class Seat:
    """One worker's part: what its server accepts from, and what the others see of it. Made in its own process."""

    def __init__(
        self, own: int, listeners: Sequence[socket.socket], boxes: Sequence[Mailbox], board: LoadBoard
    ) -> None:
        self.handed_over_count = 0  # since the start
        self._own = own
        self._boxes = boxes
        self._board = board
        self._is_serving = True
        self.listener = listeners[own % len(listeners)]
        self.listeners: tuple[Listener, ...] = (DealingListener(self.listener, self.hand_over), boxes[own])
        siblings: list[Listener] = []
        for worker in range(len(boxes)):
            if worker != own:
                siblings.append(SiblingsListener(boxes[worker], board, worker))
                if len(listeners) > 1:
                    dealing = DealingListener(listeners[worker], self.hand_over)
                    siblings.append(SiblingsListener(dealing, board, worker))
        self.siblings = tuple(siblings)

    def report(self, count: int) -> None:
        """This worker has so many connections. The others give it some from the first report on."""
        if self._is_serving:
            self._board.publish(self._own, count)

    def withdraw(self) -> None:
        """This worker drains: the others give it none, and it gives them all that it accepts, if they take any."""
        self._is_serving = False
        self._board.withdraw(self._own)

    def hand_over(self, sock: socket.socket) -> bool:
        """Whether the connection has become another worker's; it is then closed here. False when that fails."""
        self._board.give_sign(self._own)
        if not CAN_HAND_OVER:
            return False
        try:
            chosen = choose_worker(self._own, self._count_all())
            if chosen is None:
                return False
            self._boxes[chosen].put(sock)
        except OSError:
            return False
        sock.close()
        self.handed_over_count += 1
        return True

    def _count_all(self) -> list[int | None]:
        """Of each worker what it has open, and what waits for it."""
        counts = [self._board.count(worker) for worker in range(len(self._boxes))]
        own_count = counts[self._own]
        if own_count is not None:
            own_count = counts[self._own] = own_count + self._boxes[self._own].waiting_count
        for worker, count in enumerate(counts):
            if count is None or worker == self._own or (own_count is not None and count >= own_count):
                continue  # it gets none anyway
            waiting_count = self._boxes[worker].waiting_count
            counts[worker] = count + waiting_count if waiting_count < MAX_WAITING else None
        return counts


class WorkerBalance:
    """What the parent of the workers makes before it forks, and keeps: listeners, mailboxes, the board."""

    def __init__(self, listeners: Sequence[socket.socket], workers: int) -> None:
        self._listeners = listeners
        self._boxes = [Mailbox(listeners[0].family) for _ in range(workers)]
        self._board = LoadBoard(workers)

    def take_seat(self, number: int) -> Seat:
        """The part of the worker of that number (from 1), for its own process."""
        return Seat(number - 1, self._listeners, self._boxes, self._board)

    def forget(self, number: int) -> None:
        """The worker is dead: it gets nothing until a new one has begun to serve in its place."""
        self._board.withdraw(number - 1)

    def close(self) -> None:
        """The parent holds no listener open any more, and nothing on its way to a worker."""
        close_all(self._listeners)
        for box in self._boxes:
            box.close()
