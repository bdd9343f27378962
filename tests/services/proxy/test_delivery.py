"""Whether what was sent has arrived."""

import socket
import sys

import pytest

from services.proxy import delivery
from services.proxy.delivery import acknowledged_bytes, delivery_since
from services.proxy.retries import Delivery

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells")


@pytest.fixture
def pair():
    with socket.create_server(("127.0.0.1", 0)) as listener:
        client = socket.create_connection(listener.getsockname())
        server, _ = listener.accept()
    client.sendall(b"first")
    server.recv(100)
    server.sendall(b"reply")
    client.recv(100)
    with client, server:
        yield client, server


def end_of(client: socket.socket) -> None:
    """Waits until the connection has ended."""
    try:
        while client.recv(100):
            pass
    except ConnectionResetError:
        pass


def test_a_request_on_a_connection_that_was_closed_before_has_not_arrived(pair) -> None:
    client, server = pair
    mark = acknowledged_bytes(client)
    server.close()
    client.sendall(b"second")
    end_of(client)
    assert delivery_since(client, mark) is Delivery.NONE


def test_a_request_that_was_read_before_the_connection_broke_has_arrived(pair) -> None:
    client, server = pair
    mark = acknowledged_bytes(client)
    client.sendall(b"second")
    assert server.recv(100) == b"second"
    server.close()
    end_of(client)
    assert delivery_since(client, mark) is Delivery.SOME


def test_without_tcp_info_nobody_knows(pair, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(delivery, "_TCP_INFO", None)
    assert acknowledged_bytes(pair[0]) is None
    assert delivery_since(pair[0], None) is Delivery.UNKNOWN


def test_a_closed_socket_tells_nothing() -> None:
    sock = socket.socket()
    sock.close()
    assert delivery_since(sock, 5) is Delivery.UNKNOWN
