"""The users file: its form, reading it again, and changing it."""

import base64
import hashlib
import json
import logging
import stat
from concurrent.futures import ThreadPoolExecutor

import pytest

from shared.runtime import users_file
from shared.runtime.errors import StartupError
from shared.runtime.users_file import (
    User,
    UsersFile,
    UsersFileError,
    add_user,
    init_users_file,
    is_default_password,
    read_users,
    remove_user,
)


def cheap_hash(password):
    digest = hashlib.scrypt(password.encode(), salt=b"saltsaltsalt", n=16, r=1, p=1, dklen=32)
    return f"scrypt$16$1$1$c2FsdHNhbHRzYWx0${base64.b64encode(digest).decode()}"


@pytest.fixture
def cheap(monkeypatch):
    monkeypatch.setattr(users_file, "hash_password", cheap_hash)


class FakeClock:
    def __init__(self):
        self.now_s = 100.0

    def __call__(self):
        return self.now_s


def write(path, users):
    entries = {name: {"password": cheap_hash(password), "peers": peers} for name, (password, peers) in users.items()}
    path.write_text(json.dumps({"users": entries}))
    return path


@pytest.fixture
def path(tmp_path):
    return write(tmp_path / "users.json", {"admin": ("password", ["*"]), "bob": ("swordfish", ["p1", "p2"])})


def test_a_user_has_the_peers_of_the_file(path):
    users = UsersFile(path)
    bob, admin = users.get("bob"), users.get("admin")
    assert bob == User("bob", cheap_hash("swordfish"), ("p1", "p2"))
    assert bob.may_use("p1")
    assert not bob.may_use("p3")
    assert admin.may_use("p3")
    assert users.get("nobody") is None


def test_the_mark_of_a_password_changes_with_it():
    one, two = User("a", cheap_hash("x"), ()), User("a", cheap_hash("y"), ())
    assert one.password_mark != two.password_mark
    assert one.password_mark == User("a", cheap_hash("x"), ("*",)).password_mark
    assert len(one.password_mark) == 16


def test_a_changed_file_is_read_again_but_looked_at_at_most_once_a_second(path):
    clock = FakeClock()
    users = UsersFile(path, clock)
    write(path, {"eve": ("x", [])})
    clock.now_s += 0.9
    assert users.get("eve") is None
    clock.now_s += 0.1
    assert users.get("eve") is not None
    assert users.get("bob") is None


@pytest.mark.parametrize("breakage", ["{", '{"users": []}', None])
def test_a_file_that_breaks_keeps_the_last_good_users_and_says_so_once(path, breakage, caplog):
    clock = FakeClock()
    users = UsersFile(path, clock)
    path.unlink() if breakage is None else path.write_text(breakage)
    with caplog.at_level(logging.INFO):
        for _ in range(3):
            clock.now_s += 1
            assert users.get("bob") is not None
    assert [record.levelname for record in caplog.records] == ["WARNING"]
    assert str(path) in caplog.text
    write(path, {"eve": ("x", [])})
    clock.now_s += 1
    assert users.get("eve") is not None


BROKEN = [
    ("no JSON", "{", "is not JSON"),
    ("no UTF-8", b"\xff", "is not JSON"),
    ("no object", "[]", 'expected an object {"users": {…}}'),
    ("no users", "{}", 'expected an object {"users": {…}}'),
    ("deep", "[" * 100_000, "is not JSON"),
    ("a strange name", {"a b": {"password": cheap_hash("x")}}, "user 'a b': expected a name"),
    ("a user that is no object", {"bob": []}, "user 'bob': password: expected scrypt"),
    ("a bare password", {"bob": {"password": "swordfish"}}, "user 'bob': password: expected scrypt$n$r$p$salt$hash"),
    ("peers that are no list", {"bob": {"password": cheap_hash("x"), "peers": "p1"}}, "peers: expected a list"),
    ("a strange peer", {"bob": {"password": cheap_hash("x"), "peers": ["p 1"]}}, "peers: got 'p 1', expected *"),
]


@pytest.mark.parametrize(("_name", "content", "why"), BROKEN, ids=[row[0] for row in BROKEN])
def test_a_broken_file_is_refused_at_the_start_with_the_reason_and_without_the_hash(tmp_path, _name, content, why):
    path = tmp_path / "users.json"
    if isinstance(content, dict):
        content = json.dumps({"users": content})
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    with pytest.raises(UsersFileError) as caught:
        UsersFile(path)
    assert str(caught.value).startswith(f"users file {path}: ")
    assert why in str(caught.value)
    assert "swordfish" not in str(caught.value)
    assert isinstance(caught.value, StartupError)


