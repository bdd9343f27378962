"""Which fields pass, which are dropped, which are added."""

import pytest

from services.proxy.rewriting import (
    make_header_plan,
    request_fields,
    response_fields,
    tunnel_fields,
    wants_tunnel,
)
from services.proxy.templates import RequestFacts, parse_template
from shared.httpcore.headers import Headers
from shared.httpcore.message import Request

OWN = [
    ("Host", "shop.example"),
    ("X-Forwarded-For", "9.9.9.9"),
    ("X-Forwarded-Proto", "http"),
    ("X-Forwarded-Host", "shop.example"),
    ("X-Forwarded-Port", "80"),
    ("X-Real-IP", "9.9.9.9"),
    ("Forwarded", "for=9.9.9.9;host=shop.example;proto=http"),
    ("X-Request-Id", "id-1"),
]


def facts_of(*lines: str, host: str = "shop.example") -> RequestFacts:
    field_lines = "".join(f"{line}\r\n" for line in ([f"Host: {host}"] if host else []) + list(lines))
    request = Request("GET", "/", 1, field_lines.encode("latin-1"))
    request.host, request.remote_ip, request.id = host, "9.9.9.9", "id-1"
    return RequestFacts(request, "10.0.0.1:80")


def sent(
    *lines: str, set_headers: dict[str, str] | None = None, authorization: str | None = None
) -> list[tuple[str, str]]:
    plan = make_header_plan([(name, parse_template(text)) for name, text in (set_headers or {}).items()])
    return request_fields(facts_of(*lines), plan, authorization)


def test_the_client_s_fields_pass_in_their_order_and_the_proxy_s_follow() -> None:
    assert sent("Accept: a", "accept: b", "Cookie: x=1") == [
        OWN[0],
        ("Accept", "a"),
        ("accept", "b"),
        ("Cookie", "x=1"),
        *OWN[1:],
    ]


@pytest.mark.parametrize(
    "line",
    [
        "Connection: close",
        "Keep-Alive: 5",
        "Proxy-Connection: x",
        "Proxy-Authorization: Basic x",
        "TE: trailers",
        "Trailer: X",
        "Transfer-Encoding: chunked",
        "Upgrade: h2c",
        "Expect: 100-continue",
        "Forwarded: for=1.1.1.1",
        "X-Forwarded-For: 1.1.1.1",
        "x-forwarded-proto: https",
        "X-FORWARDED-HOST: evil",
        "X-Real-IP: 1.1.1.1",
        "X-Request-Id: other",
    ],
)
def test_what_concerns_one_connection_and_what_a_client_might_forge_is_dropped(line: str) -> None:
    assert sent(line) == OWN


def test_fields_that_connection_names_are_dropped_before_the_proxy_adds_its_own() -> None:
    assert sent("Connection: close, X-Secret, X-Forwarded-For, Host", "X-Secret: 1", "X-Kept: 2") == [
        OWN[0],
        ("X-Kept", "2"),
        *OWN[1:],
    ]


def test_proxy_set_header_replaces_what_the_client_sent_and_what_the_proxy_would_add() -> None:
    fields = sent(
        "X-A: client",
        "X-Forwarded-For: 1.1.1.1",
        set_headers={"x-a": "set", "X-Forwarded-For": "$proxy_add_x_forwarded_for", "Host": "$proxy_host"},
    )
    assert fields[0] == ("Host", "10.0.0.1:80")
    assert [(name.lower(), value) for name, value in fields].count(("x-a", "set")) == 1
    assert ("X-Forwarded-For", "1.1.1.1, 9.9.9.9") in fields
    assert "client" not in str(fields)


def test_an_empty_value_drops_the_field_as_in_nginx() -> None:
    fields = sent(
        "Accept-Encoding: gzip",
        "X-Real-IP: 1",
        set_headers={"Accept-Encoding": "", "X-Real-IP": "", "X-None": "$http_none"},
    )
    assert not {"accept-encoding", "x-real-ip", "x-none"} & {name.lower() for name, _ in fields}


def test_credentials_of_the_proxy_pass_replace_the_client_s_but_not_proxy_set_header_s() -> None:
    assert sent("Authorization: Bearer client", authorization="Basic own")[-1] == ("Authorization", "Basic own")
    fields = sent("Authorization: Bearer c", authorization="Basic own", set_headers={"Authorization": "Set"})
    assert [value for name, value in fields if name == "Authorization"] == ["Set"]
    assert ("Authorization", "Bearer client") in sent("Authorization: Bearer client")


def test_a_request_without_host_gets_the_upstream_s() -> None:
    fields = request_fields(facts_of(host=""), make_header_plan())
    assert fields[0] == ("Host", "10.0.0.1:80")
    assert "X-Forwarded-Host" not in dict(fields)


def test_an_empty_host_by_proxy_set_header_is_the_upstream_s_too() -> None:
    assert sent(set_headers={"Host": ""})[0][0] == "Host"


def test_a_reply_loses_what_concerns_its_connection_and_what_our_server_writes() -> None:
    headers = Headers(
        [
            ("Connection", "close, X-Hop"),
            ("X-Hop", "1"),
            ("Transfer-Encoding", "chunked"),
            ("Content-Length", "5"),
            ("Date", "now"),
            ("X-Request-Id", "theirs"),
            ("Set-Cookie", "a=1"),
            ("Set-Cookie", "b=2"),
            ("Server", "s"),
        ]
    )
    assert response_fields(headers) == [("Set-Cookie", "a=1"), ("Set-Cookie", "b=2"), ("Server", "s")]


def test_the_reply_to_a_websocket_keeps_its_handshake() -> None:
    headers = Headers([("Upgrade", "websocket"), ("Connection", "Upgrade"), ("Sec-WebSocket-Accept", "x")])
    assert tunnel_fields(headers) == [("Sec-WebSocket-Accept", "x"), ("Upgrade", "websocket")]


@pytest.mark.parametrize(
    ("method", "upgrade", "length", "expected"),
    [
        ("GET", "websocket", None, True),
        ("GET", "h2c", None, False),
        ("GET", "websocket, h2c", None, False),
        ("POST", "websocket", None, False),
        ("GET", "websocket", 5, False),
        ("GET", "", None, False),
    ],
)
def test_only_a_websocket_is_tunnelled(method: str, upgrade: str, length: int | None, expected: bool) -> None:
    request = Request(method, "/")
    request.upgrade, request.content_length = upgrade, length
    assert wants_tunnel(request) is expected
