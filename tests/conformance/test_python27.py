"""Finding a Python 2.7 for the testsuite, and saying what is missing."""

from pathlib import Path

import pytest

from conformance.python27 import REQUIREMENTS, SetupError, find_python27


def program(path: Path, exit_status: int) -> Path:
    """A stand-in for an interpreter that answers the question for its version."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f"#!/bin/sh\nexit {exit_status}\n")
    path.chmod(0o755)
    return path


@pytest.fixture(autouse=True)
def bare_machine(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Nothing in PATH, no pyenv, nothing named."""
    monkeypatch.setenv("PATH", str(tmp_path / "bin"))
    monkeypatch.setenv("PYENV_ROOT", str(tmp_path / "pyenv"))
    monkeypatch.delenv("PYTHON27", raising=False)


def test_what_is_missing_and_how_to_get_it_is_said() -> None:
    with pytest.raises(SetupError, match="PYTHON27=/path/to"):
        find_python27()


def test_the_one_that_is_named_comes_first(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    program(tmp_path / "bin/python2.7", 0)
    monkeypatch.setenv("PYTHON27", str(program(tmp_path / "mine", 0)))
    assert find_python27() == tmp_path / "mine"


def test_a_shim_that_stands_for_no_python_is_passed_over(tmp_path: Path) -> None:
    program(tmp_path / "bin/python2.7", 127)
    found = program(tmp_path / "pyenv/versions/2.7.18/bin/python2.7", 0)
    assert find_python27() == found


def test_every_requirement_is_pinned() -> None:
    lines = [line for line in REQUIREMENTS.read_text().splitlines() if not line.startswith("#")]
    assert [line for line in lines if "==" not in line] == []
