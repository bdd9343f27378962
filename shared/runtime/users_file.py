"""The users: names, password hashes and whose peers are whose, in a JSON file that is read again when it changes.

Owns the file's form, reading it, and changing it (`python -m shared.runtime.users_file`; the command's words are in
`users_command`). Does not own sessions (`sessions`) nor hashing (`passwords`).

    {"users": {"admin": {"password": "scrypt$16384$8$5$<salt>$<hash>", "peers": ["*"]}}}
"""

import fcntl
import hashlib
import json
import os
import re
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from shared.runtime.atomic_file import make_private_folder, replace_file
from shared.runtime.errors import StartupError
from shared.runtime.logs import get_logger
from shared.runtime.passwords import DECOY_HASH, hash_password, is_password_hash, verify_password
from shared.runtime.proofs import ALL_PEERS, is_in_scope
from shared.runtime.setting_values import parse_peer_id

__all__ = ["User", "UsersFile", "UsersFileError", "add_user", "hash_password", "init_users_file", "verify_password"]

FIRST_USER = "admin"
DEFAULT_PASSWORD = "password"  # noqa: S105 - the one everybody knows; the UI says when it is still in use
CHECK_INTERVAL_S = 1.0
MAX_FILE_BYTES = 4 * 1024 * 1024
_USER_NAME = re.compile(r"[A-Za-z0-9._@-]{1,64}")

logger = get_logger("users")


class UsersFileError(StartupError):
    """The users file can't be used; the text names the file and what is wrong in it."""


@dataclass(frozen=True, slots=True)
class User:
    """One user. `peers`: ids of the peers that are his, ("*",) for all."""

    name: str
    password_hash: str
    peers: tuple[str, ...]

    @property
    def password_mark(self) -> str:
        """A short digest that changes when the password does; sessions carry it."""
        return hashlib.sha256(self.password_hash.encode("utf-8", "replace")).hexdigest()[:16]

    def may_use(self, peer_id: str) -> bool:
        """Whether the peer is the user's."""
        return is_in_scope(self.peers, peer_id)


def is_default_password(user: User) -> bool:
    """Whether the user still has the password that everybody knows. Slow: for a thread, or a start."""
    return verify_password(DEFAULT_PASSWORD, user.password_hash)


class UsersFile:
    """The users of a file, as it is now: looked at again at most once a second, read again when it has changed.

    A file that breaks or vanishes later changes nothing: the last good users stay, and one warning says why.
    Raises UsersFileError when it is broken or missing at the start. Any thread may ask.
    """

    def __init__(self, path: Path, clock: Callable[[], float] = time.monotonic) -> None:
        self.path = path
        self._clock = clock
        self._version: Version | None
        self._users, self._version = read_users(path)
        self._next_check_s = clock() + CHECK_INTERVAL_S
        self._has_default_password: dict[str, bool] = {}  # by password hash

    def get(self, name: str) -> User | None:
        """The user of that name."""
        now_s = self._clock()
        if now_s >= self._next_check_s:
            self._next_check_s = now_s + CHECK_INTERVAL_S
            self._refresh()
        return self._users.get(name)

    def authenticate(self, name: str, password: str) -> User | None:
        """The user, when name and password are right; takes as long when the name is wrong. Slow: for a thread."""
        user = self.get(name)
        is_right = verify_password(password, user.password_hash if user else DECOY_HASH)
        if user is None or not is_right:
            return None
        self._has_default_password[user.password_hash] = password == DEFAULT_PASSWORD
        return user

    def is_default_password(self, user: User) -> bool:
        """Whether the user still has the password that everybody knows. Slow the first time: for a thread."""
        known = self._has_default_password.get(user.password_hash)
        if known is None:
            known = is_default_password(user)
            self._has_default_password[user.password_hash] = known
        return known

    def reload(self) -> None:
        """The file is read now, changed or not; the last good users stay when it is broken, and a warning says so."""
        self._read_again(_version_of(self.path))

    def _refresh(self) -> None:
        version = _version_of(self.path)
        if version != self._version:
            self._read_again(version)

    def _read_again(self, version: "Version | None") -> None:
        self._version = version  # also of a broken file: it is told once, and read again when it changes again
        try:
            self._users, self._version = read_users(self.path)
        except UsersFileError as error:
            logger.warning("%s; the users of before stay", error)
            return
        self._has_default_password.clear()
        logger.info("users read again", extra={"file": str(self.path), "count": len(self._users)})


Version = tuple[int, int, int]


def _version_of(path: Path) -> Version | None:
    """What changes when the file does: time, size, inode. None when there is none."""
    try:
        return _version(path.stat())
    except OSError:
        return None


def _version(status: os.stat_result) -> Version:
    return status.st_mtime_ns, status.st_size, status.st_ino


def read_users(path: Path) -> tuple[dict[str, User], Version]:
    """The users by name, and the version of the file that they are from. Raises UsersFileError."""
    content, version = _read_file(path)
    users = {name: _parse_user(path, name, entry) for name, entry in _parse_entries(path, content).items()}
    return users, version


