"""What keeps a service from starting is one clear line and exit status 2, for every service."""

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from shared.runtime.keys import make_keys
from shared.runtime.users_file import init_users_file
from tests.conftest import StartService
from tests.processes import ROOT, Service, service_environment

pytestmark = pytest.mark.stack
SERVICES = ("services.tracker", "services.backend", "services.proxy", "services.peer")


@pytest.fixture
def needed_flags(tmp_path: Path, free_port: Callable[[], int]) -> Callable[[str], list[str]]:
    """The flags without which a service can't start on this machine, beside its port."""

    def flags(module: str) -> list[str]:
        if module == "services.peer":
            return ["--peer-id", "p1", "--data-dir", str(tmp_path)]
        return []

    return flags


@pytest.mark.parametrize("module", SERVICES)
def test_a_port_in_use(module: str, start_service: StartService, needed_flags: Callable[[str], list[str]]) -> None:
    first = start_service("services.tracker")
    port_flag = "--api-port" if module == "services.peer" else "--server-port"
    second = start_service(module, *needed_flags(module), port_flag, str(first.port), wait=False)
    assert second.wait() == 2
    assert f"port {first.port} on 127.0.0.1 is already in use" in second.output
    assert "Traceback" not in second.output


@pytest.mark.parametrize("module", SERVICES)
def test_unknown_flags_and_bad_values_are_all_told(module: str) -> None:
    command = [sys.executable, "-m", module, "--nonsense", "1", "--drain-s", "soon", "--access-log=perhaps"]
    ended = subprocess.run(command, cwd=ROOT, env=service_environment(), capture_output=True, text=True, timeout=60)
    assert ended.returncode == 2
    assert "--nonsense: there is no such flag" in ended.stderr
    assert "--drain-s: got 'soon', expected seconds" in ended.stderr
    assert "--access-log: got 'perhaps', expected on | off" in ended.stderr
    assert "Traceback" not in ended.stderr


@pytest.mark.parametrize("module", SERVICES)
def test_a_bad_variable_is_named(module: str) -> None:
    environment = service_environment(WEAPROUS_LOG_LEVEL="loud")
    command = [sys.executable, "-m", module]
    ended = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=60)
    assert ended.returncode == 2
    assert "WEAPROUS_LOG_LEVEL: got 'loud', expected debug | info | warning | error" in ended.stderr


KEY_OF = {
    "services.tracker": "tracker",
    "services.backend": "session",
    "services.proxy": "session",
    "services.peer": "p2p",
}


def spoil_by_mode(key: Path) -> str:
    key.chmod(0o640)
    return f"{key}: got mode 0640, expected 0600"


def spoil_by_absence(key: Path) -> str:
    key.unlink()
    return f"{key}: can't be read: No such file or directory"


def spoil_by_length(key: Path) -> str:
    key.write_text("short\n")
    return f"{key}: got 5 characters, expected at least 32"


@pytest.mark.parametrize("spoil", [spoil_by_mode, spoil_by_absence, spoil_by_length])
@pytest.mark.parametrize("module", SERVICES)
def test_a_key_file_that_is_unfit(
    module: str,
    spoil: Callable[[Path], str],
    tmp_path: Path,
    start_service: StartService,
    needed_flags: Callable[[str], list[str]],
) -> None:
    make_keys(tmp_path / "keys")
    init_users_file(tmp_path / "users.json")
    message = spoil(tmp_path / "keys" / KEY_OF[module])
    flags = [*needed_flags(module), "--keys-dir", str(tmp_path / "keys")]
    if module in ("services.backend", "services.proxy"):
        flags += ["--users-file", str(tmp_path / "users.json")]
    service = start_service(module, *flags, wait=False)
    assert service.wait() == 2
    assert message in service.output
    assert len(service.output.splitlines()) == 1, service.output


BROKEN_CONF = 'host "localhost" {\n    proxy_pas http://127.0.0.1:8000;\n}\n'


def test_a_broken_proxy_conf_is_told_with_its_place(tmp_path: Path, start_service: StartService) -> None:
    path = tmp_path / "proxy.conf"
    path.write_text(BROKEN_CONF)
    proxy = start_service("services.proxy", "--config", str(path), wait=False)
    assert proxy.wait() == 2
    assert f"{path}:2:5: " in proxy.output
    assert "proxy_pass" in proxy.output  # what was probably meant
    assert "Traceback" not in proxy.output


def test_a_proxy_conf_is_checked_without_a_start(tmp_path: Path) -> None:
    path = tmp_path / "proxy.conf"
    command = [sys.executable, "-m", "services.proxy", "--test-config", str(path)]
    for text, status in [(BROKEN_CONF, 2), ('host "localhost" {\n    proxy_pass http://127.0.0.1:8000;\n}\n', 0)]:
        path.write_text(text)
        ended = subprocess.run(command, cwd=ROOT, env=service_environment(), capture_output=True, text=True, timeout=60)
        assert (ended.returncode == 0) is (status == 0)
        assert (f"{path}:2:5: " in ended.stdout + ended.stderr) is (status == 2)


@pytest.mark.parametrize("module", SERVICES)
def test_sigterm_ends_a_service_with_status_0(
    module: str, start_service: StartService, needed_flags: Callable[[str], list[str]]
) -> None:
    service: Service = start_service(module, *needed_flags(module))
    assert service.stop() == 0
    assert "Traceback" not in service.output
