"""The command `python -m shared.runtime.users_file`."""

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from shared.runtime.users_file import UsersFile

ROOT = Path(__file__).resolve().parents[3]


@pytest.fixture
def path(tmp_path):
    return tmp_path / "users.json"


def run(path, *arguments, typed=""):
    command = [sys.executable, "-m", "shared.runtime.users_file", "--users-file", str(path), *arguments]
    return subprocess.run(command, input=typed, capture_output=True, text=True, cwd=ROOT, timeout=60)


def test_init_then_add_then_list_then_remove(path):
    assert run(path, "init").stdout == f"made {path}; the login is admin / password\n"
    assert run(path, "init").stdout == f"kept {path}\n"
    added = run(path, "add", "bob", "--peers", "p1, p2", "--password-stdin", typed="swordfish\n")
    assert (added.returncode, added.stdout) == (0, f"bob is in {path}, with the peers p1,p2\n")
    assert UsersFile(path).authenticate("bob", "swordfish").peers == ("p1", "p2")
    assert run(path, "list").stdout == "admin\t*\nbob\tp1,p2\n"
    assert run(path, "remove", "bob").returncode == 0
    assert run(path, "remove", "bob").stderr.endswith(f"there is no user 'bob' in {path}\n")


@pytest.mark.parametrize(
    ("arguments", "why"),
    [
        (("add", "a b", "--password-stdin"), "NAME: got 'a b', expected 1–64 characters of A–Z a–z 0–9 . _ @ -"),
        (("add", "bob"), "got no password; type the same one twice, or use --password-stdin"),
        (("add", "bob", "--password-stdin"), "got no password; type the same one twice, or use --password-stdin"),
        (("list",), "there is none; make it with"),
    ],
)
def test_a_mistake_is_one_line_and_status_2(path, arguments, why):
    done = run(path, *arguments)
    assert done.returncode == 2
    assert done.stdout == ""
    assert len(done.stderr.splitlines()) == 1
    assert why in done.stderr


@pytest.mark.parametrize("peers", [(), ("--peers", "")])
def test_without_peers_a_known_user_keeps_his_and_a_new_one_is_refused(path, peers):
    run(path, "init")
    changed = run(path, "add", "admin", *peers, "--password-stdin", typed="swordfish\n")
    assert (changed.returncode, changed.stdout) == (0, f"admin is in {path}, with the peers *\n")
    refused = run(path, "add", "bob", *peers, "--password-stdin", typed="swordfish\n")
    assert (refused.returncode, refused.stdout) == (2, "")
    assert refused.stderr.endswith("there is no user 'bob' yet, and a new one needs --peers: expected p1,p2 or *\n")
    assert len(refused.stderr.splitlines()) == 1


@pytest.mark.skipif(shutil.which("make") is None, reason="needs make")
@pytest.mark.parametrize("target", ["user", "up-user"])
def test_make_names_peers_only_when_it_is_told_some(target):
    def command(*variables):
        make = ["make", "--dry-run", target, "NAME=admin", *variables]
        return subprocess.run(make, capture_output=True, text=True, cwd=ROOT, timeout=60, check=True).stdout

    assert "--peers" not in command()
    assert '--peers "*"' in command("PEERS=*")


def test_a_peer_that_is_none_is_told(path):
    done = run(path, "add", "bob", "--peers", "p 1", "--password-stdin", typed="swordfish\n")
    assert (done.returncode, path.exists()) == (2, False)
    assert "peers: got 'p 1', expected * or 1–63 characters" in done.stderr
    assert "swordfish" not in done.stderr
