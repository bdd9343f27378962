"""Events as lines, in both formats."""

import json
import logging

import pytest

from shared.runtime.access_log import AccessLog
from shared.runtime.logs import EventHandler, configure_logs, get_logger


class Lines:
    """Stands where a LineWriter would."""

    def __init__(self):
        self.text = ""

    def write(self, line):
        self.text += line

    def render_later(self, render, values):
        self.write(render([values]))

    def flush(self):
        pass


@pytest.fixture
def lines():
    root = logging.getLogger()
    before = (root.level, logging.raiseExceptions, logging.getLogger("weaprous").level)
    yield Lines()
    for handler in [handler for handler in root.handlers if isinstance(handler, EventHandler)]:
        root.removeHandler(handler)
    root.setLevel(before[0])
    logging.raiseExceptions = before[1]
    logging.getLogger("weaprous").setLevel(before[2])


def test_a_text_line_holds_time_level_service_message_and_values(lines):
    configure_logs("tracker", "info", "text", lines)
    get_logger("tracker").info("peer %s", "registered", extra={"peer_id": "p1", "ttl": 60.0, "note": "a b"})
    time, rest = lines.text.split(" ", 1)
    assert time.endswith("Z")
    assert rest == 'INFO    tracker peer registered peer_id=p1 ttl=60 note="a b"\n'


def test_a_json_line_holds_the_same_and_numbers_stay_numbers(lines):
    configure_logs("tracker", "info", "json", lines)
    extra = {"peer_id": "p1", "ttl": 60.5, "count": 3, "is_new": True, "none": None, "nan": float("nan")}
    get_logger("tracker.expiry").warning("gone", extra=extra)
    event = json.loads(lines.text)
    assert event.pop("time").endswith("Z")
    assert event == {
        "level": "warning",
        "service": "tracker",
        "logger": "weaprous.tracker.expiry",
        "message": "gone",
        **extra,
        "nan": "nan",
    }


def test_a_message_cannot_forge_a_second_line(lines):
    configure_logs("tracker", "info", "text", lines)
    get_logger("tracker").info("from %s", "x\n2026-01-01T00:00:00.000Z INFO tracker all is well")
    assert len(lines.text.splitlines()) == 1


@pytest.mark.parametrize("format", ["text", "json"])
def test_values_of_secret_names_are_masked(lines, format):
    configure_logs("tracker", "info", format, lines)
    get_logger("tracker").info("login", extra={"password": "swordfish", "tracker_key": "abc123"})
    assert "swordfish" not in lines.text
    assert "abc123" not in lines.text
    assert lines.text.count("***") == 2


def test_a_traceback_follows_its_line_indented_so_that_it_looks_like_no_event(lines):
    configure_logs("tracker", "info", "text", lines)
    try:
        raise RuntimeError("bad\x1b[31m\n2026-01-01 INFO tracker forged")
    except RuntimeError:
        get_logger("tracker").exception("failed")
    first, *rest = lines.text.splitlines()
    assert first.endswith("ERROR   tracker failed")
    assert rest
    assert all(line.startswith("    | ") for line in rest)
    assert "\x1b" not in lines.text


def test_a_traceback_is_one_field_of_json(lines):
    configure_logs("tracker", "info", "json", lines)
    try:
        raise RuntimeError("bad")
    except RuntimeError:
        get_logger("tracker").exception("failed")
    assert json.loads(lines.text)["exception"].endswith("RuntimeError: bad")


def test_the_level_holds_for_our_loggers_and_others_start_at_warning(lines):
    configure_logs("tracker", "debug", "text", lines)
    get_logger("tracker").debug("seen")
    logging.getLogger("asyncio").info("not seen")
    logging.getLogger("asyncio").warning("seen too")
    assert [line.rsplit(" ", 1)[-1] for line in lines.text.splitlines()] == ["seen", "too"]
    configure_logs("tracker", "error", "text", lines)
    get_logger("tracker").warning("too low")
    assert "too low" not in lines.text


def test_configuring_again_replaces_the_handler(lines):
    configure_logs("one", "info", "text", lines)
    configure_logs("two", "info", "text", lines)
    get_logger("x").info("once")
    assert lines.text.count("once") == 1
    assert " two once" in lines.text


def test_events_and_requests_share_the_writer_and_keep_their_order(lines):
    class LoggedRequest:
        id, method, target, remote_ip, trace = "1", "GET", "/", "::1", None

    writer = configure_logs("tracker", "info", "text", lines)
    AccessLog("tracker", "text", writer).record(LoggedRequest(), 200, 0, 0.0)
    get_logger("tracker").info("after")
    assert ["access" in line for line in lines.text.splitlines()] == [True, False]


def test_a_wrong_log_call_raises_nothing(lines):
    configure_logs("tracker", "info", "text", lines)
    get_logger("tracker").info("%d", "not a number")
    get_logger("tracker").info("next")
    assert lines.text.endswith("next\n")
