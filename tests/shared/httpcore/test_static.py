"""Files over HTTP: which are served, how, and what becomes of changes on the disk."""

import gzip
import hashlib
import itertools
import os
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import pytest

from shared.httpcore.errors import HttpError
from shared.httpcore.message import FileResponse, RepeatableResponse, Request, Response
from shared.httpcore.static import StaticFiles
from shared.httpcore.static_file import MAX_KEPT_BYTES, MAX_READ_BYTES, load_file

PAGE = b"<!doctype html><title>x</title>" + b"<p>hello</p>" * 100
MEDIUM = os.urandom(MAX_KEPT_BYTES + 1)


@pytest.fixture
def root(tmp_path: Path) -> Path:
    root = tmp_path / "web"
    (root / "js").mkdir(parents=True)
    (root / "index.html").write_bytes(PAGE)
    (root / "js" / "app.js").write_bytes(b"console.log(1);\n" * 100)
    (root / "js" / "app.3f2a91bc.js").write_bytes(b"1")
    (root / "logo.png").write_bytes(b"\x89PNG")
    (root / "empty.txt").write_bytes(b"")
    (root / "medium.bin").write_bytes(MEDIUM)
    (root / ".hidden").write_bytes(b"secret")
    (root / ".git").mkdir()
    (root / ".git" / "config").write_bytes(b"secret")
    (tmp_path / "secret.txt").write_bytes(b"secret")
    return root


@pytest.fixture
def open_root() -> Iterator[Path]:
    """A folder with one page that every user of the machine may read."""
    with tempfile.TemporaryDirectory() as folder:
        os.chmod(folder, 0o755)
        (Path(folder) / "page.html").write_bytes(PAGE)
        yield Path(folder)


@contextmanager
def as_nobody() -> Iterator[None]:
    """Root reads everything, so that as root this process is somebody else for a while."""
    was = os.geteuid()
    if was == 0:
        os.seteuid(65534)
    try:
        yield
    finally:
        os.seteuid(was)


def tomorrow_ns() -> int:
    """A clock that is far enough from the last change of any file."""
    return time.time_ns() + 86_400_000_000_000


def request(method: str = "GET", **fields: str) -> Request:
    lines = "".join(f"{name.replace('_', '-')}: {value}\r\n" for name, value in fields.items())
    return Request(method, "/", 1, lines.encode("latin-1"))


def content(response: Response) -> bytes:
    """The reply's body, wherever it is."""
    if not isinstance(response, FileResponse):
        return response.body
    with open(response.fd, "rb") as file:
        file.seek(response.offset)
        return file.read(response.length)


def field(response: Response, name: str) -> str | None:
    return response.get_header(name)


def strong_tag(data: bytes) -> str:
    return f'"{hashlib.sha256(data).hexdigest()[:24]}"'


def test_a_file_is_served_with_its_validators(root: Path) -> None:
    os.utime(root / "index.html", (784111777, 784111777))
    response = StaticFiles(root).serve(request(), "index.html")
    assert (response.status, response.body, response.content_type) == (200, PAGE, "text/html; charset=utf-8")
    assert dict(response.headers) == {
        "ETag": strong_tag(PAGE),
        "Last-Modified": "Sun, 06 Nov 1994 08:49:37 GMT",
        "Cache-Control": "no-cache",
        "Vary": "Accept-Encoding",
        "Accept-Ranges": "bytes",
    }


def test_files_in_folders_and_empty_ones_are_served(root: Path) -> None:
    files = StaticFiles(root)
    assert files.serve(request(), "js/app.js").content_type == "text/javascript; charset=utf-8"
    assert files.serve(request(), "empty.txt").body == b""
    assert files.names() == ["empty.txt", "index.html", "js/app.3f2a91bc.js", "js/app.js", "logo.png", "medium.bin"]


def test_a_fingerprinted_file_may_be_kept_for_ever(root: Path) -> None:
    response = StaticFiles(root).serve(request(), "js/app.3f2a91bc.js")
    assert field(response, "Cache-Control") == "public, max-age=31536000, immutable"


