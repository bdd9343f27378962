"""Processes started, watched and ended: the supervisor with small fake services."""

import os
import signal
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Protocol

import psutil
import pytest

from services.stack.launcher import Launcher
from services.stack.plan import Listener, ProcessPlan
from services.stack.supervisor import Reports, Supervisor
from tests.processes import ROOT, find_free_port, is_port_free, wait_until

FAKE = "tests.services.stack.fake_service"


def plan(name: str, habit: str = "", *, stage: int = 0) -> ProcessPlan:
    port = find_free_port()
    flags = (str(port), habit) if habit else (str(port),)
    return ProcessPlan(name, FAKE, flags, (Listener("127.0.0.1", port, name),), stage)


@dataclass
class Diary:
    """What a supervisor reported. `on_entry` is called with each new entry, `on_ready` when everything is up."""

    on_ready: Callable[[], None] = lambda: None
    on_entry: Callable[[str], None] = lambda _: None
    entries: list[str] = field(default_factory=list)
    pids: dict[str, int] = field(default_factory=dict)
    is_ready: bool = False
    is_complete: bool = True

    def reports(self) -> Reports:
        return Reports(
            lines=self._note_lines,
            event=self._note,
            pid=self._note_pid,
            is_complete=lambda: self.is_complete,
            ready=self._be_ready,
        )

    def _note_lines(self, name: str, lines: list[bytes]) -> None:
        for line in lines:
            self._note(f"{name}: {line.decode()}")

    def _note(self, entry: str) -> None:
        self.entries.append(entry)
        self.on_entry(entry)

    def _note_pid(self, name: str, pid: int) -> None:
        self.pids[name] = pid
        self._note(f"started {name}")

    def _be_ready(self) -> None:
        self.is_ready = True
        self.on_ready()


@pytest.fixture(params=[False, True], ids=["executed", "forked"])
def run(request: pytest.FixtureRequest) -> "Run":
    """Runs plans to the end, in both ways to start a process; the exit status."""
    if request.param and sys.platform != "linux":
        pytest.skip("processes are forked on Linux only")

    def run_plans(plans: list[ProcessPlan], diary: Diary, *, drain_s: float = 5.0) -> int:
        return Supervisor(plans, Launcher(1, forks=request.param), diary.reports(), drain_s).run()

    return run_plans


class Run(Protocol):
    def __call__(self, plans: list[ProcessPlan], diary: Diary, *, drain_s: float = ...) -> int: ...


def stop() -> None:
    """As `kill` of the runner would; the supervisor's handler is this process's."""
    os.kill(os.getpid(), signal.SIGTERM)


def can_connect(port: int) -> bool:
    with socket.create_connection(("127.0.0.1", port), timeout=1):
        return True


def is_alive(pid: int) -> bool:
    """An orphan stays a zombie where the first process of the machine collects none."""
    try:
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


@pytest.fixture(autouse=True)
def _signals_are_left_as_they_were() -> Iterator[None]:
    before = [signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT, signal.SIGCHLD)]
    yield
    assert [signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT, signal.SIGCHLD)] == before


def test_a_stage_starts_when_the_one_before_is_healthy_and_all_end_on_sigterm(run: Run) -> None:
    diary = Diary(on_ready=stop)
    first = plan("one")
    needs_first = f"needs:{first.listeners[0].port}"
    plans = [first, plan("two", needs_first, stage=1), plan("three", needs_first, stage=1)]
    assert run(plans, diary) == 0
    assert [entry for entry in diary.entries if entry.startswith("started")] == [
        "started one",
        "started two",
        "started three",
    ]
    assert not any(is_alive(pid) for pid in diary.pids.values())
    assert all(is_port_free(each.listeners[0].port) for each in plans)


def test_processes_are_in_one_group_that_is_not_the_runners(run: Run) -> None:
    diary = Diary(on_ready=stop)
    assert run([plan("one"), plan("two")], diary) == 0
    groups = {entry.rpartition(" ")[2] for entry in diary.entries if " group " in entry}
    assert len(groups) == 1
    assert groups != {str(os.getpgid(0))}


def test_last_words_are_passed_on_though_they_end_without_a_newline(run: Run) -> None:
    diary = Diary(on_ready=stop)
    assert run([plan("one", "chatty")], diary) == 0
    assert diary.entries[-1] == "one: last words"


def test_who_dies_is_started_again_with_a_new_pid(run: Run) -> None:
    diary = Diary()
    diary.on_ready = lambda: os.kill(diary.pids["one"], signal.SIGKILL)

    def stop_after_restart(entry: str) -> None:
        if entry == "started one" and diary.is_ready:
            stop()

    diary.on_entry = stop_after_restart
    assert run([plan("one"), plan("two")], diary) == 0
    assert "one was killed by signal 9; starting it again in 0.2 s" in diary.entries
    assert diary.entries.count("started one") == 2
    assert diary.entries.count("started two") == 1


