"""A part of a file on its way into a socket: whole, in turns, and with the socket as it was afterwards."""

import os
import select
import socket
import threading
from collections.abc import Iterator

import pytest

from shared.httpcore.net.file_span import FILE_BYTES_PER_TURN, LOOPBACK_UNSENT_BYTES, FileSpan

CONTENT = os.urandom(3 * FILE_BYTES_PER_TURN + 12_345)


@pytest.fixture
def content_fd(tmp_path) -> int:
    path = tmp_path / "content"
    path.write_bytes(CONTENT)
    return os.open(path, os.O_RDONLY)


@pytest.fixture
def sockets() -> Iterator[tuple[socket.socket, socket.socket]]:
    """A connection's two ends: ours, which never waits, and the reader's."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        reader = socket.create_connection(listener.getsockname(), 10)
        sender, _ = listener.accept()
    sender.setblocking(False)
    with sender, reader:
        yield sender, reader


def read_all(reader: socket.socket) -> tuple[threading.Thread, bytearray]:
    received = bytearray()

    def read() -> None:
        while data := reader.recv(1024 * 1024):
            received.extend(data)

    thread = threading.Thread(target=read)
    thread.start()
    return thread, received


def send_in_turns(span: FileSpan, sender: socket.socket) -> list[int]:
    """The bytes that each turn sent."""
    turns = []
    while span.left:
        before = span.left
        try:
            span.send_to(sender)
        except BlockingIOError:
            select.select([], [sender], [], 10)
        turns.append(before - span.left)
    return turns


def test_all_of_it_arrives_and_no_turn_is_longer_than_its_share(sockets, content_fd):
    sender, reader = sockets
    thread, received = read_all(reader)
    span = FileSpan(content_fd, 100, len(CONTENT) - 200)
    turns = send_in_turns(span, sender)
    sender.shutdown(socket.SHUT_WR)
    thread.join(10)
    assert received == CONTENT[100:-100]
    assert max(turns) <= FILE_BYTES_PER_TURN
    span.close()


@pytest.mark.skipif(not hasattr(socket, "TCP_CORK"), reason="Linux has the option")
def test_the_socket_is_tuned_while_it_is_sent_and_as_before_at_the_end(sockets, content_fd):
    sender, reader = sockets

    def options() -> tuple[int, int]:
        return tuple(sender.getsockopt(socket.IPPROTO_TCP, it) for it in (socket.TCP_CORK, socket.TCP_NOTSENT_LOWAT))

    before = options()
    span = FileSpan(content_fd, 0, len(CONTENT))
    with pytest.raises(BlockingIOError):  # nobody reads
        span.send_to(sender)
    assert options() == (0, LOOPBACK_UNSENT_BYTES)  # a cork would hold back what the reader may have at once
    thread, received = read_all(reader)
    send_in_turns(span, sender)
    assert options() == before
    sender.shutdown(socket.SHUT_WR)
    thread.join(10)
    assert received == CONTENT
    span.close()


def test_a_file_that_has_become_shorter_is_an_error(sockets, content_fd, tmp_path):
    os.truncate(tmp_path / "content", 10)
    span = FileSpan(content_fd, 0, 20)
    with pytest.raises(OSError, match="became shorter"):
        span.send_to(sockets[0])
    assert span.left == 10
    span.close()


def test_a_socket_without_an_address_will_do(content_fd):
    sender, reader = socket.socketpair()
    with sender, reader:
        span = FileSpan(content_fd, 0, 1000)
        span.send_to(sender)
        assert reader.recv(2000) == CONTENT[:1000]
        span.close()


def test_a_reader_that_has_left_is_an_error_of_the_connection(sockets, content_fd):
    sender, reader = sockets
    reader.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
    reader.close()
    span = FileSpan(content_fd, 0, 1000)
    select.select([sender], [], [], 10)
    with pytest.raises(OSError):
        span.send_to(sender)
    span.close()