@pytest.mark.parametrize(
    "path",
    [
        "",
        "missing.html",
        "js",
        "js/",
        "../secret.txt",
        "js/../../secret.txt",
        "js/../index.html",
        "./index.html",
        "//index.html",
        "/index.html",
        "index.html/",
        "INDEX.HTML",
        "index.html\x00.png",
        "..\\secret.txt",
        ".hidden",
        ".git/config",
        "/etc/passwd",
    ],
)
def test_only_names_seen_on_the_walk_are_served(root: Path, path: str) -> None:
    with pytest.raises(HttpError) as missing:
        StaticFiles(root).serve(request(), path)
    assert (missing.value.status, missing.value.code) == (404, "not_found")


def test_links_are_followed_within_the_folder_and_never_out_of_it(root: Path, tmp_path: Path) -> None:
    (root / "home.html").symlink_to("index.html")
    (root / "leak.txt").symlink_to(tmp_path / "secret.txt")
    (root / "leaks").symlink_to(tmp_path)
    (root / "broken.txt").symlink_to("nowhere")
    files = StaticFiles(root)
    assert files.serve(request(), "home.html").body == PAGE
    assert [name for name in files.names() if name.startswith(("leak", "broken"))] == []


def test_a_file_that_became_a_link_is_not_followed(root: Path, tmp_path: Path) -> None:
    files = StaticFiles(root)
    for name in ("index.html", "medium.bin"):
        (root / name).unlink()
        (root / name).symlink_to(tmp_path / "secret.txt")
        with pytest.raises(HttpError, match="there is no such file"):
            files.serve(request(), name)


def test_a_pipe_in_the_folder_is_no_file(root: Path) -> None:
    os.mkfifo(root / "pipe.txt")
    assert "pipe.txt" not in StaticFiles(root).names()


