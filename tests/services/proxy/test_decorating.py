"""A real proxy whose words add fields to replies and take others away, before a real upstream."""

from collections.abc import Iterator

import pytest
import requests

from tests.services.proxy.conftest import StartProxy
from tests.services.proxy.shaped_site import TEXT, get, shaped_site
from tests.services.proxy.site import Site
from tests.services.proxy.upstream_servers import Reply, Talk

CONF = """
limit_req_zone $http_x_key zone=keys:1m rate=1r/m;
host leave.example {{
    proxy_pass http://{address};
    rewrite ^ https://elsewhere.example/ permanent;
    add_header X-Frame-Options "host's" always;
}}
host "*" {{
    proxy_pass http://{address};
    location /fields/ {{
        add_header X-Frame-Options DENY always;
        add_header X-For "$http_x_name at $proxy_host";
        add_header X-Name $http_x_name;
        add_header Server ours;
        proxy_hide_header X-Powered-By;
    }}
    location /constant/ {{ add_header X-A 1; proxy_hide_header X-Powered-By; }}
    location /own/ {{
        proxy_pass http://{address};
        proxy_redirect http://{address}/theirs/ /own/;
        proxy_cookie_path /theirs/ /own/;
        add_header X-A 1;
        add_header Set-Cookie "b=2; Path=/theirs/";
        proxy_hide_header X-Powered-By;
    }}
    location /small/ {{ add_header X-Frame-Options DENY always; client_max_body_size 10; }}
    location /limited/ {{ add_header X-Frame-Options DENY always; limit_req zone=keys; }}
    location /kept/ {{ proxy_cache on; add_header X-Name $http_x_name; proxy_hide_header X-Powered-By; }}
    location /zipped/ {{ gzip on; add_header X-Name zip; proxy_hide_header Vary; }}
    location /private/ {{ gzip on; add_header Cache-Control private; }}
    location /said {{ return 200 said; add_header X-Frame-Options DENY always; add_header Server ours; }}
    location /gone/ {{ return 410; add_header X-Frame-Options DENY always; add_header Server ours; }}
    location /denied {{ deny all; add_header X-Frame-Options DENY always; add_header Server ours; }}
    location /moved/ {{
        rewrite ^ https://elsewhere.example/ permanent;
        add_header X-Frame-Options DENY;
    }}
    location /dead/ {{
        proxy_pass http://127.0.0.1:1; add_header X-Frame-Options DENY always; add_header Server ours;
    }}
}}
"""


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    with shaped_site(tmp_path_factory.mktemp("fields"), CONF) as site:
        yield site


def replying(status: str = "200 OK", *fields: str, body: bytes = b"body") -> Reply:
    return lambda talk: talk.reply(body, status, "X-Powered-By: them", "Server: theirs", *fields)


def test_replies_get_what_is_added_and_lose_what_is_hidden(site: Site) -> None:
    answer = get(site.on(replying(), "/fields/"), X_Name="me")
    assert answer.content == b"body"
    assert answer.headers["X-Frame-Options"] == "DENY"
    assert answer.headers["X-For"] == f"me at {site.upstream.address}"
    assert answer.headers["Server"] == "ours"
    assert "X-Powered-By" not in answer.headers
    assert answer.headers["Content-Length"] == "4"
    plain = get(site.on(replying(), "/elsewhere/"))
    assert (plain.headers["Server"], plain.headers["X-Powered-By"]) == ("theirs", "them")
    assert "X-Frame-Options" not in plain.headers


@pytest.mark.parametrize("path", ["/constant/", "/kept/"])
def test_what_is_hidden_is_hidden_in_early_hints_too(site: Site, path: str) -> None:
    def hint(talk: Talk) -> None:
        talk.send("HTTP/1.1 103 Early Hints\r\nX-Powered-By: them\r\nLink: </a.css>\r\n\r\n")
        talk.reply(b"body", "200 OK", "X-Powered-By: them")

    path = site.on(hint, path).removeprefix(site.url)
    said = site.talk(f"GET {path} HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n".encode())
    assert said.startswith(b"HTTP/1.1 103 Early Hints\r\nLink: </a.css>\r\n\r\nHTTP/1.1 200 OK\r\n")
    assert b"them" not in said


def test_an_upstream_s_error_gets_what_is_always_added(site: Site) -> None:
    answer = get(site.on(replying("404 Not Found"), "/fields/"))
    assert answer.status_code == 404
    assert answer.headers["X-Frame-Options"] == "DENY"
    assert (answer.headers["Server"], "X-For" in answer.headers) == ("theirs", False)


@pytest.mark.parametrize(("path", "status"), [("/said", 200), ("/denied", 403), ("/gone/", 410), ("/dead/", 502)])
def test_the_proxy_s_own_replies_get_them_too(site: Site, path: str, status: int) -> None:
    answer = get(site.url + path)
    assert answer.status_code == status
    assert answer.headers["X-Frame-Options"] == "DENY"
    assert ("Server" in answer.headers) == (status == 200)


@pytest.mark.parametrize(
    ("host", "path", "expected"),
    [("a", "/moved/x", "DENY"), ("a", "/fields", "DENY"), ("leave.example", "/", "host's")],
)
def test_redirects_get_what_their_block_adds(site: Site, host: str, path: str, expected: str) -> None:
    answer = get(site.url + path, Host=host)
    assert (answer.status_code, answer.headers["X-Frame-Options"]) == (301, expected)


