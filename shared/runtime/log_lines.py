"""What may stand in a log line, and how lines reach standard output: whole, in order, in batches.

Owns escaping (a line can't be forged by what a client sends), masking of secrets, and the one writer that
events (`logs`) and requests (`access_log`) share. Knows nothing of levels or formats.
"""

import os
import re
import select
import stat
import threading
import time
from collections.abc import Callable, Sequence
from typing import Any, TypeVar
from urllib.parse import unquote_plus

Values = TypeVar("Values")

MASK = "***"
MAX_BATCH_LINES = 400  # 64 KiB of usual ones
PIPE_ATOMIC_BYTES = 4096  # PIPE_BUF of Linux: what several processes write at once in one piece or not at all
_STALLED_READER_S = 0.2

# Control characters (C0, DEL, C1), line and paragraph separators, marks of text direction, lone surrogates.
_CONTROL = re.compile("[\x00-\x1f\x7f-\x9f\u2028\u2029\u200e\u200f\u202a-\u202e\u2066-\u2069\ud800-\udfff]")
_NEEDS_QUOTES = re.compile(r"[^!#-\[\]-~]")  # anything but printable ASCII, or a space, a quote, a backslash
_SECRET_NAME = re.compile(r"token|passw|secret|session|credential|cookie|signature|proof|key\Z|auth(?:orization)?\Z")
_PARAMETER = re.compile(r"([?&;])([^=&;#]*)=([^&;#]*)")


def escape_control(text: str) -> str:
    r"""The text; what steers a terminal or could pass for a line's end is written as `\x0a` or `\u2028`."""
    return _CONTROL.sub(_escape, text) if not (text.isascii() and text.isprintable()) else text


def _escape(match: re.Match[str]) -> str:
    code = ord(match[0])
    return f"\\x{code:02x}" if code < 0x100 else f"\\u{code:04x}"


def quote_value(value: object) -> str:
    """The value as it stands behind `key=`: bare where that can't be mistaken, else in quotes with escapes."""
    if isinstance(value, float):
        return f"{value:.6g}"
    text = str(value)
    if text and not _NEEDS_QUOTES.search(text):
        return text
    return '"' + escape_control(text.replace("\\", "\\\\").replace('"', '\\"')) + '"'


def is_secret_name(name: str) -> bool:
    """Whether a value of this name (a query parameter, a field of an event) must not be logged."""
    return _SECRET_NAME.search(name.lower()) is not None


def mask_query(target: str) -> str:
    """The request-target with the values of secret parameters replaced by `***`."""
    return _PARAMETER.sub(_mask_parameter, target) if "=" in target else target


def _mask_parameter(match: re.Match[str]) -> str:
    if not match[3] or not is_secret_name(unquote_plus(match[2])):
        return match[0]
    return f"{match[1]}{match[2]}={MASK}"


class LineWriter:
    """Writes whole lines to a file descriptor in the order they came. Any thread may call it.

    What can't be written (nobody reads, the disk is full) is dropped: a log never stops its service.
    """

    def __init__(self, fd: int = 1) -> None:
        self._fd = fd
        self._pending: list[Any] = []  # what `_render` will make lines of
        self._render: Callable[[Any], str] = "".join
        self._writing = threading.Lock()
        self._call_later: Callable[[float, Callable[[], None]], object] | None = None
        self._batch_s = 0.0

    def flush_every(self, batch_s: float, call_later: Callable[[float, Callable[[], None]], object]) -> None:
        """From now on a batch is written `batch_s` seconds after its first line, by a timer of the loop."""
        self._call_later, self._batch_s = call_later, batch_s

    def render_later(self, render: Callable[[Sequence[Values]], str], values: Values) -> None:
        """The line of these values goes out with its batch, which `render` makes: lines that end in a newline.

        For the event loop's thread. Made one after another, lines cost half of what each costs between two requests.
        Another `render` than the last one's begins another batch.
        """
        if render is not self._render:
            self.flush()
            self._render = render
        pending = self._pending
        if not pending and self._call_later is not None:
            self._call_later(self._batch_s, self.flush)
        pending.append(values)
        if len(pending) >= MAX_BATCH_LINES:
            self.flush()

    def write(self, line: str) -> None:
        """The line, which ends in a newline, and all that waited before it are with the kernel afterwards."""
        with self._writing:
            self._flush(line)

    def flush(self) -> None:
        """Nothing waits afterwards."""
        with self._writing:
            self._flush()

    def flush_if_free(self) -> None:
        """As `flush`, unless a write is under way: for signal handlers, which may have interrupted it."""
        if self._writing.acquire(blocking=False):
            self._flush()
            self._writing.release()

    def _flush(self, last: str = "") -> None:
        count = len(self._pending)
        batch = self._pending[:count]
        del self._pending[:count]  # in place: another thread may be appending
        text = self._render(batch) + last if batch else last
        if text:
            data = text.encode("utf-8", "backslashreplace")
            if self._is_pipe():
                self._write_whole_lines(data)
            else:
                self._write_all(data)

    def _is_pipe(self) -> bool:
        try:
            return stat.S_ISFIFO(os.fstat(self._fd).st_mode)
        except OSError:
            return False

    def _write_whole_lines(self, data: bytes) -> None:
        """In pieces that several processes may write to one pipe without mixing their lines."""
        start = 0
        while start < len(data):
            end = data.rfind(b"\n", start, start + PIPE_ATOMIC_BYTES) + 1
            if end == 0:  # a line longer than that goes in one piece
                end = data.find(b"\n", start) + 1 or len(data)
            if not self._write_all(data[start:end]):
                return
            start = end

    def _write_all(self, data: bytes) -> bool:
        view = memoryview(data)
        while view:
            try:
                view = view[os.write(self._fd, view) :]
            except BlockingIOError:  # somebody made the pipe non-blocking, and its reader is slow
                if not select.select([], [self._fd], [], _STALLED_READER_S)[1]:
                    return False
            except OSError:
                return False
        return True


class Stamp:
    """Times of log lines: RFC 3339, UTC, milliseconds. All but these is made once a second."""

    __slots__ = ("_millisecond", "_prefix", "_second", "_text")

    def __init__(self) -> None:
        self._second = self._millisecond = -1
        self._prefix = self._text = ""

    def render(self, now_s: float) -> str:
        """`2026-01-31T12:00:00.123Z` for that Unix time."""
        millisecond = int(now_s * 1000)
        if millisecond == self._millisecond:
            return self._text
        second = millisecond // 1000
        if second != self._second:
            self._prefix = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(second))
            self._second = second
        self._text = f"{self._prefix}.{millisecond % 1000:03d}Z"
        self._millisecond = millisecond
        return self._text
