"""Several processes behind one port; who of them serves whom is in `test_worker_shares`."""

import os
import re
import signal

import psutil
import pytest
import requests

from shared.runtime.workers import restart_delay_s
from tests.processes import wait_until

TINY = "tests.shared.runtime.tiny_service"


@pytest.mark.parametrize(("deaths", "delay_s"), [(1, 0.1), (2, 0.2), (5, 1.6), (8, 10.0), (10_000, 10.0)])
def test_a_worker_that_keeps_dying_waits_longer_and_longer(deaths, delay_s):
    assert restart_delay_s(deaths) == pytest.approx(delay_s)


def ask(service):
    """Who answers a new connection."""
    answer = requests.get(service.url + "/pid", timeout=5).json()
    return answer["worker"], answer["pid"]


def wait_for_workers(service, without=()):
    """Worker number → pid, when both have answered and none of them is among `without`."""
    seen = {}

    def both():
        number, pid = ask(service)
        if pid not in without:
            seen[number] = pid
        return len(seen) == 2

    wait_until(both, why="both workers to answer")
    return seen


def test_both_workers_answer_and_metrics_say_whose_they_are(start_service):
    service = start_service(TINY, "--workers", "2")
    pids = wait_for_workers(service)
    assert set(pids) == {1, 2}
    assert service.pid not in pids.values(), "the parent serves nothing"
    text = requests.get(service.url + "/metrics", timeout=5).text
    samples = [line for line in text.splitlines() if not line.startswith("#")]
    assert len({re.search(r'worker="(\d)"', line)[1] for line in samples}) == 1
    assert " tiny/1 access" in wait_for_line(service, " tiny/1 access")
    assert service.output.count("no --keys-dir") == 1, "one warning is enough"


def wait_for_line(service, text):
    wait_until(lambda: ask(service) and text in service.output, why=text)
    return service.output


def test_a_killed_worker_is_started_again_and_the_other_serves_on(start_service):
    service = start_service(TINY, "--workers", "2")
    before = wait_for_workers(service)
    os.kill(before[1], signal.SIGKILL)
    after = wait_for_workers(service, without={before[1]})
    assert after[2] == before[2]
    assert after[1] != before[1]
    assert "a worker died and is started again worker=1 status=-9" in service.output


def test_sigterm_drains_every_worker(start_service):
    service = start_service(TINY, "--workers", "2", "--drain-s", "5")
    pids = wait_for_workers(service)
    service.send_signal(signal.SIGTERM)
    wait_until(lambda: requests.get(service.url + "/healthz", timeout=5).status_code == 503, why="the drain")
    assert service.wait() == 0
    assert not any(psutil.pid_exists(pid) for pid in pids.values())
    assert service.output.count("said stop first registered") == 2


@pytest.mark.parametrize(("number", "status"), [(signal.SIGTERM, 143), (signal.SIGINT, 130)])
def test_a_second_signal_ends_all_at_once(start_service, number, status):
    service = start_service(TINY, "--workers", "2", "--drain-s", "600")
    pids = wait_for_workers(service)
    service.send_signal(signal.SIGTERM)
    wait_until(lambda: service.output.count("said drain") == 2, why="both to drain")
    service.send_signal(number)
    assert service.wait() == status
    assert not any(psutil.pid_exists(pid) for pid in pids.values())


def test_workers_drain_when_their_parent_is_gone(start_service):
    service = start_service(TINY, "--workers", "2", "--drain-s", "0")
    pids = wait_for_workers(service)
    service.kill()
    wait_until(lambda: not any(is_alive(pid) for pid in pids.values()), why="the workers to end")


def is_alive(pid):
    try:
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def test_a_start_that_fails_in_the_workers_is_told_and_not_repeated_for_ever(start_service):
    service = start_service(TINY, "--workers", "2", "--fail-start", wait=False)
    assert service.wait() == 2
    assert 1 <= service.output.count("tiny: the cupboard is bare") <= 2


def test_a_worker_that_crashes_at_its_start_is_tried_again(start_service):
    service = start_service(TINY, "--workers", "1", "--workers", "2", "--crash-start", wait=False)
    wait_until(lambda: service.output.count("a worker died and is started again") >= 3, why="some restarts")
    service.send_signal(signal.SIGTERM)
    service.wait()
    assert service.output.count("tiny starting workers") == 1
