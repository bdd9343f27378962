"""What can be set about the proxy: its flags, their variables, defaults and units. Rules are in
`proxy.conf`.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from shared.runtime.settings import CommonSettings, parse_base_url, parse_path, parse_port, setting

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
    users_file: Path | None = setting(None, parse_path, help="the users whose sessions count; needed with --keys-dir")


def find_conflicts(settings: Settings) -> Iterator[str]:
    """What is wrong with settings that look right by themselves."""
    if settings.keys_dir is not None and settings.users_file is None and settings.test_config is None:
        yield "--users-file: got nothing, expected the users file that goes with --keys-dir"
    if settings.tracker is not None and settings.tracker.startswith("https:"):
        yield f"--tracker: got {settings.tracker!r}, expected http://"
