"""Which fields pass, which are dropped, which are added."""

import pytest

from services.proxy.field_lines import field_pairs
from services.proxy.rewriting import (
    MAX_KEPT_CLIENTS,
    MAX_KEPT_HOST_BYTES,
    HeaderPlan,
    make_header_plan,
    request_head,
    wants_tunnel,
)
from services.proxy.templates import parse_template
from shared.httpcore.limits import DEFAULT_LIMITS
from shared.httpcore.message import Request
from shared.httpcore.parsing import parse_request_head

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


def request_of(*lines: str, host: str = "shop.example", target: str = "/") -> Request:
    fields = ([f"Host: {host}"] if host else []) + list(lines)
    head = "\r\n".join([f"GET {target} HTTP/1.{1 if host else 0}", *fields, "", ""]).encode("latin-1")
    request = parse_request_head(head, len(head), DEFAULT_LIMITS)
    request.remote_ip, request.id = "9.9.9.9", "id-1"
    return request


def fields_of(head: bytes) -> list[tuple[str, str]]:
    line, _, lines = head[:-2].partition(b"\r\n")
    assert line == b"GET / HTTP/1.1"
    return field_pairs(lines)


def plan_of(**set_headers: str) -> HeaderPlan:
    return make_header_plan([(name.replace("_", "-"), parse_template(text)) for name, text in set_headers.items()])


def sent(
    *lines: str, set_headers: dict[str, str] | None = None, authorization: str | None = None, host: str = "shop.example"
) -> list[tuple[str, str]]:
    """What is made of these lines, the first time and when they come again."""
    request, plan = request_of(*lines, host=host), plan_of(**(set_headers or {}))
    first = request_head(request, "/", "10.0.0.1:80", plan, authorization)
    assert request_head(request, "/", "10.0.0.1:80", plan, authorization) == first
    return fields_of(first)


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
    fields = sent("Authorization: Bearer client", authorization="Basic own")
    assert [value for name, value in fields if name == "Authorization"] == ["Basic own"]
    fields = sent("Authorization: Bearer c", authorization="Basic own", set_headers={"Authorization": "Set"})
    assert [value for name, value in fields if name == "Authorization"] == ["Set"]
    assert ("Authorization", "Bearer client") in sent("Authorization: Bearer client")


def test_a_request_without_host_gets_the_upstream_s() -> None:
    fields = sent(host="")
    assert fields[0] == ("Host", "10.0.0.1:80")
    assert "X-Forwarded-Host" not in dict(fields)


def test_a_host_in_the_target_of_http_1_0_is_not_taken_for_that_of_another_request_with_the_same_fields() -> None:
    plan, wire = plan_of(), b"GET %b HTTP/1.0\r\nConnection: keep-alive\r\n\r\n"
    made = []
    previous = None
    for target in (b"/", b"http://a.example/", b"http://b.example/", b"/"):
        head = wire % target
        request = parse_request_head(head, len(head), DEFAULT_LIMITS, previous)
        request.remote_ip, request.id, previous = "9.9.9.9", "id-1", request.fields
        fields = dict(fields_of(request_head(request, "/", "10.0.0.1:80", plan, None)))
        forwarded = fields["Forwarded"].partition(";host=")[2].partition(";")[0]
        made.append((fields["Host"], fields.get("X-Forwarded-Host"), forwarded))
    nobody = ("10.0.0.1:80", None, "")
    assert made == [nobody, ("a.example",) * 3, ("b.example",) * 3, nobody]


def test_an_absolute_target_that_agrees_with_host_leaves_it_as_it_was_sent() -> None:
    fields = dict(
        fields_of(request_head(request_of(host="A.example:80", target="http://a.example/"), "/", "u", plan_of(), None))
    )
    assert (fields["Host"], fields["X-Forwarded-Host"]) == ("A.example:80", "a.example:80")


def test_an_empty_host_by_proxy_set_header_is_the_upstream_s_too() -> None:
    assert sent(set_headers={"Host": ""})[0][0] == "Host"


def test_what_was_made_of_fields_is_not_taken_for_another_place_or_upstream() -> None:
    request = request_of("X-A: client")
    kept, replaced = make_header_plan(), plan_of(**{"X-A": "set", "Host": "$proxy_host", "X-Method": "$request_method"})
    for _ in range(2):
        for plan, upstream, expected, host in (
            (kept, "10.0.0.1:80", "client", "shop.example"),
            (replaced, "10.0.0.1:80", "set", "10.0.0.1:80"),
            (replaced, "10.0.0.2:80", "set", "10.0.0.2:80"),
        ):
            fields = fields_of(request_head(request, "/", upstream, plan, None))
            assert dict(fields)["X-A"] == expected
            assert fields[0] == ("Host", host)
    with_credentials = fields_of(request_head(request, "/", "10.0.0.1:80", kept, "Basic own"))
    assert ("Authorization", "Basic own") in with_credentials
    assert "Authorization" not in dict(fields_of(request_head(request, "/", "10.0.0.1:80", kept, None)))


def test_what_is_said_of_one_client_or_host_is_not_said_of_another() -> None:
    plan = plan_of(**{"X-Own": "$remote_addr $http_host", "X-Cookie": "$cookie_a"})
    for _ in range(2):
        for ip, host, cookie in (
            ("1.1.1.1", "a", "1"),
            ("2.2.2.2", "a", "2"),
            ("2.2.2.2", "A", "3"),
            ("1.1.1.1", "b", "4"),
        ):
            request = request_of(f"Cookie: a={cookie}", host=host)
            request.remote_ip = ip
            got = dict(fields_of(request_head(request, "/", "u", plan, None)))
            assert (got["Host"], got["X-Forwarded-For"], got["X-Real-IP"]) == (host, ip, ip)
            assert (got["X-Own"], got["X-Cookie"]) == (f"{ip} {host}", cookie)


def test_the_memory_of_clients_is_bounded() -> None:
    plan = make_header_plan()
    for number in range(MAX_KEPT_CLIENTS + 10):
        request_head(request_of(host=f"h{number}"), "/", "u", plan, None)
    assert len(plan.standing_lines) <= MAX_KEPT_CLIENTS
    request_head(request_of(host="h" * (MAX_KEPT_HOST_BYTES + 1)), "/", "u", plan, None)
    assert max(len(key[3]) for key in plan.standing_lines) <= MAX_KEPT_HOST_BYTES


def test_what_varies_is_new_for_each_request_with_the_same_fields() -> None:
    plan = plan_of(**{"X-Own-Id": "<$request_id>", "X-Path": "$request_uri"})
    first = request_of("X-A: 1", target="/one")
    fields_of_first = first.fields
    for number, target in ((1, "/one"), (2, "/two")):
        request = Request("GET", target, fields=fields_of_first)
        request.remote_ip, request.id = "9.9.9.9", f"id-{number}"
        got = dict(fields_of(request_head(request, "/", "u", plan, None)))
        assert (got["X-Own-Id"], got["X-Path"], got["X-Request-Id"]) == (f"<id-{number}>", target, f"id-{number}")


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
    request.fields.upgrade, request.fields.content_length = upgrade, length
    request.fields.has_body = bool(length)
    assert wants_tunnel(request) is expected
