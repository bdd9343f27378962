"""The configuration is read again while a thousand requests and fifty WebSockets are under way: none of them breaks."""

import signal
from collections.abc import Callable
from contextlib import ExitStack

import requests
from websockets.sync.client import ClientConnection, connect

from tests.containers.compose_stack import ComposeStack
from tests.containers.own_proxy import OwnProxy
from tests.containers.steady_load import SteadyLoad
from tests.processes import wait_until

REQUESTS = 1000
TUNNELS = 50
RELOADS = 5
CONF = """
pool {pool} {{
    server backend:8000 resolve;
    policy {policy};
    slow_start {version}s;
}}
host "*" {{
    proxy_pass http://{pool};
    proxy_set_header X-Version {version};
    location = /version {{ return 200 "{version}"; }}
}}
"""
POLICIES = ("round-robin", "least-connection", "random", "ip-hash", "least-load")


def conf(version: int) -> str:
    """Another policy in each version, and in every second one a pool of another name: then all tunnels go through one
    that is no longer there.
    """
    return CONF.format(pool=f"pool{version // 2}", policy=POLICIES[version % len(POLICIES)], version=version)


def test_reloads_amid_a_thousand_requests_and_fifty_tunnels_break_none(
    containers: ComposeStack, start_own_proxy: Callable[[str], OwnProxy]
) -> None:
    containers.wait_for_replicas(3)
    proxy = start_own_proxy(conf(1))
    with ExitStack() as stack:
        tunnels = [stack.enter_context(open_tunnel(proxy)) for _ in range(TUNNELS)]
        load = stack.enter_context(SteadyLoad(proxy.url, pause_s=0.005))
        for version in range(2, 2 + RELOADS):
            wait_until(lambda: load.answered > REQUESTS / RELOADS * (version - 2), why="load", timeout_s=60)  # noqa: B023
            take_over(proxy, version)
            echo(tunnels, f"after reload {version}")
        refuse(proxy)
        echo(tunnels, "after a reload that was refused")
        wait_until(lambda: load.answered > REQUESTS, why="a thousand requests", timeout_s=60)
        assert proxy.status()["in_flight"] >= TUNNELS
    assert load.faults == []
    proxy.wait_idle()


def open_tunnel(proxy: OwnProxy) -> ClientConnection:
    return connect(f"ws://127.0.0.1:{proxy.port}/echo", proxy=None, open_timeout=20, ping_interval=None)


def echo(tunnels: list[ClientConnection], text: str) -> None:
    """Every tunnel carries its own words there and back."""
    for number, tunnel in enumerate(tunnels):
        tunnel.send(f"{text}, tunnel {number}")
    for number, tunnel in enumerate(tunnels):
        assert tunnel.recv(timeout=20) == f"{text}, tunnel {number}"


def take_over(proxy: OwnProxy, version: int) -> None:
    """The new file is in force, by SIGHUP or by a request, in turns."""
    proxy.write_conf(conf(version))
    if version % 2:
        proxy.container.kill(signal.SIGHUP)
    else:
        assert proxy.reload().status_code == 200
    wait_until(
        lambda: requests.get(f"{proxy.url}/version", timeout=10).text == str(version), why=f"version {version} in force"
    )


def refuse(proxy: OwnProxy) -> None:
    before = requests.get(f"{proxy.url}/version", timeout=10).text
    proxy.write_conf('host "*" { proxy_pas http://nowhere; }')
    refused = proxy.reload()
    assert refused.status_code in (400, 409, 422), refused.text
    assert "proxy_pass" in refused.text  # what was meant
    assert requests.get(f"{proxy.url}/version", timeout=10).text == before
