"""What the upstream is told about the client: forged by nobody, continued from those we trust."""

from ipaddress import ip_network

import pytest

from services.proxy.forwarding_fields import (
    FORWARDING_FIELDS,
    FORWARDING_NAMES,
    MAX_KEPT_CHARS,
    MAX_KEPT_VIEWS,
    ClientFinder,
    ClientView,
)
from services.proxy.trusted_hops import RealIpField, TrustedHops
from shared.httpcore.message import Request

OURS = (ip_network("10.0.0.0/8"),)
FORGED = (
    "X-Forwarded-For: 6.6.6.6",
    "X-Forwarded-Proto: https",
    "X-Forwarded-Host: evil.example",
    "X-Forwarded-Port: 1",
    "X-Real-IP: 6.6.6.6",
    "Forwarded: for=6.6.6.6;host=evil.example;proto=https",
)


def request_of(*lines: str, peer: str = "10.0.0.1", host: str = "shop.example", scheme: str = "http") -> Request:
    request = Request("GET", "/", 1, "".join(f"{line}\r\n" for line in lines).encode("latin-1"))
    request.remote_ip, request.remote_port, request.host, request.scheme = peer, 555, host, scheme
    return request


def view_of(
    *lines: str,
    peer: str = "10.0.0.1",
    host: str = "shop.example",
    field: RealIpField = RealIpField.X_FORWARDED_FOR,
    scheme: str = "http",
) -> ClientView:
    request = request_of(*lines, peer=peer, host=host, scheme=scheme)
    return ClientFinder(TrustedHops(OURS, field)).view(request)


def table(view: ClientView) -> dict[str, str]:
    return dict(view.pairs)


def test_what_a_stranger_says_is_replaced_whichever_field_is_believed() -> None:
    for field in RealIpField:
        view = view_of(*FORGED, peer="9.9.9.9", field=field)
        assert (view.client_ip, view.client_port, view.scheme) == ("9.9.9.9", 0, "http")
        assert list(view.pairs) == [
            ("X-Forwarded-For", "9.9.9.9"),
            ("X-Forwarded-Proto", "http"),
            ("X-Forwarded-Host", "shop.example"),
            ("X-Forwarded-Port", "80"),
            ("X-Real-IP", "9.9.9.9"),
            ("Forwarded", "for=9.9.9.9;host=shop.example;proto=http"),
        ]


def test_a_trusted_hop_that_says_nothing_is_the_client_itself() -> None:
    for field in RealIpField:
        assert table(view_of(field=field))["X-Real-IP"] == "10.0.0.1"


def test_x_forwarded_for_is_continued_and_forwarded_made_of_it() -> None:
    view = view_of(
        "X-Forwarded-For: 6.6.6.6, 9.9.9.9:1234",
        "x-forwarded-for: 10.0.0.7",
        "X-Forwarded-Proto: HTTPS",
        "X-Forwarded-Host: Public.example",
        "Forwarded: for=6.6.6.6;host=evil.example",
    )
    assert (view.client_ip, view.client_port, view.scheme) == ("9.9.9.9", 1234, "https")
    assert table(view) == {
        "X-Forwarded-For": "6.6.6.6, 9.9.9.9:1234, 10.0.0.7, 10.0.0.1",
        "X-Forwarded-Proto": "https",
        "X-Forwarded-Host": "public.example",
        "X-Forwarded-Port": "443",
        "X-Real-IP": "9.9.9.9",
        "Forwarded": "for=9.9.9.9;host=public.example;proto=https, for=10.0.0.7, "
        "for=10.0.0.1;host=shop.example;proto=http",
    }


def test_forwarded_is_continued_and_the_x_fields_made_of_it() -> None:
    view = view_of(
        'Forwarded: for=6.6.6.6;host=evil.example, for="9.9.9.9:77";host="public.example:8443";proto=https',
        "Forwarded: for=10.0.0.7;proto=http",
        *FORGED[:5],
        field=RealIpField.FORWARDED,
    )
    assert (view.client_ip, view.client_port, view.scheme) == ("9.9.9.9", 77, "https")
    made = table(view)
    assert made["X-Forwarded-For"] == "9.9.9.9, 10.0.0.7, 10.0.0.1"
    assert (made["X-Forwarded-Proto"], made["X-Forwarded-Host"]) == ("https", "public.example:8443")
    assert (made["X-Forwarded-Port"], made["X-Real-IP"]) == ("8443", "9.9.9.9")
    assert made["Forwarded"].endswith("for=10.0.0.7;proto=http, for=10.0.0.1;host=shop.example;proto=http")


def test_a_malformed_forwarded_says_nothing() -> None:
    view = view_of("Forwarded: for=9.9.9.9, garbage", field=RealIpField.FORWARDED)
    assert table(view)["Forwarded"] == "for=10.0.0.1;host=shop.example;proto=http"
    assert view.client_ip == "10.0.0.1"


def test_x_real_ip_is_one_address() -> None:
    view = view_of("X-Real-IP: 9.9.9.9", FORGED[0], field=RealIpField.X_REAL_IP)
    made = table(view)
    assert made["X-Real-IP"] == "9.9.9.9"
    assert made["X-Forwarded-For"] == "9.9.9.9, 10.0.0.1"
    for said in (("X-Real-IP: 9.9.9.9, 8.8.8.8",), ("X-Real-IP: 9.9.9.9", "X-Real-IP: 8.8.8.8"), ("X-Real-IP: x",)):
        assert table(view_of(*said, field=RealIpField.X_REAL_IP))["X-Forwarded-For"] == "10.0.0.1"


