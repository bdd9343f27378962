"""The flags of a peer, and what the tracker is told because of them."""

import pytest

from services.peer.app import describe_openness, make_lease
from services.peer.handlers import Presence
from services.peer.settings import Settings, check_settings
from shared.runtime.settings import SettingsError, parse_settings


def parse(*flags: str, **environ: str) -> Settings:
    return parse_settings(Settings, flags, environ, "peer", "", check_settings)


def presence(settings: Settings, *, is_keyed: bool = False) -> Presence:
    return Presence("p1", settings.server_ip, settings.api_port, 7010, settings.tracker, is_keyed)


def test_the_command_of_the_contract_is_understood() -> None:
    words = "--peer-id p1 --p2p-port 7010 --api-port 7510 --register --tracker http://127.0.0.1:9000 --ttl 180"
    settings = parse(*words.split())
    assert (settings.peer_id, settings.p2p_port, settings.api_port, settings.ttl) == ("p1", 7010, 7510, 180)
    assert (settings.register, settings.tracker, settings.server_ip) == (True, "http://127.0.0.1:9000", "127.0.0.1")


def test_each_flag_has_its_variable() -> None:
    settings = parse(
        WEAPROUS_IP="0.0.0.0", WEAPROUS_PEER_ID="p7", WEAPROUS_DATA_DIR="/data", WEAPROUS_ADVERTISE="peer7"
    )
    assert (settings.server_ip, settings.peer_id, str(settings.data_dir)) == ("0.0.0.0", "p7", "/data")
    assert settings.advertise == "peer7"


MISTAKES: list[tuple[str, str]] = [
    ("--register", "--register: got no --tracker, expected the address of the tracker to register with"),
    ("--api-port 0", "--api-port: got '0', expected a port 1–65535: others must know it"),
    ("--api-port 7010", "--p2p-port: got '7010', which is --api-port as well; expected two ports"),
    ("--ttl 100000", "--ttl: got '100000', expected seconds from 1 to 86400, or a number with ms, s, m, h or d"),
    ("--peer-id a.b", "--peer-id: got 'a.b', expected 1–63 characters of A–Z a–z 0–9 _ -"),
]


@pytest.mark.parametrize(("flags", "problem"), MISTAKES)
def test_a_mistake_is_named(flags: str, problem: str) -> None:
    with pytest.raises(SettingsError) as caught:
        parse(*flags.split())
    assert caught.value.problems == [problem]


@pytest.mark.parametrize(
    ("flags", "host"), [("", "127.0.0.1"), ("--ip 0.0.0.0", None), ("--ip 0.0.0.0 --advertise peer1", "peer1")]
)
def test_the_tracker_is_told_an_address_that_others_can_use(flags: str, host: str | None) -> None:
    settings = parse(*flags.split())
    lease = make_lease(settings, presence(settings))
    assert lease.get("ip") == host
    assert (lease["port"], lease["roles"], lease["channels"]) == (7510, ["p2p"], ["chat"])
    assert lease["meta"] == {"api_port": 7510, "p2p_port": 7010}


def test_a_keyless_peer_that_others_reach_says_so_with_its_own_flags() -> None:
    local, public = parse(), parse("--ip", "0.0.0.0")
    assert describe_openness(local, presence(local)) is None
    assert describe_openness(public, presence(public, is_keyed=True)) is None
    warning = describe_openness(public, presence(public))
    assert warning is not None
    assert "7510 and 7010 of 0.0.0.0" in warning
    assert "--ip 127.0.0.1" in warning
