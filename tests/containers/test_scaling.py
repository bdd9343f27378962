"""Replicas come and go while requests keep coming."""

from tests.containers.compose_stack import ComposeStack, steady_requests


def test_scaling_up_and_down_is_noticed_and_loses_no_request(containers: ComposeStack) -> None:
    containers.wait_for_replicas(3)
    with steady_requests(containers.url) as faults:
        containers.scale(5)
        containers.wait_for_replicas(5)
        containers.scale(1)
        containers.wait_for_replicas(1)
    assert faults == []


def test_sessions_outlive_the_replica_that_made_them(containers: ComposeStack) -> None:
    session = containers.login()
    makers = containers.containers("backend")
    containers.scale(5)
    for maker in makers:
        maker.remove(force=True)
    containers.wait_for_replicas(2)
    assert session.get(f"{containers.url}/user", timeout=10).status_code == 200
