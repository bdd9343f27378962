"""Replicas come and go while requests of every kind keep coming: not one fails."""

import signal
import time

from tests.containers.compose_stack import ComposeStack, address_of, wait_healthy
from tests.containers.steady_load import SteadyLoad
from tests.processes import wait_until


def test_scaling_up_and_down_and_a_restart_of_every_replica_fail_no_request(containers: ComposeStack) -> None:
    containers.wait_for_replicas(3)
    with SteadyLoad(containers.url) as load:
        for replicas in (5, 1, 3):
            containers.scale(replicas)
            containers.wait_for_replicas(replicas)
        for replica in containers.containers("backend"):
            replica.restart()
            wait_healthy(replica)
        containers.wait_for_replicas(3)
    assert load.faults == []
    assert all(load.answers.values())


def test_a_new_replica_is_in_use_once_it_is_healthy_and_a_draining_one_gets_nothing_more(
    containers: ComposeStack,
) -> None:
    session = containers.login()
    before = {replica.id for replica in containers.containers("backend")}
    with SteadyLoad(containers.url) as load:
        containers.scale(4)  # returns when the engine calls the new one healthy
        [new] = [replica for replica in containers.containers("backend") if replica.id not in before]
        name, address = f"backend-{new.id[:12]}-8000", address_of(new, 8000)
        wait_until(lambda: name in load.first_answered_at, why="the new replica to answer")

        new.kill(signal.SIGTERM)

        def is_left_out() -> bool:
            upstream = containers.upstream(session, address)
            return upstream is None or not upstream["in_use"]

        wait_until(is_left_out, why="the proxy to leave it out")
        noticed_at, answered = time.monotonic(), load.answered
        new.wait()
        new.remove()
        wait_until(lambda: load.answered > answered + 100, why="more answers")
    assert load.faults == []
    assert load.last_asked_at[name] < noticed_at


def test_sessions_outlive_the_replica_that_made_them(containers: ComposeStack) -> None:
    session = containers.login()
    makers = containers.containers("backend")
    containers.scale(5)
    for maker in makers:
        maker.remove(force=True)
    containers.wait_for_replicas(2)
    assert session.get(f"{containers.url}/user", timeout=10).status_code == 200
