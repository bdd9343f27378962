"""Files of one folder over HTTP: found once at start, small ones kept in memory, large ones sent by the
kernel.

Only names seen on the walk are served, so no path can lead out of the folder. Decisions are in pure rooms:
`conditional` (304, 412), `ranges` (206, 416), `negotiation` (gzip), `media_types`. What stays here is the
files.

Freshness: each request looks at its file's status (`stat`, about a microsecond), and reads it again when it
changed; so an edited file is seen at once. A new file is seen after `rescan`. No folder is walked while
serving.
"""

import gzip
import hashlib
import logging
import os
import stat
from dataclasses import dataclass
from pathlib import Path

from shared.httpcore.conditional import Validators, Verdict, evaluate_preconditions, is_range_current
from shared.httpcore.dates import format_http_date
from shared.httpcore.errors import HttpError
from shared.httpcore.limits import KIB, MIB
from shared.httpcore.media_types import cache_control, is_compressible, media_type
from shared.httpcore.message import FileResponse, Request, Response
from shared.httpcore.negotiation import accepts_gzip
from shared.httpcore.ranges import ByteRange, Whole, parse_range, unsatisfied_content_range

logger = logging.getLogger("weaprous.static")

MAX_KEPT_BYTES = 64 * KIB  # a larger file is sent by sendfile, from the page cache
MAX_READ_BYTES = 1 * MIB  # a larger file is never read: no gzip, and its tag comes from size and time
MIN_GZIP_BYTES = 256


@dataclass(frozen=True, slots=True)
class StaticFile:
    """One file as it was when it was last read. `body` None: it is sent from the disk."""

    path: str
    size: int
    modified_ns: int
    validators: Validators
    content_type: str
    cache_control: str
    body: bytes | None
    gzipped: bytes | None

    def is_current(self, status: os.stat_result) -> bool:
        """Whether the file on the disk is still the one that was read."""
        return status.st_mtime_ns == self.modified_ns and status.st_size == self.size

    @property
    def gzip_validators(self) -> Validators:
        """RFC 9110 §8.8.3.3: the compressed bytes are another representation, so they have a tag of their own."""
        return Validators(f'{self.validators.etag[:-1]}-gz"', self.validators.modified_unix_s)


class StaticFiles:
    """The files under `root`. Made at start, for it walks the folder and reads what it keeps."""

    def __init__(self, root: Path) -> None:
        self._root = root
        self._files: dict[str, StaticFile] = {}
        self.rescan()

    def rescan(self) -> None:
        """Walks the folder again: new files are known, unchanged ones kept. It blocks: not for the event
        loop.

        Names that begin with a dot are left out, and links that lead out of the folder. OSError when the
        folder can't be read.
        """
        root = self._root.resolve(strict=True)
        found: dict[str, StaticFile] = {}
        for folder, folders, names in os.walk(root, onerror=_raise):
            folders[:] = [name for name in folders if not name.startswith(".")]
            for name in names:
                path = Path(folder, name).resolve()
                if name.startswith(".") or not path.is_relative_to(root) or not path.is_file():
                    continue
                relative = Path(folder, name).relative_to(root).as_posix()
                if (file := self._load_again(relative, str(path))) is not None:
                    found[relative] = file
        self._files = found

    def _load_again(self, relative: str, path: str) -> StaticFile | None:
        known = self._files.get(relative)
        try:
            if known is not None and known.path == path and known.is_current(os.stat(path)):
                return known
            return load_file(path)
        except OSError as error:
            logger.warning("%s can't be served: %s", relative, error.strerror or error)
            return None

    def names(self) -> list[str]:
        """The paths that are served, relative to the folder, with `/`."""
        return sorted(self._files)

    def serve(self, request: Request, relative_path: str) -> Response:
        """The file's reply: 200, 206, 304, 412 or 416. HttpError 404 when there is none, 405 for other methods."""
        if request.method not in ("GET", "HEAD"):
            raise HttpError(405, "method_not_allowed", "files can only be read", [("Allow", "GET, HEAD")])
        file = self._current(relative_path)
        if file is None:
            raise HttpError(404, "not_found", "there is no such file")
        headers = request.headers
        has_range = request.method == "GET" and "range" in headers
        # A range is one of the plain bytes: that is what a client that resumes a download has.
        use_gzip = (
            file.gzipped is not None and not has_range and accepts_gzip(", ".join(headers.get_all("accept-encoding")))
        )
        validators = file.gzip_validators if use_gzip else file.validators
        verdict = evaluate_preconditions(request.method, headers, validators)
        if verdict is not Verdict.PROCEED:
            return _bodiless(verdict, file, validators)
        if use_gzip and file.gzipped is not None:
            response = Response(200, file.gzipped, file.content_type, _fields(file, validators))
            response.add_header("Content-Encoding", "gzip")
            return response
        wanted: ByteRange | Whole = Whole.IGNORED
        if has_range and is_range_current(headers, validators):
            wanted = parse_range(", ".join(headers.get_all("range")), file.size)
        return _plain(request, file, wanted)

    def _current(self, relative_path: str) -> StaticFile | None:
        """The file as it is on the disk now; None when it is not known, or gone."""
        file = self._files.get(relative_path)
        if file is None:
            return None
        try:
            if not file.is_current(os.stat(file.path)):
                file = self._files[relative_path] = load_file(file.path)
        except OSError:
            return None
        return file


