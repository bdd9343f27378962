"""The line of a request, in both formats."""

import json
import re
import unicodedata
from dataclasses import dataclass

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.httpcore.grammar import REQUEST_ID
from shared.runtime.access_log import MAX_KEPT_CHARS, AccessLog

UNFIT = frozenset({"Cc", "Cs", "Zl", "Zp"})  # controls, surrogates, separators of lines and paragraphs


@dataclass
class LoggedRequest:
    id: str = "752aa5918eec-2"
    method: str = "GET"
    target: str = "/tracker/peers?role=p2p"
    remote_ip: str = "127.0.0.1"
    trace: tuple[str, str] | None = None


class Lines:
    """Stands where a LineWriter would."""

    def __init__(self):
        self.lines = []

    def render_later(self, render, values):
        self.lines.append(render([values]))

    def flush(self):
        self.lines.append("flushed")


def line_of(format, request, status=200, body_bytes=13, duration_s=0.0004):
    lines = Lines()
    AccessLog("tracker", format, lines, clock=lambda: 1_700_000_000.5).record(request, status, body_bytes, duration_s)
    (line,) = lines.lines
    return line


def test_a_text_line_tells_request_and_reply():
    assert line_of("text", LoggedRequest()) == (
        "2023-11-14T22:13:20.500Z INFO    tracker access method=GET target=/tracker/peers?role=p2p status=200"
        " bytes=13 duration_ms=0.400 remote=127.0.0.1 request_id=752aa5918eec-2\n"
    )


def test_a_line_of_a_traced_request_has_the_ids_that_tracing_tools_look_for():
    traced = LoggedRequest(trace=("4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"))
    ids = "trace_id=4bf92f3577b34da6a3ce929d0e0e4736 span_id=00f067aa0ba902b7"
    assert line_of("text", traced) == line_of("text", LoggedRequest()).replace("\n", f" {ids}\n")
    told = json.loads(line_of("json", traced))
    assert (told["trace_id"], told["span_id"]) == traced.trace


def test_a_json_line_is_one_object_with_the_same_values():
    line = line_of("json", LoggedRequest())
    assert line.endswith("}\n")
    assert json.loads(line) == {
        "time": "2023-11-14T22:13:20.500Z",
        "level": "info",
        "service": "tracker",
        "message": "access",
        "method": "GET",
        "target": "/tracker/peers?role=p2p",
        "status": 200,
        "bytes": 13,
        "duration_ms": 0.4,
        "remote": "127.0.0.1",
        "request_id": "752aa5918eec-2",
    }


def test_secrets_of_the_query_are_in_neither_format():
    request = LoggedRequest(target="/x?token=tick&a=1")
    assert "target=/x?token=***&a=1 " in line_of("text", request)
    assert json.loads(line_of("json", request))["target"] == "/x?token=***&a=1"


@given(
    target=st.text(st.characters(codec="utf-8"), max_size=40),
    method=st.text(st.characters(codec="utf-8"), max_size=10),
    request_id=st.from_regex(re.compile(REQUEST_ID.pattern.decode()), fullmatch=True),
)
def test_whatever_a_client_sends_it_is_one_line(target, method, request_id):
    request = LoggedRequest(target=target, method=method, id=request_id)
    for format in ("text", "json"):
        line = line_of(format, request)
        assert len(line.splitlines()) == 1
        assert not any(unicodedata.category(each) in UNFIT for each in line[:-1])
    assert json.loads(line_of("json", request))["method"] == method


@pytest.mark.parametrize("format", ["text", "json"])
@pytest.mark.parametrize("length", [1, MAX_KEPT_CHARS - 4, MAX_KEPT_CHARS - 3, 5000])
def test_a_target_of_any_length_is_written_whole_with_its_own_method(format, length):
    target = "/" + "x" * (length - 1)
    for method in ("GET", "PUT", "GET"):
        line = line_of(format, LoggedRequest(method=method, target=target))
        told = json.loads(line) if format == "json" else dict(part.split("=", 1) for part in line.split()[4:])
        assert (told["method"], told["target"]) == (method, target)


@pytest.mark.parametrize(
    ("duration_s", "shown"),
    [
        (0, "0.000"),
        (4e-7, "0.000"),
        (6e-7, "0.001"),
        (0.0012344, "1.234"),
        (75.5, "75500.000"),
        (86400.0, "86400000.000"),
    ],
)
def test_durations_are_milliseconds_to_the_microsecond(duration_s, shown):
    assert f" duration_ms={shown} " in line_of("text", LoggedRequest(), duration_s=duration_s)
    assert f'"duration_ms":{shown},' in line_of("json", LoggedRequest(), duration_s=duration_s)


def test_flush_flushes_the_writer():
    lines = Lines()
    AccessLog("tracker", "text", lines).flush()
    assert lines.lines == ["flushed"]
