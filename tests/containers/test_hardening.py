"""What a container may not do, and what may not be seen from outside it."""

import re
from typing import Any

import pytest

from tests.containers.compose_stack import SERVICES, ComposeStack

KEYS = {"/keys/tracker", "/keys/p2p", "/keys/session"}
MOUNTS = {  # service → where each of its volumes is, read-only unless named in WRITABLE
    "tracker": {"/keys/tracker", "/data"},
    "backend": {"/keys/session", "/keys/tracker", "/users"},
    "proxy": {*KEYS, "/users"},
    "peer1": {"/keys/tracker", "/keys/p2p", "/data"},
    "peer2": {"/keys/tracker", "/keys/p2p", "/data"},
    "peer3": {"/keys/tracker", "/keys/p2p", "/data"},
    "keys": {*KEYS, "/users"},
}
WRITABLE = {**{key: {"/data"} for key in ("tracker", "peer1", "peer2", "peer3")}, "keys": {*KEYS, "/users"}}


def _inspect(stack: ComposeStack, service: str) -> dict[str, Any]:
    attributes: dict[str, Any] = stack.containers(service, every=True)[0].attrs
    return attributes


@pytest.mark.parametrize("service", [*SERVICES, "keys"])
def test_volumes_are_mounted_where_needed_and_nowhere_else(containers: ComposeStack, service: str) -> None:
    mounts = {mount["Destination"]: mount["RW"] for mount in _inspect(containers, service)["Mounts"]}
    assert mounts == {path: path in WRITABLE.get(service, ()) for path in MOUNTS[service]}


@pytest.mark.parametrize("service", [*SERVICES, "keys"])
def test_the_engine_was_asked_to_confine_it(containers: ComposeStack, service: str) -> None:
    attributes = _inspect(containers, service)
    host = attributes["HostConfig"]
    assert attributes["Config"]["User"] == "10001:10001"
    assert host["ReadonlyRootfs"] is True
    assert host["CapDrop"] == ["ALL"]
    assert not host["CapAdd"]
    assert host["Privileged"] is False
    assert "no-new-privileges:true" in host["SecurityOpt"]
    assert 0 < host["Memory"] <= 512 * 1024 * 1024
    assert 0 < host["PidsLimit"] <= 512


@pytest.mark.parametrize("service", SERVICES)
def test_a_process_in_it_has_no_power(containers: ComposeStack, service: str) -> None:
    _, status = containers.execute(service, "cat", "/proc/1/status")
    fields = dict(re.findall(r"^(\w+):\s*(.*)$", status, re.MULTILINE))
    assert fields["Uid"].split() == ["10001"] * 4
    assert {int(fields[name], 16) for name in ("CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb")} == {0}
    assert fields["NoNewPrivs"] == "1"


@pytest.mark.parametrize("service", SERVICES)
def test_nothing_can_be_written_but_to_tmp_and_to_the_data(containers: ComposeStack, service: str) -> None:
    writable = {"/tmp", *WRITABLE.get(service, ())}
    for folder in ("/", "/app", "/app/shared", "/etc", "/tmp", *MOUNTS[service]):
        status, output = containers.execute(service, "touch", f"{folder}/written-by-a-test")
        assert (status == 0) == (folder in writable), output
    for folder in writable:
        containers.execute(service, "rm", f"{folder}/written-by-a-test")


def test_keys_are_neither_in_the_settings_of_a_container_nor_in_its_log(containers: ComposeStack) -> None:
    containers.login()
    read_keys = "import pathlib; [print(p.read_text()) for p in pathlib.Path('/keys').glob('*/key')]"
    keys = containers.compose("run", "--rm", "keys", "python", "-c", read_keys).split()
    assert len(set(keys)) == 3
    for container in containers.containers(every=True):
        log = container.logs().decode()
        for key in keys:
            assert key not in str(container.attrs), container.name
            assert key not in log, container.name


def test_key_files_and_the_users_file_are_for_their_owner_only(containers: ComposeStack) -> None:
    _, modes = containers.execute("proxy", "stat", "-c", "%a %u %n", *(f"{path}/key" for path in sorted(KEYS)))
    assert modes.splitlines() == [f"600 10001 {path}/key" for path in sorted(KEYS)]
    _, mode = containers.execute("proxy", "stat", "-c", "%a %u", "/users/users.json")
    assert mode.split() == ["600", "10001"]


@pytest.mark.parametrize("service", SERVICES)
def test_an_image_holds_its_own_service_and_no_other(containers: ComposeStack, service: str) -> None:
    _, listing = containers.execute(service, "ls", "services")
    own = "peer" if service.startswith("peer") else service
    assert set(listing.split()) == {"__init__.py", "__pycache__", own}
    status, _ = containers.execute(service, "ls", "web")
    assert (status == 0) == (service == "backend")