@pytest.mark.parametrize(
    ("line", "name", "expected"),
    [
        ("X-Forwarded-Proto: gopher", "X-Forwarded-Proto", "http"),
        ("X-Forwarded-Proto: https, http", "X-Forwarded-Proto", "http"),
        ("X-Forwarded-Host: a b", "X-Forwarded-Host", "shop.example"),
        ("X-Forwarded-Host: \xe9.example", "X-Forwarded-Host", "shop.example"),
        ("X-Forwarded-Port: 70000", "X-Forwarded-Port", "80"),
        ("X-Forwarded-Port: 8443", "X-Forwarded-Port", "8443"),
        ("X-Forwarded-Port: +80", "X-Forwarded-Port", "80"),
    ],
)
def test_what_a_trusted_hop_says_must_make_sense(line: str, name: str, expected: str) -> None:
    assert table(view_of(line))[name] == expected


@pytest.mark.parametrize(
    ("host", "scheme", "port", "forwarded"),
    [
        ("shop.example:8080", "http", "8080", 'for=9.9.9.9;host="shop.example:8080";proto=http'),
        ("shop.example", "https", "443", "for=9.9.9.9;host=shop.example;proto=https"),
        ("[::1]", "http", "80", 'for=9.9.9.9;host="[::1]";proto=http'),
        ("[::1]:81", "http", "81", 'for=9.9.9.9;host="[::1]:81";proto=http'),
        ("shop.example:", "http", "80", 'for=9.9.9.9;host="shop.example:";proto=http'),
        ("", "http", "80", "for=9.9.9.9;proto=http"),
    ],
)
def test_the_port_is_the_one_the_client_asked_for(host: str, scheme: str, port: str, forwarded: str) -> None:
    made = table(view_of(peer="9.9.9.9", host=host, scheme=scheme))
    assert (made["X-Forwarded-Port"], made["Forwarded"]) == (port, forwarded)
    assert ("X-Forwarded-Host" in made) is bool(host)


def test_an_ipv6_client_is_in_brackets_where_a_node_stands_and_an_ipv4_one_is_not_mapped() -> None:
    made = table(view_of(peer="2001:db8::9"))
    assert made["X-Forwarded-For"] == made["X-Real-IP"] == "2001:db8::9"
    assert made["Forwarded"].startswith('for="[2001:db8::9]";')
    assert table(view_of("X-Forwarded-For: 9.9.9.9", peer="::ffff:10.0.0.1"))["X-Real-IP"] == "9.9.9.9"


def test_a_stranger_is_looked_at_once_for_each_host_and_a_trusted_hop_for_what_it_says() -> None:
    finder = ClientFinder(TrustedHops(OURS))
    view = finder.view(request_of(peer="9.9.9.9"))
    assert finder.view(request_of(*FORGED, peer="9.9.9.9")) is view
    assert table(finder.view(request_of(peer="9.9.9.9", host="b")))["X-Forwarded-Host"] == "b"
    assert table(finder.view(request_of(peer="9.9.9.9", scheme="https")))["X-Forwarded-Proto"] == "https"
    for client in ("9.9.9.9", "8.8.8.8", "9.9.9.9"):
        served = request_of(f"X-Forwarded-For: {client}", "X-Forwarded-Proto: https")
        assert finder.view(served).client_ip == client
        assert finder.view(served) is finder.view(request_of(*(f"{n}: {v}" for n, v in served.headers)))


@pytest.mark.parametrize("field", RealIpField)
def test_everything_that_a_hop_says_and_that_counts_makes_another_view(field: RealIpField) -> None:
    finder = ClientFinder(TrustedHops(OURS, field))
    plain = finder.view(request_of())
    seen = [finder.view(request_of(line)).pairs for line in FORGED]
    fresh = [ClientFinder(TrustedHops(OURS, field)).view(request_of(line)).pairs for line in FORGED]
    assert seen == fresh
    assert len({plain.pairs, *seen}) > 1
    two = request_of("X-Forwarded-For: 9.9.9.9", "X-Forwarded-For: 10.0.0.9")
    assert finder.view(two).pairs == ClientFinder(TrustedHops(OURS, field)).view(two).pairs


def test_what_is_kept_is_bounded() -> None:
    finder = ClientFinder(TrustedHops(OURS))
    for number in range(MAX_KEPT_VIEWS + 10):
        finder.view(request_of(peer="9.9.9.9", host=str(number)))
        finder.view(request_of(f"X-Forwarded-For: 1.1.{number // 256}.{number % 256}"))
    finder.view(request_of("X-Forwarded-For: 1.1.1.1," + " " * MAX_KEPT_CHARS + "9.9.9.9"))
    assert (len(finder._strangers), len(finder._served)) == (10, 10)


def test_lines_leave_out_what_proxy_set_header_sets() -> None:
    view = view_of(peer="9.9.9.9")
    assert view.lines() == "".join(f"{name}: {value}\r\n" for name, value in view.pairs).encode()
    omitted = frozenset({"x-real-ip", "forwarded", "accept"})
    lines = view.lines(omitted)
    assert b"X-Real-IP" not in lines
    assert b"X-Forwarded-For: 9.9.9.9\r\n" in lines
    assert view.lines(omitted) is lines
    assert view.lines(FORWARDING_NAMES) == b""
    assert {name.lower() for name in FORWARDING_FIELDS} == FORWARDING_NAMES
