"""Bytes through pipes, and what becomes of the pipes."""

import os
import socket

import pytest

from shared.httpcore.net import pipes
from shared.httpcore.net.pipes import MAX_IDLE_PIPES, Pipe, PipePool, PipeSpan

pytestmark = pytest.mark.skipif(not pipes.CAN_SPLICE, reason="only Linux splices")


@pytest.fixture
def source():
    sender, receiver = socket.socketpair()
    with sender, receiver:
        receiver.setblocking(False)
        yield sender, receiver


@pytest.fixture
def target():
    sender, receiver = socket.socketpair()
    with sender, receiver:
        sender.setblocking(False)
        yield sender, receiver


def test_bytes_pass_in_order_and_no_more_than_asked_for(source, target) -> None:
    pool = PipePool()
    pipe = pool.take()
    assert pipe is not None
    source[0].sendall(b"hello world")
    assert pipe.fill(source[1].fileno(), 5) == 5
    assert pipe.held == 5
    pipe.drain(target[0].fileno())
    assert (target[1].recv(100), pipe.held) == (b"hello", 0)
    assert source[1].recv(100) == b" world"
    with pytest.raises(BlockingIOError):
        pipe.fill(source[1].fileno(), 5)
    source[0].close()
    assert pipe.fill(source[1].fileno(), 5) == 0
    pool.give_back(pipe)
    assert pool.take() is pipe
    pool.give_back(pipe)
    pool.close()


def test_what_a_full_socket_does_not_take_waits_in_the_pipe(source, target) -> None:
    pipe = Pipe()
    data = os.urandom(64 * 1024)
    target[0].setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4096)
    source[0].setblocking(False)
    sent = source[0].send(data)
    span = None
    got = b""
    moved = 0
    while moved < sent:
        moved += pipe.fill(source[1].fileno(), sent - moved)
        span = PipeSpan(pipe)
        while span.left:
            try:
                span.send_to(target[0])
            except BlockingIOError:
                assert span.left == pipe.held > 0
                got += target[1].recv(1 << 20)
    target[1].setblocking(False)
    try:
        while True:
            got += target[1].recv(1 << 20)
    except BlockingIOError:
        pass
    assert got == data[:sent]
    pipe.close()


def test_a_pipe_with_bytes_in_it_never_serves_another_body(source) -> None:
    pool = PipePool()
    pipe = pool.take()
    assert pipe is not None
    source[0].sendall(b"secret")
    pipe.fill(source[1].fileno(), 100)
    pool.give_back(pipe)
    with pytest.raises(OSError, match="Bad file descriptor"):
        os.fstat(pipe.read_fd)
    assert pool.take() is not pipe


def test_pipes_are_bounded_and_few_are_kept() -> None:
    pool = PipePool(MAX_IDLE_PIPES + 2)
    taken = [pool.take() for _ in range(MAX_IDLE_PIPES + 2)]
    assert all(taken)
    assert pool.take() is None
    for pipe in taken:
        assert pipe is not None
        pool.give_back(pipe)
    open_ones = [pipe for pipe in taken if pipe is not None and is_open(pipe.read_fd)]
    assert len(open_ones) == MAX_IDLE_PIPES
    pool.close()
    assert not any(is_open(pipe.read_fd) for pipe in open_ones)


def is_open(fd: int) -> bool:
    try:
        os.fstat(fd)
    except OSError:
        return False
    return True


def test_where_no_pipe_of_use_is_to_be_had_there_is_none(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(fd: int, command: int, *_: int) -> int:
        if command == pipes.fcntl.F_SETPIPE_SZ:
            raise PermissionError("the user's share is used up")
        return 4096

    before = len(os.listdir("/proc/self/fd"))
    monkeypatch.setattr(pipes.fcntl, "fcntl", refuse)
    assert PipePool().take() is None
    assert len(os.listdir("/proc/self/fd")) == before
