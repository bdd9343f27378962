"""`python -m services` itself: how it starts, what it refuses, what it leaves behind, what it costs."""

import os
import signal
import socket
import subprocess
import sys
from pathlib import Path

import psutil
import pytest
import requests

from tests.processes import ROOT, Stack, claimed_port_offset, is_port_free, service_environment, stack_ports, wait_until
from tests.stack.conftest import StartStack

pytestmark = pytest.mark.stack
MAX_PSS_MIB = 150


def run_to_the_end(*flags: str, env: dict[str, str] | None = None) -> "subprocess.CompletedProcess[str]":
    command = [sys.executable, "-m", "services", *flags]
    environment = service_environment(**(env or {}))
    return subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=60)


def pids_of(stack: Stack) -> dict[str, int]:
    return {path.name: int(path.read_text()) for path in (stack.var_dir / "pids").iterdir()}


def is_alive(pid: int) -> bool:
    try:
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def test_it_greets_when_everything_is_up_and_ends_everything_on_sigterm(start_stack: StartStack) -> None:
    stack = start_stack()
    wait_until(lambda: "WeApRous is running: 1 backend, 2 peers." in stack.output, why="the greeting")
    assert f"Open      http://localhost:{8080 + stack.port_offset}" in stack.output
    assert "Log in    admin / password" in stack.output
    pids = pids_of(stack)
    assert set(pids) == {"tracker", "backend1", "p1", "p2", "proxy"}
    assert stack.stop() == 0
    assert not any(is_alive(pid) for pid in pids.values())
    assert all(is_port_free(port + stack.port_offset) for port in stack_ports(1, 2))
    assert list((stack.var_dir / "pids").iterdir()) == []


def test_ctrl_c_ends_it_too_though_it_reaches_the_runner_only(start_stack: StartStack) -> None:
    stack = start_stack()
    pids = pids_of(stack)
    groups = {os.getpgid(pid) for pid in pids.values()}
    assert len(groups) == 1
    assert os.getpgid(stack.pid) not in groups
    stack.send_signal(signal.SIGINT)
    assert stack.wait() == 0
    assert "Traceback" not in stack.output
    assert not any(is_alive(pid) for pid in pids.values())


def test_no_process_is_left_when_the_runner_is_killed(start_stack: StartStack) -> None:
    stack = start_stack("--drain-s", "1")
    pids = pids_of(stack)
    stack.kill()
    wait_until(lambda: not any(is_alive(pid) for pid in pids.values()), why="every process to be gone")
    again = start_stack()
    assert again.stop() == 0


def test_what_a_backend_tells_of_itself_is_not_for_those_outside(start_stack: StartStack) -> None:
    stack = start_stack()
    for path in ("/metrics", "/healthz"):
        assert requests.get(stack.backend_url(1) + path, timeout=10).status_code == 200
        assert requests.get(stack.proxy_url + path, timeout=10).status_code == 404


def test_messages_keys_and_users_outlive_a_restart(start_stack: StartStack) -> None:
    first = start_stack()
    headers = first.peer_headers
    message = {"to": "p2", "content": "remember me", "id": "kept-1"}
    assert requests.post(f"{first.peer_url(1)}/p2p/msg", json=message, headers=headers, timeout=10).ok
    session = first.login()
    assert first.stop() == 0
    users = (first.var_dir / "users.json").read_bytes()
    second = start_stack()
    assert second.peer_headers == headers
    assert (second.var_dir / "users.json").read_bytes() == users

    def inbox_ids() -> list[str]:
        answer = requests.get(f"{second.peer_url(2)}/p2p/inbox", headers=headers, timeout=10)
        return [each["id"] for each in answer.json()["messages"]]

    wait_until(lambda: inbox_ids() == ["kept-1"], why="the message to be there once")
    assert session.get(f"{second.proxy_url}/user", timeout=10).json()["user"] == "admin"


def test_each_line_has_the_name_of_its_process(start_stack: StartStack) -> None:
    stack = start_stack("--log-level", "info")
    requests.get(f"{stack.proxy_url}/echo", headers={"X-Request-Id": "follow-me-0001"}, timeout=10)
    wait_until(lambda: stack.output.count("follow-me-0001") == 2, why="both hops to have written their line")
    names = {line.partition("|")[0].strip() for line in stack.output.splitlines() if "follow-me-0001" in line}
    assert names == {"proxy", "backend1"}


def test_ports_in_use_are_all_named_and_nothing_is_started(tmp_path: Path) -> None:
    with (
        claimed_port_offset() as offset,
        socket.create_server(("127.0.0.1", 8080 + offset)),
        socket.create_server(("127.0.0.1", 7011 + offset)),
    ):
        ended = run_to_the_end("--port-offset", str(offset), "--var-dir", str(tmp_path / "var"))
    assert ended.returncode == 2
    assert f"127.0.0.1:{8080 + offset} (proxy)" in ended.stderr
    assert f"127.0.0.1:{7011 + offset} (p2's TCP)" in ended.stderr
    assert "--port-offset N moves every port" in ended.stderr
    assert len(ended.stderr.splitlines()) == 1
    assert not (tmp_path / "var").exists()


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (["--backend", "3"], "--backend: there is no such flag; did you mean --backends?"),
        (["--backends", "0"], "--backends: got '0', expected a whole number 1–50"),
        (["--peers", "many"], "--peers: got 'many', expected a whole number 0–50"),
        (["--port-offset", "56536"], "--port-offset: got '56536'"),
        (["--backends", "50", "--port-offset", "56000", "--drain-s", "-1"], "--drain-s: got "),
        (["--var-dir", "/proc/nowhere", "--port-offset", "-3000"], "--var-dir: can't use /proc/nowhere"),
    ],
)
def test_wrong_flags_are_told_with_status_2(flags: list[str], message: str) -> None:
    ended = run_to_the_end(*flags)
    assert ended.returncode == 2
    assert message in ended.stderr
    assert "Traceback" not in ended.stderr


def test_a_folder_serves_one_runner_at_a_time(start_stack: StartStack, tmp_path: Path) -> None:
    stack = start_stack()
    with claimed_port_offset() as offset:
        ended = run_to_the_end("--port-offset", str(offset), "--var-dir", str(tmp_path / "var"))
    assert ended.returncode == 2
    assert f"var is in use by process {stack.pid}" in ended.stderr


def test_what_a_restart_can_not_mend_ends_the_start(start_stack: StartStack) -> None:
    stack = start_stack()
    assert stack.stop() == 0
    key = stack.var_dir / "keys" / "tracker"
    key.chmod(0o644)
    broken = start_stack(wait=False)
    assert broken.wait() == 2
    assert f"key file {key}: got mode 0644, expected 0600" in broken.output
    key.chmod(0o600)
    (stack.var_dir / "users.json").write_text("{")
    broken = start_stack(wait=False)
    assert broken.wait() == 2
    assert "users.json: is not JSON" in broken.output


@pytest.mark.skipif(sys.platform != "linux", reason="PSS is Linux's")
def test_nine_idle_processes_cost_less_than_150_mb(stack: Stack) -> None:
    stack.wait_healthy()
    runner = psutil.Process(stack.pid)
    family = [runner, *runner.children(recursive=True)]
    services = [process for process in family if process.name() != "sh"]
    assert len(services) == 9
    pss_mib = sum(process.memory_full_info().pss for process in family) / 1024 / 1024
    assert pss_mib < MAX_PSS_MIB
