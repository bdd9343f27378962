"""What becomes of tests that a machine can't run: skipped by name, or failed when they are required."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.processes import ROOT

TESTS = """
import pytest

@pytest.mark.docker
def test_with_an_engine(): pass

@pytest.mark.browser
def test_with_a_browser(): pass

@pytest.mark.browser
def test_that_skips_itself(): pytest.skip("of its own accord")

def test_of_any_machine(): pass
"""


def run_on_a_bare_machine(folder: Path, **env: str) -> str:
    """The output of pytest where no program is found but Chromium, when `env` says so."""
    (folder / "test_some.py").write_text(TESTS)
    command = [sys.executable, "-m", "pytest", "-p", "tests.conftest", "-p", "no:cacheprovider", "-rsfE", "-q"]
    command += ["-c", os.devnull, "--rootdir", str(folder), str(folder)]
    kept = {name: value for name, value in os.environ.items() if name not in ("PATH", "REQUIRE", "CHROMIUM")}
    environment = {**kept, "PATH": str(folder), "PYTHONPATH": str(ROOT), **env}
    return subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=60).stdout


@pytest.fixture
def chromium(tmp_path: Path) -> str:
    program = tmp_path / "chromium"
    program.write_text("#!/bin/sh\n")
    program.chmod(0o755)
    return str(program)


def test_what_a_machine_can_not_run_is_skipped_by_name(tmp_path: Path) -> None:
    output = run_on_a_bare_machine(tmp_path)
    assert "1 passed, 3 skipped" in output
    assert "no container engine answers `docker info`" in output
    assert "no Chromium by $CHROMIUM or the usual names" in output


def test_what_is_required_fails_instead(tmp_path: Path) -> None:
    output = run_on_a_bare_machine(tmp_path, REQUIRE="docker")
    assert "REQUIRE=docker, but no container engine answers" in output
    assert "2 skipped" in output
    assert "1 failed" in output or "1 error" in output


def test_a_required_test_may_not_skip_itself(tmp_path: Path, chromium: str) -> None:
    output = run_on_a_bare_machine(tmp_path, CHROMIUM=chromium)
    assert "2 passed, 2 skipped" in output
    output = run_on_a_bare_machine(tmp_path, CHROMIUM=chromium, REQUIRE="browser")
    assert "skipped although REQUIRE=browser" in output
    assert "1 failed" in output


def test_a_requirement_that_nobody_knows_is_refused(tmp_path: Path) -> None:
    environment = {**os.environ, "REQUIRE": "dokcer"}
    ended = subprocess.run(
        [sys.executable, "-m", "pytest", "--collect-only", "-q", "tests/test_requirements.py"],
        cwd=ROOT,
        env=environment,
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert ended.returncode != 0
    assert "REQUIRE: got ['dokcer'], expected some of ['browser', 'docker']" in ended.stdout + ended.stderr