def test_refusals_get_what_is_always_added(site: Site) -> None:
    for body in (b"x" * 100, iter([b"x" * 100])):
        answer = requests.post(site.url + "/small/", data=body, timeout=10)
        assert (answer.status_code, answer.headers["X-Frame-Options"]) == (413, "DENY")
    answers = [get(site.url + "/limited/", X_Key="me") for _ in range(2)]
    assert [answer.status_code for answer in answers] == [200, 429]
    assert [answer.headers["X-Frame-Options"] for answer in answers] == ["DENY", "DENY"]


def test_bodies_of_all_kinds_pass_behind_changed_heads(site: Site) -> None:
    large = b"x" * 700_000

    def chunked(talk: Talk) -> None:
        talk.send("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nX-Powered-By: them\r\n\r\n4\r\nbody\r\n0\r\n\r\n")

    for reply, body in ((replying(body=large), large), (chunked, b"body"), (replying("204 No Content", body=b""), b"")):
        answer = get(site.on(reply, "/fields/"))
        assert answer.content == body
        assert answer.headers["X-Frame-Options"] == "DENY"
        assert "X-Powered-By" not in answer.headers
        assert answer.headers["Date"]
    head = requests.head(site.on(replying(), "/fields/"), timeout=10)
    assert (head.headers["X-Frame-Options"], head.headers["Content-Length"]) == ("DENY", "4")


def test_what_is_kept_is_kept_as_it_came_and_changed_for_each_client(site: Site) -> None:
    url = site.on(replying("200 OK", "Cache-Control: max-age=60"), "/kept/")
    for name, came_by in (("one", "fwd=uri-miss"), ("two", "hit")):
        answer = get(url, X_Name=name)
        assert came_by in answer.headers["Cache-Status"]
        assert answer.headers["X-Name"] == name
        assert (answer.headers["Server"], "X-Powered-By" in answer.headers) == ("theirs", False)


def test_what_is_compressed_says_so_whatever_is_hidden_or_added(site: Site) -> None:
    reply = replying("200 OK", "Content-Type: text/plain", "Vary: X-Powered-By", body=TEXT)
    answer = get(site.on(reply, "/zipped/"), Accept_Encoding="gzip")
    assert answer.content == TEXT
    assert answer.headers["Content-Encoding"] == "gzip"
    assert answer.headers["Vary"] == "Accept-Encoding"
    kept_private = get(site.on(reply, "/private/"), Accept_Encoding="gzip")
    assert "Content-Encoding" not in kept_private.headers
    assert kept_private.headers["Cache-Control"] == "private"


def test_a_date_that_is_hidden_is_written_anew(start_proxy: StartProxy, site: Site) -> None:
    upstream = site.upstream
    upstream.by_path["/dated"] = lambda talk: talk.reply(b"x", "200 OK", "Date: Thu, 01 Jan 1970 00:00:00 GMT")
    proxy = start_proxy(f'host "*" {{ proxy_hide_header Date; proxy_pass http://{upstream.address}; }}')
    assert "1970" not in get(proxy.url + "/dated").headers["Date"]


def test_a_websocket_s_101_has_what_is_always_added(site: Site) -> None:
    def switch(talk: Talk) -> None:
        talk.send("HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n")
        talk.send("X-Powered-By: them\r\n\r\n")
        talk.close()

    path = site.on(switch, "/fields/").removeprefix(site.url)
    asking = f"GET {path} HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
    asking += "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n"
    answer = site.talk(asking.encode())
    assert answer.startswith(b"HTTP/1.1 101 ")
    assert b"X-Frame-Options: DENY\r\n" in answer
    assert b"X-Powered-By" not in answer


def test_the_same_head_is_made_anew_where_what_is_added_is_another_each_time(site: Site) -> None:
    url = site.on(replying(), "/fields/")
    assert [get(url, X_Name=name).headers["X-Name"] for name in ("one", "two", "one")] == ["one", "two", "one"]
    nameless = get(url)
    assert "X-Name" not in nameless.headers
    assert nameless.headers["Server"] == "ours"


def test_heads_that_say_the_same_of_bodies_that_are_not_are_not_mixed_up(site: Site) -> None:
    """What frames a reply is not among the fields that pass, and the bytes of a head may be long or short."""
    counts = iter(range(4))

    def reply(talk: Talk) -> None:
        if next(counts) % 2:
            talk.send("HTTP/1.1 200 OK\r\nX-Powered-By: them\r\nTransfer-Encoding: chunked\r\n\r\n")
            talk.send("a\r\nin chunks \r\n0\r\n\r\n")
        else:
            talk.send("HTTP/1.1 200 OK\r\nX-Powered-By: them\r\nConnection: close\r\n\r\nto the end")
            talk.close()

    url = site.on(reply, "/constant/")
    answers = [get(url) for _ in range(4)]
    assert [answer.text for answer in answers] == ["to the end", "in chunks "] * 2
    assert {answer.headers["X-A"] for answer in answers} == {"1"}


@pytest.mark.parametrize("path", ["/constant/", "/own/"])
def test_redirects_and_cookies_are_renamed_before_others_are_added(site: Site, path: str) -> None:
    fields = (f"Location: http://{site.upstream.address}/theirs/x", "Set-Cookie: a=1; Path=/theirs/")
    answer = get(site.on(replying("302 Found", *fields), path))
    assert answer.headers["X-A"] == "1"
    assert "X-Powered-By" not in answer.headers
    if path == "/own/":
        assert answer.headers["Location"] == "/own/x"
        assert answer.headers["Set-Cookie"] == "a=1; Path=/own/, b=2; Path=/theirs/"