def test_a_folder_that_is_missing_is_an_error_at_start(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        StaticFiles(tmp_path / "nowhere")


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE"])
def test_files_can_only_be_read(root: Path, method: str) -> None:
    with pytest.raises(HttpError, match="can only be read") as refused:
        StaticFiles(root).serve(request(method), "index.html")
    assert (refused.value.status, refused.value.headers) == (405, (("Allow", "GET, HEAD"),))


def test_head_is_answered_like_get(root: Path) -> None:
    files = StaticFiles(root)
    assert files.serve(request("HEAD"), "index.html").headers == files.serve(request(), "index.html").headers


# --- compression ---------------------------------------------------------------------------------------------


def test_gzip_is_sent_to_who_takes_it_with_a_tag_of_its_own(root: Path) -> None:
    files = StaticFiles(root)
    plain, packed = files.serve(request(), "index.html"), files.serve(request(Accept_Encoding="gzip, br"), "index.html")
    assert gzip.decompress(packed.body) == PAGE
    assert (field(packed, "Content-Encoding"), field(packed, "Vary")) == ("gzip", "Accept-Encoding")
    assert field(packed, "ETag") == f'{strong_tag(PAGE)[:-1]}-gz"' != field(plain, "ETag")
    assert field(plain, "Content-Encoding") is None


@pytest.mark.parametrize("name", ["logo.png", "empty.txt", "medium.bin", "js/app.3f2a91bc.js"])
def test_what_gzip_does_not_make_smaller_does_not_vary(root: Path, name: str) -> None:
    response = StaticFiles(root).serve(request(Accept_Encoding="gzip"), name)
    assert field(response, "Content-Encoding") is None
    assert field(response, "Vary") is None
    content(response)


def test_replicas_compress_to_the_same_bytes(root: Path) -> None:
    first = StaticFiles(root).serve(request(Accept_Encoding="gzip"), "index.html")
    os.utime(root / "index.html", (1, 1))
    second = StaticFiles(root).serve(request(Accept_Encoding="gzip"), "index.html")
    assert (first.body, field(first, "ETag")) == (second.body, field(second, "ETag"))


# --- conditions ----------------------------------------------------------------------------------------------


def test_a_client_that_has_it_already_gets_304_with_the_fields_of_the_200(root: Path) -> None:
    files = StaticFiles(root)
    fresh = files.serve(request(), "index.html")
    again = files.serve(request(If_None_Match=strong_tag(PAGE)), "index.html")
    assert (again.status, again.body, again.content_type) == (304, b"", None)
    assert {*again.headers} == {pair for pair in fresh.headers if pair[0] != "Accept-Ranges"}


def test_the_tag_of_the_other_coding_does_not_match(root: Path) -> None:
    files = StaticFiles(root)
    packed_tag = f'{strong_tag(PAGE)[:-1]}-gz"'
    assert files.serve(request(If_None_Match=packed_tag, Accept_Encoding="gzip"), "index.html").status == 304
    assert files.serve(request(If_None_Match=packed_tag), "index.html").status == 200


def test_dates_and_if_match_are_honoured(root: Path) -> None:
    os.utime(root / "index.html", (784111777, 784111777))
    files = StaticFiles(root)
    then, before = "Sun, 06 Nov 1994 08:49:37 GMT", "Sun, 06 Nov 1994 08:49:36 GMT"
    assert files.serve(request(If_Modified_Since=then), "index.html").status == 304
    assert files.serve(request(If_Modified_Since=before), "index.html").status == 200
    assert files.serve(request(If_Match='"x"'), "index.html").status == 412
    assert files.serve(request(If_Unmodified_Since=before), "index.html").status == 412
    assert files.serve(request(If_Match="*"), "index.html").status == 200


# --- ranges --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["logo.png", "medium.bin"])
def test_one_range_is_206(root: Path, name: str) -> None:
    whole = (root / name).read_bytes()
    response = StaticFiles(root, clock_ns=tomorrow_ns).serve(request(Range="bytes=1-2", Accept_Encoding="gzip"), name)
    assert (response.status, content(response)) == (206, whole[1:3])
    assert field(response, "Content-Range") == f"bytes 1-2/{len(whole)}"
    assert field(response, "ETag") == strong_tag(whole)


def test_a_range_of_a_compressible_file_is_of_its_plain_bytes(root: Path) -> None:
    response = StaticFiles(root).serve(request(Range="bytes=-5", Accept_Encoding="gzip"), "index.html")
    assert (response.status, response.body, field(response, "Content-Encoding")) == (206, PAGE[-5:], None)
    assert field(response, "Vary") == "Accept-Encoding"


@pytest.mark.parametrize("value", ["bytes=0-0,2-3", "bytes=3-2", "lines=1-2", "bytes=x"])
def test_several_ranges_and_odd_ones_get_everything(root: Path, value: str) -> None:
    response = StaticFiles(root).serve(request(Range=value), "logo.png")
    assert (response.status, response.body) == (200, b"\x89PNG")


def test_a_range_beyond_the_end_is_416_with_the_size(root: Path) -> None:
    response = StaticFiles(root).serve(request(Range="bytes=4-"), "logo.png")
    assert (response.status, field(response, "Content-Range")) == (416, "bytes */4")


@pytest.mark.parametrize(
    ("condition", "status"), [(strong_tag(b"\x89PNG"), 206), ('"old"', 200), ("W/" + strong_tag(b"\x89PNG"), 200)]
)
def test_a_range_of_what_has_changed_is_everything(root: Path, condition: str, status: int) -> None:
    response = StaticFiles(root).serve(request(Range="bytes=0-0", If_Range=condition), "logo.png")
    assert response.status == status


def test_head_ignores_a_range(root: Path) -> None:
    assert StaticFiles(root).serve(request("HEAD", Range="bytes=0-0"), "logo.png").status == 200


# --- sizes ---------------------------------------------------------------------------------------------------


def test_a_larger_file_is_sent_from_the_disk(root: Path) -> None:
    response = StaticFiles(root, clock_ns=tomorrow_ns).serve(request(), "medium.bin")
    assert isinstance(response, FileResponse)
    assert (response.offset, response.length) == (0, len(MEDIUM))
    assert content(response) == MEDIUM


def test_a_very_large_file_is_never_read(root: Path) -> None:
    with open(root / "film.html", "wb") as file:
        file.truncate(MAX_READ_BYTES + 1)
    os.utime(root / "film.html", ns=(0x123456789, 0x123456789))
    response = StaticFiles(root).serve(request(Accept_Encoding="gzip"), "film.html")
    assert isinstance(response, FileResponse)
    assert field(response, "ETag") == f'"{MAX_READ_BYTES + 1:x}-123456789"'
    os.close(response.fd)


# --- changes -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["index.html", "medium.bin"])
def test_an_edited_file_is_seen_at_once(root: Path, name: str) -> None:
    files = StaticFiles(root, clock_ns=tomorrow_ns)
    before = files.serve(request(), name)
    content(before)
    (root / name).write_bytes(b"edited")
    after = files.serve(request(If_None_Match=field(before, "ETag") or ""), name)
    assert (after.status, content(after)) == (200, b"edited")


def test_a_file_replaced_by_an_editor_is_seen_at_once(root: Path) -> None:
    files = StaticFiles(root)
    (root / "new").write_bytes(b"edited")
    os.replace(root / "new", root / "index.html")
    assert files.serve(request(), "index.html").body == b"edited"


def test_a_removed_file_is_404_and_comes_back(root: Path) -> None:
    files = StaticFiles(root)
    (root / "index.html").unlink()
    with pytest.raises(HttpError, match="no such file"):
        files.serve(request(), "index.html")
    (root / "index.html").write_bytes(b"back")
    assert files.serve(request(), "index.html").body == b"back"


def test_a_new_file_is_seen_after_a_rescan_which_keeps_what_is_unchanged(root: Path) -> None:
    files = StaticFiles(root, clock_ns=tomorrow_ns)
    before = files.serve(request(), "index.html").body
    (root / "new.html").write_bytes(b"new")
    with pytest.raises(HttpError):
        files.serve(request(), "new.html")
    files.rescan()
    assert files.serve(request(), "new.html").body == b"new"
    assert files.serve(request(), "index.html").body is before


@pytest.mark.parametrize("name", ["index.html", "medium.bin"])
def test_a_change_that_keeps_size_and_time_is_seen(root: Path, name: str) -> None:
    files = StaticFiles(root, clock_ns=tomorrow_ns)
    before, status = (root / name).read_bytes(), os.stat(root / name)
    (root / name).write_bytes(before[::-1])
    os.utime(root / name, ns=(status.st_atime_ns, status.st_mtime_ns))
    after = files.serve(request(), name)
    assert content(after) == before[::-1]
    assert field(after, "ETag") == strong_tag(before[::-1])


def test_a_file_written_within_a_tick_of_the_clock_is_read_again(root: Path) -> None:
    # Whoever writes it once more now may leave the same times.
    changed_ns = os.stat(root / "index.html").st_ctime_ns
    fresh = StaticFiles(root, clock_ns=lambda: changed_ns)
    assert fresh.serve(request(), "index.html").body is not fresh.serve(request(), "index.html").body
    changed_ns = os.stat(root / "medium.bin").st_ctime_ns
    assert StaticFiles(root, clock_ns=lambda: changed_ns).serve(request(), "medium.bin").body == MEDIUM
    settled = StaticFiles(root, clock_ns=tomorrow_ns)
    assert settled.serve(request(), "index.html").body is settled.serve(request(), "index.html").body


def test_a_folder_that_became_a_link_is_not_followed(root: Path, tmp_path: Path) -> None:
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "elsewhere" / "app.js").write_bytes(b"secret")
    files = StaticFiles(root, clock_ns=tomorrow_ns)
    (root / "js").rename(root / "old")
    (root / "js").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(HttpError, match="there is no such file"):
        files.serve(request(), "js/app.js")


