"""`make up`: everything is healthy, the page is there, the replicas take turns."""

import pytest
import requests

from services.stack.plan import render_greeting
from services.stack.settings import StackSettings
from tests.containers.compose_stack import PEERS, SERVICES, ComposeStack, health_of
from tests.processes import wait_until


def test_everything_is_healthy(containers: ComposeStack) -> None:
    found = containers.containers()
    assert {container.labels["com.docker.compose.service"] for container in found} == set(SERVICES)
    assert {health_of(container) for container in found} == {"healthy"}
    assert len(containers.containers("backend")) == 3


def test_make_up_greets_in_the_words_of_make_run(started: tuple[ComposeStack, str]) -> None:
    stack, printed = started
    words = render_greeting(StackSettings(), is_first_password=True)
    for said_there, said_here in {
        "localhost:8080": f"localhost:{stack.port}",
        "localhost:9000": f"localhost:{stack.ports['tracker']}",
        "Ctrl-C": "make down",
    }.items():
        assert said_there in words
        words = words.replace(said_there, said_here)
    lines = [line.strip("| ") for line in words.splitlines() if not line.startswith("+")]
    assert [line for line in lines if line] == [line for line in printed.splitlines() if line][-5:]


def test_make_up_names_make_run_where_no_engine_answers(containers: ComposeStack) -> None:
    command = ["env", "DOCKER_HOST=unix:///nonexistent/docker.sock", "make", "up"]
    ended = containers.run(command)
    assert ended.returncode != 0
    assert "make run" in ended.stderr


def test_login_and_echo_by_three_replicas(containers: ComposeStack) -> None:
    session = containers.login()
    assert session.get(f"{containers.url}/user", timeout=10).json()["user"] == "admin"
    containers.wait_for_replicas(3)


@pytest.mark.parametrize("service", ["tracker", *PEERS])
def test_tracker_and_peers_are_published(containers: ComposeStack, service: str) -> None:
    answer = requests.get(f"http://127.0.0.1:{containers.ports[service]}/healthz", timeout=10)
    assert answer.status_code == 200


def test_the_one_shot_service_made_the_keys_once(containers: ComposeStack) -> None:
    [keys] = containers.containers("keys", every=True)
    assert keys.attrs["State"]["ExitCode"] == 0
    read_keys = "import pathlib; print([p.read_text() for p in sorted(pathlib.Path('/keys').glob('*/key'))])"
    command = ("run", "--rm", "keys", "python", "-c", read_keys)
    before = containers.compose(*command)
    containers.compose("up", "--no-build", "keys")
    assert containers.compose(*command) == before
    assert before.count("\\n") == 3


def test_a_user_added_to_the_volume_can_log_in(containers: ComposeStack) -> None:
    name = "an"
    add = "printf 'a long password\\n' | make up-user NAME=an PEERS=p2"
    ended = containers.run(["sh", "-c", add])
    assert ended.returncode == 0, ended.stderr
    session = requests.Session()
    login = {"username": name, "password": "a long password"}

    def logs_in_on_every_replica() -> bool:
        answers = [session.post(f"{containers.url}/login", json=login, timeout=10) for _ in range(6)]
        return all(answer.status_code == 200 for answer in answers)

    wait_until(logs_in_on_every_replica, why="every replica to read the users file again")
    assert session.get(f"{containers.url}/user", timeout=10).json()["peers"] == ["p2"]
    assert session.get(f"{containers.url}/peers/p1/p2p/inbox", timeout=10).status_code == 403
    assert session.get(f"{containers.url}/peers/p2/p2p/inbox", timeout=10).status_code == 200
