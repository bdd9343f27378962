"""Which files are keys, and how missing ones are made."""

import os
import re
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from shared.runtime import keys
from shared.runtime.errors import StartupError
from shared.runtime.keys import KEY_NAMES, KeyFileError, load_key, main, make_keys

TEXT = "0123456789abcdef" * 4
ROOT = Path(__file__).resolve().parents[3]


def write_key(path, content=TEXT + "\n", mode=0o600):
    path.write_text(content)
    path.chmod(mode)
    return path


def refuse_a_look(monkeypatch):
    """What a folder without the right to search does, to root as well."""

    def refuse(_path):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "is_dir", refuse)


def test_a_key_is_the_text_of_its_file_as_bytes(tmp_path):
    write_key(tmp_path / "tracker")
    assert load_key(tmp_path, "tracker") == TEXT.encode()


def test_where_the_name_is_a_folder_the_key_is_in_it(tmp_path):
    (tmp_path / "tracker").mkdir()
    write_key(tmp_path / "tracker" / "key")
    assert load_key(tmp_path, "tracker") == TEXT.encode()


UNFIT = [
    ("empty", "", 0o600, "is empty, expected at least 32 characters"),
    ("white space only", " \n", 0o600, "is empty, expected at least 32 characters"),
    ("short", "x" * 31, 0o600, "got 31 characters, expected at least 32"),
    ("two lines", "x" * 32 + "\n" + "y" * 32, 0o600, "expected one line of printable ASCII without spaces"),
    ("not ASCII", "é" * 32, 0o600, "expected one line of printable ASCII without spaces"),
    ("too long", "x" * 5000, 0o600, "got more than 4096 bytes, expected one line"),
    ("read by others", TEXT, 0o644, "got mode 0644, expected 0600, without access for group and others"),
    ("read by the group", TEXT, 0o640, "got mode 0640, expected 0600, without access for group and others"),
]


@pytest.mark.parametrize(("_name", "content", "mode", "why"), UNFIT, ids=[row[0] for row in UNFIT])
def test_an_unfit_file_is_refused_with_its_path_and_the_reason(tmp_path, _name, content, mode, why):
    path = write_key(tmp_path / "tracker", content, mode)
    with pytest.raises(KeyFileError) as caught:
        load_key(tmp_path, "tracker")
    assert (caught.value.path, caught.value.why) == (path, why)
    assert str(caught.value) == f"key file {path}: {why}"
    assert isinstance(caught.value, StartupError)


def test_a_missing_key_is_told(tmp_path):
    with pytest.raises(KeyFileError, match="can't be read: No such file or directory"):
        load_key(tmp_path, "tracker")


def test_a_pipe_in_the_place_of_a_key_is_refused_and_nobody_waits_for_it(tmp_path):
    os.mkfifo(tmp_path / "tracker", 0o600)
    with pytest.raises(KeyFileError, match="is no regular file"):
        load_key(tmp_path, "tracker")


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_a_key_of_somebody_else_is_told(tmp_path):
    write_key(tmp_path / "tracker", mode=0o000)
    with pytest.raises(KeyFileError, match="can't be read: Permission denied"):
        load_key(tmp_path, "tracker")


@pytest.mark.parametrize("use", [load_key, lambda folder, name: make_keys(folder, [name])], ids=["load", "make"])
def test_a_folder_that_may_not_be_looked_into_is_told(tmp_path, monkeypatch, use):
    refuse_a_look(monkeypatch)
    with pytest.raises(KeyFileError) as caught:
        use(tmp_path, "tracker")
    assert str(caught.value) == f"key file {tmp_path / 'tracker'}: can't be read: Permission denied"


def test_the_command_tells_such_a_folder_in_a_line(tmp_path, monkeypatch, capsys):
    refuse_a_look(monkeypatch)
    assert main(["--keys-dir", str(tmp_path), "--names", "tracker"]) == 2
    words = f"python -m shared.runtime.keys: error: key file {tmp_path / 'tracker'}: can't be read: Permission denied\n"
    assert capsys.readouterr().err == words


