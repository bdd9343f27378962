"""Whose line it is: cuts what processes write into lines and puts the name before each. Pure but for `is_coloured`.

`supervisor` reads the pipes and writes what comes out of here.
"""

import os
from typing import TextIO

MAX_LINE_BYTES = 64 * 1024  # a longer line is cut in two
_COLOURS = (36, 33, 32, 35, 34, 96, 93, 92, 95, 94)  # SGR foreground colours that read well on black and on white


class LineCutter:
    """Bytes in as they were read, whole lines out."""

    __slots__ = ("_rest",)

    def __init__(self) -> None:
        self._rest = b""

    def feed(self, data: bytes) -> list[bytes]:
        """The lines that are complete now, without their ends."""
        *lines, self._rest = (self._rest + data).split(b"\n")
        while len(self._rest) > MAX_LINE_BYTES:
            lines.append(self._rest[:MAX_LINE_BYTES])
            self._rest = self._rest[MAX_LINE_BYTES:]
        return lines

    def finish(self) -> list[bytes]:
        """The last line, when its end never came."""
        rest, self._rest = self._rest, b""
        return [rest] if rest else []


class Prefixer:
    """Puts `name | ` before lines, names made equally wide and, on a terminal, each in a colour of its own."""

    def __init__(self, names: list[str], *, coloured: bool) -> None:
        width = max(map(len, names))
        self._prefixes = {
            name: _paint(f"{name.ljust(width)} | ", _COLOURS[index % len(_COLOURS)] if coloured else None)
            for index, name in enumerate(names)
        }

    def render(self, name: str, lines: list[bytes]) -> bytes:
        """The lines with their prefix, each ended by a newline."""
        prefix = self._prefixes[name]
        return b"".join(prefix + line + b"\n" for line in lines)


def _paint(text: str, colour: int | None) -> bytes:
    return (text if colour is None else f"\x1b[{colour}m{text}\x1b[0m").encode()


def is_coloured(stream: TextIO, environ: dict[str, str] | None = None) -> bool:
    """Whether the stream is a terminal whose user hasn't asked for plain text (https://no-color.org)."""
    environ = dict(os.environ) if environ is None else environ
    return stream.isatty() and not environ.get("NO_COLOR") and environ.get("TERM") != "dumb"
