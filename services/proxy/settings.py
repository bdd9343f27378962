"""What can be set about the proxy: its flags, their variables, defaults and units. Rules are in
`proxy.conf`.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from shared.runtime.settings import (
    CommonSettings,
    parse_base_url,
    parse_duration_between,
    parse_path,
    parse_port,
    setting,
)
from shared.runtime.tracker_tls import TRACKER_CA_HELP, find_tracker_mistakes

MAX_HSTS_S = 10 * 366 * 86_400
DEFAULT_CONFIG = Path("services/proxy/proxy.conf")


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings(CommonSettings):
    """The settings of one proxy."""

    server_port: int = setting(8080, parse_port, help="TCP port to listen on; 0 lets the system choose")
    config: Path = setting(DEFAULT_CONFIG, parse_path, help="the rules: docs/proxy-conf.md; SIGHUP reads them again")
    test_config: Path | None = setting(
        None, parse_path, help="check this file, print FILE:LINE:COL: message for each mistake, and end"
    )
    tracker: str | None = setting(
        None, parse_base_url, help="address of the tracker: opens /tracker and /peers, and tells load and draining"
    )
    tracker_ca: Path | None = setting(None, parse_path, help=TRACKER_CA_HELP)
    users_file: Path | None = setting(None, parse_path, help="the users whose sessions count; needed with --keys-dir")
    tls_port: int = setting(8443, parse_port, help="TCP port for HTTPS, once there is a certificate; 0: any free one")
    tls_certificate: tuple[Path, ...] = setting(
        (), parse_path, is_repeatable=True, help="certificate and those above it, PEM; SIGHUP reads it again"
    )
    tls_key: tuple[Path, ...] = setting(
        (), parse_path, is_repeatable=True, help="its key, PEM, where that is not in the certificate's file"
    )
    hsts: float = setting(
        0.0,
        parse_duration_between(0, MAX_HSTS_S),
        help="how long browsers shall come by HTTPS only (Strict-Transport-Security); 0: say nothing",
        unit="s",
    )


def find_conflicts(settings: Settings) -> Iterator[str]:
    """What is wrong with settings that look right by themselves."""
    if settings.keys_dir is not None and settings.users_file is None and settings.test_config is None:
        yield "--users-file: got nothing, expected the users file that goes with --keys-dir"
    if settings.tls_key and len(settings.tls_key) != len(settings.tls_certificate):
        counts = f"{len(settings.tls_key)} for {len(settings.tls_certificate)} certificates"
        yield f"--tls-key: got {counts}, expected one for each --tls-certificate, in the same order, or none"
    if settings.hsts and not settings.tls_certificate:
        yield "--hsts: got no --tls-certificate, without which there is no HTTPS"
    yield from find_tracker_mistakes(settings.tracker, settings.tracker_ca)
