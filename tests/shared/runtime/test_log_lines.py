"""What stands in a line, and how lines reach a file descriptor."""

import os
import threading
import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.runtime.log_lines import (
    MAX_BATCH_LINES,
    PIPE_ATOMIC_BYTES,
    LineWriter,
    Stamp,
    escape_control,
    is_secret_name,
    mask_query,
    quote_value,
)

UNFIT = frozenset({"Cc", "Cs", "Zl", "Zp"})  # controls, surrogates, separators of lines and paragraphs
join = "".join  # one object, as a renderer is

VALUES = [
    ("plain", "p1", "p1"),
    ("a path with a query", "/x?a=b&c", "/x?a=b&c"),
    ("nothing", "", '""'),
    ("a space", "a b", '"a b"'),
    ("a quote", 'a"b', '"a\\"b"'),
    ("a backslash", "a\\b", '"a\\\\b"'),
    ("a line's end", "a\nb", '"a\\x0ab"'),
    ("an escape sequence", "\x1b[31m", '"\\x1b[31m"'),
    ("a C1 control", "\x9b31m", '"\\x9b31m"'),
    ("a line separator", "a\u2028b", '"a\\u2028b"'),
    ("a direction mark", "a\u202eb", '"a\\u202eb"'),
    ("a lone surrogate", "\ud800", '"\\ud800"'),
    ("other letters", "Zoë", '"Zoë"'),
    ("an integer", 12, "12"),
    ("a float", 0.1 + 0.2, "0.3"),
    ("None", None, "None"),
]


@pytest.mark.parametrize(("_name", "value", "shown"), VALUES, ids=[row[0] for row in VALUES])
def test_a_value_is_bare_or_quoted_so_that_it_cannot_be_mistaken(_name, value, shown):
    assert quote_value(value) == shown


@given(st.text(st.characters(codec=None)))
def test_no_value_ends_a_line_or_its_quotes(text):
    shown = quote_value(text)
    assert len(shown.splitlines()) == 1
    assert not any(unicodedata.category(each) in UNFIT for each in shown)
    if shown.startswith('"'):
        inner = shown[1:-1].replace("\\\\", "").replace('\\"', "")
        assert '"' not in inner
    else:
        assert " " not in shown


def test_control_characters_of_a_message_are_escaped_and_letters_stay():
    assert escape_control("Zoë\r\n\x00 — ok") == "Zoë\\x0d\\x0a\\x00 — ok"


TARGETS = [
    ("/x", "/x"),
    ("/x?a=1&b=2", "/x?a=1&b=2"),
    ("/x?token=abc", "/x?token=***"),
    ("/x?a=1&Access_Token=abc&b=2", "/x?a=1&Access_Token=***&b=2"),
    ("/x?api-key=abc", "/x?api-key=***"),
    ("/x?password=a%20b;c=1", "/x?password=***;c=1"),
    ("/x?%74oken=abc", "/x?%74oken=***"),
    ("/x?key=a=b", "/x?key=***"),
    ("/x?key=", "/x?key="),
    ("/x?session=1&auth=2", "/x?session=***&auth=***"),
    ("/author?author=me", "/author?author=me"),
]


@pytest.mark.parametrize(("target", "shown"), TARGETS, ids=[row[0] for row in TARGETS])
def test_values_of_secret_parameters_are_masked(target, shown):
    assert mask_query(target) == shown


@pytest.mark.parametrize(
    "name", ["X-Tracker-Key", "password", "Set-Cookie", "authorization", "client_secret", "apiKey"]
)
def test_a_secret_is_known_by_its_name(name):
    assert is_secret_name(name)


@pytest.mark.parametrize("name", ["peer_id", "user", "keys_made", "address", "keyed"])
def test_other_names_are_no_secrets(name):
    assert not is_secret_name(name)


# --- the writer ---------------------------------------------------------------------------------------------------


@pytest.fixture
def pipe():
    read, write = os.pipe()
    os.set_blocking(read, False)
    yield read, write
    for fd in (read, write):
        try:
            os.close(fd)
        except OSError:
            pass


def received(fd):
    try:
        return os.read(fd, 1 << 20).decode()
    except BlockingIOError:
        return ""