def test_a_reply_can_be_decorated_without_the_next_one_seeing_it(root: Path) -> None:
    files = StaticFiles(root, clock_ns=tomorrow_ns)
    for fields in ({}, {"Accept_Encoding": "gzip"}, {"If_None_Match": "*"}, {"Range": "bytes=0-0"}):
        first = files.serve(request(**fields), "index.html")
        first.add_header("X-One", "1")
        first.set_header("Cache-Control", "private")
        second = files.serve(request(**fields), "index.html")
        assert field(second, "X-One") is None
        assert field(second, "Cache-Control") == "no-cache"


class Writer:
    """A clock that writes to a file each time it is asked: in the middle of `load_file`."""

    def __init__(self, path: Path, times: int) -> None:
        self.path, self.left = path, times

    def __call__(self) -> int:
        if self.left:
            self.left -= 1
            with open(self.path, "ab") as file:
                file.write(b"more")
        return tomorrow_ns()


def test_a_file_that_grows_while_it_is_read_is_read_again(root: Path) -> None:
    file = load_file(str(root / "index.html"), Writer(root / "index.html", 2))
    assert file.plain.body == PAGE + b"moremore" == (root / "index.html").read_bytes()


def test_a_file_that_is_always_being_written_is_503_and_not_half_of_it(root: Path) -> None:
    clock = Writer(root / "index.html", 0)
    files = StaticFiles(root, clock_ns=clock)
    (root / "index.html").write_bytes(b"new")
    clock.left = 100
    with pytest.raises(HttpError) as refused:
        files.serve(request(), "index.html")
    assert (refused.value.status, refused.value.headers) == (503, (("Retry-After", "1"),))
    clock.left = 0
    assert files.serve(request(), "index.html").body == (root / "index.html").read_bytes()


