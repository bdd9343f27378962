"""What a backend says of settings that look right by themselves."""

from pathlib import Path

import pytest

from services.backend.pages import NEEDED_FILES
from services.backend.settings import Settings, find_conflicts


def conflicts(web_dir: Path) -> list[str]:
    return list(find_conflicts(Settings(web_dir=web_dir)))


def test_a_folder_with_the_pages_will_do(tmp_path: Path) -> None:
    for name in NEEDED_FILES:
        (tmp_path / name).touch()
    assert conflicts(tmp_path) == []


def test_pages_that_are_missing_are_named(tmp_path: Path) -> None:
    (tmp_path / "index.html").touch()
    assert conflicts(tmp_path) == [f"--web-dir: got '{tmp_path}', expected a folder with login.html, Unauthorized.html"]


def test_a_folder_that_may_not_be_looked_into_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(_path: Path) -> bool:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "is_file", refuse)  # what such a folder does, to root as well
    assert conflicts(tmp_path) == [f"--web-dir: can't read {tmp_path}: Permission denied"]


def test_a_path_too_long_to_be_looked_at_is_told(tmp_path: Path) -> None:
    web_dir = tmp_path / ("x" * 256)
    assert conflicts(web_dir) == [f"--web-dir: can't read {web_dir}: File name too long"]
