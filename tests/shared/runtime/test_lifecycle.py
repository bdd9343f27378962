"""A real process from start to end: what it says, when it stops serving, and with which status it ends."""

import json
import re
import signal
import socket
import threading
from contextlib import closing, suppress

import pytest
import requests
from websockets.exceptions import ConnectionClosed
from websockets.sync.client import connect as connect_websocket

from tests.processes import wait_until

TINY = "tests.shared.runtime.tiny_service"
SAID = re.compile(r"^said (.+)$", re.MULTILINE)


def open_connection(service, target, headers=""):
    """A socket on which a request was sent."""
    connection = socket.create_connection(("127.0.0.1", service.port), timeout=20)
    connection.sendall(f"GET {target} HTTP/1.1\r\nHost: localhost\r\n{headers}\r\n".encode())
    return connection


def read_until(connection, wanted):
    data = b""
    while wanted not in data:
        part = connection.recv(65536)
        assert part, f"the connection ended after {data!r}, expected {wanted!r}"
        data += part
    return data


def read_to_end(connection):
    data = b""
    with suppress(ConnectionResetError):
        while part := connection.recv(65536):
            data += part
    return data


def is_refused(service):
    try:
        socket.create_connection(("127.0.0.1", service.port), timeout=5).close()
    except ConnectionRefusedError:
        return True
    return False


# --- the start ----------------------------------------------------------------------------------------------------


def test_health_and_metrics_are_there(start_service):
    service = start_service(TINY)
    assert requests.get(service.url + "/healthz", timeout=5).text == "ok"
    answer = requests.get(service.url + "/metrics", timeout=5)
    assert answer.headers["Content-Type"] == "text/plain; version=0.0.4; charset=utf-8"
    assert 'weaprous_build_info{service="tiny"' in answer.text
    assert "weaprous_draining 0" in answer.text
    assert "weaprous_http_requests_total" in answer.text


def test_a_request_is_logged_with_its_id_and_without_secrets(start_service):
    service = start_service(TINY, "--log-format", "json")
    answer = requests.get(service.url + "/pid?token=swordfish", timeout=5)
    wait_until(lambda: "/pid" in service.output, why="the access line")
    events = [json.loads(line) for line in service.output.splitlines() if line.startswith("{")]
    (event,) = [event for event in events if event["message"] == "access"]
    assert event["request_id"] == answer.headers["X-Request-Id"]
    assert event["target"] == "/pid?token=***"
    assert (event["status"], event["bytes"]) == (200, len(answer.content))


def test_a_port_in_use_is_one_line_and_status_2(start_service):
    first = start_service(TINY)
    second = start_service(TINY, "--server-port", str(first.port), wait=False)
    assert second.wait() == 2
    assert second.output == f"tiny: port {first.port} on 127.0.0.1 is already in use\n"


def test_an_error_of_the_start_is_one_line_and_status_2_and_callbacks_still_run(start_service):
    service = start_service(TINY, "--fail-start", wait=False)
    assert service.wait() == 2
    assert "tiny: the cupboard is bare\n" in service.output
    assert "Traceback" not in service.output
    assert SAID.findall(service.output) == ["stop last registered", "stop first registered"]


def test_a_key_that_is_no_key_is_one_line_and_status_2(start_service, tmp_path):
    key = tmp_path / "tracker"
    key.write_text("x" * 64)
    key.chmod(0o644)
    service = start_service(TINY, "--keys-dir", str(tmp_path), wait=False)
    assert service.wait() == 2
    assert f"tiny: key file {key}: got mode 0644, expected 0600" in service.output
    assert "x" * 64 not in service.output


def test_a_mistake_in_build_is_a_traceback_in_the_log_and_status_1(start_service):
    service = start_service(TINY, "--crash-start", wait=False)
    assert service.wait() == 1
    assert "    | RuntimeError: a mistake in build" in service.output


def test_a_keyless_service_says_so_in_one_line(start_service):
    service = start_service(TINY)
    assert service.output.count("no --keys-dir: this tiny is open to every program") == 1


def test_a_keyless_service_on_every_address_says_so_louder(start_service):
    service = start_service(TINY, "--server-ip", "0.0.0.0")
    assert service.output.count("NO --keys-dir, AND NOT ONLY ON LOOPBACK") == 1


def test_a_service_with_keys_says_nothing_of_openness(start_service, tmp_path):
    key = tmp_path / "tracker"
    key.write_text("x" * 64)
    key.chmod(0o600)
    assert "keys-dir" not in start_service(TINY, "--keys-dir", str(tmp_path)).output


def test_a_background_task_that_fails_is_logged_by_name(start_service):
    service = start_service(TINY)
    wait_until(lambda: "a background task failed task=fail" in service.output, why="the failure")
    assert "    | RuntimeError: the task's own mistake" in service.output
    assert service.is_running


def test_a_handler_that_holds_the_loop_is_named(start_service):
    service = start_service(TINY)
    requests.get(service.url + "/hold?s=0.1", timeout=5)
    wait_until(lambda: "handle_hold" in service.output, why="the warning")
    assert re.search(
        r"WARNING tiny a handler held the event loop; .*handler=\S*handle_hold held_ms=1\d\d", service.output
    )


