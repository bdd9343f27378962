"""The proxy's HTTPS port as clients, browsers and operators meet it."""

import re
import signal
import socket
import ssl
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import requests
from websockets.sync.client import connect

from services.proxy.settings import Settings
from shared.httpcore.net.tls import read_expiry
from shared.runtime.settings import setting_specs
from tests.certificates import LocalCa
from tests.processes import Service, find_free_port, wait_until
from tests.services.proxy.conftest import StartProxy
from tests.services.proxy.test_start import run
from tests.services.proxy.upstream_servers import Upstream

StartUpstream = Callable[..., Upstream]


@pytest.fixture(scope="module")
def ca(tmp_path_factory: pytest.TempPathFactory) -> LocalCa:
    return LocalCa(tmp_path_factory.mktemp("ca"))


@pytest.fixture
def start_tls(start_proxy: StartProxy, start_upstream: StartUpstream, ca: LocalCa) -> Callable[..., Service]:
    """`start_tls(*flags)`: a proxy with a certificate in front of one upstream; `.tls_url`, `.certificate`."""

    def start(*flags: str, reply: Any = None) -> Service:
        upstream = start_upstream(reply) if reply else start_upstream()
        certificate = ca.issue("localhost", file="served.pem")
        port = find_free_port()
        proxy = start_proxy(
            f'host "*" {{ proxy_pass http://{upstream.address}; }}',
            *("--tls-port", str(port), "--tls-certificate", str(certificate), *flags),
        )
        proxy.tls_port, proxy.certificate = port, certificate  # type: ignore[attr-defined]
        proxy.tls_url = f"https://localhost:{port}"  # type: ignore[attr-defined]
        return proxy

    return start


def test_requests_over_tls_reach_the_upstream_as_https(start_tls: Callable[..., Any], ca: LocalCa) -> None:
    proxy = start_tls()
    with requests.Session() as session:
        session.trust_env = False  # or a CA bundle in the environment counts for more
        session.verify = str(ca.file)
        for _ in range(2):
            reply = session.get(proxy.tls_url + "/a?b=c", timeout=10)
            assert reply.status_code == 200
            fields = {name.lower(): value for name, value in reply.json()["fields"]}
            assert fields["x-forwarded-proto"] == "https"
        body = bytes(range(256)) * 8192
        assert session.post(proxy.tls_url + "/", data=body, timeout=10).json()["body"] == body.decode("latin-1")
        assert "strict-transport-security" not in reply.headers
    assert "x-request-id" in reply.headers
    assert proxy.stop() == 0
    assert "listening for HTTPS" in proxy.output
    assert "Traceback" not in proxy.output


def test_a_large_reply_passes(start_tls: Callable[..., Any], ca: LocalCa) -> None:
    body = bytes(range(256)) * 40_000
    proxy = start_tls(reply=lambda talk: talk.reply(body))
    assert requests.get(proxy.tls_url, verify=str(ca.file), timeout=10).content == body


def test_hsts_is_said_over_tls_only(start_tls: Callable[..., Any], ca: LocalCa) -> None:
    proxy = start_tls("--hsts", "365d")
    for path in ("/", "/_proxy/healthz", "/_proxy/nothing"):
        reply = requests.get(proxy.tls_url + path, verify=str(ca.file), timeout=10)
        assert reply.headers["strict-transport-security"] == "max-age=31536000"
        assert "strict-transport-security" not in requests.get(proxy.url + path, timeout=10).headers


def test_websockets_pass_through_the_tls_port(
    start_proxy: StartProxy, start_service: Any, ca: LocalCa, tmp_path: Path
) -> None:
    backend = start_service("services.backend")
    certificate, port = ca.issue("localhost"), find_free_port()
    proxy = start_proxy(
        f'host "*" {{ proxy_pass {backend.url}; }}', "--tls-port", str(port), "--tls-certificate", str(certificate)
    )
    context = ssl.create_default_context(cafile=str(ca.file))
    with connect(f"wss://localhost:{port}/echo", ssl=context, max_size=None) as websocket:
        for message in ("hello", b"\x00" * 3_000_000):
            websocket.send(message)
            assert websocket.recv(timeout=10) == message
        proxy.send_signal(signal.SIGTERM)
        with pytest.raises(Exception, match="close"):
            websocket.recv(timeout=10)
    assert proxy.wait() == 0


def shown_certificate(port: int) -> str:
    return ssl.get_server_certificate(("127.0.0.1", port), timeout=10).strip()