def _raise(error: OSError) -> None:
    raise error


def load_file(path: str) -> StaticFile:
    """Reads the file, or only its status when it is large. OSError when it can't be read, or is a link."""
    with open(_open(path), "rb") as opened:
        status = os.fstat(opened.fileno())
        content = opened.read(MAX_READ_BYTES + 1) if status.st_size <= MAX_READ_BYTES else None
    if content is None:
        # Size and time in nanoseconds, as nginx has it: reading gigabytes at start would tell little more.
        etag = f'"{status.st_size:x}-{status.st_mtime_ns:x}"'
    else:
        etag = f'"{hashlib.sha256(content).hexdigest()[:24]}"'
    return StaticFile(
        path,
        status.st_size if content is None else len(content),
        status.st_mtime_ns,
        Validators(etag, int(status.st_mtime)),
        media_type(path),
        cache_control(path),
        content if content is not None and len(content) <= MAX_KEPT_BYTES else None,
        _compress(path, content) if content is not None else None,
    )


def _open(path: str) -> int:
    """A descriptor of a regular file; a link put in its place since the walk is refused."""
    fd = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK)
    if not stat.S_ISREG(os.fstat(fd).st_mode):
        os.close(fd)
        raise OSError(f"{path} is no file")
    return fd


def _compress(path: str, content: bytes) -> bytes | None:
    """The content in gzip, the same bytes on every replica; None when it does not pay."""
    if not is_compressible(path) or len(content) < MIN_GZIP_BYTES:
        return None
    packed = gzip.compress(content, 9, mtime=0)
    return packed if len(packed) < len(content) * 0.9 else None


def _fields(file: StaticFile, validators: Validators) -> list[tuple[str, str]]:
    """What a 200, a 206 and a 304 have in common (RFC 9110 §15.4.5)."""
    fields = [
        ("ETag", validators.etag),
        ("Last-Modified", format_http_date(validators.modified_unix_s)),
        ("Cache-Control", file.cache_control),
    ]
    if file.gzipped is not None:
        fields.append(("Vary", "Accept-Encoding"))
    return fields


def _bodiless(verdict: Verdict, file: StaticFile, validators: Validators) -> Response:
    if verdict is Verdict.NOT_MODIFIED:
        return Response(304, headers=_fields(file, validators))
    return Response.error(
        412, "precondition_failed", "the file is not in the state that the request names", [("ETag", validators.etag)]
    )


def _plain(request: Request, file: StaticFile, wanted: ByteRange | Whole) -> Response:
    """200 with all of the bytes, 206 with those that are wanted, or 416."""
    fields = [*_fields(file, file.validators), ("Accept-Ranges", "bytes")]
    if wanted is Whole.UNSATISFIABLE:
        unsatisfied = ("Content-Range", unsatisfied_content_range(file.size))
        return Response.error(416, "range_not_satisfiable", f"the file has {file.size} bytes", [unsatisfied])
    status, first, length = 200, 0, file.size
    if isinstance(wanted, ByteRange):
        status, first, length = 206, wanted.first, wanted.length
        fields.append(("Content-Range", wanted.content_range(file.size)))
    if file.body is not None:
        body = file.body if status == 200 else file.body[first : first + length]
        return Response(status, body, file.content_type, fields)
    try:
        fd = _open(file.path)
    except OSError:
        raise HttpError(404, "not_found", "there is no such file") from None
    if os.fstat(fd).st_size < first + length:  # cut short since it was looked at: better no reply than half of one
        os.close(fd)
        raise HttpError(503, "file_changed", "the file is being changed, try again", [("Retry-After", "1")])
    return FileResponse(fd, first, length, status, file.content_type, fields)
