"""What a page may load and connect to."""

import pytest

from services.backend.content_policy import ContentPolicy
from shared.httpcore.message import Response
from tests.services.backend.requests_made import make_request


def connect_sources(policy: ContentPolicy, host: str = "localhost:8080") -> list[str]:
    directives = dict(part.strip().split(" ", 1) for part in policy.render(host).split(";"))
    return directives["connect-src"].split()


def test_a_keyed_backend_lets_its_page_connect_to_its_own_site_only() -> None:
    sources = connect_sources(ContentPolicy(keyless=False))
    assert sources == ["'self'", "ws://localhost:8080", "wss://localhost:8080"]


def test_a_keyless_backend_adds_every_loopback_port() -> None:
    sources = connect_sources(ContentPolicy(keyless=True))
    assert {"http://localhost:*", "http://127.0.0.1:*", "ws://localhost:*", "ws://127.0.0.1:*"} <= set(sources)


def test_origins_that_were_named_are_added_for_websockets_too() -> None:
    sources = connect_sources(ContentPolicy(keyless=False, connect_origins=["https://tracker.example:9000"]))
    assert sources[-2:] == ["https://tracker.example:9000", "wss://tracker.example:9000"]


@pytest.mark.parametrize("host", ["", "a;script-src *", "a b", "x'y", "a,b", "http://x"])
def test_a_host_never_breaks_out_of_the_policy(host: str) -> None:
    assert connect_sources(ContentPolicy(keyless=False), host) == ["'self'"]


@pytest.mark.parametrize("host", ["chat.example", "192.0.2.1:8080", "[::1]:8080", "my_host"])
def test_an_ordinary_host_is_named(host: str) -> None:
    assert f"ws://{host}" in connect_sources(ContentPolicy(keyless=False), host)


def test_inline_scripts_frames_and_foreign_forms_are_forbidden() -> None:
    policy = ContentPolicy(keyless=True).render("localhost")
    assert "unsafe" not in policy
    assert "default-src 'self'" in policy
    assert "frame-ancestors 'none'" in policy
    assert "form-action 'self'" in policy
    assert "base-uri 'none'" in policy


def test_a_page_carries_the_policy_and_json_only_what_concerns_it() -> None:
    policy = ContentPolicy(keyless=False)
    page, value = Response.html("<p>hello"), Response.json({})
    for response in (page, value):
        policy.decorate(make_request(headers=(("Host", "localhost"),)), response)
    assert page.get_header("Content-Security-Policy") == policy.render("localhost")
    assert page.get_header("X-Frame-Options") == "DENY"
    assert value.get_header("Content-Security-Policy") is None
    assert value.get_header("X-Content-Type-Options") == "nosniff"
