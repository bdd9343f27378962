"""The folder of the stack: keys, users, the proxy's configuration, and who runs here. All made when missing.

Owns `var/`: its lock, what is written at each start, what is left alone. What stands in the files is decided by `plan`
and by `shared/runtime` (`keys`, `users_file`).
"""

import fcntl
import os
from pathlib import Path
from typing import TextIO

from services.stack.plan import render_proxy_conf
from services.stack.settings import StackSettings
from shared.runtime.errors import StartupError
from shared.runtime.keys import load_key, make_keys
from shared.runtime.users_file import FIRST_USER, UsersFile, init_users_file


class StackFiles:
    """`prepare()` first, `close()` at the end."""

    def __init__(self, settings: StackSettings) -> None:
        self._settings = settings
        self._folder = settings.var_dir
        self._pids = settings.var_dir / "pids"
        self._lock: TextIO | None = None
        self._are_users_new = False

    def prepare(self) -> None:
        """The folder is this runner's alone and holds all that processes read at their start. StartupError."""
        try:
            self._folder.mkdir(parents=True, exist_ok=True)
            self._take_lock()
            self._pids.mkdir(exist_ok=True)
            self._forget_pids()
            make_keys(self._folder / "keys")
            self._are_users_new = init_users_file(self._users_path)
            (self._folder / "proxy.conf").write_text(render_proxy_conf(self._settings), encoding="utf-8")
        except OSError as error:
            why = error.strerror or error
            raise StartupError(f"--var-dir: can't use {error.filename or self._folder}: {why}") from None

    @property
    def _users_path(self) -> Path:
        return self._folder / "users.json"

    def _take_lock(self) -> None:
        """Held until this process ends, however it ends."""
        lock = (self._folder / "lock").open("a+", encoding="ascii")
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            lock.seek(0)
            owner = lock.read(20).strip()
            lock.close()
            raise StartupError(f"--var-dir: {self._folder} is in use by process {owner}") from None
        lock.truncate(0)
        lock.write(f"{os.getpid()}\n")
        lock.flush()
        self._lock = lock

    def write_pid(self, name: str, pid: int) -> None:
        """`pids/NAME` tells the pid of that process from now on, for people and tests; never half written."""
        new = self._pids / f".{name}.new"
        try:
            new.write_text(f"{pid}\n", encoding="ascii")
            new.replace(self._pids / name)
        except OSError:
            pass  # the folder was taken away: no reason to stop

    def _forget_pids(self) -> None:
        for path in self._pids.iterdir():
            path.unlink()

    def tracker_key(self) -> str:
        """The text that X-Tracker-Key carries."""
        return load_key(self._folder / "keys", "tracker").decode("ascii")

    def has_first_password(self) -> bool:
        """The administrator still has the password that everybody knows. It may take a tenth of a second or more."""
        if self._are_users_new:
            return True
        users = UsersFile(self._users_path)
        admin = users.get(FIRST_USER)
        return admin is not None and users.is_default_password(admin)

    def close(self) -> None:
        """The folder is free for another runner."""
        try:
            self._forget_pids()
        except OSError:
            pass
        if self._lock is not None:
            self._lock.close()
