"""Which addresses only this machine reaches."""

import pytest

from shared.httpcore.loopback import is_loopback


@pytest.mark.parametrize("ip", ["127.0.0.1", "127.9.9.9", "::1", "::ffff:127.0.0.1"])
def test_this_machine_alone_reaches_them(ip):
    assert is_loopback(ip)


@pytest.mark.parametrize("ip", ["0.0.0.0", "::", "12.7.0.1", "10.0.0.1", "fe80::1%eth0", ""])
def test_others_may_reach_these(ip):
    assert not is_loopback(ip)
