"""One file as it is served: read whole or not at all, with everything that a reply says about it made beforehand.

Owns what a file must be to be sent, and how to tell that it has changed. Which files there are is `static`'s matter.
"""

import gzip
import hashlib
import os
import stat
from collections.abc import Callable
from dataclasses import dataclass

from shared.httpcore.conditional import Validators
from shared.httpcore.dates import format_http_date
from shared.httpcore.limits import KIB, MIB
from shared.httpcore.media_types import cache_control, is_compressible, media_type

MAX_KEPT_BYTES = 64 * KIB  # a larger file is sent by sendfile, from the page cache
MAX_READ_BYTES = 1 * MIB  # a larger file is never read: no gzip, and its tag comes from size and time
MIN_GZIP_BYTES = 256
GZIP_LEVEL = 6
READ_ATTEMPTS = 3
ENTRY_BYTES = 2 * KIB  # what an entry takes besides its bodies, about
# The clock of a file system ticks each 1 to 10 ms: who writes again within a tick leaves no trace in the times.
SETTLING_NS = 50_000_000

Fields = tuple[tuple[str, str], ...]
Identity = tuple[int, ...]
NEVER: Identity = ()  # equals no file's


class FileIsChanging(OSError):
    """The file was written to each time it was read."""


@dataclass(frozen=True, slots=True)
class Representation:
    """The file in one content coding. `body` None: it is sent from the disk."""

    body: bytes | None
    validators: Validators
    fields: Fields  # of a 200
    common_fields: Fields  # of a 206 and a 304 as well (RFC 9110 §15.4.5)


@dataclass(frozen=True, slots=True)
class StaticFile:
    """One file as it was when it was read last."""

    path: str
    identity: Identity
    size: int
    modified_ns: int
    content_type: str
    plain: Representation
    packed: Representation | None  # gzip

    def is_current(self) -> bool:
        """Whether the file on the disk is still the one that was read, as its status tells. May raise OSError."""
        return identify(os.lstat(self.path)) == self.identity

    @property
    def kept_bytes(self) -> int:
        """About how much memory this takes."""
        packed = self.packed.body if self.packed is not None else None
        return ENTRY_BYTES + len(self.plain.body or b"") + len(packed or b"")


def identify(status: os.stat_result) -> Identity:
    """What changes when the file is replaced, written to, or closed to us: ctime also sees what keeps the mtime."""
    return status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns, status.st_ctime_ns


def load_file(path: str, clock_ns: Callable[[], int], max_gzip_bytes: int = MAX_READ_BYTES) -> StaticFile:
    """Reads the file, or only its status when it is large. `path` has no links in it.

    `clock_ns` is Unix time. OSError when it can't be read, is no file, or is reached through a link; FileIsChanging
    when it never was the same before and after reading it.
    """
    if os.path.realpath(path) != path:
        raise FileNotFoundError(f"{path} leads elsewhere")
    for _ in range(READ_ATTEMPTS):
        status, now_ns = os.lstat(path), clock_ns()
        content = _read(path) if status.st_size <= MAX_READ_BYTES else None
        is_whole = content is None or len(content) == status.st_size
        if is_whole and identify(os.lstat(path)) == identify(status):
            has_settled = max(status.st_mtime_ns, status.st_ctime_ns) + SETTLING_NS <= now_ns
            identity = identify(status) if has_settled else NEVER  # the next request reads it again
            return _describe(path, status, identity, content, max_gzip_bytes)
    raise FileIsChanging(f"{path} is being written to")


def _read(path: str) -> bytes:
    with open(open_file(path), "rb") as opened:
        return opened.read(MAX_READ_BYTES + 1)


def open_file(path: str) -> int:
    """A descriptor of a regular file; a link put in its place since the walk is refused. OSError."""
    fd = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK)
    if not stat.S_ISREG(os.fstat(fd).st_mode):
        os.close(fd)
        raise FileNotFoundError(f"{path} is no file")
    return fd


def _describe(
    path: str, status: os.stat_result, identity: Identity, content: bytes | None, max_gzip_bytes: int
) -> StaticFile:
    if content is None:
        if not stat.S_ISREG(status.st_mode):
            raise FileNotFoundError(f"{path} is no file")
        # Size and time in nanoseconds, as nginx has it: reading gigabytes at start would tell little more.
        etag = f'"{status.st_size:x}-{status.st_mtime_ns:x}"'
    else:
        etag = f'"{hashlib.sha256(content).hexdigest()[:24]}"'
    varies = content is not None and is_compressible(path) and len(content) >= MIN_GZIP_BYTES
    packed = None
    if content is not None and varies and len(content) <= max_gzip_bytes:
        packed = gzip.compress(content, GZIP_LEVEL, mtime=0)  # the same bytes on every replica
        if len(packed) >= len(content) * 0.9:
            packed, varies = None, False
    validators = Validators(etag, int(status.st_mtime))
    # RFC 9110 §8.8.3.3: the compressed bytes are another representation, so they have a tag of their own.
    packed_validators = Validators(f'{etag[:-1]}-gz"', validators.modified_unix_s)
    kept = content if content is not None and len(content) <= MAX_KEPT_BYTES else None
    ranges, coding = ("Accept-Ranges", "bytes"), ("Content-Encoding", "gzip")
    return StaticFile(
        path,
        identity,
        status.st_size,
        status.st_mtime_ns,
        media_type(path),
        _represent(path, validators, varies, kept, ranges),
        _represent(path, packed_validators, varies, packed, coding) if packed is not None else None,
    )


def _represent(
    path: str, validators: Validators, varies: bool, body: bytes | None, own_field: tuple[str, str]
) -> Representation:
    common: Fields = (
        ("ETag", validators.etag),
        ("Last-Modified", format_http_date(validators.modified_unix_s)),
        ("Cache-Control", cache_control(path)),
    )
    if varies:
        common += (("Vary", "Accept-Encoding"),)
    return Representation(body, validators, (*common, own_field), common)
