"""Users of a file and the built-in one behind one face."""

from pathlib import Path

import pytest

from services.backend.users import Accounts, BuiltInUsers
from shared.runtime.users_file import UsersFile, add_user, init_users_file


def test_without_a_file_there_is_one_login_only() -> None:
    accounts = Accounts(BuiltInUsers())
    admin = accounts.verify("admin", "password")
    assert admin is not None
    assert (admin.name, admin.peers) == ("admin", ("*",))
    assert accounts.known_default_password(admin) is True
    assert accounts.verify("admin", "Password") is None
    assert accounts.verify("root", "password") is None
    assert accounts.find("admin") == admin
    assert accounts.find("root") is None


@pytest.fixture
def users_path(tmp_path: Path) -> Path:
    path = tmp_path / "users.json"
    init_users_file(path)
    add_user(path, "linh", "không đoán được", ["p2"])
    return path


def test_users_of_the_file_log_in_with_their_own_passwords(users_path: Path) -> None:
    accounts = Accounts(UsersFile(users_path))
    linh = accounts.verify("linh", "không đoán được")
    assert linh is not None
    assert linh.peers == ("p2",)
    assert accounts.known_default_password(linh) is False
    assert accounts.verify("linh", "password") is None


def test_a_default_password_is_found_out_when_the_login_was_elsewhere(users_path: Path) -> None:
    accounts = Accounts(UsersFile(users_path))
    for name, is_default in [("admin", True), ("linh", False)]:
        user = accounts.find(name)
        assert user is not None
        assert accounts.known_default_password(user) is None
        assert accounts.find_default_password(user) is is_default
        assert accounts.known_default_password(user) is is_default
