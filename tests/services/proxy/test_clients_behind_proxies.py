"""Who the client is, told by trusted hops and PROXY headers, and what upstreams are told of it and of its trace."""

import json
import re
import socket
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import pytest
import requests

from shared.httpcore.proxy_protocol import ProxyHeader, parse_proxy_header
from tests.processes import wait_until
from tests.services.proxy.conftest import StartProxy
from tests.services.proxy.shaped_site import fields_at, get
from tests.services.proxy.site import Site
from tests.services.proxy.upstream_servers import Upstream

PARENT = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"


def test_a_trace_goes_on_under_a_parent_of_our_own(shaped: Site) -> None:
    got = fields_at(shaped.url + "/t", traceparent=PARENT, tracestate="a=1")
    version, trace, parent, flags = got["traceparent"].split("-")
    assert (version, trace, flags) == ("00", PARENT.split("-")[1], "01")
    assert parent != PARENT.split("-")[2]
    assert got["tracestate"] == "a=1"
    wait_until(lambda: f"trace_id={trace} span_id={parent}" in shaped.proxy.output, why="the log names the span")
    again = fields_at(shaped.url + "/t", traceparent=PARENT, tracestate="a=1")
    assert again["traceparent"] != got["traceparent"]


def test_a_malformed_trace_is_not_passed_on_and_none_is_begun_unasked(shaped: Site) -> None:
    got = fields_at(shaped.url + "/t", traceparent="00-zz", tracestate="a=1")
    assert re.fullmatch(r"00-[0-9a-f]{32}-[0-9a-f]{16}-01", got["traceparent"])
    assert "tracestate" not in got
    assert "traceparent" not in fields_at(shaped.url + "/t")
    assert "traceparent" in fields_at(shaped.url + "/traced/t")
    assert fields_at(shaped.url + "/untraced/t", traceparent="00-zz")["traceparent"] == "00-zz"


# --- who the client is -------------------------------------------------------------------------------------


def test_behind_a_trusted_hop_the_client_is_whom_it_names_for_rules_log_and_upstream(
    start_proxy: StartProxy, start_upstream: Callable[..., Upstream]
) -> None:
    upstream = start_upstream()
    proxy = start_proxy(
        "set_real_ip_from 127.0.0.0/8;"
        f'host "*" {{ proxy_pass http://{upstream.address}; location /in/ {{ allow 192.0.2.0/24; deny all; }} }}',
        "--access-log",
        "on",
    )
    got = fields_at(proxy.url + "/x", X_Forwarded_For="6.6.6.6, 192.0.2.7", X_Forwarded_Proto="https")
    assert got["x-real-ip"] == "192.0.2.7"
    assert got["x-forwarded-for"] == "6.6.6.6, 192.0.2.7, 127.0.0.1"
    assert got["x-forwarded-proto"] == "https"
    assert got["forwarded"].startswith("for=192.0.2.7;")
    other = fields_at(proxy.url + "/x", X_Forwarded_For="192.0.2.8")
    assert other["x-real-ip"] == "192.0.2.8"
    assert get(proxy.url + "/in/x", X_Forwarded_For="192.0.2.9").status_code == 200
    assert get(proxy.url + "/in/x", X_Forwarded_For="198.51.100.1").status_code == 403
    wait_until(lambda: "remote=198.51.100.1" in proxy.output, why="the log names the client")


def test_behind_a_trusted_hop_a_keyless_proxy_s_own_paths_are_closed_to_strangers(
    start_proxy: StartProxy, start_upstream: Callable[..., Upstream]
) -> None:
    proxy = start_proxy(f'set_real_ip_from 127.0.0.1; host "*" {{ proxy_pass http://{start_upstream().address}; }}')
    assert get(proxy.url + "/_proxy/status").status_code == 200
    assert get(proxy.url + "/_proxy/status", X_Forwarded_For="198.51.100.1").status_code in (401, 403)


