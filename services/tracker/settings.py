"""What can be set about the tracker: its flags, their variables, defaults and units."""

from dataclasses import dataclass
from pathlib import Path

from shared.runtime.settings import (
    CommonSettings,
    parse_int_between,
    parse_path,
    parse_port,
    setting,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings(CommonSettings):
    """The settings of one tracker."""

    server_port: int = setting(9000, parse_port, help="TCP port to listen on; 0 lets the system choose")
    max_peers: int = setting(
        10_000, parse_int_between(1, 1_000_000), help="peers in the table; one more is refused", unit="peers"
    )
    max_watchers: int = setting(10_000, parse_int_between(1, 100_000), help="watches at the same time", unit="watches")
    snapshot: Path | None = setting(
        None, parse_path, help="file that keeps the table over a restart; without it peers register again"
    )
