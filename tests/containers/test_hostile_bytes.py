"""Ambiguous and malformed bytes, from clients and from an upstream, while others go on: they reach nobody."""

import http.client
import itertools
import re
import socket
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.containers.compose_stack import ComposeStack
from tests.containers.hostile_upstream import MALFORMED, TRAILED
from tests.containers.own_proxy import OwnProxy, run_server
from tests.containers.steady_load import SteadyLoad
from tests.processes import wait_until

CONF = """
pool backends {
    server backend:8000 resolve;
}
pool hostile {
    server hostile:7000 resolve;
    ejection fails=0;
}
host "*" {
    proxy_pass http://backends;
    location /hostile/ { proxy_pass http://hostile; }
}
"""

SMUGGLED = b"GET /hostile/smuggled HTTP/1.1\r\nHost: a\r\n\r\n"
POST = b"POST /hostile/well HTTP/1.1\r\nHost: a\r\n"
GET = b"GET /hostile/well HTTP/1.1\r\nHost: a\r\n"
CHUNKED = POST + b"Transfer-Encoding: chunked\r\n\r\n"

REQUESTS = {
    "length and chunks": POST + b"Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    "two lengths": POST + b"Content-Length: 0\r\nContent-Length: 44\r\n\r\n",
    "a list of lengths": POST + b"Content-Length: 0, 44\r\n\r\n",
    "a signed length": POST + b"Content-Length: +0\r\n\r\n",
    "an unknown coding": POST + b"Transfer-Encoding: xchunked\r\n\r\n0\r\n\r\n",
    "chunked twice": POST + b"Transfer-Encoding: chunked, chunked\r\n\r\n0\r\n\r\n",
    "two codings in two fields": POST + b"Transfer-Encoding: chunked\r\nTransfer-Encoding: identity\r\n\r\n0\r\n\r\n",
    "chunks in HTTP/1.0": POST.replace(b"/1.1", b"/1.0") + b"Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    "a space before the colon": POST + b"Transfer-Encoding : chunked\r\n\r\n0\r\n\r\n",
    "a folded field": POST + b"X: a\r\n Content-Length: 44\r\n\r\n",
    "a bare line feed": GET + b"X: a\nContent-Length: 44\r\n\r\n",
    "a head of line feeds": b"GET /hostile/well HTTP/1.1\nHost: a\n\n",
    "a bare carriage return": GET + b"X: a\rContent-Length: 44\r\n\r\n",
    "a NUL": GET + b"X: a\x00b\r\n\r\n",
    "two hosts": GET + b"Host: b\r\n\r\n",
    "no host": b"GET /hostile/well HTTP/1.1\r\n\r\n",
    "another host in the target": b"GET http://b/hostile/well HTTP/1.1\r\nHost: a\r\n\r\n",
    "a space in the target": b"GET /hostile/well HTTP/1.1 HTTP/1.1\r\nHost: a\r\n\r\n",
    "an odd chunk size": CHUNKED + b"0x0\r\n\r\n",
    "a signed chunk size": CHUNKED + b"-0\r\n\r\n",
    "a chunk that does not end": CHUNKED + b"1\r\naXX0\r\n\r\n",
    "chunks of line feeds": CHUNKED + b"1\na\n0\n\n",
    "a chunk extension that hides a line": CHUNKED + b"1;x\n\r\na\r\n0\r\n\r\n",
}


@pytest.fixture
def proxy(containers: ComposeStack, start_own_proxy: Callable[[str], OwnProxy]) -> Iterator[OwnProxy]:
    """A proxy with the stack's backends, and a hostile server below /hostile/."""
    text = Path(__file__).with_name("hostile_upstream.py").read_text()
    server = run_server(containers, "hostile", ["python", "-c", text])
    try:
        wait_until(lambda: b"listening" in server.logs(), why="the hostile server")
        yield start_own_proxy(CONF)
    finally:
        server.remove(force=True)


def test_malformed_bytes_from_either_side_never_get_through_nor_into_the_next_reply(proxy: OwnProxy) -> None:
    with SteadyLoad(proxy.url, per_kind=1) as load:
        for method in ("GET", "POST", "HEAD"):
            ask_for_hostile_replies(proxy.port, method)
        for name, request in REQUESTS.items():
            check_refused(proxy.port, name, request)
        wait_until(lambda: load.answered > 200, why="the load to go on")
    assert load.faults == []
    connection = http.client.HTTPConnection("127.0.0.1", proxy.port, timeout=20)
    assert b"smuggled" not in ask(connection, "GET", "seen")[1]
    proxy.wait_idle()


def ask_for_hostile_replies(port: int, method: str) -> None:
    """Each on the same connection, as long as the proxy keeps it, with good requests in between."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=20)
    numbers = itertools.count()
    for name in (*MALFORMED, *TRAILED):
        try:
            status, body = ask(connection, method, name)
        except http.client.HTTPException:  # cut, and the connection with it
            assert name in MALFORMED, (method, name)
            connection.close()
        else:
            is_chunk_fault = "chunk" in name and name in MALFORMED
            assert (status == 502) == (name in MALFORMED) or (method == "HEAD" and is_chunk_fault), (
                method,
                name,
                status,
            )
            assert b"poison" not in body, (method, name)
        for good in (method, "GET"):
            target = f"well?{next(numbers)}"
            status, body = ask(connection, good, target)
            assert (status, body) == (200, b"" if good == "HEAD" else f"/hostile/{target}".encode()), (method, name)
    connection.close()


def ask(connection: http.client.HTTPConnection, method: str, name: str) -> tuple[int, bytes]:
    connection.request(method, f"/hostile/{name}", b"x" if method == "POST" else None)
    reply = connection.getresponse()
    return reply.status, reply.read()


def check_refused(port: int, name: str, request: bytes) -> None:
    """One refusal, then the end: what stands behind the request isn't taken for another."""
    with socket.create_connection(("127.0.0.1", port), timeout=20) as sock:
        sock.sendall(request + SMUGGLED)
        answer = b""
        while received := sock.recv(65536):
            answer += received
    assert answer[:12] in (b"HTTP/1.1 400", b"HTTP/1.1 501"), (name, answer)
    assert len(re.findall(rb"HTTP/1\.1 \d{3} ", answer)) == 1, (name, answer)
