"""The rules on Host, Origin and Sec-Fetch-Site, as tables of requests."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.httpcore.message import Request, Response
from shared.runtime.guard import Guard, is_cross_site, may_be_foreign_link, split_host
from shared.runtime.proofs import PROOF_HEADER

PROOF = PROOF_HEADER.replace("-", "_")
WEBSOCKET = {"Connection": "Upgrade", "Upgrade": "websocket"}


def make_request(method="GET", path="/x", host="localhost:9000", scheme="http", **fields):
    """Keyword arguments are fields: `sec_fetch_site="none"`."""
    named = {name.replace("_", "-"): value for name, value in fields.items()}
    lines = "".join(f"{name}: {value}\r\n" for name, value in [("Host", host), *named.items()])
    request = Request(method, path, 1, lines.encode("latin-1"))
    request.host = host.lower()
    request.scheme = scheme
    request.fields.has_origin = any(name.lower() == "origin" for name in named)
    request.fields.upgrade = named.get("Upgrade", "")
    return request


def keyless(cors_origin=None, hosts=("127.0.0.1",)):
    return Guard(False, cors_origin, frozenset(hosts))


def keyed(cors_origin=None):
    return Guard(True, cors_origin, frozenset({"0.0.0.0"}))


def vouched():
    """A guard of a service that verifies one proof."""
    return Guard(True, None, frozenset(), lambda request: request.headers.get(PROOF_HEADER) == "right")


def status_of(guard, request):
    reply = guard.check(request)
    return None if reply is None else reply.status


# --- Host ---------------------------------------------------------------------------------------------------------

OWN_HOSTS = [
    "localhost",
    "localhost:9000",
    "LOCALHOST:9000",
    "127.0.0.1",
    "127.0.0.1:9000",
    "127.255.0.3",
    "[::1]:9000",
]
STRANGE_HOSTS = [
    "evil.example",
    "evil.example:9000",
    "localhost.evil.example",
    "127.0.0.1.evil.example",
    "evil.localhost.example",
    "10.0.0.1:9000",
    "[::2]:9000",
    "[fe80::1]",
    "0.0.0.0:9000",
    "127.0.0.1@evil.example",
    "local host",
    "[::1",
    ":9000",
]


@pytest.mark.parametrize("host", OWN_HOSTS)
def test_a_keyless_service_answers_to_loopback_names(host):
    guard = keyless()
    assert status_of(guard, make_request(host=host)) is None
    assert status_of(guard, make_request(host=host)) is None, "the second time it is known already"


@pytest.mark.parametrize("host", STRANGE_HOSTS)
def test_a_keyless_service_does_not_go_by_any_other_name(host):
    reply = keyless().check(make_request(host=host))
    assert reply.status == 421
    assert b'"misdirected_host"' in reply.body


def test_a_service_that_listens_on_one_address_or_name_goes_by_it():
    guard = keyless(hosts=("10.0.0.1", "chat.lan"))
    assert status_of(guard, make_request(host="10.0.0.1:9000")) is None
    assert status_of(guard, make_request(host="chat.lan:9000")) is None
    assert status_of(guard, make_request(host="10.0.0.2:9000")) == 421


@pytest.mark.parametrize("wildcard", ["0.0.0.0", "::"])
def test_a_service_that_listens_everywhere_goes_by_every_address_but_no_name(wildcard):
    guard = keyless(hosts=(wildcard,))
    assert status_of(guard, make_request(host="192.168.1.7:9000")) is None
    assert status_of(guard, make_request(host="[fe80::1]:9000")) is None
    assert status_of(guard, make_request(host="evil.example:9000")) == 421


def test_health_is_for_any_host_and_http_1_0_needs_none():
    assert status_of(keyless(), make_request(path="/healthz", host="evil.example")) is None
    assert status_of(keyless(), make_request(path="/healthz/x", host="evil.example")) == 421
    assert status_of(keyless(), make_request(host="")) is None


def test_keys_or_an_open_cors_origin_make_any_host_right():
    assert status_of(keyed(), make_request(host="chat.example")) is None
    assert status_of(keyless("*"), make_request(host="chat.example")) is None
    assert status_of(keyless("https://chat.example"), make_request(host="chat.example")) is None
    assert status_of(keyless("https://chat.example"), make_request(host="evil.example")) == 421


def test_many_right_hosts_do_not_fill_the_memory():
    guard = keyless()
    for port in range(1000):
        assert status_of(guard, make_request(host=f"localhost:{port}")) is None
    assert len(guard._known_hosts) <= 64


# --- who made the request -----------------------------------------------------------------------------------------

CROSS_SITE = [
    ("nothing says so", {}, False),
    ("its own page", {"Origin": "http://localhost:9000"}, False),
    ("its own page, other case", {"Origin": "HTTP://LocalHost:9000"}, False),
    ("another port", {"Origin": "http://localhost:3000"}, True),
    ("another host", {"Origin": "http://evil.example"}, True),
    ("a sandboxed frame", {"Origin": "null"}, True),
    ("an extension", {"Origin": "chrome-extension://abcdef"}, True),
    ("something odd", {"Origin": "x"}, True),
    ("the browser says same origin", {"Sec_Fetch_Site": "same-origin"}, False),
    ("typed by the user", {"Sec_Fetch_Site": "none"}, False),
    ("the browser says same site", {"Sec_Fetch_Site": "same-site"}, True),
    ("the browser says cross site", {"Sec_Fetch_Site": "cross-site"}, True),
    ("redirected across sites", {"Origin": "http://localhost:9000", "Sec_Fetch_Site": "cross-site"}, True),
    ("a proxy in front changed Host", {"Origin": "http://a:8080", "Sec_Fetch_Site": "same-origin"}, False),
]


@pytest.mark.parametrize(("_name", "fields", "expected"), CROSS_SITE, ids=[row[0] for row in CROSS_SITE])
def test_a_cross_site_request_is_told_by_what_the_browser_says(_name, fields, expected):
    assert is_cross_site(make_request("POST", **fields)) is expected


@pytest.mark.parametrize(
    ("origin", "host", "scheme", "expected"),
    [
        ("https://chat.example", "chat.example", "https", False),
        ("https://chat.example", "chat.example:443", "https", False),
        ("http://chat.example", "chat.example:80", "http", False),
        ("https://chat.example", "chat.example", "http", False),  # TLS ended in front of this service
        ("http://chat.example", "chat.example", "https", True),  # a page that anybody on the way could have changed
        ("https://chat.example:8443", "chat.example", "https", True),
        ("http://[::1]:9000", "[::1]:9000", "http", False),
    ],
)
def test_origins_are_compared_with_default_ports_and_scheme(origin, host, scheme, expected):
    assert is_cross_site(make_request("POST", host=host, scheme=scheme, Origin=origin)) is expected


BROWSER = "Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0"


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ({}, False),
        ({"User-Agent": "curl/8.5.0"}, False),
        ({"User-Agent": BROWSER}, True),
        ({"User-Agent": BROWSER, "Sec-Fetch-Site": "same-origin"}, False),
        ({"User-Agent": BROWSER, "Sec-Fetch-Site": "none"}, False),
        ({"User-Agent": BROWSER, "Sec-Fetch-Site": "same-site"}, True),
        ({"User-Agent": BROWSER, "Sec-Fetch-Site": "cross-site"}, True),
        ({"Sec-Fetch-Site": "cross-site", "Referer": "http://localhost:9000/"}, True),
        ({"User-Agent": BROWSER, "Referer": "http://localhost:9000/a?b#c"}, False),
        ({"User-Agent": BROWSER, "Referer": "http://localhost:9000"}, False),
        ({"User-Agent": BROWSER, "Referer": "http://localhost:9001/"}, True),
        ({"Referer": "https://evil.example/http://localhost:9000/"}, True),
        ({"Referer": "http://localhost:9000@evil.example/"}, True),
        ({"Referer": ""}, True),
        ({"Origin": "null"}, True),
        ({"Origin": "http://localhost:9000"}, False),
    ],
)
def test_a_read_that_a_foreign_page_may_have_led_to_is_known(fields, expected):
    assert may_be_foreign_link(make_request(**fields)) is expected


# --- writes and WebSockets ----------------------------------------------------------------------------------------

EVIL = {"Origin": "http://evil.example", "Sec_Fetch_Site": "cross-site"}
NEIGHBOUR = {"Origin": "http://localhost:3000", "Sec_Fetch_Site": "same-site"}
COOKIE = {"Cookie": "session=x"}

WRITES = [
    # guard, fields, status of a POST, status of a WebSocket handshake
    ("keyless, no browser", keyless(), {}, None, None),
    ("keyless, no browser, with cookie", keyless(), COOKIE, None, None),
    ("keyless, evil page", keyless(), EVIL, 403, 403),
    ("keyless, evil form without Origin", keyless(), {"Sec_Fetch_Site": "cross-site"}, 403, 403),
    ("keyless, sandboxed frame", keyless(), {"Origin": "null"}, 403, 403),
    ("keyless, page of another loopback port", keyless(), NEIGHBOUR, None, None),
    ("keyless, the same with cookie", keyless(), {**NEIGHBOUR, **COOKIE}, 403, None),
    ("keyless, open, evil page", keyless("*"), EVIL, None, None),
    ("keyless, open, evil page with cookie", keyless("*"), {**EVIL, **COOKIE}, 403, 403),
    ("keyless, evil page, another origin allowed", keyless("http://ui.example"), EVIL, 403, 403),
    ("keyed, no browser", keyed(), {}, None, None),
    ("keyed, no browser, with cookie", keyed(), COOKIE, None, None),
    ("keyed, own page", keyed(), {"Origin": "http://localhost:9000", **COOKIE}, None, None),
    ("keyed, evil page", keyed(), EVIL, 403, 403),
    ("keyed, evil page with cookie", keyed(), {**EVIL, **COOKIE}, 403, 403),
    ("keyed, page of another port with cookie", keyed(), {**NEIGHBOUR, **COOKIE}, 403, 403),
    ("keyed, allowed origin", keyed("http://evil.example"), EVIL, None, None),
    ("keyed, allowed origin with cookie", keyed("http://evil.example"), {**EVIL, **COOKIE}, 403, None),
    ("keyed, open, with cookie", keyed("*"), {**EVIL, **COOKIE}, 403, 403),
    ("keyed, vouched for by the proxy", vouched(), {**EVIL, PROOF: "right"}, None, None),
    ("keyed, vouched for, with cookie", vouched(), {**EVIL, **COOKIE, PROOF: "right"}, None, None),
    ("keyed, a proof that is none", vouched(), {**EVIL, PROOF: "v1.x.y"}, 403, 403),
    ("keyed, a service that takes no proofs", keyed(), {**EVIL, PROOF: "right"}, 403, 403),
    ("keyless, a proof that is none", keyless(), {**EVIL, PROOF: "v1.x.y"}, 403, 403),
]


@pytest.mark.parametrize(("_name", "guard", "fields", "post", "_upgrade"), WRITES, ids=[row[0] for row in WRITES])
def test_writes_of_other_origins_pages_are_refused(_name, guard, fields, post, _upgrade):
    for method in ("POST", "PUT", "PATCH", "DELETE", "BREW"):
        reply = guard.check(make_request(method, **fields))
        assert (reply and reply.status) == post
        assert reply is None or b'"cross_site"' in reply.body


@pytest.mark.parametrize(("_name", "guard", "fields", "_post", "upgrade"), WRITES, ids=[row[0] for row in WRITES])
def test_websockets_of_other_origins_pages_are_refused(_name, guard, fields, _post, upgrade):
    assert status_of(guard, make_request("GET", **fields, **WEBSOCKET)) == upgrade


@pytest.mark.parametrize("method", ["GET", "HEAD", "OPTIONS", "TRACE"])
def test_reads_go_on_because_the_browser_keeps_the_reply_from_the_page(method):
    assert status_of(keyed(), make_request(method, **EVIL, **COOKIE)) is None


# --- CORS ---------------------------------------------------------------------------------------------------------


def cors_headers(guard, request):
    reply = guard.check(request) or Response(200)
    guard.decorate(request, reply)
    return {name.lower(): value for name, value in reply.headers}


READS = [
    ("keyless, loopback page", keyless(), "http://localhost:3000", "http://localhost:3000"),
    ("keyless, loopback address", keyless(), "http://127.0.0.1:8000", "http://127.0.0.1:8000"),
    ("keyless, IPv6 loopback", keyless(), "http://[::1]:8000", "http://[::1]:8000"),
    ("keyless, TLS on loopback", keyless(), "https://localhost", "https://localhost"),
    ("keyless, evil page", keyless(), "http://evil.example", None),
    ("keyless, looks like loopback", keyless(), "http://localhost.evil.example", None),
    ("keyless, looks like an address", keyless(), "http://127.0.0.1.evil.example", None),
    ("keyless, null", keyless(), "null", None),
    ("keyless, another scheme", keyless(), "file://localhost", None),
    ("keyless, open", keyless("*"), "http://evil.example", "*"),
    ("keyless, open, null", keyless("*"), "null", "*"),
    ("keyed, loopback page", keyed(), "http://localhost:3000", None),
    ("keyed, allowed", keyed("https://a.example,https://b.example"), "https://b.example", "https://b.example"),
    ("keyed, not that one", keyed("https://a.example,https://b.example"), "https://c.example", None),
    ("keyed, another scheme", keyed("https://a.example"), "http://a.example", None),
    ("keyed, open", keyed("*"), "https://c.example", "*"),
]


@pytest.mark.parametrize(("_name", "guard", "origin", "allowed"), READS, ids=[row[0] for row in READS])
def test_replies_may_be_read_by_allowed_origins_only_and_never_with_credentials(_name, guard, origin, allowed):
    headers = cors_headers(guard, make_request(Origin=origin))
    assert headers.get("access-control-allow-origin") == allowed
    assert "access-control-allow-credentials" not in headers


def test_a_reply_that_depends_on_the_origin_says_so_to_caches():
    assert cors_headers(keyless(), make_request())["vary"] == "Origin"
    assert cors_headers(keyed("https://a.example"), make_request())["vary"] == "Origin"
    assert "vary" not in cors_headers(keyless("*"), make_request(Origin="http://a"))
    assert cors_headers(keyed(), make_request(Origin="http://a")) == {}


def test_error_replies_are_decorated_too_so_that_the_page_can_read_them():
    request = make_request("POST", Origin="http://localhost:3000", Cookie="a=b")
    reply = keyless().check(request)
    keyless().decorate(request, reply)
    assert reply.status == 403
    assert reply.get_header("access-control-allow-origin") == "http://localhost:3000"


def preflight(origin="http://localhost:3000", method="POST", **fields):
    return make_request("OPTIONS", Origin=origin, Access_Control_Request_Method=method, **fields)


def test_a_preflight_of_an_allowed_origin_is_answered_with_what_it_asked_for():
    request = preflight(Access_Control_Request_Headers="content-type,x-tracker-key")
    assert keyless().check(request).status == 204
    headers = cors_headers(keyless(), request)
    assert headers["access-control-allow-origin"] == "http://localhost:3000"
    assert headers["access-control-allow-methods"] == "POST"
    assert headers["access-control-allow-headers"] == "content-type,x-tracker-key"
    assert headers["access-control-max-age"] == "600"
    assert "access-control-allow-credentials" not in headers


def test_a_preflight_of_another_origin_is_answered_without_permission():
    request = preflight("http://evil.example")
    assert keyless().check(request).status == 204
    assert not [name for name in cors_headers(keyless(), request) if name.startswith("access-control")]


def test_a_preflight_may_ask_for_a_private_network():
    headers = cors_headers(keyless("https://ui.example"), preflight("https://ui.example"))
    assert "access-control-allow-private-network" not in headers
    asking = preflight("https://ui.example", Access_Control_Request_Private_Network="true")
    assert cors_headers(keyless("https://ui.example"), asking)["access-control-allow-private-network"] == "true"


def test_odd_names_in_a_preflight_are_not_sent_back():
    headers = cors_headers(keyless(), preflight(Access_Control_Request_Headers='x"<script>'))
    assert "access-control-allow-headers" not in headers
    assert cors_headers(keyless(), preflight(method="p o s t")).get("access-control-allow-methods") is None


def test_options_that_are_no_preflight_are_the_routers_matter():
    assert keyless().check(make_request("OPTIONS")) is None
    assert keyless().check(make_request("OPTIONS", Origin="http://localhost:3000")) is None


def test_a_preflight_needs_the_right_host_too():
    assert status_of(keyless(), make_request("OPTIONS", host="evil.example", Origin="http://localhost:1")) == 421


# --- hosts --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("authority", "parts"),
    [
        ("a:1", ("a", "1")),
        ("a", ("a", "")),
        ("a:", ("a", "")),
        ("[::1]:9", ("::1", "9")),
        ("a:b", ("", "")),
        ("::1", ("", "")),
        ("[::1", ("", "")),
    ],
)
def test_a_host_is_split_from_its_port(authority, parts):
    assert split_host(authority) == parts


@given(st.text(max_size=30), st.text(st.characters(codec="latin-1", exclude_characters="\r\n"), max_size=30))
def test_no_host_or_origin_raises(host, origin):
    request = make_request("POST", host="x", Origin=origin)
    request.host = host
    for guard in (keyless(), keyed(), keyless("*"), keyed("http://a")):
        reply = guard.check(request) or Response()
        guard.decorate(request, reply)