@pytest.mark.parametrize("size", [5_000, MAX_KEPT_BYTES + 1])
def test_each_reply_is_one_version_under_its_own_tag_while_a_file_is_replaced_all_the_time(
    root: Path, size: int
) -> None:
    (root / "busy.bin").write_bytes(b"0" * size)
    files, ended = StaticFiles(root), threading.Event()

    def replace_again_and_again() -> None:
        for number in itertools.cycle(range(10)):
            (root / "next").write_bytes(b"%d" % number * size)
            os.replace(root / "next", root / "busy.bin")
            if ended.is_set():
                return

    with ThreadPoolExecutor(1) as pool:
        writer = pool.submit(replace_again_and_again)
        versions: set[bytes] = set()
        try:
            while len(versions) < 8 and not writer.done():
                versions |= serve_version(files, "busy.bin")
        finally:
            ended.set()
        writer.result()
    assert {body[:1] * size for body in versions} == versions


def serve_version(files: StaticFiles, name: str) -> set[bytes]:
    """The body that was served, which its tag must match; nothing when the file was just being replaced."""
    try:
        response = files.serve(request(), name)
    except HttpError as error:
        if error.status != 503:
            raise
        return set()
    body = content(response)
    assert field(response, "ETag") == strong_tag(body)
    return {body}


# --- looks that requests share -------------------------------------------------------------------------------


class Turn:
    """What is to be called at its end."""

    def __init__(self) -> None:
        self.callbacks: list[Callable[[], object]] = []

    def end(self) -> None:
        """All of it is called, once."""
        for callback in self.callbacks:
            callback()
        self.callbacks.clear()


def test_requests_of_one_turn_see_one_version_and_the_next_turn_the_new_one(root: Path) -> None:
    turn = Turn()
    files = StaticFiles(root, clock_ns=tomorrow_ns, at_turn_end=turn.callbacks.append)
    turn.end()
    before = files.serve(request(), "index.html").body
    files.serve(request(), "logo.png")
    (root / "index.html").write_bytes(b"edited")
    assert files.serve(request(), "index.html").body is before
    assert len(turn.callbacks) == 1
    turn.end()
    assert files.serve(request(), "index.html").body == b"edited"
    (root / "index.html").unlink()
    turn.end()
    with pytest.raises(HttpError, match="no such file"):
        files.serve(request(), "index.html")


def test_a_repeatable_reply_lasts_until_its_file_changes(root: Path) -> None:
    files = StaticFiles(root, clock_ns=tomorrow_ns)
    changes: list[Callable[[], object]] = [
        lambda: (root / "index.html").write_bytes(b"edited"),
        lambda: (root / "new").write_bytes(b"new") and os.replace(root / "new", root / "index.html"),
        lambda: os.truncate(root / "index.html", 1),
        lambda: (root / "index.html").chmod(0o600),
        lambda: (root / "index.html").unlink(),
    ]
    for change in changes:
        response = files.serve(request(), "index.html", repeatable=True)
        assert isinstance(response, RepeatableResponse)
        assert response.body == (root / "index.html").read_bytes()
        assert response.is_current()
        assert response.is_current()
        change()
        assert not response.is_current()


def test_a_reply_whose_file_was_forgotten_or_read_again_is_not_repeated(tmp_path: Path) -> None:
    for number in range(5):
        (tmp_path / f"{number}.bin").write_bytes(bytes(10_000))
    files = StaticFiles(tmp_path, max_memory_bytes=30_000, clock_ns=tomorrow_ns)
    first = files.serve(request(), "0.bin", repeatable=True)
    for number in range(1, 5):
        files.serve(request(), f"{number}.bin")
    assert isinstance(first, RepeatableResponse)
    assert not first.is_current()
    again = files.serve(request(), "0.bin", repeatable=True)
    assert isinstance(again, RepeatableResponse)
    assert again.is_current()
    assert not first.is_current()