def test_a_missing_file_is_refused_with_the_command_that_makes_it(tmp_path):
    with pytest.raises(UsersFileError, match=r"there is none; make it with python -m shared\.runtime\.users_file"):
        UsersFile(tmp_path / "users.json")


def test_authenticate_wants_the_right_name_and_password(path):
    users = UsersFile(path)
    assert users.authenticate("bob", "swordfish") == users.get("bob")
    assert users.authenticate("bob", "password") is None
    assert users.authenticate("nobody", "password") is None


def test_a_wrong_name_costs_as_much_as_a_wrong_password(path, monkeypatch):
    checked = []
    monkeypatch.setattr(users_file, "verify_password", lambda text, digest: checked.append(digest) or False)
    UsersFile(path).authenticate("nobody", "x")
    assert checked == [users_file.DECOY_HASH]


def test_the_default_password_is_known_after_one_check(path, monkeypatch):
    users = UsersFile(path)
    admin, bob = users.get("admin"), users.get("bob")
    assert is_default_password(admin)
    assert users.is_default_password(admin)
    assert not users.is_default_password(bob)
    monkeypatch.setattr(users_file, "verify_password", None)
    assert users.is_default_password(admin)
    assert not users.is_default_password(bob)


def test_a_login_tells_whether_the_password_is_the_default_one(path, monkeypatch):
    users = UsersFile(path)
    admin = users.authenticate("admin", "password")
    monkeypatch.setattr(users_file, "verify_password", None)
    assert users.is_default_password(admin)


# --- changing -----------------------------------------------------------------------------------------------------


def test_init_makes_the_first_login_once(tmp_path):
    path = tmp_path / "var" / "users.json"
    assert init_users_file(path) is True
    admin = read_users(path)[0]["admin"]
    assert admin.password_hash.startswith("scrypt$16384$8$5$")
    assert is_default_password(admin)
    assert admin.peers == ("*",)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    before = path.read_bytes()
    assert init_users_file(path) is False
    assert path.read_bytes() == before


def test_an_added_user_joins_the_others_and_a_known_one_gets_new_values(path, cheap):
    add_user(path, "eve", "x", ["p9"])
    add_user(path, "bob", "y", ["*"])
    users = UsersFile(path)
    assert users.authenticate("eve", "x").peers == ("p9",)
    assert users.authenticate("bob", "y").peers == ("*",)
    assert users.authenticate("admin", "password") is not None
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_a_known_user_keeps_his_peers_when_none_are_named(path, cheap):
    assert add_user(path, "admin", "better") == ("*",)
    assert UsersFile(path).authenticate("admin", "better").peers == ("*",)


def test_fields_that_this_program_does_not_know_stay(path, cheap):
    document = json.loads(path.read_text())
    document["users"]["bob"]["email"] = "bob@example.com"
    path.write_text(json.dumps(document))
    add_user(path, "bob", "y")
    assert json.loads(path.read_text())["users"]["bob"]["email"] == "bob@example.com"


def test_adding_makes_a_missing_file(tmp_path, cheap):
    add_user(tmp_path / "users.json", "bob", "x", ["p1", "p1"])
    assert read_users(tmp_path / "users.json")[0]["bob"].peers == ("p1",)


@pytest.mark.parametrize(
    ("name", "password", "peers"),
    [
        ("a b", "x", ["*"]),
        ("", "x", ["*"]),
        ("x" * 65, "x", ["*"]),
        ("bob", "", []),
        ("bob", "x", ["a b"]),
        ("eve", "x", []),
    ],
)
def test_a_wrong_user_is_refused_and_the_file_stays(path, cheap, name, password, peers):
    before = path.read_bytes()
    with pytest.raises(UsersFileError):
        add_user(path, name, password, peers)
    assert path.read_bytes() == before


def test_a_broken_file_is_not_written_over(tmp_path, cheap):
    path = tmp_path / "users.json"
    path.write_text('{"users": {"bob": 1}}')
    with pytest.raises(UsersFileError):
        add_user(path, "eve", "x", ["p1"])
    assert path.read_text() == '{"users": {"bob": 1}}'


def test_a_removed_user_is_gone(path):
    assert remove_user(path, "bob") is True
    assert remove_user(path, "bob") is False
    assert list(read_users(path)[0]) == ["admin"]


def test_many_at_once_lose_nobody(tmp_path, cheap):
    path = tmp_path / "users.json"
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda i: add_user(path, f"user{i}", "x", ["p1"]), range(24)))
    assert len(read_users(path)[0]) == 24
