"""A real proxy before a real upstream: what passes both ways, and what becomes of each kind of failure."""

import hashlib
import http.client
import json
import re
import socket
import threading
import time
from collections.abc import Iterator

import pytest
import requests

from tests.processes import wait_until
from tests.services.proxy.site import Site, peak_memory_mib
from tests.services.proxy.upstream_servers import Reply, Talk

MIB = 1024 * 1024

# --- what passes -------------------------------------------------------------------------------------------


def test_a_request_arrives_as_it_was_with_the_proxy_s_fields(site: Site) -> None:
    answer = requests.get(site.url + "/a%2Fb?x=1&y=%20", headers={"X-Own": "1", "X-Request-Id": "abc-1"}, timeout=10)
    got = answer.json()
    fields = {name.lower(): value for name, value in got["fields"]}
    assert (got["method"], got["target"], got["body"]) == ("GET", "/a%2Fb?x=1&y=%20", "")
    assert fields["host"] == f"127.0.0.1:{site.proxy.port}"
    assert (fields["x-own"], fields["x-request-id"]) == ("1", "abc-1")
    assert fields["x-forwarded-for"] == fields["x-real-ip"] == "127.0.0.1"
    assert (fields["x-forwarded-proto"], fields["x-forwarded-host"]) == ("http", f"127.0.0.1:{site.proxy.port}")
    assert "connection" not in fields
    assert answer.headers["X-Request-Id"] == "abc-1"


def test_a_forged_origin_of_the_request_is_not_passed_on(site: Site) -> None:
    got = requests.get(
        site.url, headers={"X-Forwarded-For": "6.6.6.6", "X-Real-IP": "6.6.6.6", "Forwarded": "for=6.6.6.6"}, timeout=10
    )
    assert "6.6.6.6" not in got.text


def test_proxy_set_header(site: Site) -> None:
    got = requests.get(
        site.url + "/set/x", headers={"X-Forwarded-For": "6.6.6.6", "X-Request-Id": "r-1", "X-Id": "forged"}, timeout=10
    ).json()
    fields = {name.lower(): value for name, value in got["fields"]}
    assert fields["host"] == site.upstream.address
    assert fields["x-forwarded-for"] == "6.6.6.6, 127.0.0.1"
    assert fields["x-id"] == "id=r-1"
    assert "accept-encoding" not in fields


@pytest.mark.parametrize(("path", "is_set"), [("/x", False), ("/set/x", True)])
def test_an_absolute_target_of_http_1_0_names_the_host(site: Site, path: str, is_set: bool) -> None:
    """RFC 9112 §3.2.2: Host is made from the target, unless the file says what it is to be."""
    answer = site.talk(b"GET http://a.example:8080%b?q HTTP/1.0\r\n\r\n" % path.encode())
    got = json.loads(answer.partition(b"\r\n\r\n")[2])
    fields = {name.lower(): value for name, value in got["fields"]}
    assert got["target"] == path + "?q"
    assert fields["host"] == (site.upstream.address if is_set else "a.example:8080")
    assert (fields["x-forwarded-host"], fields["x-forwarded-port"]) == ("a.example:8080", "8080")
    assert fields["forwarded"] == 'for=127.0.0.1;host="a.example:8080";proto=http'


def test_credentials_and_a_path_in_proxy_pass(site: Site) -> None:
    got = requests.get(site.url + "/secret/x", headers={"Authorization": "Bearer mine"}, timeout=10).json()
    assert [value for name, value in got["fields"] if name.lower() == "authorization"] == ["Basic dXNlcjpwYSBzcw=="]
    assert requests.get(site.url + "/under/a%20b?q", timeout=10).json()["target"] == "/base/a%20b?q"


def test_a_path_without_its_last_slash_is_redirected(site: Site) -> None:
    answer = requests.get(site.url + "/under?q=1", allow_redirects=False, timeout=10)
    assert (answer.status_code, answer.headers["Location"]) == (301, "/under/?q=1")


def test_a_path_that_climbs_above_the_root_is_refused(site: Site) -> None:
    assert (
        b" 400 "
        in site.talk(b"GET /../etc/passwd HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n").partition(b"\r\n")[0]
    )


