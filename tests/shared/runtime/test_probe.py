"""The health probe: what each kind of answer, and no answer, turns into."""

import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator

import pytest

from shared.runtime.probe import find_fault, main

Answering = Callable[[bytes], int]


@pytest.fixture
def answering() -> Iterator[Answering]:
    """A function that starts a service answering one connection with the given bytes, and gives its port."""
    listeners: list[socket.socket] = []
    threads: list[threading.Thread] = []

    def start(reply: bytes) -> int:
        listener = socket.create_server(("127.0.0.1", 0))
        listeners.append(listener)
        threads.append(threading.Thread(target=_answer_once, args=(listener, reply)))
        threads[-1].start()
        return int(listener.getsockname()[1])

    yield start
    for thread in threads:
        thread.join()
    for listener in listeners:
        listener.close()


def _answer_once(listener: socket.socket, reply: bytes) -> None:
    connection, _ = listener.accept()
    with connection:
        request = b""
        while not request.endswith(b"\r\n\r\n") and (received := connection.recv(4096)):
            request += received
        connection.sendall(reply.replace(b"<request>", request.partition(b"\r\n")[0]))


def _unused_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return int(listener.getsockname()[1])


def test_a_200_is_no_fault(answering: Answering) -> None:
    assert find_fault(answering(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")) is None


@pytest.mark.parametrize(
    "reply",
    [
        b"HTTP/1.1 503 Service Unavailable\r\n\r\n",
        b"HTTP/1.1 2000 OK\r\n\r\n",
        b"\r\nHTTP/1.1 200 OK\r\n\r\n",
        b"200\r\n",
        b"",
        b"x" * 300,
    ],
    ids=["draining", "other status", "leading line", "no protocol", "closed at once", "endless line"],
)
def test_anything_else_is_a_fault(answering: Answering, reply: bytes) -> None:
    fault = find_fault(answering(reply))
    assert fault is not None
    assert fault.endswith("expected a 200")


def test_asks_for_the_path_it_was_given(answering: Answering) -> None:
    port = answering(b"<request>\r\n\r\n")
    assert find_fault(port, "/_proxy/healthz") == (
        f"GET /_proxy/healthz on port {port}: got 'GET /_proxy/healthz HTTP/1.1', expected a 200"
    )


def test_nobody_listening_is_a_fault() -> None:
    port = _unused_port()
    assert "refused" in str(find_fault(port))


def test_a_service_that_does_not_answer_is_a_fault() -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        assert "timed out" in str(find_fault(silent.getsockname()[1], timeout_s=0.05))


@pytest.mark.parametrize("arguments", [[], ["http"], ["1", "/a", "/b"], ["-1"]])
def test_bad_arguments_end_with_status_2(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert main(arguments) == 2
    assert capsys.readouterr().err.startswith("usage: ")


def test_as_a_program_it_says_the_fault_and_ends_with_status_1() -> None:
    command = [sys.executable, "-m", "shared.runtime.probe", str(_unused_port())]
    ended = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (ended.returncode, ended.stderr) == (1, "")
    assert ended.stdout.startswith("GET /healthz on port ")


def test_as_a_program_it_ends_with_status_0_for_a_200(answering: Answering) -> None:
    command = [sys.executable, "-m", "shared.runtime.probe", str(answering(b"HTTP/1.1 200 OK\r\n\r\n"))]
    assert subprocess.run(command, capture_output=True, check=False).returncode == 0
