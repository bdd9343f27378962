"""What can be set about a backend: its flags, their variables, defaults and units."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from services.backend.pages import NEEDED_FILES
from shared.runtime.settings import (
    CommonSettings,
    parse_base_url,
    parse_host,
    parse_int_between,
    parse_origin,
    parse_path,
    parse_port,
    setting,
)
from shared.runtime.tracker_tls import TRACKER_CA_HELP, find_tracker_mistakes


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings(CommonSettings):
    """The settings of one backend."""

    server_port: int = setting(8000, parse_port, help="TCP port to listen on; 0 lets the system choose")
    workers: int = setting(1, parse_int_between(1, 64), help="processes that share the port", unit="processes")
    users_file: Path | None = setting(
        None, parse_path, help="who may log in; without it only admin with the password `password`"
    )
    web_dir: Path = setting(Path("web"), parse_path, help="folder of the pages")
    tracker: str | None = setting(None, parse_base_url, help="address of the tracker to register with")
    tracker_ca: Path | None = setting(None, parse_path, help=TRACKER_CA_HELP)
    advertise: str | None = setting(
        None, parse_host, help="host or address that the tracker tells the proxy; without it where it hears us from"
    )
    ui_connect: tuple[str, ...] = setting(
        (), parse_origin, help="origin that the page may connect to besides its own site", is_repeatable=True
    )


def find_conflicts(settings: Settings) -> Iterator[str]:
    """What is wrong with settings that look right by themselves."""
    yield from find_tracker_mistakes(settings.tracker, settings.tracker_ca)
    try:
        missing = [name for name in NEEDED_FILES if not (settings.web_dir / name).is_file()]
    except OSError as error:
        yield f"--web-dir: can't read {settings.web_dir}: {error.strerror}"
        return
    if missing:
        yield f"--web-dir: got {str(settings.web_dir)!r}, expected a folder with {', '.join(missing)}"
