"""What the upstream is told about the client: forged by nobody, continued from those we trust."""

from ipaddress import ip_network

import pytest

from services.proxy.forwarding_fields import FORWARDING_FIELDS, FORWARDING_NAMES, ClientTrail, ClientView
from services.proxy.trusted_hops import RealIpField, TrustedHops
from shared.httpcore.message import HeadFields

OURS = (ip_network("10.0.0.0/8"),)
FORGED = (
    "X-Forwarded-For: 6.6.6.6",
    "X-Forwarded-Proto: https",
    "X-Forwarded-Host: evil.example",
    "X-Forwarded-Port: 1",
    "X-Real-IP: 6.6.6.6",
    "Forwarded: for=6.6.6.6;host=evil.example;proto=https",
)


def fields_of(*lines: str, host: str = "shop.example") -> HeadFields:
    fields = HeadFields("".join(f"{line}\r\n" for line in lines).encode("latin-1"), 1)
    fields.host = host
    return fields


def view_of(
    *lines: str,
    peer: str = "10.0.0.1",
    host: str = "shop.example",
    field: RealIpField = RealIpField.X_FORWARDED_FOR,
    scheme: str = "http",
) -> ClientView:
    return ClientTrail(peer, 555, scheme, TrustedHops(OURS, field)).view(fields_of(*lines, host=host))


def table(view: ClientView) -> dict[str, str]:
    return dict(view.pairs)


def test_what_a_stranger_says_is_replaced_whichever_field_is_believed() -> None:
    for field in RealIpField:
        view = view_of(*FORGED, peer="9.9.9.9", field=field)
        assert (view.client_ip, view.client_port, view.scheme) == ("9.9.9.9", 555, "http")
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


def test_a_client_that_repeats_its_fields_costs_nothing_and_one_that_changes_them_is_seen() -> None:
    trail = ClientTrail("10.0.0.1", 1, "http", TrustedHops(OURS))
    first, second = fields_of("X-Forwarded-For: 9.9.9.9"), fields_of("X-Forwarded-For: 8.8.8.8")
    view = trail.view(first)
    assert trail.view(first) is view
    assert trail.view(second).client_ip == "8.8.8.8"
    assert trail.view(first).client_ip == "9.9.9.9"


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
