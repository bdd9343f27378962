"""How the proxy starts, or says why not."""

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from services.proxy.settings import Settings, find_conflicts
from shared.runtime.settings import parse_settings
from tests.processes import ROOT, service_environment


def run(*flags: str, **env: str) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        [sys.executable, "-m", "services.proxy", *flags],
        cwd=ROOT,
        env=service_environment(**env),
        capture_output=True,
        text=True,
        timeout=30,
    )


def test_test_config_says_ok(tmp_path: Path) -> None:
    path = tmp_path / "a.conf"
    path.write_text("host a { proxy_pass http://127.0.0.1:1; }")
    done = run("--test-config", str(path))
    assert (done.returncode, done.stdout, done.stderr) == (0, f"{path}: ok\n", "")


def test_test_config_warns_of_what_is_odd_and_of_names_nobody_knows(tmp_path: Path) -> None:
    path = tmp_path / "a.conf"
    path.write_text("pool p {\n  server no.such.name.invalid:80 resolve;\n}\nhost a { return 204; }\n")
    done = run("--test-config", str(path))
    assert (done.returncode, done.stderr) == (0, "")
    unused, unknown, ok = done.stdout.splitlines()
    assert unused == f'{path}:1:6: warning: nothing is passed to the pool "p"'
    assert unknown.startswith(f'{path}:2:10: warning: the name "no.such.name.invalid" can\'t be looked up here: ')
    assert ok == f"{path}: ok"


def test_test_config_names_every_mistake_with_its_place(tmp_path: Path) -> None:
    path = tmp_path / "a.conf"
    path.write_text('host "a" {\n  proxy_pas http://b:1;\n  policy rnd;\n}\n')
    done = run("--test-config", str(path))
    assert done.returncode == 2
    assert done.stdout.splitlines() == [
        f'{path}:2:3: there is no directive "proxy_pas" (did you mean "proxy_pass"?)',
        f'{path}:3:10: got "rnd", expected one of round-robin, least-connection, random, least-load, ip-hash'
        ' (did you mean "random"?)',
    ]


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("host a { proxy_pass http://b:1 }", "{path}:1:31: expected ';' after \"http://b:1\", got '}}'"),
        (None, "{path}:1:1: can't be read: No such file or directory"),
    ],
)
def test_a_configuration_that_can_t_be_used_ends_the_start_with_one_line(
    tmp_path: Path, text: str | None, line: str
) -> None:
    path = tmp_path / "a.conf"
    if text is not None:
        path.write_text(text)
    done = run("--config", str(path), "--server-port", "0")
    assert (done.returncode, done.stderr) == (2, "proxy: " + line.format(path=path) + "\n")


def test_a_port_in_use_is_named(start_service: Any, tmp_path: Path) -> None:
    proxy = start_service("services.proxy")
    done = run("--server-port", str(proxy.port))
    assert (done.returncode, done.stderr) == (2, f"proxy: port {proxy.port} on 127.0.0.1 is already in use\n")


def test_keys_without_users_and_an_unknown_flag_are_refused(tmp_path: Path) -> None:
    done = run("--keys-dir", str(tmp_path))
    assert done.returncode == 2
    assert "--users-file: got nothing, expected the users file that goes with --keys-dir" in done.stderr
    done = run("--confg", "x")
    assert done.returncode == 2
    assert "--confg" in done.stderr


def test_a_key_that_is_missing_ends_the_start_with_one_line(tmp_path: Path) -> None:
    done = run("--keys-dir", str(tmp_path), "--users-file", str(tmp_path / "users.json"), "--server-port", "0")
    assert done.returncode == 2
    assert done.stderr.startswith("proxy: key file ")
    assert done.stderr.count("\n") == 1


def test_defaults_and_environment() -> None:
    settings = parse_settings(Settings, [], {}, "p", "d", check=find_conflicts)
    assert (settings.server_port, str(settings.config), settings.tracker) == (8080, "services/proxy/proxy.conf", None)
    settings = parse_settings(Settings, [], {"WEAPROUS_CONFIG": "x", "WEAPROUS_TRACKER": "http://t:9"}, "p", "d")
    assert (str(settings.config), settings.tracker) == ("x", "http://t:9")
