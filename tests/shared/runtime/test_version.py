"""One version, in two places."""

import tomllib
from pathlib import Path

from shared.runtime.version import VERSION


def test_the_version_is_that_of_the_project_file():
    project = tomllib.loads((Path(__file__).parents[3] / "pyproject.toml").read_text("utf-8"))
    assert project["project"]["version"] == VERSION
