"""The look of `--help`."""

from dataclasses import dataclass

from shared.runtime.settings import (
    REQUIRED,
    parse_choice,
    parse_duration_s,
    parse_on_off,
    parse_port,
    setting,
    setting_specs,
)
from shared.runtime.settings_help import render_help


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    api_port: int = setting(REQUIRED, parse_port, help="port of the HTTP API")
    ttl: float = setting(180.0, parse_duration_s, help="lease", unit="s")
    look: str | None = setting(None, parse_choice("dark", "light"), help="look")
    register: bool = setting(False, parse_on_off, help="register", is_switch=True)


def test_each_flag_shows_what_it_takes_its_default_and_its_variable():
    text = render_help("python -m x", "A service.", setting_specs(Settings).values(), 80)
    assert text == (
        "usage: python -m x [--flag VALUE …]\n"
        "\n"
        "A service.\n"
        "\n"
        "  --api-port PORT\n"
        "      port of the HTTP API (required; WEAPROUS_API_PORT)\n"
        "  --ttl SECONDS\n"
        "      lease (default 180 s; WEAPROUS_TTL)\n"
        "  --look dark|light\n"
        "      look (default none; WEAPROUS_LOOK)\n"
        "  --register\n"
        "      register (default off; WEAPROUS_REGISTER)\n"
        "  --help\n"
        "      print this\n"
        "\n"
        "Each flag has the environment variable named beside it; a flag wins. A mistake:\n"
        "exit status 2.\n"
    )


def test_no_line_is_wider_than_asked():
    text = render_help("python -m x", "Word " * 60, setting_specs(Settings).values(), 60)
    assert max(map(len, text.splitlines())) <= 60