def test_who_can_not_start_ends_the_whole_stack_with_status_2(run: Run) -> None:
    diary = Diary()
    assert run([plan("one"), plan("two", "unfit", stage=1), plan("three", stage=2)], diary) == 2
    assert "two: error: --port: this service can't start" in diary.entries
    assert "two can't start; ending the others" in diary.entries
    assert "three" not in diary.pids
    assert not diary.is_ready


def test_two_who_can_not_start_at_once_leave_the_others_their_drain(run: Run) -> None:
    """Each was a request to stop, and a second request kills."""
    diary = Diary()

    def wait_for_both(entry: str) -> None:
        if "can't start" in entry:
            wait_until(lambda: not any(is_alive(diary.pids[name]) for name in ("two", "three")), why="both to end")

    diary.on_entry = wait_for_both
    assert run([plan("one", "slow"), plan("two", "unfit", stage=1), plan("three", "unfit", stage=1)], diary) == 2
    assert "one: drained" in diary.entries
    assert not any(entry.startswith("killing") for entry in diary.entries)


def test_a_failure_shows_its_traceback_and_is_a_death_like_any_other(run: Run) -> None:
    diary = Diary()
    diary.on_entry = lambda entry: stop() if "starting it again" in entry else None
    assert (
        run([ProcessPlan("one", FAKE, ("no port",), (Listener("127.0.0.1", find_free_port(), "one"),), 0)], diary) == 0
    )
    assert "one: ValueError: invalid literal for int() with base 10: 'no port'" in diary.entries
    assert "one ended with status 1; starting it again in 0.2 s" in diary.entries


def test_who_ignores_sigterm_is_killed_when_the_drain_is_over(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("services.stack.supervisor._KILL_AFTER_DRAIN_S", 0.2)
    diary = Diary(on_ready=stop)
    assert run([plan("one", "stubborn"), plan("two")], diary, drain_s=0.2) == 0
    assert "killing one" in diary.entries
    assert not is_alive(diary.pids["one"])


def test_a_second_signal_ends_all_at_once(run: Run) -> None:
    diary = Diary(on_ready=stop, on_entry=lambda entry: stop() if entry == "one: no" else None)
    assert run([plan("one", "stubborn"), plan("two")], diary, drain_s=3600.0) == 0
    assert any(entry.startswith("killing one") for entry in diary.entries)


def test_a_stop_during_the_start_ends_what_was_started(run: Run) -> None:
    diary = Diary(is_complete=False, on_entry=lambda entry: stop() if entry == "started two" else None)
    assert run([plan("one"), plan("two", stage=1)], diary) == 0
    assert not diary.is_ready


def test_nothing_of_a_process_is_left_over(run: Run) -> None:
    diary = Diary(on_ready=stop)
    assert run([plan("one", "parent")], diary) == 0
    child = int(next(entry for entry in diary.entries if entry.startswith("one: child")).split()[-1])
    wait_until(lambda: not is_alive(child), why="the grandchild to be gone")


@pytest.mark.parametrize("forks", [False, True])
def test_no_process_outlives_a_runner_that_was_killed(forks: bool) -> None:
    port = find_free_port()
    runner = (
        "import sys; from services.stack.launcher import Launcher; from services.stack.plan import *\n"
        f"plan = ProcessPlan('one', '{FAKE}', ('{port}', 'stubborn'), (), 0)\n"
        f"process = Launcher(grace_s=1, forks={forks}).start(plan); print(process.pid, flush=True); sys.stdin.read()"
    )
    pipe = subprocess.PIPE
    with subprocess.Popen([sys.executable, "-c", runner], cwd=ROOT, stdin=pipe, stdout=pipe) as process:
        assert process.stdout is not None
        pid = int(process.stdout.readline())
        wait_until(lambda: can_connect(port), why="the fake service to listen")
        process.kill()
    wait_until(lambda: not is_alive(pid), why="the orphan to be ended by the guardian")


def test_a_forked_process_has_nothing_of_the_runner(monkeypatch: pytest.MonkeyPatch) -> None:
    """Its descriptors are three, its variables hold no setting, its name is that of the plan."""
    monkeypatch.setenv("WEAPROUS_SERVER_PORT", "1")
    diary = Diary(on_ready=stop)
    plans = [plan("one", "introspective")]
    assert Supervisor(plans, Launcher(1, forks=True), diary.reports(), 5.0).run() == 0
    assert "one: fds 0 1 2, settings [], name one, arguments 2" in diary.entries
