"""SIGHUP to real processes: it never ends one without a drain."""

import fcntl
import os
import signal
import subprocess
import sys
import termios

import pytest
import requests

from tests.processes import ROOT, find_free_port, service_environment, wait_until

TINY = "tests.shared.runtime.tiny_service"
NOTHING = "SIGHUP: there is nothing to read again here"


@pytest.mark.parametrize("module", [TINY, "services.tracker", "services.peer"])
def test_where_nothing_can_be_read_again_one_line_says_so_and_the_service_goes_on(start_service, tmp_path, module):
    flags = ["--data-dir", str(tmp_path)] if module == "services.peer" else []
    service = start_service(module, *flags)
    for count in (1, 2):
        service.send_signal(signal.SIGHUP)
        wait_until(lambda: service.output.count(NOTHING) == count, why="the line")  # noqa: B023
    assert requests.get(service.url + "/healthz", timeout=5).status_code == 200
    assert service.stop() == 0


def test_a_backend_reads_its_users_again(start_service, tmp_path):
    users = tmp_path / "users.json"
    command = [sys.executable, "-m", "shared.runtime.users_file", "--users-file", str(users)]
    subprocess.run([*command, "init"], cwd=ROOT, check=True, capture_output=True)
    backend = start_service("services.backend", "--users-file", str(users))
    backend.send_signal(signal.SIGHUP)
    wait_until(lambda: "users read again" in backend.output, why="the users to be read")
    users.write_text("{")
    backend.send_signal(signal.SIGHUP)
    wait_until(lambda: "the users of before stay" in backend.output, why="the warning")
    assert backend.is_healthy()
    assert backend.stop() == 0


def test_workers_are_told_by_their_parent(start_service):
    service = start_service(TINY, "--workers", "2")
    wait_until(lambda: service.output.count("listening") == 2, why="both workers to listen")
    service.send_signal(signal.SIGHUP)
    wait_until(lambda: service.output.count(NOTHING) == 2, why="a line of each worker")
    assert "a worker died" not in service.output
    assert service.stop() == 0


class Terminal:
    """A service whose controlling terminal is a pseudo-terminal that `close` takes away."""

    def __init__(self, tmp_path, *flags, wrapper=()):
        self.output_path = tmp_path / "terminal.log"
        self.port = find_free_port()
        self._master, slave = os.openpty()
        with self.output_path.open("ab") as output:
            self.process = subprocess.Popen(
                [*wrapper, sys.executable, "-m", TINY, "--server-port", str(self.port), *flags],
                cwd=ROOT,
                env=service_environment(),
                stdin=slave,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
                preexec_fn=lambda: fcntl.ioctl(slave, termios.TIOCSCTTY, 0),
            )
        os.close(slave)
        wait_until(lambda: "listening" in self.output, why="the service to listen")

    @property
    def output(self):
        return self.output_path.read_text()

    def close(self):
        os.close(self._master)


@pytest.mark.parametrize("workers", ["1", "2"])
def test_a_service_whose_terminal_is_closed_drains(tmp_path, workers):
    terminal = Terminal(tmp_path, "--workers", workers, "--drain-s", "5")
    try:
        terminal.process.send_signal(signal.SIGHUP)  # while the terminal is there: nothing ends
        wait_until(lambda: NOTHING in terminal.output, why="the line")
        terminal.close()
        assert terminal.process.wait(20) == 0
        assert "draining" in terminal.output
        assert "said stop first registered" in terminal.output
    finally:
        terminal.process.kill()


def test_nohup_keeps_a_service_whose_terminal_is_closed(tmp_path):
    terminal = Terminal(tmp_path, wrapper=["nohup"])
    try:
        terminal.close()
        wait_until(lambda: NOTHING in terminal.output, why="the signal to arrive")
        assert terminal.process.poll() is None
        assert requests.get(f"http://127.0.0.1:{terminal.port}/healthz", timeout=5).status_code == 200
    finally:
        terminal.process.terminate()
        assert terminal.process.wait(20) == 0
