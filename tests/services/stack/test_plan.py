"""Names, ports and flags of the stack's processes, and the texts made from them."""

from pathlib import Path

import pytest

from services.proxy.config_file import parse_config
from services.stack.plan import plan_processes, render_greeting, render_proxy_conf
from services.stack.settings import StackSettings, find_conflicts

NINE_LESS_THE_RUNNER = ["tracker", "backend1", "backend2", "backend3", "p1", "p2", "p3", "proxy"]


def flags_of(settings: StackSettings, name: str) -> dict[str, str]:
    """The flags of a process as name → value; a switch has the value ""."""
    plan = next(plan for plan in plan_processes(settings) if plan.name == name)
    words = list(plan.flags)
    flags = {}
    while words:
        flag = words.pop(0)
        flags[flag] = words.pop(0) if words and not words[0].startswith("--") else ""
    return flags


def test_the_defaults_make_a_tracker_three_backends_three_peers_and_a_proxy_in_that_order() -> None:
    assert [plan.name for plan in plan_processes(StackSettings())] == NINE_LESS_THE_RUNNER


def test_ports_are_those_of_the_contract() -> None:
    plans = plan_processes(StackSettings())
    assert {listener.what: listener.port for plan in plans for listener in plan.listeners} == {
        "tracker": 9000,
        "backend1": 8000,
        "backend2": 8001,
        "backend3": 8002,
        "p1's API": 7510,
        "p2's API": 7511,
        "p3's API": 7512,
        "p1's TCP": 7010,
        "p2's TCP": 7011,
        "p3's TCP": 7012,
        "proxy": 8080,
    }


def test_an_offset_moves_every_port_and_every_flag_that_names_one() -> None:
    settings = StackSettings(port_offset=100)
    assert {listener.port for plan in plan_processes(settings) for listener in plan.listeners} == {
        9100, 8100, 8101, 8102, 7610, 7611, 7612, 7110, 7111, 7112, 8180,
    }  # fmt: skip
    assert flags_of(settings, "p2")["--tracker"] == "http://127.0.0.1:9100"
    assert flags_of(settings, "p2")["--api-port"] == "7611"
    assert "server 127.0.0.1:8102;" in render_proxy_conf(settings)


def test_a_peer_registers_and_keeps_its_messages_in_the_folder() -> None:
    flags = flags_of(StackSettings(var_dir=Path("elsewhere")), "p3")
    assert flags["--peer-id"] == "p3"
    assert flags["--register"] == ""
    assert flags["--data-dir"] == "elsewhere"
    assert flags["--keys-dir"] == "elsewhere/keys"


def test_every_process_gets_keys_logs_and_drain() -> None:
    settings = StackSettings(log_level="debug", log_format="json", access_log=False, drain_s=4.5)
    for name in NINE_LESS_THE_RUNNER:
        flags = flags_of(settings, name)
        assert flags["--keys-dir"] == "var/keys"
        assert flags["--log-level"] == "debug"
        assert flags["--log-format"] == "json"
        assert flags["--access-log"] == "off"
        assert flags["--drain-s"] == "4.5"


def test_only_the_proxy_listens_elsewhere_when_told_so() -> None:
    plans = plan_processes(StackSettings(server_ip="0.0.0.0"))
    assert {plan.name for plan in plans if plan.listeners[0].ip != "127.0.0.1"} == {"proxy"}


def test_proxy_conf_has_one_pool_of_all_backends() -> None:
    assert render_proxy_conf(StackSettings(backends=2)) == (
        "# Written by `python -m services` at each start; what you change here is lost.\n"
        "pool backends {\n"
        "    server 127.0.0.1:8000;\n"
        "    server 127.0.0.1:8001;\n"
        "    policy round-robin;\n"
        "    health_check http path=/healthz interval=1s;\n"
        "}\n"
        'host "localhost" {\n'
        "    proxy_pass http://backends;\n"
        "    location = /healthz { return 404; }  # a backend's own figures are for this machine alone\n"
        "    location = /metrics { return 404; }\n"
        "}\n"
    )


@pytest.mark.parametrize("settings", [StackSettings(), StackSettings(backends=1, server_ip="0.0.0.0")])
def test_the_proxy_understands_its_configuration(settings: StackSettings) -> None:
    config = parse_config(render_proxy_conf(settings))
    assert [len(pool.servers) for pool in config.pools] == [settings.backends]


def test_a_stack_for_the_network_answers_to_every_host_name() -> None:
    assert 'host "*" {' in render_proxy_conf(StackSettings(server_ip="0.0.0.0"))
    assert 'host "localhost" {' in render_proxy_conf(StackSettings(server_ip="127.0.0.2"))


def test_the_greeting_is_the_block_that_readme_shows() -> None:
    assert render_greeting(StackSettings(), is_first_password=True) == (
        "+---------------------------------------------+\n"
        "|  WeApRous is running: 3 backends, 3 peers.  |\n"
        "|                                             |\n"
        "|  Open      http://localhost:8080            |\n"
        "|  Log in    admin / password                 |\n"
        "|  Tracker   http://localhost:9000            |\n"
        "|  Stop      Ctrl-C                           |\n"
        "+---------------------------------------------+"
    )


def test_the_greeting_does_not_tell_a_password_that_was_changed() -> None:
    text = render_greeting(StackSettings(backends=1, peers=0), is_first_password=False)
    assert "admin / password" not in text
    assert "1 backend, 0 peers." in text


def test_an_offset_that_leaves_no_room_for_the_ports_is_refused() -> None:
    assert list(find_conflicts(StackSettings(port_offset=56_000))) == []
    assert list(find_conflicts(StackSettings(backends=50, port_offset=56_535))) == []
    assert list(find_conflicts(StackSettings(port_offset=56_536))) == [
        "--port-offset: got 56536, expected at most 56535"
    ]
    assert list(find_conflicts(StackSettings(port_offset=-7010))) == [
        "--port-offset: got -7010, expected at least -7008"
    ]
