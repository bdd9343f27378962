"""Files that are whole whenever somebody reads them."""

import os
import stat

import pytest

from shared.runtime.atomic_file import make_private_folder, replace_file, temporary_file


def mode_of(path):
    return stat.S_IMODE(path.stat().st_mode)


def test_a_replaced_file_holds_the_content_with_mode_0600_and_leaves_nothing_beside_it(tmp_path):
    path = tmp_path / "users.json"
    path.write_text("old")
    path.chmod(0o644)
    before = os.umask(0)
    try:
        replace_file(path, b"new")
    finally:
        os.umask(before)
    assert path.read_bytes() == b"new"
    assert mode_of(path) == 0o600
    assert [each.name for each in tmp_path.iterdir()] == ["users.json"]


def test_a_reader_who_has_the_old_file_open_keeps_it(tmp_path):
    path = tmp_path / "x"
    replace_file(path, b"old")
    with path.open("rb") as reader:
        replace_file(path, b"new")
        assert reader.read() == b"old"


def test_the_temporary_file_is_private_and_gone_after_the_block(tmp_path):
    with temporary_file(tmp_path / "x", b"content") as temporary:
        assert temporary.read_bytes() == b"content"
        assert mode_of(temporary) == 0o600
    assert list(tmp_path.iterdir()) == []


def test_a_file_that_cannot_be_replaced_leaves_nothing_behind(tmp_path):
    (tmp_path / "x").mkdir()
    with pytest.raises(OSError):
        replace_file(tmp_path / "x", b"content")
    assert [each.name for each in tmp_path.iterdir()] == ["x"]


def test_a_new_folder_is_private_and_an_old_one_stays_as_it_is(tmp_path):
    make_private_folder(tmp_path / "a" / "b")
    assert mode_of(tmp_path / "a" / "b") == 0o700
    (tmp_path / "c").mkdir(mode=0o755)
    before = mode_of(tmp_path / "c")
    make_private_folder(tmp_path / "c")
    assert mode_of(tmp_path / "c") == before