def test_a_proxy_header_in_front_names_the_client_and_whoever_must_send_one_and_does_not_is_cut(
    start_proxy: StartProxy, start_upstream: Callable[..., Upstream]
) -> None:
    upstream = start_upstream()
    proxy = start_proxy(
        f'proxy_protocol_from 127.0.0.2; host "*" {{ proxy_pass http://{upstream.address}; }}',
    )

    def talk(data: bytes) -> bytes:
        with socket.create_connection(("127.0.0.1", proxy.port), 10, ("127.0.0.2", 0)) as sock:
            sock.sendall(data)
            try:
                return b"".join(iter(lambda: sock.recv(65536), b""))
            except ConnectionResetError:
                return b""

    request = b"GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n"
    head, _, body = talk(b"PROXY TCP4 192.0.2.5 192.0.2.1 5555 80\r\n" + request).partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 200 ")
    assert ["X-Real-IP", "192.0.2.5"] in json.loads(body)["fields"]
    assert talk(request) == b""
    assert get(proxy.url + "/x").status_code == 200  # others need none


@pytest.mark.parametrize("version", ["v1", "v2"])
def test_a_proxy_header_goes_before_each_connection_to_an_upstream_that_wants_one(
    start_proxy: StartProxy, version: str
) -> None:
    listener = socket.create_server(("127.0.0.1", 0))
    headers: list[ProxyHeader] = []

    def serve() -> None:
        while True:
            try:
                sock, _ = listener.accept()
            except OSError:
                return
            with sock:
                data = b""
                while (header := parse_proxy_header(data) if data else None) is None:
                    data += sock.recv(1024)
                headers.append(header)
                while b"\r\n\r\n" not in data[header.size :]:
                    data += sock.recv(1024)
                sock.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")
                while sock.recv(1024):
                    pass

    threading.Thread(target=serve, daemon=True).start()
    port = listener.getsockname()[1]
    proxy = start_proxy(f'host "*" {{ proxy_pass http://127.0.0.1:{port}; send_proxy_protocol {version}; }}')
    with requests.Session() as session:
        assert [session.get(proxy.url + "/x", timeout=10).text for _ in range(2)] == ["ok", "ok"]
    listener.close()
    assert len(headers) == 2  # none is used again
    for header in headers:
        assert header.source is not None
        assert header.destination is not None
        assert (header.source.address, header.destination.port) == ("127.0.0.1", proxy.port)


def test_a_connection_that_began_with_a_proxy_header_serves_nobody_else_whatever_is_reloaded(
    start_proxy: StartProxy,
) -> None:
    listener = socket.create_server(("127.0.0.1", 0))
    begun, release, connections = threading.Event(), threading.Event(), list[bytes]()

    def serve(sock: socket.socket) -> None:
        with sock:
            number = len(connections)
            connections.append(b"")
            while True:
                data = b""
                while b"\r\n\r\n" not in data:
                    if not (more := sock.recv(1024)):
                        return
                    data += more
                connections[number] += data
                begun.set()
                release.wait(10)
                sock.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")

    def accept() -> None:
        while True:
            try:
                sock, _ = listener.accept()
            except OSError:
                return
            threading.Thread(target=serve, args=(sock,), daemon=True).start()

    threading.Thread(target=accept, daemon=True).start()
    text = f'host "*" {{ proxy_pass http://127.0.0.1:{listener.getsockname()[1]}; send_proxy_protocol %s; }}'
    proxy = start_proxy(text % "v1")
    with ThreadPoolExecutor(1) as pool:
        first = pool.submit(get, proxy.url)
        assert begun.wait(10)
        proxy.config.write_text(text % "off")  # type: ignore[attr-defined]
        assert requests.post(proxy.url + "/_proxy/reload", timeout=10).status_code == 200
        release.set()
        assert first.result().text == "ok"
    for _ in range(2):
        assert get(proxy.url).text == "ok"
    listener.close()
    assert [each[:6] for each in connections] == [b"PROXY ", b"GET / "]  # the second is kept and used again
