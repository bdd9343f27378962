"""Listening, and the words when it can't be."""

import errno
import resource
import socket

import pytest

from shared.runtime.errors import StartupError
from shared.runtime.listening import (
    describe_openness,
    explain_bind_error,
    is_loopback,
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


@pytest.mark.parametrize(
    ("ip", "expected"), [("127.0.0.1", True), ("127.9.9.9", True), ("::1", True), ("0.0.0.0", False), ("::", False)]
)
def test_loopback_is_told_from_the_rest(ip, expected):
    assert is_loopback(ip) is expected


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
