"""Listening, and the words when it can't be."""

import errno
import itertools
import resource
import socket
import sys
from contextlib import ExitStack

import pytest

from shared.runtime.errors import StartupError
from shared.runtime.listening import (
    close_all,
    describe_openness,
    explain_bind_error,
    listen_for_workers,
    listen_or_explain,
    raise_file_limit,
    show_address,
)


def test_a_port_in_use_is_named():
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(StartupError) as caught:
            listen_or_explain("127.0.0.1", port)
    assert str(caught.value) == f"port {port} on 127.0.0.1 is already in use"


@pytest.mark.parametrize("count", [1, 2, 5])
def test_workers_listen_on_one_port_that_nobody_else_joins(count):
    listeners = listen_for_workers("127.0.0.1", 0, count)
    try:
        ports = {listener.getsockname()[1] for listener in listeners}
        assert len(listeners) == (count if sys.platform == "linux" else 1)
        (port,) = ports
        for second in (
            lambda: listen_for_workers("127.0.0.1", port, count),
            lambda: listen_or_explain("127.0.0.1", port),
        ):
            with pytest.raises(StartupError, match=f"^port {port} on 127.0.0.1 is already in use$"):
                second()
    finally:
        close_all(listeners)
    close_all(listen_for_workers("127.0.0.1", port, count))


def test_workers_are_told_of_a_port_that_another_has():
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(StartupError, match=f"port {port} on 127.0.0.1 is already in use"):
            listen_for_workers("127.0.0.1", port, 2)


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux spreads connections among listeners")
def test_the_system_spreads_connections_among_the_listeners():
    listeners = listen_for_workers("127.0.0.1", 0, 2)
    with ExitStack() as stack:
        for listener in listeners:
            stack.enter_context(listener)
        for _ in range(200):
            stack.enter_context(socket.create_connection(listeners[0].getsockname(), timeout=20))
        counts = [count_waiting(listener) for listener in listeners]
    assert sum(counts) == 200
    assert min(counts) >= 50, "7 standard deviations from an even split"


def count_waiting(listener):
    for count in itertools.count():
        try:
            listener.accept()[0].close()
        except BlockingIOError:
            return count
    return 0


def test_an_address_of_another_machine_is_named():
    with pytest.raises(StartupError, match=r"192\.0\.2\.1 is no address of this machine"):
        listen_or_explain("192.0.2.1", 0)


def test_a_name_without_address_is_named():
    with pytest.raises(StartupError, match=r"no address is known for 'no-such-host\.invalid'"):
        listen_or_explain("no-such-host.invalid", 0)


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (PermissionError(errno.EACCES, "Permission denied"), "ports below 1024 need a privilege"),
        (OSError(errno.EAFNOSUPPORT, "Address family not supported"), "Address family not supported"),
    ],
)
def test_other_reasons_are_told_with_port_and_address(error, words):
    text = explain_bind_error(error, "127.0.0.1", 80)
    assert "port 80 on 127.0.0.1" in text
    assert words in text


def test_a_free_port_is_chosen_and_shown():
    with listen_or_explain("127.0.0.1", 0) as listener:
        assert show_address(listener) == f"127.0.0.1:{listener.getsockname()[1]}"
        assert listener.getsockname()[1] > 0


def test_a_keyless_service_on_every_address_is_told_louder():
    with listen_or_explain("127.0.0.1", 0) as quiet, listen_or_explain("0.0.0.0", 0) as loud:
        assert describe_openness("tracker", quiet).startswith("no --keys-dir: this tracker is open to every program")
        text = describe_openness("tracker", loud)
    assert text.startswith("NO --keys-dir, AND NOT ONLY ON LOOPBACK: whoever reaches port")
    assert "0.0.0.0" in text


def test_as_many_files_may_be_open_as_the_system_allows():
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    try:
        resource.setrlimit(resource.RLIMIT_NOFILE, (min(soft, 500), hard))
        raise_file_limit()
        assert resource.getrlimit(resource.RLIMIT_NOFILE)[0] == min(hard, 65_536)
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
