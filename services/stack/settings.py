"""What `python -m services` can be told. What follows from it is in `plan`."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from shared.runtime.settings import (
    parse_choice,
    parse_duration_between,
    parse_host,
    parse_int_between,
    parse_on_off,
    parse_path,
    setting,
)

HIGHEST_PORT = 65_535
# Base ports of design §4; `--port-offset` is added to each.
PROXY_PORT, FIRST_BACKEND_PORT, TRACKER_PORT = 8080, 8000, 9000
PEER_API_PORT, PEER_TCP_PORT = 7509, 7009  # peer N has base + N


@dataclass(frozen=True, slots=True, kw_only=True)
class StackSettings:
    """How many processes, where they listen, and where they keep what they own."""

    backends: int = setting(3, parse_int_between(1, 50), help="backends behind the proxy, on ports 8000, 8001 …")
    peers: int = setting(3, parse_int_between(0, 50), help="chat peers p1, p2 …, on ports 7510 … and 7010 …")
    port_offset: int = setting(0, parse_int_between(-6000, 56_000), help="is added to every port")
    var_dir: Path = setting(Path("var"), parse_path, help="folder of messages, keys, users and proxy.conf")
    server_ip: str = setting(
        "127.0.0.1", parse_host, help="address that the proxy listens on; all others stay on 127.0.0.1"
    )
    log_level: str = setting(
        "info",
        parse_choice("debug", "info", "warning", "error"),
        help="events below this level are not written",
    )
    log_format: str = setting("text", parse_choice("text", "json"), help="lines for people, or one JSON object each")
    access_log: bool = setting(True, parse_on_off, help="one line for each request")
    drain_s: float = setting(
        10.0, parse_duration_between(0, 3600), help="time to end what was begun after SIGTERM", unit="s"
    )

    @property
    def is_local(self) -> bool:
        """Only this machine reaches the proxy."""
        return self.server_ip in ("localhost", "::1") or self.server_ip.startswith("127.")


def find_conflicts(settings: StackSettings) -> Iterator[str]:
    """What is wrong between settings that are right by themselves."""
    highest = max(TRACKER_PORT, FIRST_BACKEND_PORT + settings.backends - 1) + settings.port_offset
    if highest > HIGHEST_PORT:
        yield f"--port-offset: got {settings.port_offset}, expected at most {HIGHEST_PORT - TRACKER_PORT}"
    lowest = PEER_TCP_PORT + settings.port_offset
    if lowest < 1:
        yield f"--port-offset: got {settings.port_offset}, expected at least {1 - PEER_TCP_PORT}"