def _read_file(path: Path) -> tuple[bytes, Version]:
    try:
        with path.open("rb") as file:
            content, status = file.read(MAX_FILE_BYTES + 1), os.fstat(file.fileno())
    except FileNotFoundError:
        command = f"python -m shared.runtime.users_file --users-file {path} init"
        raise UsersFileError(f"users file {path}: there is none; make it with {command}") from None
    except OSError as error:
        raise UsersFileError(f"users file {path}: can't be read: {error.strerror}") from None
    if len(content) > MAX_FILE_BYTES:
        raise UsersFileError(f"users file {path}: got more than {MAX_FILE_BYTES} bytes")
    return content, _version(status)


def _parse_entries(path: Path, content: bytes) -> dict[str, Any]:
    """The object under "users", each entry still as it was written."""
    try:
        document = json.loads(content.decode("utf-8"))
    except (ValueError, RecursionError) as error:
        raise UsersFileError(f"users file {path}: is not JSON: {error}") from None
    entries = document.get("users") if isinstance(document, dict) else None
    if not isinstance(entries, dict):
        raise UsersFileError(f'users file {path}: expected an object {{"users": {{…}}}}')
    return entries


def _parse_user(path: Path, name: str, entry: object) -> User:
    where = f"users file {path}: user {name!r}"
    if not is_user_name(name):
        raise UsersFileError(f"{where}: expected a name of 1–64 characters of A–Z a–z 0–9 . _ @ -")
    fields: Mapping[str, object] = entry if isinstance(entry, dict) else {}
    password_hash, peers = fields.get("password"), fields.get("peers", [])
    if not isinstance(password_hash, str) or not is_password_hash(password_hash):
        raise UsersFileError(f"{where}: password: expected scrypt$n$r$p$salt$hash")
    if not isinstance(peers, list) or not all(isinstance(peer, str) for peer in peers):
        raise UsersFileError(f"{where}: peers: expected a list of peer ids, or of *")
    return User(name, password_hash, _check_peers(where, peers))


def _check_peers(where: str, peers: Sequence[str]) -> tuple[str, ...]:
    for peer in peers:
        try:
            peer == ALL_PEERS or parse_peer_id(peer)
        except ValueError as error:
            raise UsersFileError(f"{where}: peers: got {peer!r}, expected * or {error}") from None
    return tuple(dict.fromkeys(peers))


def is_user_name(text: str) -> bool:
    """Whether a user may be called so."""
    return _USER_NAME.fullmatch(text) is not None


# --- changing the file --------------------------------------------------------------------------------------------


def init_users_file(path: Path) -> bool:
    """The file is there; a new one has the first login, `admin` with the password `password`. True when it was made."""
    with _locked(path):
        if path.exists():
            read_users(path)
            return False
        _write(path, {FIRST_USER: _make_entry(DEFAULT_PASSWORD, (ALL_PEERS,))})
        return True


def add_user(path: Path, name: str, password: str, peers: Sequence[str] = ()) -> tuple[str, ...]:
    """The user is in the file with this password and these peers, which are returned; a missing file is made.

    Without peers a known user keeps those he has. Raises UsersFileError for a new user without peers, a wrong name or
    peer id, an empty password, or a file that is broken.
    """
    entry = _make_entry(password, _check_peers(f"user {name!r}", peers))
    if not is_user_name(name) or not password:
        raise UsersFileError(f"got the user {name!r}, expected a name of letters, digits, . _ @ - and a password")
    with _locked(path):
        entries = _read_entries(path) if path.exists() else {}
        known = entries.get(name)
        if not peers:
            if known is None:
                raise UsersFileError(f"there is no user {name!r} yet, and a new one needs --peers: expected p1,p2 or *")
            entry["peers"] = known.get("peers", [])
        _write(path, {**entries, name: {**(known or {}), **entry}})
    return tuple(entry["peers"])


def remove_user(path: Path, name: str) -> bool:
    """The user is not in the file; False when it wasn't before."""
    with _locked(path):
        entries = _read_entries(path)
        if entries.pop(name, None) is None:
            return False
        _write(path, entries)
        return True


def _make_entry(password: str, peers: Sequence[str]) -> dict[str, Any]:
    return {"password": hash_password(password), "peers": list(peers)}


def _read_entries(path: Path) -> dict[str, Any]:
    """The entries of a file that is right as a whole; a broken one must not be written over."""
    read_users(path)
    return _parse_entries(path, _read_file(path)[0])


def _write(path: Path, entries: Mapping[str, Any]) -> None:
    replace_file(path, json.dumps({"users": entries}, indent=2, ensure_ascii=False).encode("utf-8") + b"\n")


@contextmanager
def _locked(path: Path) -> Iterator[None]:
    """Nobody else changes a users file of this folder meanwhile. UsersFileError when the folder can't be written."""
    try:
        make_private_folder(path.parent)
        folder = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            fcntl.flock(folder, fcntl.LOCK_EX)
            yield
        finally:
            os.close(folder)
    except OSError as error:
        raise UsersFileError(f"users file {path}: can't be written: {error.strerror}") from None


if __name__ == "__main__":
    from shared.runtime.users_command import main

    sys.exit(main(sys.argv[1:]))
