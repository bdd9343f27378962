"""Files of one folder over HTTP: found once at start, small ones kept in memory, large ones sent by the kernel.

Only names seen on the walk are served, so no path can lead out of the folder. Decisions are in pure rooms:
`conditional` (304, 412), `ranges` (206, 416), `negotiation` (gzip), `media_types`. One file is `static_file`'s matter.

Freshness: a file's status is looked at (`lstat`) for each request, and the file read again when it changed, so an
edited file is seen at once. Requests that a turn of the event loop finds waiting share the look, which comes after all
of them have arrived: it costs more than the rest of serving a small file. What a reply says was made when the file was
read, so a file from memory costs a few look-ups and one `Response`. A new file is seen after `rescan`. No folder is
walked while serving.
"""

import logging
import os
import time
from collections import OrderedDict
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

from shared.httpcore.conditional import Validators, Verdict, evaluate_preconditions, is_range_current
from shared.httpcore.errors import HttpError
from shared.httpcore.limits import KIB, MIB
from shared.httpcore.message import FileResponse, RepeatableResponse, Request, Response
from shared.httpcore.negotiation import takes_gzip
from shared.httpcore.ranges import ByteRange, Whole, parse_range, unsatisfied_content_range
from shared.httpcore.static_file import MAX_READ_BYTES, FileIsChanging, StaticFile, identify, load_file, open_file

logger = logging.getLogger("weaprous.static")

MAX_MEMORY_BYTES = 64 * MIB  # of all files together; those not asked for the longest are read again when they are
# Compressing more would hold the loop: such a file, edited since the walk, is sent as it is until the next start.
MAX_GZIP_BYTES_SERVING = 256 * KIB
# With none of these a request gets the whole file, which is nearly always.
_CONDITIONS = frozenset(
    {"if-match", "if-none-match", "if-modified-since", "if-unmodified-since", "if-range", "range"},
)


def call_now(callback: Callable[[], object]) -> None:
    """For who is in no turn of a loop."""
    callback()


class StaticFiles:
    """The files under `root`. Made at start, for it walks the folder and reads what it keeps.

    `max_memory_bytes` bounds what is kept. `clock_ns` is Unix time. `at_turn_end` calls what it is given when the
    requests that are waiting now have been read; at once when there is no telling. OSError when `root` can't be read.
    """

    def __init__(
        self,
        root: Path,
        max_memory_bytes: int = MAX_MEMORY_BYTES,
        clock_ns: Callable[[], int] = time.time_ns,
        at_turn_end: Callable[[Callable[[], object]], None] = call_now,
    ) -> None:
        self._root = root
        self._max_memory_bytes = max_memory_bytes
        self._clock_ns = clock_ns
        self._at_turn_end = at_turn_end
        self._seen: set[str] = set()  # names of files that were found current in this turn
        self._paths: dict[str, str] = {}  # of every file that is served, by its name
        self._loaded: OrderedDict[str, StaticFile] = OrderedDict()  # the one asked for last at the end
        self._loaded_bytes = 0
        self._complained: set[str] = set()  # names the log has a line of already
        self.rescan()

    def rescan(self) -> None:
        """Walks the folder again: new files are known, unchanged ones kept. It blocks: not for the event loop.

        Names that begin with a dot are left out, and links that lead out of the folder. OSError when the folder
        itself can't be read; what can't be read within it is told in the log.
        """
        self._paths = dict(_walk(os.path.realpath(self._root, strict=True)))
        for name in [name for name in self._loaded if name not in self._paths]:
            self._forget(name)
        for name, path in self._paths.items():
            if self._loaded_bytes > self._max_memory_bytes // 2:
                break  # the rest is read when somebody asks for it
            try:
                if self._current(name) is None:
                    self._load(name, path, MAX_READ_BYTES)
            except OSError as error:
                self._complain(name, error)

    def names(self) -> list[str]:
        """The paths that are served, relative to the folder, with `/`."""
        return sorted(self._paths)

    @property
    def kept_bytes(self) -> int:
        """About how much memory the files take now."""
        return self._loaded_bytes

    def serve(self, request: Request, relative_path: str, *, repeatable: bool = False) -> Response:
        """The file's reply: 200, 206, 304, 412 or 416. `repeatable`: what it is does not depend on who asks.

        HttpError 404 when there is none, 405 for other methods, 403 and 500 when it can't be read, 503 while somebody
        writes it.
        """
        if request.method not in ("GET", "HEAD"):
            raise HttpError(405, "method_not_allowed", "files can only be read", [("Allow", "GET, HEAD")])
        file = self._current(relative_path) or self._read(relative_path)
        headers = request.headers
        if headers.has_any(_CONDITIONS):
            return _serve_conditionally(request, file)
        chosen = file.packed if file.packed is not None and takes_gzip(headers) else file.plain
        if chosen.body is not None and repeatable:
            is_current = partial(self._is_latest, relative_path, file)
            return RepeatableResponse(is_current, 200, chosen.body, file.content_type, chosen.fields)
        if chosen.body is not None:
            return Response(200, chosen.body, file.content_type, chosen.fields)
        return _send_from_disk(file, 200, 0, file.size, list(chosen.fields))

    def _is_latest(self, name: str, file: StaticFile) -> bool:
        if name in self._seen:
            return self._loaded.get(name) is file
        return self._current(name) is file

    def _current(self, name: str) -> StaticFile | None:
        """The file from memory, when it is as on the disk."""
        file = self._loaded.get(name)
        if file is None or name in self._seen:
            return file
        try:
            if not file.is_current():
                return None
        except OSError:
            return None
        self._loaded.move_to_end(name)
        self._seen.add(name)
        if len(self._seen) == 1:
            self._at_turn_end(self._seen.clear)
        return file

    def _read(self, name: str) -> StaticFile:
        """The file as it is on the disk now. HttpError as in `serve`."""
        path = self._paths.get(name)
        if path is None:
            raise HttpError(404, "not_found", "there is no such file")
        try:
            return self._load(name, path, MAX_GZIP_BYTES_SERVING)
        except OSError as error:
            self._forget(name)
            raise self._explain(name, error) from None

    def _load(self, name: str, path: str, max_gzip_bytes: int) -> StaticFile:
        """The file is read and kept, and others are forgotten for it if need be. OSError."""
        file = load_file(path, self._clock_ns, max_gzip_bytes)
        self._forget(name)
        self._loaded[name] = file
        self._loaded_bytes += file.kept_bytes
        while self._loaded_bytes > self._max_memory_bytes:
            self._forget(next(iter(self._loaded)))
        self._complained.discard(name)
        return file

    def _forget(self, name: str) -> None:
        self._seen.discard(name)
        if (file := self._loaded.pop(name, None)) is not None:
            self._loaded_bytes -= file.kept_bytes

    def _explain(self, name: str, error: OSError) -> HttpError:
        """What the client hears. A file that is gone is nothing to tell in the log; one that can't be read is."""
        if isinstance(error, (FileNotFoundError, NotADirectoryError)):
            return HttpError(404, "not_found", "there is no such file")
        if isinstance(error, FileIsChanging):
            return _changing()
        self._complain(name, error)
        if isinstance(error, PermissionError):
            return HttpError(403, "not_readable", "this file can't be read here")
        return HttpError(500, "not_readable", "this file can't be read here")

    def _complain(self, name: str, error: OSError) -> None:
        """One line, until the file could be read again."""
        if name not in self._complained:
            self._complained.add(name)
            logger.warning("%s can't be served: %s", name, error.strerror or error)