@pytest.mark.parametrize("method", ["GET", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "BREW"])
def test_every_method_passes(site: Site, method: str) -> None:
    assert requests.request(method, site.url + "/m", timeout=10).json()["method"] == method


def test_a_reply_passes_with_its_status_and_fields_and_loses_what_concerns_its_connection(site: Site) -> None:
    def reply(talk: Talk) -> None:
        talk.send(
            "HTTP/1.1 418 Teapot\r\nContent-Length: 2\r\nSet-Cookie: a=1\r\nSet-Cookie: b=2\r\nX-Hop: 1\r\n",
            "Connection: keep-alive, X-Hop\r\nKeep-Alive: timeout=5\r\nServer: theirs\r\n",
            "X-Request-Id: theirs\r\n\r\nhi",
        )

    answer = requests.get(site.on(reply), headers={"X-Request-Id": "ours"}, timeout=10)
    assert (answer.status_code, answer.text) == (418, "hi")
    assert answer.raw.headers.getlist("Set-Cookie") == ["a=1", "b=2"]
    assert answer.headers["Server"] == "theirs"
    assert answer.raw.headers.getlist("X-Request-Id") == ["ours"]
    assert not {"X-Hop", "Keep-Alive"} & set(answer.headers)
    assert len(answer.raw.headers.getlist("Date")) == 1


def test_connections_to_the_upstream_are_used_again(site: Site) -> None:
    with requests.Session() as session:
        session.get(site.url + "/warm", timeout=10)
        before = site.upstream.connections
        for n in range(20):
            assert session.get(site.url + f"/again{n}", timeout=10).status_code == 200
    assert site.upstream.connections == before


