"""Flags, variables and mistakes of a settings class."""

import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest

from shared.runtime.settings import (
    REQUIRED,
    CommonSettings,
    SettingsError,
    exit_on_settings_error,
    parse_host,
    parse_on_off,
    parse_origin,
    parse_path,
    parse_peer_id,
    parse_port,
    parse_settings,
    setting,
    setting_specs,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings(CommonSettings):
    server_ip: str = setting("127.0.0.1", parse_host, help="address to listen on", flag="ip")
    server_port: int = setting(9000, parse_port, help="TCP port to listen on")
    register: bool = setting(False, parse_on_off, help="register with the tracker", is_switch=True)
    ui_connect: tuple[str, ...] = setting((), parse_origin, help="more origins", is_repeatable=True)
    data_dir: Path = setting(Path("var"), parse_path, help="folder of the database")


@dataclass(frozen=True, slots=True, kw_only=True)
class WithRequired:
    peer_id: str = setting(REQUIRED, parse_peer_id, help="who it is")


def parse(*argv, check=lambda _: (), environ=None, settings_type=Settings):
    return parse_settings(settings_type, argv, environ or {}, "python -m x", "A service.", check)


def problems_of(*argv, **how):
    with pytest.raises(SettingsError) as caught:
        parse(*argv, **how)
    return caught.value.problems


def test_without_flags_and_variables_every_default_holds():
    assert parse() == Settings()


@pytest.mark.parametrize("argv", [("--server-port", "8000"), ("--server-port=8000",)])
def test_a_flag_takes_its_value_after_a_space_or_an_equals_sign(argv):
    assert parse(*argv).server_port == 8000


def test_a_variable_sets_what_no_flag_sets():
    environ = {"WEAPROUS_SERVER_PORT": "8000", "WEAPROUS_IP": "::1", "WEAPROUS_REGISTER": "on"}
    settings = parse(environ=environ)
    assert (settings.server_port, settings.server_ip, settings.register) == (8000, "::1", True)


def test_a_flag_wins_over_its_variable_even_over_a_bad_one():
    assert parse("--server-port", "1", environ={"WEAPROUS_SERVER_PORT": "x"}).server_port == 1


def test_an_empty_variable_is_no_variable():
    assert parse(environ={"WEAPROUS_KEYS_DIR": "", "WEAPROUS_SERVER_PORT": ""}) == Settings()


def test_of_a_flag_given_twice_the_last_one_wins():
    assert parse("--server-port", "1", "--server-port", "2").server_port == 2


def test_a_switch_needs_no_value_and_takes_one_after_an_equals_sign():
    assert parse("--register").register is True
    assert parse("--register=off").register is False
    assert parse("--register", "--server-port", "5").server_port == 5


def test_a_repeatable_flag_collects_values_also_between_commas():
    settings = parse("--ui-connect", "http://a,http://b", "--ui-connect=http://c:81")
    assert settings.ui_connect == ("http://a", "http://b", "http://c:81")
    assert parse(environ={"WEAPROUS_UI_CONNECT": "http://a, http://b"}).ui_connect == ("http://a", "http://b")


def test_every_mistake_is_told_at_once_with_its_source_what_came_and_what_was_expected():
    problems = problems_of(
        "--server-port",
        "abc",
        "--sever-port",
        "80",
        "stray",
        "--log-level",
        "--ui-connect",
        "http://ok,nope",
        environ={"WEAPROUS_DRAIN_S": "soon"},
    )
    assert problems == [
        "--sever-port: there is no such flag; did you mean --server-port?",
        "got 'stray', expected a flag (they start with --)",
        "--log-level: got no value, expected debug | info | warning | error",
        "--server-port: got 'abc', expected a port 0–65535",
        "--ui-connect: got 'nope', expected an origin like https://chat.example",
        "WEAPROUS_DRAIN_S: got 'soon', expected seconds from 0 to 3600, or a number with ms, s, m, h or d",
    ]


def test_an_unknown_flag_far_from_any_other_gets_no_hint():
    assert problems_of("--zzz=1") == ["--zzz: there is no such flag"]


def test_flags_are_not_abbreviated():
    assert problems_of("--server", "1")[0].startswith("--server: there is no such flag")


def test_what_came_is_shown_bounded_and_without_control_characters():
    (problem,) = problems_of("--server-port", "\x1b[31m" + "x" * 500)
    assert "\x1b" not in problem
    assert "\\x1b[31m" in problem
    assert len(problem) < 200


def test_a_required_setting_that_is_missing_is_a_mistake():
    assert problems_of(settings_type=WithRequired) == [
        "--peer-id: got nothing, expected 1–63 characters of A–Z a–z 0–9 _ -"
    ]
    assert parse("--peer-id", "p1", settings_type=WithRequired).peer_id == "p1"


def test_the_check_between_settings_runs_only_when_each_is_right():
    def check(settings):
        if settings.register and settings.server_port == 0:
            yield "--register: got port 0, expected a port that others can reach"

    assert problems_of("--register", "--server-port", "0", check=check) == [
        "--register: got port 0, expected a port that others can reach"
    ]
    assert len(problems_of("--register", "--server-port", "x", check=check)) == 1


def test_flags_and_variables_follow_from_the_names_of_fields():
    specs = setting_specs(Settings)
    assert specs["drain_s"].flag == "--drain-s"
    assert specs["drain_s"].variable == "WEAPROUS_DRAIN_S"
    assert specs["server_ip"].flag == "--ip"
    assert list(specs)[:2] == ["server_port", "register"], "the service's own come first"


def test_a_mistake_ends_the_process_with_status_2_and_a_line_each(capsys):
    with pytest.raises(SystemExit) as caught:
        exit_on_settings_error(Settings, ["--server-port", "abc", "--x"], {}, "python -m x", "A service.")
    assert caught.value.code == 2
    assert capsys.readouterr().err.splitlines() == [
        "python -m x: error: --x: there is no such flag",
        "python -m x: error: --server-port: got 'abc', expected a port 0–65535",
        "Try 'python -m x --help'.",
    ]


@pytest.mark.parametrize("flag", ["--help", "-h"])
def test_help_names_each_flag_with_default_unit_and_variable_and_exits_0(flag, capsys):
    with pytest.raises(SystemExit) as caught:
        parse("--server-port", "nonsense", flag)
    assert caught.value.code == 0
    text = " ".join(capsys.readouterr().out.split())
    assert "--drain-s SECONDS" in text
    assert "default 10 s; WEAPROUS_DRAIN_S" in text
    assert "--access-log on|off" in text
    assert "default 9000; WEAPROUS_SERVER_PORT" in text
    for spec in setting_specs(Settings).values():
        assert spec.flag in text
        assert spec.variable in text


def test_importing_settings_does_not_import_what_only_help_and_mistakes_need():
    late = ("argparse", "difflib", "textwrap", "shutil")
    code = f"import sys, shared.runtime.settings; print([name for name in {late} if name in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=30)
    assert done.stdout.strip() == "[]", done.stderr
