"""A replica that hangs, but whose connections stay open: it is left out, and comes back bit by bit."""

from collections.abc import Callable

from tests.containers.compose_stack import ComposeStack, address_of
from tests.containers.own_proxy import OwnProxy
from tests.containers.steady_load import IDEMPOTENT_KINDS, SteadyLoad
from tests.processes import wait_until

# No health check: only what requests meet tells of the replica. What is harmless twice soon goes to another.
EJECTING = """
pool backends {
    server backend:8000 resolve;
    ejection fails=3 time=1s max_time=2s;
    slow_start 2s;
}
host "*" {
    proxy_pass http://backends;
    proxy_read_timeout 1s;
    proxy_next_upstream error timeout;
}
"""


def test_a_replica_that_hangs_is_left_out_by_its_check_and_comes_back_by_slow_start(containers: ComposeStack) -> None:
    session = containers.login()
    containers.wait_for_replicas(3)
    victim = containers.containers("backend")[0]
    name, address = f"backend-{victim.id[:12]}-8000", address_of(victim, 8000)

    def standing() -> str | None:
        upstream = containers.upstream(session, address)
        return upstream["standing"] if upstream else None

    with SteadyLoad(containers.url) as load:  # those who meet the victim wait until it goes on
        wait_until(lambda: name in load.last_asked_at, why="load")
        with containers.stopped(victim):
            wait_until(lambda: standing() == "down", why="its check to fail")
            with SteadyLoad(containers.url) as meanwhile:
                wait_until(lambda: meanwhile.answered > 200, why="the others to answer")
        wait_until(lambda: standing() == "slow start", why="it to come back slowly", interval_s=0.01)
        wait_until(lambda: standing() == "up", why="it to have its whole share")
    assert load.faults == []
    assert meanwhile.faults == []
    assert name not in meanwhile.last_asked_at


def test_a_replica_that_hangs_is_ejected_for_what_requests_meet_and_comes_back_by_a_trial(
    containers: ComposeStack, start_own_proxy: Callable[[str], OwnProxy]
) -> None:
    containers.wait_for_replicas(3)
    proxy = start_own_proxy(EJECTING)
    victim = containers.containers("backend")[0]
    address = address_of(victim, 8000)

    def standing() -> str | None:
        upstream = proxy.upstream(address)
        return upstream["standing"] if upstream else None

    def told() -> list[str]:
        return [event["type"] for event in proxy.status()["events"] if event.get("upstream") == address]

    with SteadyLoad(proxy.url, IDEMPOTENT_KINDS) as load:
        wait_until(lambda: load.answered > 100, why="load")
        with containers.stopped(victim):
            wait_until(lambda: told().count("ejected") >= 2, why="it to be ejected, and its trial to fail")
        wait_until(lambda: standing() == "slow start", why="it to come back slowly", interval_s=0.01)
        wait_until(lambda: standing() == "up", why="it to have its whole share")
    assert load.faults == []
    assert [each for each in told() if each in ("ejected", "trial", "up")][-5:] == [
        *("ejected", "trial"),
        *("ejected", "trial"),
        "up",
    ]
    proxy.wait_idle()