def _walk(root: str) -> Iterator[tuple[str, str]]:
    """Names and paths of the files under `root`, which has no links in it. OSError when it can't be read itself."""

    def complain(error: OSError) -> None:
        if error.filename == root:
            raise error
        logger.warning("the folder %s can't be served: %s", os.path.relpath(error.filename, root), error.strerror)

    for folder, folders, names in os.walk(root, onerror=complain):
        folders[:] = [name for name in folders if not name.startswith(".")]
        for name in names:
            seen = os.path.join(folder, name)
            path = os.path.realpath(seen)
            if not name.startswith(".") and path.startswith(f"{root.rstrip('/')}/") and os.path.isfile(path):
                yield os.path.relpath(seen, root).replace(os.sep, "/"), path


def _serve_conditionally(request: Request, file: StaticFile) -> Response:
    """The reply to a request that asks for a part, or for what it does not have yet."""
    headers = request.headers
    has_range = request.method == "GET" and "range" in headers
    # A range is one of the plain bytes: that is what a client that resumes a download has.
    chosen = file.packed if file.packed is not None and not has_range and takes_gzip(headers) else file.plain
    verdict = evaluate_preconditions(request.method, headers, chosen.validators)
    if verdict is Verdict.NOT_MODIFIED:
        return Response(304, headers=chosen.common_fields)
    if verdict is Verdict.PRECONDITION_FAILED:
        return _refuse_precondition(chosen.validators)
    if chosen is file.packed and chosen.body is not None:
        return Response(200, chosen.body, file.content_type, chosen.fields)
    wanted: ByteRange | Whole = Whole.IGNORED
    if has_range and is_range_current(headers, chosen.validators):
        wanted = parse_range(", ".join(headers.get_all("range")), file.size)
    return _serve_part(file, wanted)


def _serve_part(file: StaticFile, wanted: ByteRange | Whole) -> Response:
    """200 with all of the plain bytes, 206 with those that are wanted, or 416."""
    fields = list(file.plain.fields)
    if wanted is Whole.UNSATISFIABLE:
        unsatisfied = ("Content-Range", unsatisfied_content_range(file.size))
        return Response.error(416, "range_not_satisfiable", f"the file has {file.size} bytes", [unsatisfied])
    status, first, length = 200, 0, file.size
    if isinstance(wanted, ByteRange):
        status, first, length = 206, wanted.first, wanted.length
        fields.append(("Content-Range", wanted.content_range(file.size)))
    body = file.plain.body
    if body is None:
        return _send_from_disk(file, status, first, length, fields)
    return Response(status, body if status == 200 else body[first : first + length], file.content_type, fields)


def _send_from_disk(file: StaticFile, status: int, first: int, length: int, fields: list[tuple[str, str]]) -> Response:
    """The open file; better no reply than one whose validators are of another state of it."""
    try:
        fd = open_file(file.path)
    except OSError:
        raise HttpError(404, "not_found", "there is no such file") from None
    if identify(os.fstat(fd)) != file.identity:  # changed since it was looked at
        os.close(fd)
        raise _changing()
    return FileResponse(fd, first, length, status, file.content_type, fields)


def _changing() -> HttpError:
    return HttpError(503, "file_changed", "the file is being changed, try again", [("Retry-After", "1")])


def _refuse_precondition(validators: Validators) -> Response:
    message = "the file is not in the state that the request names"
    return Response.error(412, "precondition_failed", message, [("ETag", validators.etag)])