def test_a_path_too_long_to_be_looked_at_is_told(tmp_path):
    with pytest.raises(KeyFileError, match="can't be read: File name too long"):
        load_key(tmp_path / ("x" * 256), "tracker")


def test_made_keys_are_64_hex_digits_each_its_own_private_and_loadable(tmp_path):
    folder = tmp_path / "var" / "keys"
    assert make_keys(folder) == [folder / name for name in KEY_NAMES]
    texts = {load_key(folder, name) for name in KEY_NAMES}
    assert len(texts) == 3
    assert all(re.fullmatch(rb"[0-9a-f]{64}", text) for text in texts)
    assert folder.stat().st_mode & 0o777 == 0o700
    assert sorted(each.name for each in folder.iterdir()) == sorted(KEY_NAMES), "no temporary file is left"


def test_making_again_leaves_what_is_there(tmp_path):
    make_keys(tmp_path, ["tracker"])
    before = load_key(tmp_path, "tracker")
    assert make_keys(tmp_path) == [tmp_path / "p2p", tmp_path / "session"]
    assert load_key(tmp_path, "tracker") == before


def test_a_folder_for_each_key_gets_the_key_inside(tmp_path):
    (tmp_path / "p2p").mkdir()
    assert make_keys(tmp_path, ["p2p"]) == [tmp_path / "p2p" / "key"]
    assert load_key(tmp_path, "p2p")


def test_an_existing_file_that_is_no_key_is_told_and_not_replaced(tmp_path):
    path = write_key(tmp_path / "tracker", "short")
    with pytest.raises(KeyFileError, match="got 5 characters"):
        make_keys(tmp_path)
    assert path.read_text() == "short"


def test_many_at_once_end_up_with_the_same_keys(tmp_path):
    def make(_):
        make_keys(tmp_path)
        return [load_key(tmp_path, name) for name in KEY_NAMES]

    with ThreadPoolExecutor(8) as pool:
        results = list(pool.map(make, range(24)))
    assert all(result == results[0] for result in results)


def test_a_file_system_without_hard_links_still_gets_keys(tmp_path, monkeypatch):
    def refuse(_source, _target):
        raise PermissionError(1, "Operation not permitted")

    monkeypatch.setattr(keys.os, "link", refuse)
    make_keys(tmp_path, ["tracker"])
    assert load_key(tmp_path, "tracker")
    assert [each.name for each in tmp_path.iterdir()] == ["tracker"]


def test_a_folder_that_cannot_be_made_is_told(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(KeyFileError, match="can't be made"):
        make_keys(tmp_path / "file" / "keys")


def test_the_command_says_what_it_made_and_what_it_kept(tmp_path, capsys):
    assert main(["--keys-dir", str(tmp_path), "--names", "tracker"]) == 0
    assert main(["--keys-dir", str(tmp_path), "--names", "tracker,p2p"]) == 0
    assert capsys.readouterr().out.splitlines() == [
        f"made {tmp_path}/tracker",
        f"kept {tmp_path}/tracker",
        f"made {tmp_path}/p2p",
    ]


def test_the_command_never_prints_a_key(tmp_path, capsys):
    main(["--keys-dir", str(tmp_path)])
    shown = capsys.readouterr()
    for name in KEY_NAMES:
        assert load_key(tmp_path, name).decode() not in shown.out + shown.err


def test_a_fault_is_one_line_and_status_2():
    command = [sys.executable, "-m", "shared.runtime.keys", "--keys-dir", "/dev/null/x"]
    done = subprocess.run(command, capture_output=True, text=True, cwd=ROOT, timeout=30)
    assert done.returncode == 2
    assert len(done.stderr.splitlines()) == 1
    assert done.stderr.startswith("python -m shared.runtime.keys: error: key file /dev/null/x/tracker: can't be made: ")
