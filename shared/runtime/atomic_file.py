"""Small private files that are whole whenever somebody reads them. What is in them is their owners' matter."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def temporary_file(path: Path, content: bytes) -> Iterator[Path]:
    """A new file of mode 0600 beside `path`, its content on disk; gone when the block ends, unless it was renamed."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}.{os.urandom(4).hex()}")
    fd = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    try:
        with open(fd, "wb") as file:
            os.fchmod(fd, 0o600)  # whatever the umask is
            file.write(content)
            file.flush()
            os.fsync(fd)
        yield temporary
    finally:
        temporary.unlink(missing_ok=True)


def replace_file(path: Path, content: bytes) -> None:
    """`path` holds the content with mode 0600, also after a power cut. Readers see the old file or the new one."""
    with temporary_file(path, content) as temporary:
        os.replace(temporary, path)
    sync_folder(path.parent)


def sync_folder(folder: Path) -> None:
    """Names made or replaced in the folder survive a power cut."""
    fd = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(fd)
    except OSError:
        pass  # some network file systems refuse; the file itself is on disk
    finally:
        os.close(fd)


def make_private_folder(path: Path) -> None:
    """The folder is there; a new one has mode 0700, one that exists stays as it is."""
    if not path.is_dir():
        path.parent.mkdir(parents=True, exist_ok=True)
        path.mkdir(mode=0o700, exist_ok=True)
