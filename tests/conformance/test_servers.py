"""Finding and starting the servers that are compared."""

import os
from pathlib import Path

import pytest

from conformance import servers


def test_what_is_not_installed_is_named_with_the_command_that_installs_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(servers, "EXTRA_FOLDERS", ())
    monkeypatch.setenv("PATH", "")
    with pytest.raises(servers.MissingProgram, match="apt-get install haproxy"):
        servers.find_program("haproxy")


@pytest.mark.parametrize(
    ("said", "version"),
    [
        ("nginx version: nginx/1.22.1", "1.22.1"),
        ("nginx version: nginx/1.24.0 (Ubuntu)", "1.24.0"),
        ("HAProxy version 2.6.12-1+deb12u4 2026/10/17 - https://haproxy.org/", "2.6.12"),
        ("HA-Proxy version 2.2.9-2+deb11u6 2023/12/09", "2.2.9"),
    ],
)
def test_a_version_is_taken_from_what_the_program_says(said: str, version: str) -> None:
    assert servers.parse_version(said) == version


def test_a_process_that_does_not_start_is_reported_with_its_output(tmp_path: Path) -> None:
    script = tmp_path / "broken"
    script.write_text("#!/bin/sh\necho no such luck >&2\nexit 3\n")
    script.chmod(0o755)
    with pytest.raises(RuntimeError, match="no such luck"), servers.running([str(script)], lambda: False):
        pass


def test_a_process_is_ended_when_it_is_no_longer_needed() -> None:
    with servers.running(["/bin/sleep", "60"], lambda: True) as process:
        os.kill(process.pid, 0)
    assert process.returncode is not None


def test_the_site_is_the_same_file_with_the_same_date_each_time() -> None:
    with servers.site() as root:
        file = root / "file.txt"
        assert file.read_bytes() == servers.FILE_CONTENT
        assert file.stat().st_mtime == servers.FILE_MODIFIED_UNIX_S
