"""What a reload says that it has changed."""

from typing import Any

import pytest

from services.proxy.config_changes import compare
from services.proxy.config_file import parse_config

BEFORE = """
pool app { server a:80; }
host x { proxy_pass http://app; location /api/ { proxy_pass http://user:secret@b:80; proxy_set_header X-A $host; } }
host y { proxy_pass http://app; }
"""


def changes(after: str) -> dict[str, Any]:
    return compare(parse_config(BEFORE), parse_config(after))


def test_the_same_words_in_another_place_are_no_change() -> None:
    told = changes("\n\n# moved\n" + BEFORE.replace("; ", ";\n  "))
    assert told["is_same"]
    assert told["hosts"] == told["pools"] == {"added": [], "removed": [], "changed": {}}


@pytest.mark.parametrize(
    ("old", "new", "hosts", "pools"),
    [
        ("server a:80;", "server a:80 weight=2;", {}, {"app": ["server weight"]}),
        ("server a:80;", "server a:80; server c:80;", {}, {"app": ["server"]}),
        ("server a:80;", "server a:80; policy random;", {}, {"app": ["policy"]}),
        ("user:secret", "user:changed", {}, {"x/api/": ["server authorization"]}),
        ("X-A $host", "X-A b", {"x": ["location set headers"]}, {}),
        ("host y {", "host y { proxy_read_timeout 5s;", {"y": ["location read timeout"]}, {}),
        ("host y {", "host y { gzip on; rewrite ^/a /b;", {"y": ["location gzip", "rewrites"]}, {}),
    ],
)
def test_it_names_what_is_different_but_no_value(old: str, new: str, hosts: object, pools: object) -> None:
    told = changes(BEFORE.replace(old, new))
    assert not told["is_same"]
    assert "Basic" not in str(told)
    assert (told["hosts"]["changed"], told["pools"]["changed"]) == (hosts, pools)


def test_what_holds_for_the_whole_file_is_named_as_well() -> None:
    told = changes("set_real_ip_from 10.0.0.0/8; proxy_cache_size 1m;" + BEFORE)
    assert not told["is_same"]
    assert told["file"] == ["hops", "cache size max"]


def test_it_names_what_came_and_what_went() -> None:
    told = changes(BEFORE.replace("host y", "host z").replace("b:80", "c:80").replace("/api/", "/v2/"))
    assert (told["hosts"]["added"], told["hosts"]["removed"]) == (["z"], ["y"])
    assert (told["pools"]["added"], told["pools"]["removed"]) == (["x/v2/"], ["x/api/"])
