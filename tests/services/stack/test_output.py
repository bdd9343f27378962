"""Lines cut from what processes write, with the name before each."""

import io

import pytest

from services.stack.output import MAX_LINE_BYTES, LineCutter, Prefixer, is_coloured


def test_lines_come_out_whole_however_they_were_read() -> None:
    data = "one\ntwo \u00e9\n\nthree\n".encode()
    for cut in range(len(data) + 1):
        cutter = LineCutter()
        lines = cutter.feed(data[:cut]) + cutter.feed(data[cut:])
        assert lines == [b"one", "two \u00e9".encode(), b"", b"three"]
        assert cutter.finish() == []


def test_the_last_line_needs_no_end() -> None:
    cutter = LineCutter()
    assert cutter.feed(b"last words") == []
    assert cutter.finish() == [b"last words"]
    assert cutter.finish() == []


def test_a_line_without_end_does_not_grow_for_ever() -> None:
    cutter = LineCutter()
    assert cutter.feed(b"x" * (MAX_LINE_BYTES + 10)) == [b"x" * MAX_LINE_BYTES]
    assert cutter.finish() == [b"x" * 10]


def test_names_are_made_equally_wide() -> None:
    prefixer = Prefixer(["p1", "tracker"], coloured=False)
    assert prefixer.render("p1", [b"a", b"b"]) == b"p1      | a\np1      | b\n"
    assert prefixer.render("tracker", [b"c"]) == b"tracker | c\n"


def test_each_name_has_its_colour_on_a_terminal() -> None:
    prefixer = Prefixer(["p1", "p2"], coloured=True)
    assert prefixer.render("p1", [b"a"]) == b"\x1b[36mp1 | \x1b[0ma\n"
    assert prefixer.render("p2", [b"a"]) == b"\x1b[33mp2 | \x1b[0ma\n"


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.mark.parametrize(
    ("stream", "environ", "expected"),
    [
        (Terminal(), {}, True),
        (Terminal(), {"NO_COLOR": "1"}, False),
        (Terminal(), {"TERM": "dumb"}, False),
        (io.StringIO(), {}, False),
    ],
)
def test_colours_are_for_terminals_whose_user_wants_them(
    stream: io.StringIO, environ: dict[str, str], expected: bool
) -> None:
    assert is_coloured(stream, environ) is expected
