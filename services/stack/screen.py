"""What the user of `python -m services` sees: every process's lines, the runner's own, and the greeting."""

import os
from collections.abc import Callable

from services.stack.output import Prefixer

RUNNER = "stack"  # the name before the runner's own lines


class Screen:
    """Writes to one descriptor. When nobody reads it any more, calls `on_lost` once and stays silent."""

    def __init__(self, fd: int, names: list[str], *, coloured: bool) -> None:
        self.on_lost: Callable[[], None] = _do_nothing
        self._fd = fd
        self._prefixer = Prefixer([*names, RUNNER], coloured=coloured)
        self._is_lost = False

    def show_lines(self, name: str, lines: list[bytes]) -> None:
        """Lines of a process, each after its name."""
        if lines:
            self._write(self._prefixer.render(name, lines))

    def show_event(self, text: str) -> None:
        """A line of the runner's own."""
        self._write(self._prefixer.render(RUNNER, [text.encode()]))

    def show_block(self, text: str) -> None:
        """Text that stands alone, with room around it."""
        self._write(f"\n{text}\n\n".encode())

    def _write(self, data: bytes) -> None:
        rest = memoryview(data)
        while rest and not self._is_lost:
            try:
                rest = rest[os.write(self._fd, rest) :]
            except OSError:  # the terminal or the pipe is gone
                self._is_lost = True
                self.on_lost()


def _do_nothing() -> None:
    pass
