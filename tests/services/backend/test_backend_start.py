"""How a backend starts and ends: keys, users, workers, flags, and what it says when it can't."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import requests

from shared.runtime.keys import make_keys
from shared.runtime.users_file import add_user, init_users_file
from tests.conftest import StartService
from tests.processes import ROOT, Service, find_free_port, service_environment, wait_until

FORM = {"username": "admin", "password": "password"}


# --- keys, users, workers


@pytest.fixture
def keyed_flags(tmp_path: Path) -> list[str]:
    """Flags of a backend with keys and a users file with admin and linh."""
    make_keys(tmp_path / "keys")
    init_users_file(tmp_path / "users.json")
    add_user(tmp_path / "users.json", "linh", "xoài chín", ["p2", "p3"])
    return ["--keys-dir", str(tmp_path / "keys"), "--users-file", str(tmp_path / "users.json")]


def test_any_replica_accepts_the_session_of_another(start_service: StartService, keyed_flags: list[str]) -> None:
    first, second = (start_service("services.backend", *keyed_flags) for _ in range(2))
    session = requests.Session()
    login = {"username": "linh", "password": "xoài chín"}
    assert session.post(f"{first.url}/login", json=login).status_code == 200
    assert session.get(f"{second.url}/user").json() == {
        "user": "linh",
        "peers": ["p2", "p3"],
        "default_password": False,
    }


def test_a_new_password_ends_the_sessions_of_the_old_one(
    start_service: StartService, keyed_flags: list[str], tmp_path: Path
) -> None:
    backend = start_service("services.backend", *keyed_flags)
    session = requests.Session()
    assert session.post(f"{backend.url}/login", json=FORM).status_code == 200
    add_user(tmp_path / "users.json", "admin", "a better one", ["*"])
    wait_until(lambda: session.get(f"{backend.url}/user").status_code == 401, why="the old session to be void")
    assert requests.post(f"{backend.url}/login", json=FORM).status_code == 401
    better = requests.post(f"{backend.url}/login", json={"username": "admin", "password": "a better one"})
    assert better.status_code == 200


def test_a_keyed_backend_lets_its_page_connect_nowhere_else_unless_told(
    start_service: StartService, keyed_flags: list[str]
) -> None:
    backend = start_service("services.backend", *keyed_flags, "--ui-connect", "https://tracker.example")
    policy = requests.get(f"{backend.url}/login.html").headers["Content-Security-Policy"]
    assert "127.0.0.1:*" not in policy
    assert "https://tracker.example wss://tracker.example" in policy


def test_workers_share_listener_and_sessions(start_service: StartService) -> None:
    backend = start_service("services.backend", "--workers", "3")
    session = requests.Session()
    assert session.post(f"{backend.url}/login", json=FORM).status_code == 200
    for _ in range(12):
        answer = requests.get(f"{backend.url}/user", cookies=session.cookies)  # a connection each
        assert answer.json()["user"] == "admin"
    assert backend.stop() == 0


# --- start and end


def test_sigterm_ends_it_with_status_0(start_service: StartService) -> None:
    assert start_service("services.backend").stop() == 0


def test_it_says_that_it_is_open_and_knows_one_login_only(backend: Service) -> None:
    assert "admin with the password `password`" in backend.output


def test_a_port_in_use_is_one_line_and_status_2(backend: Service, start_service: StartService) -> None:
    second = start_service("services.backend", "--server-port", str(backend.port), wait=False)
    assert second.wait() == 2
    assert second.output == f"backend: port {backend.port} on 127.0.0.1 is already in use\n"


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (["--server-prot", "1"], "--server-prot: there is no such flag; did you mean --server-port?"),
        (["--server-port", "abc"], "--server-port: got 'abc', expected a port 0–65535"),
        (["--workers", "0"], "--workers: got '0', expected a whole number 1–64"),
        (["--web-dir", "docs"], "expected a folder with index.html, login.html, Unauthorized.html"),
        (["--ui-connect", "nonsense"], "--ui-connect: got 'nonsense', expected an origin like https://chat.example"),
        (["--keys-dir", "/nonexistent"], "key file /nonexistent/session: can't be read"),
        (["--users-file", "/nonexistent"], "users file /nonexistent: there is none"),
    ],
)
def test_what_can_not_work_is_told_with_status_2(flags: list[str], message: str) -> None:
    command = [sys.executable, "-m", "services.backend", "--server-port", str(find_free_port()), *flags]
    ended = subprocess.run(command, cwd=ROOT, env=service_environment(), capture_output=True, text=True, timeout=30)
    assert ended.returncode == 2
    assert message in ended.stderr
    assert "Traceback" not in ended.stderr


def test_a_key_file_that_others_may_read_is_refused(keyed_flags: list[str], start_service: StartService) -> None:
    path = Path(keyed_flags[1]) / "session"
    path.chmod(0o644)
    backend = start_service("services.backend", *keyed_flags, wait=False)
    assert backend.wait() == 2
    assert f"key file {path}: got mode 0644, expected 0600" in backend.output


def test_help_names_every_flag_with_its_variable() -> None:
    command = [sys.executable, "-m", "services.backend", "--help"]
    shown = subprocess.run(command, cwd=ROOT, env=dict(os.environ), capture_output=True, text=True, timeout=30)
    assert shown.returncode == 0
    for flag in ("server-port", "workers", "users-file", "web-dir", "tracker", "ui-connect", "keys-dir", "drain-s"):
        assert f"--{flag}" in shown.stdout
        assert f"WEAPROUS_{flag.upper().replace('-', '_')}" in shown.stdout


def test_access_lines_are_json_when_asked_for(start_service: StartService) -> None:
    backend = start_service("services.backend", "--log-format", "json")
    requests.get(f"{backend.url}/user", headers={"X-Request-Id": "a-test-1"})
    assert backend.stop() == 0
    lines = [json.loads(line) for line in backend.output.splitlines()]
    access = next(line for line in lines if line.get("request_id") == "a-test-1")
    assert (access["method"], access["target"], access["status"]) == ("GET", "/user", 401)
