"""Who may log in: users of the users file, or the one built-in login where there is no file.

Owns the built-in login, and what is remembered of default passwords. The file and its checks are `shared/runtime`'s
(`users_file`, `passwords`); how often someone may try is `throttle`'s. Read `login` next.
"""

from typing import Protocol

from shared.runtime.passwords import DECOY_HASH, verify_password
from shared.runtime.users_file import DEFAULT_PASSWORD, FIRST_USER, User

# scrypt of the default password, with a salt that is no secret either: hashing it at each start would be for nothing.
BUILT_IN_HASH = "scrypt$16384$8$5$d2VhcHJvdXMgYnVpbHQtaQ==$KGtqnVPdyR7+hge1JiVRIl+g5d8bRakoufiUjtrU3ew="
MAX_NAME_CHARS = 64
MAX_PASSWORD_CHARS = 1024


class UserSource(Protocol):
    """Where users are looked up: `UsersFile`, or `BuiltInUsers`."""

    def get(self, name: str) -> User | None:
        """The user of that name as of now."""

    def authenticate(self, name: str, password: str) -> User | None:
        """Blocking. The user, when name and password are right; unknown names cost as much work."""

    def is_default_password(self, user: User) -> bool:
        """Blocking. Whether the user still has the password of the first login."""


class BuiltInUsers:
    """The first login of design §5, for a backend without a users file."""

    def __init__(self) -> None:
        self._admin = User(FIRST_USER, BUILT_IN_HASH, ("*",))

    def get(self, name: str) -> User | None:
        """The administrator, under that name only."""
        return self._admin if name == FIRST_USER else None

    def authenticate(self, name: str, password: str) -> User | None:
        """Blocking. The administrator, when name and password are right."""
        user = self.get(name)
        is_right = verify_password(password, user.password_hash if user is not None else DECOY_HASH)
        return user if is_right else None

    def is_default_password(self, user: User) -> bool:
        """It can't be changed here."""
        return user is self._admin


class Accounts:
    """The users, and which of them are known to have the default password, so that `/user` needs no thread."""

    def __init__(self, source: UserSource) -> None:
        self._source = source
        self._default_marks: dict[str, bool] = {}  # password mark → whether it is the default password's

    def find(self, name: str) -> User | None:
        """The user of that name as of now."""
        return self._source.get(name)

    def verify(self, name: str, password: str) -> User | None:
        """Blocking, a tenth of a second or more. The user, when name and password are right."""
        user = self._source.authenticate(name, password)
        if user is not None:
            self._default_marks[user.password_mark] = password == DEFAULT_PASSWORD
        return user

    def known_default_password(self, user: User) -> bool | None:
        """Whether the user still has the default password; None when that was not found out yet."""
        return self._default_marks.get(user.password_mark)

    def find_default_password(self, user: User) -> bool:
        """Blocking. As `known_default_password`, found out now."""
        is_default = self._source.is_default_password(user)
        self._default_marks[user.password_mark] = is_default
        return is_default
