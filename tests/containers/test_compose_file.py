"""What compose.yaml says, once YAML's anchors and the environment are resolved; and `make peers`."""

import json
import os
import re
import subprocess
from pathlib import Path
from typing import Any

import pytest

from tests.processes import ROOT

SETTINGS = ("BIND", "PORT", "BACKENDS", "LOG_LEVEL", "LOG_FORMAT", "PYTHON_IMAGE")


def _config(*files: Path, **environment: str) -> dict[str, Any]:
    paths = [word for path in (ROOT / "compose.yaml", *files) for word in ("-f", str(path))]
    command = [
        "docker",
        "compose",
        "--env-file",
        "/dev/null",
        "--profile",
        "*",
        *paths,
        "config",
        "--format",
        "json",
    ]
    printed = subprocess.run(
        command, cwd=ROOT, env=_environment(**environment), capture_output=True, text=True, check=True
    )
    config: dict[str, Any] = json.loads(printed.stdout)
    return config


def _environment(**extra: str) -> dict[str, str]:
    kept = {k: v for k, v in os.environ.items() if k not in SETTINGS and not k.startswith(("COMPOSE_", "MAKE"))}
    return {**kept, **extra}


def _published(config: dict[str, Any]) -> set[str]:
    return {
        f"{port['host_ip']}:{port['published']}"
        for service in config["services"].values()
        for port in service.get("ports", ())
    }


def test_only_the_documented_ports_are_published_and_on_loopback() -> None:
    ports = [8080, 9000, 7510, 7511, 7512, 7010, 7011, 7012]
    assert _published(_config()) == {f"127.0.0.1:{port}" for port in ports}


def test_bind_and_port_change_where_it_is_published() -> None:
    published = _published(_config(BIND="0.0.0.0", PORT="80"))
    assert "0.0.0.0:80" in published
    assert {address.partition(":")[0] for address in published} == {"0.0.0.0"}


def test_replicas_have_neither_a_name_nor_a_port_of_their_own() -> None:
    backend = _config()["services"]["backend"]
    assert not {"container_name", "ports"} & backend.keys()


def test_no_key_is_in_an_environment() -> None:
    for service in _config()["services"].values():
        assert not [name for name in service.get("environment") or () if name.endswith(("_KEY", "_SECRET"))]


def test_the_python_image_can_be_chosen() -> None:
    services = _config(PYTHON_IMAGE="python:3.14-slim")["services"]
    assert {service["build"]["args"]["PYTHON_IMAGE"] for service in services.values()} == {"python:3.14-slim"}


def test_operations_md_names_every_variable_and_its_default() -> None:
    variables = set(re.findall(r"\$\{(\w+):-([^}]*)\}", (ROOT / "compose.yaml").read_text()))
    manual = (ROOT / "docs" / "operations.md").read_text()
    rows = set(re.findall(r"^\| `([A-Z_]+)` \| `([^`]*)` \|", manual, re.MULTILINE))
    assert rows == variables
    assert {name for name, _ in variables} == set(SETTINGS)


def _make_peers(count: str, peers_file: Path) -> "subprocess.CompletedProcess[str]":
    command = ["make", "peers", f"N={count}", f"PEERS_FILE={peers_file}"]
    return subprocess.run(command, cwd=ROOT, env=_environment(), capture_output=True, text=True, check=False)


def test_make_peers_writes_peers_like_those_that_are_there(tmp_path: Path) -> None:
    peers_file = tmp_path / "compose.override.yaml"
    assert _make_peers("5", peers_file).returncode == 0
    config = _config(peers_file)
    services = config["services"]
    for number in (4, 5):
        like = json.dumps(services["peer3"]).replace("peer3", f"peer{number}").replace('"p3"', f'"p{number}"')
        like = like.replace("7512", str(7509 + number)).replace("7012", str(7009 + number))
        assert services[f"peer{number}"] == json.loads(like)
        assert f"peer{number}-data" in config["volumes"]


def test_make_peers_3_removes_the_file(tmp_path: Path) -> None:
    peers_file = tmp_path / "compose.override.yaml"
    _make_peers("4", peers_file)
    assert _make_peers("3", peers_file).returncode == 0
    assert not peers_file.exists()


def test_make_peers_leaves_a_file_alone_that_it_did_not_write(tmp_path: Path) -> None:
    peers_file = tmp_path / "compose.override.yaml"
    peers_file.write_text("services: {}\n")
    ended = _make_peers("5", peers_file)
    assert ended.returncode != 0
    assert "not written by make peers" in ended.stderr
    assert peers_file.read_text() == "services: {}\n"


@pytest.mark.parametrize("count", ["", "2", "100", "x", "-4"])
def test_make_peers_refuses_other_numbers(tmp_path: Path, count: str) -> None:
    ended = _make_peers(count, tmp_path / "compose.override.yaml")
    assert ended.returncode != 0
    assert "expected a number from 3 to 99" in ended.stderr
    assert list(tmp_path.iterdir()) == []
