"""The runner's own reader of replies, against servers made of a script."""

import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest

from conformance.case import Case, get
from conformance.wire import PROBE, PROBE_BODY, Target, run_case

OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"
PROBED = b"HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\n" + PROBE_BODY
BEHIND = b"HTTP/1.1 405 No\r\nServer: x\r\nAllow: GET\r\nContent-Length: 0\r\n\r\n"


@contextmanager
def scripted_server(*answers: bytes, closes: bool = False) -> Iterator[int]:
    """Gives one answer to each request on its one connection, then closes it or waits for the client's end."""

    def serve() -> None:
        sock, _ = listener.accept()
        with sock:
            for answer in answers:
                received = b""
                while b"\r\n\r\n" not in received:
                    received += sock.recv(4096)
                sock.sendall(answer)
            if not closes:
                while sock.recv(4096):
                    pass

    with socket.create_server(("127.0.0.1", 0)) as listener:
        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        yield listener.getsockname()[1]
        thread.join(5)


def outcome(make: Callable[[], Case], *answers: bytes, closes: bool = False, has_server_behind: bool = False) -> str:
    with scripted_server(*answers, closes=closes) as port:
        return run_case(Target(port, patience_s=0.5, has_server_behind=has_server_behind), make())


def case(right: str = "200", *, shows: str = "") -> Callable[[], Case]:
    return lambda: Case("a case", "9112 §3", get(), "a rule", right, shows=shows)


@pytest.mark.parametrize(
    ("answers", "closes", "expected"),
    [
        ((OK, PROBED), False, "200"),
        ((OK,), True, "200 ×"),
        ((b"",), True, "— ×"),
        ((OK + OK, PROBED), False, "200 200"),
        ((OK * 7, PROBED), False, "7·200"),
        ((OK,), False, "200 …"),
        ((b"hello\n",), True, "no HTTP/1 ×"),
        ((b"HTTP/1.1 200 OK\r\n\r\nto the end",), True, "200 ×"),
        ((b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n", PROBED), False, "200"),
        ((b"HTTP/1.1 100 Continue\r\n\r\n" + OK, PROBED), False, "100 200"),
        ((b"HTTP/1.1 304 Not Modified\r\nContent-Length: 2\r\n\r\n", PROBED), False, "304"),
    ],
)
def test_an_outcome_is_the_statuses_and_what_became_of_the_connection(
    answers: tuple[bytes, ...], closes: bool, expected: str
) -> None:
    assert outcome(case(), *answers, closes=closes) == expected


def test_the_field_that_belongs_to_the_outcome_stands_in_brackets() -> None:
    assert outcome(case("405", shows="Allow"), BEHIND, PROBED) == "405 (GET)"


def test_a_refusal_from_the_server_behind_is_marked() -> None:
    assert outcome(case("405"), BEHIND, PROBED, has_server_behind=True) == "405¹"


def test_the_probe_is_a_request_like_any_other() -> None:
    assert get("/probe") == PROBE