def test_sighup_reads_the_certificates_again(start_tls: Callable[..., Any], ca: LocalCa) -> None:
    proxy = start_tls()
    before = shown_certificate(proxy.tls_port)
    with ssl.create_default_context(cafile=str(ca.file)).wrap_socket(
        socket.create_connection(("127.0.0.1", proxy.tls_port), timeout=10), server_hostname="localhost"
    ) as old:
        renewed = ca.issue("localhost", file="renewed.pem").read_text()
        proxy.certificate.write_text(renewed)
        proxy.send_signal(signal.SIGHUP)
        wait_until(lambda: "certificates read again" in proxy.output, why="the reload")
        after = shown_certificate(proxy.tls_port)
        assert after != before
        assert after in renewed
        old.sendall(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
        assert old.recv(1000).startswith(b"HTTP/1.1 200 ")

    proxy.certificate.write_text("broken")
    proxy.send_signal(signal.SIGHUP)
    wait_until(lambda: "the certificates stay as they were" in proxy.output, why="the refusal")
    assert shown_certificate(proxy.tls_port) == after
    assert requests.get(proxy.url, timeout=10).status_code == 200


def test_a_certificate_that_ends_soon_is_told_until_it_is_renewed(start_tls: Callable[..., Any], ca: LocalCa) -> None:
    proxy = start_tls()  # two days
    assert proxy.output.count("a TLS certificate expires within two days") == 1
    gauge = f'weaprous_tls_certificate_expiry_seconds{{file="{proxy.certificate}"}} '
    assert f"{gauge}{read_expiry(proxy.certificate)}" in requests.get(proxy.url + "/_proxy/metrics", timeout=10).text
    renewed = ca.issue("localhost", file="long.pem", days=90)
    proxy.certificate.write_text(renewed.read_text())
    proxy.send_signal(signal.SIGHUP)
    wait_until(lambda: "certificates read again" in proxy.output, why="the reload")
    assert proxy.output.count("a TLS certificate expires") == 1
    assert f"{gauge}{read_expiry(renewed)}" in requests.get(proxy.url + "/_proxy/metrics", timeout=10).text


def test_failed_handshakes_are_counted(start_tls: Callable[..., Any], ca: LocalCa) -> None:
    proxy = start_tls()
    with pytest.raises(requests.exceptions.SSLError):
        requests.get(proxy.tls_url, timeout=10)
    plain = requests.get(f"http://localhost:{proxy.tls_port}/", timeout=10)
    assert (plain.status_code, "https://" in plain.text) == (400, True)
    metrics = requests.get(proxy.url + "/_proxy/metrics", timeout=10).text
    assert "weaprous_proxy_tls_handshake_failures_total 2" in metrics


def test_there_is_no_tls_port_without_a_certificate(start_proxy: StartProxy) -> None:
    port = find_free_port()
    proxy = start_proxy('host "*" { proxy_pass http://127.0.0.1:1; }', "--tls-port", str(port))
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(("127.0.0.1", port), timeout=10)
    assert "HTTPS" not in proxy.output


def test_what_is_wrong_with_the_flags_is_said_in_one_line(tmp_path: Path, ca: LocalCa) -> None:
    config, good, other = tmp_path / "proxy.conf", ca.issue("localhost"), ca.issue("other.test")
    config.write_text("host a { proxy_pass http://b:1; }")
    common = ("--config", str(config), "--server-port", "0", "--tls-port", "0")
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        cases = [
            (
                ("--tls-certificate", f"{tmp_path}/none.pem"),
                f"proxy: --tls-certificate: {tmp_path}/none.pem: can't be read: No such file or directory",
            ),
            (
                ("--tls-certificate", str(good), "--tls-key", str(other)),
                f"proxy: --tls-certificate: {good}: the key in {other} is not this certificate's",
            ),
            (
                ("--tls-certificate", str(good), "--tls-port", str(port)),
                f"proxy: port {port} on 127.0.0.1 is already in use",
            ),
        ]
        for flags, line in cases:
            done = run(*common, *flags)
            assert (done.returncode, done.stderr.strip().splitlines()[-1]) == (2, line)
            assert "Traceback" not in done.stderr
    done = run(*common, "--tls-certificate", f"{good},{other}", "--tls-key", str(good), "--hsts", "-1")
    assert done.returncode == 2
    done = run(*common, "--tls-certificate", f"{good},{other}", "--tls-key", str(good))
    assert "--tls-key: got 1 for 2 certificates, expected one for each" in done.stderr
    done = run(*common, "--hsts", "10")
    assert "--hsts: got no --tls-certificate" in done.stderr


def test_operations_md_names_every_flag() -> None:
    manual = Path("docs/operations.md").read_text(encoding="utf-8").partition("\n## HTTPS\n")[2].partition("\n## ")[0]
    flags = {spec.flag for name, spec in setting_specs(Settings).items() if name.startswith("tls_") or name == "hsts"}
    assert set(re.findall(r"^\| `(--[a-z-]+)` \|", manual, re.MULTILINE)) == flags
