"""What can be set about a peer: its flags, their variables, defaults and units, and what must fit together."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from shared.runtime.settings import (
    CommonSettings,
    parse_base_url,
    parse_duration_between,
    parse_host,
    parse_on_off,
    parse_path,
    parse_peer_id,
    parse_port,
    setting,
)
from shared.runtime.tracker_tls import TRACKER_CA_HELP, find_tracker_mistakes

MIN_TTL_S = 1
MAX_TTL_S = 86_400


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings(CommonSettings):
    """The settings of one peer."""

    server_ip: str = setting(
        "127.0.0.1", parse_host, flag="ip", help="address to listen on, API and links; 0.0.0.0 or :: for every one"
    )
    peer_id: str = setting("p1", parse_peer_id, help="id of this peer, unique among all")
    api_port: int = setting(7510, parse_port, help="TCP port of the HTTP API")
    p2p_port: int = setting(7010, parse_port, help="TCP port for links of other peers; 0 lets the system choose")
    tracker: str | None = setting(
        None, parse_base_url, help="address of the tracker, which tells where other peers are"
    )
    tracker_ca: Path | None = setting(None, parse_path, help=TRACKER_CA_HELP)
    register: bool = setting(False, parse_on_off, is_switch=True, help="have the tracker list this peer")
    advertise: str | None = setting(
        None, parse_host, help="host or address that the tracker tells others; else --ip, or where it hears us from"
    )
    ttl: float = setting(
        60.0, parse_duration_between(MIN_TTL_S, MAX_TTL_S), help="lease at the tracker without a heartbeat", unit="s"
    )
    data_dir: Path = setting(Path("var"), parse_path, help="folder of the database PEER_ID.db")


def check_settings(settings: Settings) -> Iterator[str]:
    """What is wrong between settings that are right by themselves."""
    yield from find_tracker_mistakes(settings.tracker, settings.tracker_ca)
    if settings.register and settings.tracker is None:
        yield "--register: got no --tracker, expected the address of the tracker to register with"
    if settings.api_port == 0:
        yield "--api-port: got '0', expected a port 1–65535: others must know it"
    if settings.api_port == settings.p2p_port:
        yield f"--p2p-port: got '{settings.p2p_port}', which is --api-port as well; expected two ports"