# --- bodies ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("size", [0, 1, 65_536, 65_537, 3 * MIB])
def test_a_reply_s_body_passes_whole_however_it_is_framed(site: Site, size: int) -> None:
    body = bytes(n % 251 for n in range(1000)) * (size // 1000 + 1)
    body = body[:size]

    def chunked(talk: Talk) -> None:
        talk.send("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
        for start in range(0, size, 100_003):
            part = body[start : start + 100_003]
            talk.send(f"{len(part):x}\r\n", part, "\r\n")
        talk.send("0\r\nX-Trailer: dropped\r\n\r\n")

    def close_delimited(talk: Talk) -> None:
        talk.send("HTTP/1.0 200 OK\r\n\r\n", body)
        talk.close()

    for reply in (lambda talk: talk.reply(body), chunked, close_delimited):
        answer = requests.get(site.on(reply), timeout=10)
        assert answer.content == body
        assert ("Content-Length" in answer.headers) != (answer.headers.get("Transfer-Encoding") == "chunked")


@pytest.mark.parametrize("size", [0, 1, 100_000, 2 * MIB])
def test_a_request_s_body_passes_whole_however_it_is_framed(site: Site, size: int) -> None:
    body = b"0123456789" * (size // 10 + 1)
    body = body[:size]

    def parts() -> Iterator[bytes]:
        for start in range(0, size, 70_001):
            yield body[start : start + 70_001]

    with_length = requests.post(site.url + "/b", data=body, timeout=10)
    assert with_length.json()["body"].encode() == body
    chunked = requests.post(site.url + "/b", data=parts(), timeout=10)
    assert chunked.json()["body"].encode() == body
    framing = {name.lower() for name, _ in chunked.json()["fields"]} & {"content-length", "transfer-encoding"}
    assert framing == {"transfer-encoding"}


def test_a_hundred_mebibytes_pass_both_ways_without_being_held(site: Site) -> None:
    block = bytes(range(256)) * 4096
    digest = hashlib.sha256(block * 100).hexdigest()

    def reply(talk: Talk) -> None:
        length = int(talk.request.get("content-length") or 0)
        seen = hashlib.sha256()
        left = length
        while left:
            part = talk.buffer or talk.sock.recv(min(1 << 20, left))
            talk.buffer = b""
            seen.update(part)
            left -= len(part)
        talk.send(f"HTTP/1.1 200 OK\r\nContent-Length: {length}\r\nX-Digest: {seen.hexdigest()}\r\n\r\n")
        for _ in range(100):
            talk.send(block)

    answer = requests.post(site.on(reply), data=BlockReader(block, 100), timeout=60, stream=True)
    got = hashlib.sha256()
    for chunk in answer.iter_content(1 << 20):
        got.update(chunk)
    assert answer.headers["X-Digest"] == digest == got.hexdigest()
    assert peak_memory_mib(site.proxy.pid) < 100


class BlockReader:
    """A file of many equal blocks."""

    def __init__(self, block: bytes, count: int) -> None:
        self.block, self.left = block, count

    def __len__(self) -> int:
        return len(self.block) * self.left

    def read(self, size: int = -1) -> bytes:
        if self.left == 0:
            return b""
        self.left -= 1
        return self.block


def test_a_client_that_reads_nothing_stops_the_upstream_from_sending(site: Site) -> None:
    sent = 0
    done = threading.Event()

    def reply(talk: Talk) -> None:
        nonlocal sent
        talk.send(f"HTTP/1.1 200 OK\r\nContent-Length: {200 * MIB}\r\n\r\n")
        talk.sock.settimeout(1)
        try:
            for _ in range(200):
                talk.send(bytes(MIB))
                sent += 1
        except TimeoutError:
            done.set()
        talk.close()

    with requests.get(site.on(reply), timeout=10, stream=True):
        assert done.wait(20)
    assert sent < 60
    wait_until(lambda: site.in_flight() == 0, why="the upstream to be freed")


def test_small_parts_of_a_streamed_reply_arrive_as_they_are_sent(site: Site) -> None:
    go_on = threading.Event()

    def reply(talk: Talk) -> None:
        talk.send("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nfirst\r\n")
        go_on.wait(10)
        talk.send("6\r\nsecond\r\n0\r\n\r\n")

    with requests.get(site.on(reply), timeout=10, stream=True) as answer:
        chunks = answer.iter_content(None)
        assert next(chunks) == b"first"
        go_on.set()
        assert b"".join(chunks) == b"second"


@pytest.mark.parametrize(
    ("status", "fields"),
    [("204 No Content", []), ("304 Not Modified", ['ETag: "x"']), ("200 OK", ["Content-Length: 12345", 'ETag: "x"'])],
)
def test_replies_without_a_body_end_where_they_end(site: Site, status: str, fields: list[str]) -> None:
    def reply(talk: Talk) -> None:
        talk.send(f"HTTP/1.1 {status}\r\n", *[f"{line}\r\n" for line in fields], "\r\n")

    method = "HEAD" if status.startswith("200") else "GET"
    with requests.Session() as session:
        for _ in range(3):
            answer = session.request(method, site.on(reply), timeout=10)
            assert (answer.status_code, answer.content) == (int(status[:3]), b"")
            for line in fields:
                name, _, value = line.partition(": ")
                assert answer.headers[name] == value


def test_an_expectation_is_answered_here_and_not_passed_on(site: Site) -> None:
    with socket.create_connection(("127.0.0.1", site.proxy.port), timeout=10) as sock:
        sock.sendall(
            b"POST /e HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\nExpect: 100-continue\r\nConnection: close\r\n\r\n"
        )
        assert sock.recv(1000) == b"HTTP/1.1 100 Continue\r\n\r\n"
        sock.sendall(b"hello")
        answer = b"".join(iter(lambda: sock.recv(65536), b""))
    got = json.loads(answer.partition(b"\r\n\r\n")[2])
    assert got["body"] == "hello"
    assert "expect" not in {name.lower() for name, _ in got["fields"]}


def test_interim_replies_are_passed_on_but_for_the_one_that_is_said_here(site: Site) -> None:
    def reply(talk: Talk) -> None:
        talk.send("HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: </x>\r\nConnection: X\r\nX: 1\r\n")
        talk.send("\r\nHTTP/1.1 102 Processing\r\n\r\n")
        talk.reply(b"final")

    path = site.on(reply).removeprefix(site.url).encode()
    answer = site.talk(b"GET " + path + b" HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")
    interim = b"HTTP/1.1 103 Early Hints\r\nLink: </x>\r\n\r\nHTTP/1.1 102 Processing\r\n\r\n"
    assert answer.startswith(interim + b"HTTP/1.1 200 OK\r\n")
    assert answer.endswith(b"final")
    answer = site.talk(b"GET " + path + b" HTTP/1.0\r\nHost: a\r\n\r\n")
    assert answer.startswith(b"HTTP/1.1 200 OK\r\n"), "HTTP/1.0 knows no interim replies"


def test_interim_replies_for_ever_end_in_a_502(site: Site) -> None:
    def reply(talk: Talk) -> None:
        talk.send(b"HTTP/1.1 103 Early Hints\r\n\r\n" * 40)

    path = site.on(reply).removeprefix(site.url).encode()
    answer = site.talk(b"GET " + path + b" HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")
    final = answer.rpartition(b"HTTP/1.1 103 Early Hints\r\n\r\n")[2]
    assert final.startswith(b"HTTP/1.1 502 ")
    assert b'"bad_reply"' in final


def test_an_early_reply_to_an_unfinished_upload_reaches_the_client(site: Site) -> None:
    def reply(talk: Talk) -> None:
        talk.reply(b"too much", "413 Content Too Large", "Connection: close")
        talk.sock.shutdown(socket.SHUT_WR)
        talk.wait_end()

    connection = http.client.HTTPConnection("127.0.0.1", site.proxy.port, timeout=10)
    connection.putrequest("POST", site.on(reply).removeprefix(site.url))
    connection.putheader("Content-Length", str(100 * MIB))
    connection.endheaders()
    connection.send(bytes(MIB))
    answer = connection.getresponse()
    assert (answer.status, answer.read()) == (413, b"too much")
    connection.close()
    wait_until(lambda: site.in_flight() == 0, why="the upstream to be freed")


def test_a_body_over_client_max_body_size_is_refused_known_or_not(site: Site) -> None:
    assert requests.post(site.url + "/small/x", data=bytes(1024), timeout=10).status_code == 200
    seen = len(site.upstream.requests)
    answer = requests.post(site.url + "/small/x", data=bytes(1025), timeout=10)
    assert (answer.status_code, answer.json()["error"]["code"]) == (413, "body_too_large")
    assert len(site.upstream.requests) == seen
    answer = requests.post(site.url + "/small/x", data=iter([bytes(1000), bytes(1000)]), timeout=10)
    assert answer.status_code == 413
    assert requests.post(site.url + "/large", data=bytes(2 * MIB), timeout=10).status_code == 200


def test_pipelined_requests_are_answered_in_order(site: Site) -> None:
    request = b"GET /p%d HTTP/1.1\r\nHost: a\r\n\r\n"
    last = b"GET /p9 HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n"
    answer = site.talk(b"".join(request % n for n in range(9)) + last)
    targets = re.findall(rb'"target": "/p(\d)"', answer)
    assert targets == [b"%d" % n for n in range(10)]


# --- failures ----------------------------------------------------------------------------------------------


def bad(text: bytes, *, close: bool = True) -> Reply:
    def reply(talk: Talk) -> None:
        talk.send(text)
        if close:
            talk.close()

    return reply


BROKEN_REPLIES = {
    "garbage": b"SSH-2.0-OpenSSH_9.2\r\n\r\n",
    "http/2": b"HTTP/2 200\r\n\r\n",
    "half a head": b"HTTP/1.1 200 OK\r\nContent-Le",
    "bare LF": b"HTTP/1.1 200 OK\nContent-Length: 2\n\nok",
    "two lengths": b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Length: 3\r\n\r\nok",
    "length and chunked": b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\nok",
    "odd length": b"HTTP/1.1 200 OK\r\nContent-Length: +2\r\n\r\nok",
    "unknown coding": b"HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip\r\n\r\nok",
    "folded line": b"HTTP/1.1 200 OK\r\nX: a\r\n b\r\nContent-Length: 2\r\n\r\nok",
    "a head without end": b"HTTP/1.1 200 OK\r\n" + b"X: y\r\n" * 20_000,
    "switching unasked": b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n",
    "a reply cut short": b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nshort",
    "broken chunks": b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nfirst\r\nzz\r\n",
    "nothing": b"",
}


@pytest.mark.parametrize("name", BROKEN_REPLIES)
def test_a_reply_that_breaks_the_rules_is_a_502_and_poisons_nothing(site: Site, name: str) -> None:
    before = len(site.upstream.requests)
    answer = requests.get(site.on(bad(BROKEN_REPLIES[name])), headers={"X-Request-Id": "r-7"}, timeout=10)
    error = answer.json()["error"]
    assert (answer.status_code, error["source"], error["request_id"]) == (502, "upstream", "r-7")
    assert error["code"] in ("bad_reply", "upstream_closed")
    assert site.upstream.address not in answer.text
    # A connection that was used before and ends without a word may just have been stale: that is tried once more.
    assert len(site.upstream.requests) - before <= (2 if name == "nothing" else 1)
    assert requests.get(site.url + "/fine", timeout=10).json()["target"] == "/fine"


@pytest.mark.parametrize(
    "reply",
    [
        b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nokHTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\npoison",
        b"HTTP/1.1 204 No Content\r\n\r\npoison",
        b"HTTP/1.1 304 Not Modified\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\npoison",
    ],
)
def test_bytes_after_a_reply_never_become_the_next_one(site: Site, reply: bytes) -> None:
    with requests.Session() as session:
        session.get(site.on(bad(reply, close=False)), timeout=10)
        for n in range(5):
            assert session.get(site.url + f"/next{n}", timeout=10).json()["target"] == f"/next{n}"


@pytest.mark.parametrize(
    "body",
    [
        b"5\r\nhello\r\n",
        b"5\r\nhelloX",
        b"zz\r\n",
        b"5;" + b"e" * 300 + b"\r\nhello\r\n0\r\n\r\n",
        b"fffffffffffffffff\r\n",
    ],
)
def test_a_chunked_reply_that_breaks_is_cut_for_the_client_too(site: Site, body: bytes) -> None:
    has_arrived = threading.Event()

    def reply(talk: Talk) -> None:
        talk.send(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nfirst\r\n")
        has_arrived.wait(10)
        talk.send(body)
        talk.close()

    with requests.get(site.on(reply), timeout=10, stream=True) as answer:
        chunks = answer.iter_content(None)
        assert next(chunks) == b"first"
        has_arrived.set()
        with pytest.raises(requests.exceptions.RequestException):
            list(chunks)
    assert requests.get(site.url + "/fine", timeout=10).status_code == 200


def test_a_large_reply_that_is_cut_short_is_cut_for_the_client_too(site: Site) -> None:
    with pytest.raises(requests.exceptions.RequestException):
        requests.get(site.on(bad(b"HTTP/1.1 200 OK\r\nContent-Length: 200000\r\n\r\n" + bytes(1000))), timeout=10)


def test_nobody_listening_is_a_502_that_says_so(site: Site) -> None:
    answer = requests.get(site.url + "/nowhere/", timeout=10)
    assert (answer.status_code, answer.json()["error"]["code"]) == (502, "connect_failed")
    page = requests.get(site.url + "/nowhere/", headers={"Accept": "text/html"}, timeout=10)
    assert page.headers["Content-Type"].startswith("text/html")
    assert "connect_failed" in page.text
    assert page.headers["X-Request-Id"] in page.text


def test_an_upstream_that_does_not_reply_in_time_is_a_504(site: Site) -> None:
    ended = threading.Event()

    def reply(talk: Talk) -> None:
        if talk.wait_end():
            ended.set()

    answer = requests.get(site.on(reply, "/hasty/"), timeout=10)
    assert (answer.status_code, answer.json()["error"]["code"]) == (504, "reply_timeout")
    assert ended.wait(10)


def test_an_upstream_that_stops_inside_its_reply_is_cut(site: Site) -> None:
    def reply(talk: Talk) -> None:
        talk.send("HTTP/1.1 200 OK\r\nContent-Length: 200000\r\n\r\nstart")
        talk.wait_end()

    with pytest.raises(requests.exceptions.RequestException):
        requests.get(site.on(reply, "/hasty/"), timeout=10)


def test_a_reply_that_comes_slowly_but_steadily_is_no_time_out(site: Site) -> None:
    def reply(talk: Talk) -> None:
        talk.send("HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n")
        for _ in range(10):
            time.sleep(0.06)  # 0.6 s in all, twice the time-out between two reads
            talk.send("x")

    assert requests.get(site.on(reply, "/hasty/"), timeout=10).text == "x" * 10


def test_an_upstream_that_does_not_take_the_body_in_time_is_a_504(site: Site) -> None:
    def reply(talk: Talk) -> None:
        threading.Event().wait(5)
        talk.close()

    answer = requests.post(site.on(reply, "/pushy/"), data=bytes(30 * MIB), timeout=10)
    assert (answer.status_code, answer.json()["error"]["code"]) == (504, "send_timeout")


def test_a_slow_client_is_not_held_against_the_upstream(site: Site) -> None:
    def parts() -> Iterator[bytes]:
        for _ in range(8):
            time.sleep(0.08)
            yield b"part"

    answer = requests.post(site.url + "/pushy/x", data=parts(), timeout=10)
    assert answer.json()["body"] == "part" * 8


def test_a_client_that_leaves_frees_the_upstream_at_once(site: Site) -> None:
    ended, asked = threading.Event(), threading.Event()

    def reply(talk: Talk) -> None:
        asked.set()
        if talk.wait_end():
            ended.set()

    path = site.on(reply).removeprefix(site.url).encode()
    with socket.create_connection(("127.0.0.1", site.proxy.port), timeout=10) as sock:
        sock.sendall(b"GET " + path + b" HTTP/1.1\r\nHost: a\r\n\r\n")
        assert asked.wait(10)
    assert ended.wait(5)
    wait_until(lambda: site.in_flight() == 0, why="nothing in flight")


def test_a_client_that_leaves_inside_its_upload_frees_the_upstream_at_once(site: Site) -> None:
    ended, asked = threading.Event(), threading.Event()

    def reply(talk: Talk) -> None:
        asked.set()
        if talk.wait_end():
            ended.set()

    path = site.on(reply).removeprefix(site.url).encode()
    with socket.create_connection(("127.0.0.1", site.proxy.port), timeout=10) as sock:
        sock.sendall(b"POST " + path + b" HTTP/1.1\r\nHost: a\r\nContent-Length: 1000\r\n\r\nsome")
        assert asked.wait(10)
    assert ended.wait(5)
    wait_until(lambda: site.in_flight() == 0, why="nothing in flight")


def test_a_client_s_broken_chunks_are_its_own_fault(site: Site) -> None:
    answer = site.talk(b"POST /c HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\nzz\r\n")
    assert answer.startswith(b"HTTP/1.1 400 ")
    assert b'"source":"proxy"' in answer
    wait_until(lambda: site.in_flight() == 0, why="nothing in flight")


SMUGGLED = [
    b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 4\r\nContent-Length: 5\r\n\r\nabcd",
    b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: xchunked\r\n\r\n0\r\n\r\n",
    b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding : chunked\r\n\r\n0\r\n\r\n",
    b"POST / HTTP/1.1\r\nHost: a\r\nX: y\r\n Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    b"GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n",
    b"GET / HTTP/1.1\nHost: a\n\n",
    b"GET http://evil/ HTTP/1.1\r\nHost: a\r\n\r\n",
    b"GET / HTTP/1.1\r\n\r\n",
]


@pytest.mark.parametrize("request_bytes", SMUGGLED)
def test_an_ambiguous_request_reaches_no_upstream(site: Site, request_bytes: bytes) -> None:
    before = len(site.upstream.requests)
    status = site.talk(request_bytes).split(b" ")[1]
    assert status in (b"400", b"501")
    assert len(site.upstream.requests) == before


def test_an_upgrade_other_than_a_websocket_is_not_passed_on(site: Site) -> None:
    answer = site.talk(
        b"GET /h2c HTTP/1.1\r\nHost: a\r\nConnection: Upgrade, HTTP2-Settings, close\r\n"
        b"Upgrade: h2c\r\nHTTP2-Settings: x\r\n\r\n"
    )
    got = json.loads(answer.partition(b"\r\n\r\n")[2])
    assert not {"upgrade", "connection", "http2-settings"} & {name.lower() for name, _ in got["fields"]}


def test_nothing_is_left_in_flight(site: Site) -> None:
    wait_until(lambda: site.in_flight() == 0, why="nothing in flight")