@pytest.mark.parametrize(
    ("name", "fields"),
    [
        ("index.html", {"Range": "bytes=0-0"}),
        ("index.html", {"If_None_Match": "*"}),
        ("index.html", {"If_Match": '"other"'}),
        ("medium.bin", {}),
    ],
)
def test_only_whole_files_from_memory_are_repeatable(root: Path, name: str, fields: dict[str, str]) -> None:
    response = StaticFiles(root, clock_ns=tomorrow_ns).serve(request(**fields), name, repeatable=True)
    assert not isinstance(response, RepeatableResponse)
    content(response)


def test_nothing_is_repeatable_unless_it_was_asked_for(root: Path) -> None:
    assert type(StaticFiles(root).serve(request(), "index.html")) is Response


# --- memory --------------------------------------------------------------------------------------------------


def test_memory_is_bounded_and_those_asked_for_last_stay(tmp_path: Path) -> None:
    for number in range(10):
        (tmp_path / f"{number}.bin").write_bytes(bytes([number]) * 10_000)
    files = StaticFiles(tmp_path, max_memory_bytes=40_000, clock_ns=tomorrow_ns)
    bodies = {}
    for name in [*files.names(), "0.bin", "9.bin", "0.bin"]:
        bodies[name] = files.serve(request(), name).body
        assert bodies[name] == bytes([int(name[0])]) * 10_000
        assert files.kept_bytes <= 40_000
    assert files.serve(request(), "9.bin").body is bodies["9.bin"]
    assert files.serve(request(), "0.bin").body is bodies["0.bin"]


def test_a_file_larger_than_the_memory_is_served_all_the_same(root: Path) -> None:
    files = StaticFiles(root, max_memory_bytes=0, clock_ns=tomorrow_ns)
    assert files.serve(request(), "index.html").body == PAGE
    assert files.kept_bytes == 0


def test_what_is_gone_takes_no_memory(root: Path) -> None:
    files = StaticFiles(root, clock_ns=tomorrow_ns)
    for name in files.names():
        (root / name).unlink()
    with pytest.raises(HttpError, match="no such file"):
        files.serve(request(), "index.html")
    files.rescan()
    assert (files.names(), files.kept_bytes) == ([], 0)


# --- what can't be read --------------------------------------------------------------------------------------


def test_a_file_that_cannot_be_read_is_403_and_one_line_until_it_can(
    open_root: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (open_root / "page.html").chmod(0)
    with as_nobody():
        files = StaticFiles(open_root, clock_ns=tomorrow_ns)
        for _ in range(3):
            with pytest.raises(HttpError) as refused:
                files.serve(request(), "page.html")
            assert (refused.value.status, refused.value.code) == (403, "not_readable")
    assert caplog.messages == ["page.html can't be served: Permission denied"]
    (open_root / "page.html").chmod(0o644)
    with as_nobody():
        assert files.serve(request(), "page.html").body == PAGE


def test_rights_that_are_taken_away_count_for_what_is_in_memory_too(open_root: Path) -> None:
    files = StaticFiles(open_root, clock_ns=tomorrow_ns)
    assert files.serve(request(), "page.html").status == 200
    (open_root / "page.html").chmod(0)
    with as_nobody(), pytest.raises(HttpError, match="can't be read"):
        files.serve(request(), "page.html")


def test_a_folder_within_that_cannot_be_read_is_left_out(open_root: Path, caplog: pytest.LogCaptureFixture) -> None:
    (open_root / "closed").mkdir(mode=0)
    with as_nobody():
        assert StaticFiles(open_root).names() == ["page.html"]
    assert caplog.messages == ["the folder closed can't be served: Permission denied"]


def test_the_folder_itself_must_be_readable(open_root: Path) -> None:
    open_root.chmod(0)
    with as_nobody(), pytest.raises(PermissionError):
        StaticFiles(open_root)
    open_root.chmod(0o755)