def test_lines_wait_for_their_batch_and_keep_their_order_when_one_goes_at_once(pipe):
    writer = LineWriter(pipe[1])
    writer.render_later(join, "one\n")
    writer.render_later(join, "two\n")
    assert received(pipe[0]) == ""
    writer.write("three\n")
    assert received(pipe[0]) == "one\ntwo\nthree\n"


def test_a_batch_goes_when_it_holds_enough_lines(tmp_path):
    with (tmp_path / "log").open("wb", buffering=0) as file:
        writer = LineWriter(file.fileno())
        line = "x" * 1023 + "\n"
        for _ in range(MAX_BATCH_LINES - 1):
            writer.render_later(join, line)
        assert (tmp_path / "log").stat().st_size == 0
        writer.render_later(join, line)
        assert (tmp_path / "log").stat().st_size == MAX_BATCH_LINES * 1024


def test_a_batch_goes_by_a_timer_that_is_set_by_its_first_line_only(pipe):
    calls = []
    writer = LineWriter(pipe[1])
    writer.flush_every(0.5, lambda delay_s, callback: calls.append((delay_s, callback)))
    writer.render_later(join, "one\n")
    writer.render_later(join, "two\n")
    ((delay_s, callback),) = calls
    assert delay_s == 0.5
    callback()
    assert received(pipe[0]) == "one\ntwo\n"
    writer.render_later(join, "three\n")
    assert len(calls) == 2


def test_pieces_end_at_line_ends_and_are_small_enough_to_be_written_in_one_go():
    pieces = []

    class Recorder(LineWriter):
        def _is_pipe(self):
            return True

        def _write_all(self, data):
            pieces.append(bytes(data))
            return True

    writer = Recorder()
    lines = ["a" * 1500 + "\n"] * 5 + ["b" * 9000 + "\n"] + ["c\n"]
    for line in lines:
        writer.render_later(join, line)
    writer.flush()
    assert b"".join(pieces).decode() == "".join(lines)
    assert all(piece.endswith(b"\n") for piece in pieces)
    assert all(len(piece) <= PIPE_ATOMIC_BYTES or piece.count(b"\n") == 1 for piece in pieces)


def test_a_pipe_that_nobody_reads_loses_lines_and_stops_nothing(pipe):
    os.set_blocking(pipe[1], False)
    writer = LineWriter(pipe[1])
    for _ in range(40):
        writer.render_later(join, "x" * 3000 + "\n")
    writer.flush()
    text = received(pipe[0])
    assert text.startswith("x" * 3000 + "\n")
    writer.write("after\n")
    assert received(pipe[0]).endswith("after\n")


def test_a_closed_pipe_stops_nothing(pipe):
    os.close(pipe[0])
    LineWriter(pipe[1]).write("line\n")


def test_a_signal_handler_that_interrupts_a_write_does_not_wait_for_it(pipe):
    writer = LineWriter(pipe[1])
    writer.render_later(join, "one\n")
    with writer._writing:
        writer.flush_if_free()
    assert received(pipe[0]) == ""
    writer.flush_if_free()
    assert received(pipe[0]) == "one\n"


def test_lines_of_several_threads_all_arrive_whole(tmp_path):
    with (tmp_path / "log").open("wb", buffering=0) as file:
        writer = LineWriter(file.fileno())
        threads = [
            threading.Thread(target=lambda name=name: [writer.write(f"{name} {i}\n") for i in range(300)])
            for name in "abcd"
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    lines = (tmp_path / "log").read_text().splitlines()
    assert sorted(lines) == sorted(f"{name} {i}" for name in "abcd" for i in range(300))


def test_a_stamp_is_utc_to_the_millisecond():
    stamp = Stamp()
    assert stamp.render(0.0) == "1970-01-01T00:00:00.000Z"
    assert stamp.render(1_700_000_000.1239) == "2023-11-14T22:13:20.123Z"
    assert stamp.render(1_700_000_000.1239) == "2023-11-14T22:13:20.123Z"
    assert stamp.render(1_700_000_000.9999) == "2023-11-14T22:13:20.999Z"
    assert stamp.render(1_700_000_001.0) == "2023-11-14T22:13:21.000Z"