# --- the end ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_the_drain_ends_everything_in_its_order(start_service, number):
    service = start_service(TINY, "--drain-s", "10")
    with (
        closing(open_connection(service, "/pid")) as idle,
        closing(open_connection(service, "/until-drain")) as waiting,
        closing(open_connection(service, "/stream")) as stream,
        connect_websocket(f"ws://127.0.0.1:{service.port}/ws") as websocket,
    ):
        read_until(idle, b'"worker":null}')
        read_until(stream, b"first")
        websocket.send("hello")
        assert websocket.recv() == "hello"

        service.send_signal(number)

        assert idle.recv(1) == b"", "an idle connection is closed"
        reply = read_to_end(waiting)
        assert b"connection: close" in reply.lower()
        assert reply.endswith(b"drained")
        assert read_to_end(stream).endswith(b"last\n\r\n0\r\n\r\n")
        with pytest.raises(ConnectionClosed) as closed:
            websocket.recv()
        assert closed.value.rcvd.code == 1001
        answer = requests.get(service.url + "/healthz", timeout=5)
        assert (answer.status_code, answer.text) == (503, "draining"), "new connections are still served"
        assert answer.headers["Connection"] == "close"
        wait_until(lambda: is_refused(service), why="the listener to close")
    assert service.wait() == 0
    assert SAID.findall(service.output) == [
        "building",
        "drain",
        "task ended",
        "stop last registered",
        "stop first registered",
    ]
    assert "target=/until-drain status=200" in service.output, "the last access lines are written too"


def test_what_does_not_end_is_cut_when_time_is_over_and_counted(start_service):
    service = start_service(TINY, "--drain-s", "1")
    with closing(open_connection(service, "/never")) as connection:
        wait_until(lambda: "weaprous_connections 2" in requests.get(service.url + "/metrics", timeout=5).text)
        service.send_signal(signal.SIGTERM)
        assert read_to_end(connection) == b""
        assert service.wait() == 0
    assert "connections were cut when the time to drain was over count=1" in service.output


def test_a_connection_made_while_draining_that_asks_nothing_holds_up_nothing(start_service):
    service = start_service(TINY, "--drain-s", "600")
    service.send_signal(signal.SIGTERM)
    wait_until(lambda: "said drain" in service.output)
    with socket.create_connection(("127.0.0.1", service.port), timeout=20) as silent:
        assert service.wait() == 0
        assert silent.recv(1) == b""


@pytest.mark.parametrize(("number", "status"), [(signal.SIGTERM, 143), (signal.SIGINT, 130)])
def test_a_second_signal_ends_at_once(start_service, number, status):
    service = start_service(TINY, "--drain-s", "600")
    with closing(open_connection(service, "/never")):
        service.send_signal(signal.SIGTERM)
        wait_until(lambda: "said drain" in service.output)
        service.send_signal(number)
        assert service.wait() == status
    assert f"tiny: a second {signal.Signals(number).name}: ended at once" in service.output


def test_a_second_signal_ends_at_once_even_while_a_handler_holds_the_loop(start_service):
    service = start_service(TINY, "--drain-s", "600")
    with closing(open_connection(service, "/pid")) as connection:
        read_until(connection, b'"worker":null}')
        connection.sendall(b"GET /hold?s=600 HTTP/1.1\r\nHost: localhost\r\n\r\n")
        asked = threading.Thread(target=lambda: read_to_end(connection))
        asked.start()
        wait_until(lambda: has_cpu_stopped(service), why="the handler to hold the loop")
        service.send_signal(signal.SIGTERM)
        service.send_signal(signal.SIGINT)
        assert service.wait() in (130, 143)
        asked.join()


def has_cpu_stopped(service):
    """Nobody is answered any more."""
    try:
        requests.get(service.url + "/healthz", timeout=0.5)
    except requests.Timeout:
        return True
    return False


def test_a_held_loop_does_not_outlive_the_time_to_drain(start_service):
    service = start_service(TINY, "--drain-s", "0.5")
    with closing(open_connection(service, "/hold?s=600")):
        wait_until(lambda: has_cpu_stopped(service), why="the handler to hold the loop")
        service.send_signal(signal.SIGTERM)
        assert service.wait() == 1
    assert "not ended 1 s after --drain-s: something holds the process" in service.output


def test_a_thread_that_hangs_does_not_keep_the_process(start_service):
    service = start_service(TINY, "--drain-s", "1")
    with closing(open_connection(service, "/thread")):
        wait_until(lambda: "weaprous_connections 2" in requests.get(service.url + "/metrics", timeout=5).text)
        service.send_signal(signal.SIGTERM)
        assert service.wait() == 0
    assert "still works; ended without it" in service.output


def test_a_signal_during_build_ends_the_start(start_service):
    service = start_service(TINY, "--build-s", "600", wait=False)
    wait_until(lambda: "said building" in service.output, why="build to begin")
    service.send_signal(signal.SIGTERM)
    assert service.wait() == 0
    assert "listening" not in service.output
    assert "said stop first registered" in service.output


def test_a_service_may_end_itself_with_a_status(start_service):
    service = start_service(TINY, "--drain-s", "0")
    requests.get(service.url + "/stop", timeout=5)
    assert service.wait() == 3
    assert "said stop first registered" in service.output


def test_connections_over_the_limit_are_refused_and_counted(start_service):
    service = start_service(TINY, "--max-connections-per-client", "1")

    def refusal():
        with (
            closing(open_connection(service, "/stream")),
            closing(open_connection(service, "/pid", "Connection: close\r\n")) as second,
        ):
            reply = read_to_end(second)
        return reply if reply.startswith(b"HTTP/1.1 503 ") else None

    assert b"\r\nRetry-After: 1\r\n" in wait_until(refusal, why="one of two connections to be refused")

    def metrics():
        answer = requests.get(service.url + "/metrics", timeout=5)
        return answer.text if answer.status_code == 200 else None

    text = wait_until(metrics, why="a place for the one who asks for metrics")
    assert re.search(r"^weaprous_connections_refused_total [1-9]", text, re.MULTILINE)
    assert service.output.count("connections are refused with 503: 127.0.0.1 has 1 connections open") == 1
