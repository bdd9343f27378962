"""Tables of texts: the value, or what the mistake's line says was expected."""

import contextlib
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.runtime import setting_values
from shared.runtime.setting_values import (
    is_ip_address,
    parse_base_url,
    parse_choice,
    parse_cors_origin,
    parse_duration_between,
    parse_duration_s,
    parse_host,
    parse_int_between,
    parse_on_off,
    parse_origin,
    parse_path,
    parse_peer_id,
    parse_port,
)

GOOD = [
    (parse_port, "0", 0),
    (parse_port, "8080", 8080),
    (parse_port, "65535", 65535),
    (parse_int_between(-2, 9), "-2", -2),
    (parse_int_between(-2, 9), "9", 9),
    (parse_duration_s, "2", 2.0),
    (parse_duration_s, "1.5", 1.5),
    (parse_duration_s, "500ms", 0.5),
    (parse_duration_s, "3m", 180.0),
    (parse_duration_s, "12h", 43_200.0),
    (parse_duration_s, "0", 0.0),
    (parse_choice("text", "json"), "json", "json"),
    (parse_on_off, "on", True),
    (parse_on_off, "False", False),
    (parse_on_off, "0", False),
    (parse_path, "var/keys", Path("var/keys")),
    (parse_host, "127.0.0.1", "127.0.0.1"),
    (parse_host, "[::1]", "::1"),
    (parse_host, "::", "::"),
    (parse_host, "LocalHost", "localhost"),
    (parse_host, "peer_1.stack-x.", "peer_1.stack-x."),
    (parse_peer_id, "p1", "p1"),
    (parse_base_url, "http://127.0.0.1:9000", "http://127.0.0.1:9000"),
    (parse_base_url, "HTTP://Tracker:09000/", "http://tracker:9000"),
    (parse_base_url, "http://tracker", "http://tracker"),
    (parse_base_url, "http://[::1]:9000/base/", "http://[::1]:9000/base"),
    (parse_origin, "https://Chat.example:443", "https://chat.example"),
    (parse_origin, "http://localhost:3000/", "http://localhost:3000"),
    (parse_origin, "http://[::1]:80", "http://[::1]"),
    (parse_cors_origin, "*", "*"),
    (parse_cors_origin, "http://a.example, http://b.example:81", "http://a.example,http://b.example:81"),
]

BAD = [
    (parse_port, "65536", "a port 0–65535"),
    (parse_port, "-1", "a port 0–65535"),
    (parse_port, "+80", "a port 0–65535"),
    (parse_port, " 80", "a port 0–65535"),
    (parse_port, "٨٠", "a port 0–65535"),
    (parse_port, "", "a port 0–65535"),
    (parse_port, "0" * 99, "a port 0–65535"),
    (parse_int_between(1, 64), "0", "a whole number 1–64"),
    (parse_int_between(1, 64), "1.0", "a whole number 1–64"),
    (parse_duration_between(1, 60), "0.5", "seconds from 1 to 60, or a number with ms, s, m, h or d"),
    (parse_duration_s, "-1", "seconds from 0 to 86400, or a number with ms, s, m, h or d"),
    (parse_duration_s, "nan", "seconds from 0 to 86400, or a number with ms, s, m, h or d"),
    (parse_duration_s, "1 s", "seconds from 0 to 86400, or a number with ms, s, m, h or d"),
    (parse_duration_s, "2d", "seconds from 0 to 86400, or a number with ms, s, m, h or d"),
    (parse_choice("text", "json"), "TEXT", "text | json"),
    (parse_on_off, "maybe", "on | off"),
    (parse_path, "", "a path"),
    (parse_path, "a\0b", "a path"),
    (parse_host, "", "an IP address or a host name"),
    (parse_host, "10.0.0.256", "an IP address or a host name"),
    (parse_host, "a b", "an IP address or a host name"),
    (parse_host, "127.0.0.1:9000", "an IP address or a host name"),
    (parse_host, "-x", "an IP address or a host name"),
    (parse_host, "fe80::1%eth0", "an IP address or a host name"),
    (parse_peer_id, "p 1", "1–63 characters of A–Z a–z 0–9 _ -"),
    (parse_peer_id, "p" * 64, "1–63 characters of A–Z a–z 0–9 _ -"),
    (parse_base_url, "127.0.0.1:9000", "an address like http://127.0.0.1:9000"),
    (parse_base_url, "ftp://x", "an address like http://127.0.0.1:9000"),
    (parse_base_url, "http://user:pw@x", "an address like http://127.0.0.1:9000"),
    (parse_base_url, "http://x?q", "an address like http://127.0.0.1:9000"),
    (parse_base_url, "http://x:99999", "an address like http://127.0.0.1:9000"),
    (parse_base_url, "http://x:0", "an address like http://127.0.0.1:9000"),
    (parse_base_url, "http://x\n", "an address like http://127.0.0.1:9000"),
    (parse_origin, "http://a/b", "an origin like https://chat.example"),
    (parse_origin, "null", "an origin like https://chat.example"),
    (parse_cors_origin, "*,http://a", "* or an origin like https://chat.example, several with commas between"),
]


@pytest.mark.parametrize(("parse", "text", "value"), GOOD, ids=[repr(row[1])[:30] for row in GOOD])
def test_a_good_text_becomes_its_value(parse, text, value):
    assert parse(text) == value


@pytest.mark.parametrize(("parse", "text", "expected"), BAD, ids=[repr(row[1])[:30] for row in BAD])
def test_a_bad_text_is_told_what_was_expected(parse, text, expected):
    with pytest.raises(ValueError) as caught:
        parse(text)
    assert str(caught.value) == expected


@pytest.mark.parametrize("name", [name for name in dir(setting_values) if name.startswith("parse_")])
@given(text=st.text(max_size=60))
def test_no_text_raises_anything_but_value_error(name, text):
    parse = getattr(setting_values, name)
    if "between" in name:
        parse = parse(0, 10)
    if name == "parse_choice":
        parse = parse("a", "b")
    with contextlib.suppress(ValueError):
        parse(text)


@pytest.mark.parametrize(
    ("text", "is_address"),
    [
        ("127.0.0.1", True),
        ("::1", True),
        ("::ffff:1.2.3.4", True),
        ("127.1", False),
        ("x", False),
        ("1.2.3.4\0", False),
    ],
)
def test_an_ip_address_is_told_from_a_name(text, is_address):
    assert is_ip_address(text) is is_address
