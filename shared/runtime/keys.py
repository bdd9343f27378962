"""Keys as files of mode 0600: reading them, and making those that are missing (`python -m shared.runtime.keys`).

Owns where a key lies and what makes a file unfit to be one. What is signed with a key is in `proofs` and `sessions`,
who has to show one in `key_check`.
"""

import errno
import os
import re
import stat
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from shared.runtime.atomic_file import make_private_folder, sync_folder, temporary_file
from shared.runtime.errors import StartupError
from shared.runtime.proofs import Proof, sign_proof, verify_proof

__all__ = ["KEY_NAMES", "KeyFileError", "Proof", "load_key", "make_keys", "sign_proof", "verify_proof"]

KEY_NAMES = ("tracker", "p2p", "session")
KEY_BYTES = 32
MIN_KEY_CHARS = 32
MAX_FILE_BYTES = 4096
FILE_IN_FOLDER = "key"
_KEY = re.compile(rb"[!-~]+")


class KeyFileError(StartupError):
    """A key can't be used: `path` says which, `why` what is wrong and what was expected."""

    def __init__(self, path: Path, why: str) -> None:
        super().__init__(f"key file {path}: {why}")
        self.path = path
        self.why = why


def key_path(keys_dir: Path, name: str) -> Path:
    """DIR/NAME; where that is a folder (a volume for each key), DIR/NAME/key. KeyFileError when nobody can tell."""
    path = keys_dir / name
    try:
        return path / FILE_IN_FOLDER if path.is_dir() else path
    except OSError as error:
        raise KeyFileError(path, f"can't be read: {error.strerror}") from None


def load_key(keys_dir: Path, name: str) -> bytes:
    """The key's text as bytes, as its header carries it. KeyFileError when it can't be used as a key."""
    path = key_path(keys_dir, name)
    try:
        # O_NONBLOCK: a FIFO in its place must not hang the start.
        fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
    except OSError as error:
        raise KeyFileError(path, f"can't be read: {error.strerror}") from None
    try:
        _check_file(path, os.fstat(fd))
        content = os.read(fd, MAX_FILE_BYTES + 1)
    except OSError as error:
        raise KeyFileError(path, f"can't be read: {error.strerror}") from None
    finally:
        os.close(fd)
    return _parse_key(path, content)


def _check_file(path: Path, status: os.stat_result) -> None:
    if not stat.S_ISREG(status.st_mode):
        raise KeyFileError(path, "is no regular file")
    mode = stat.S_IMODE(status.st_mode)
    if mode & (stat.S_IRWXG | stat.S_IRWXO):
        raise KeyFileError(path, f"got mode {mode:04o}, expected 0600, without access for group and others")


def _parse_key(path: Path, content: bytes) -> bytes:
    if len(content) > MAX_FILE_BYTES:
        raise KeyFileError(path, f"got more than {MAX_FILE_BYTES} bytes, expected one line")
    key = content.strip(b" \t\r\n")
    if not key:
        raise KeyFileError(path, f"is empty, expected at least {MIN_KEY_CHARS} characters")
    if not _KEY.fullmatch(key):
        raise KeyFileError(path, "expected one line of printable ASCII without spaces")
    if len(key) < MIN_KEY_CHARS:
        raise KeyFileError(path, f"got {len(key)} characters, expected at least {MIN_KEY_CHARS}")
    return key


def make_keys(keys_dir: Path, names: Sequence[str] = KEY_NAMES) -> list[Path]:
    """Each of these keys is there afterwards; returns the files that were made, existing ones stay as they are.

    Safe when two processes do it at once: both end up with the same keys. A new folder has mode 0700. KeyFileError
    when a file can't be made, or an existing one is no key.
    """
    made = []
    for name in names:
        path = key_path(keys_dir, name)
        try:
            make_private_folder(keys_dir)
            if not path.exists() and _make_key_file(path):
                made.append(path)
        except OSError as error:
            raise KeyFileError(path, f"can't be made: {error.strerror}") from None
        load_key(keys_dir, name)
    return made


def _make_key_file(path: Path) -> bool:
    """A new key is in the file, complete from the moment it is seen; False when another process was faster."""
    text = f"{os.urandom(KEY_BYTES).hex()}\n".encode("ascii")
    with temporary_file(path, text) as temporary:
        try:
            os.link(temporary, path)
        except FileExistsError:
            return False
        except OSError as error:
            if error.errno not in (errno.EPERM, errno.ENOTSUP, errno.EOPNOTSUPP, errno.ENOSYS, errno.EMLINK):
                raise
            # Some file systems of desktop machines know no hard links. Another start may win: its key stays.
            if path.exists():
                return False
            os.rename(temporary, path)
    sync_folder(path.parent)
    return True


def main(arguments: Sequence[str]) -> int:
    """The command; exit status 0, or 2 with a line that says why."""
    from shared.runtime.settings import REQUIRED, exit_on_settings_error, parse_choice, parse_path, setting

    @dataclass(frozen=True, slots=True, kw_only=True)
    class Settings:
        keys_dir: Path = setting(REQUIRED, parse_path, help="folder to make the keys in")
        names: tuple[str, ...] = setting(
            KEY_NAMES, parse_choice(*KEY_NAMES), help="which keys, commas between", is_repeatable=True
        )

    prog = "python -m shared.runtime.keys"
    settings = exit_on_settings_error(
        Settings, arguments, os.environ, prog, "Makes the keys that are missing, mode 0600; keeps those that exist."
    )
    try:
        made = make_keys(settings.keys_dir, settings.names)
    except KeyFileError as error:
        print(f"{prog}: error: {error}", file=sys.stderr)
        return 2
    for name in settings.names:
        path = key_path(settings.keys_dir, name)
        print(f"{'made' if path in made else 'kept'} {path}")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
