"""Upstreams that speak TLS: whom the proxy believes, what it says of those it does not, and what a reload changes."""

import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
import requests

from services.proxy.config_file import ConfigError, load_config, parse_config
from services.proxy.upstream_tls import TlsWords, load_upstream_tls
from shared.httpcore.net.tls import CertificateError
from tests.certificates import LocalCa
from tests.processes import Service, wait_until
from tests.services.proxy.conftest import StartProxy
from tests.services.proxy.test_reloading import reload
from tests.services.proxy.upstream_servers import Talk, Upstream
from tests.tls_terminator import TlsTerminator

StartTls = Callable[..., str]


@pytest.fixture(scope="module")
def ca(tmp_path_factory: pytest.TempPathFactory) -> LocalCa:
    return LocalCa(tmp_path_factory.mktemp("ca"))


@pytest.fixture
def upstream(start_upstream: Callable[..., Upstream]) -> Upstream:
    return start_upstream(name="inside")


@pytest.fixture
def start_tls(upstream: Upstream) -> Iterator[StartTls]:
    """`start_tls(certificate)`: the `host:port` where the upstream is reached over TLS with that certificate."""
    with ExitStack() as stack:

        def start(certificate: Path, host: str = "localhost", **options: Any) -> str:
            terminator = stack.enter_context(TlsTerminator(certificate, upstream.port, **options))
            return f"{host}:{terminator.url.rpartition(':')[2]}"

        yield start


def conf(address: str, *words: str) -> str:
    return f'host "*" {{ proxy_pass https://{address}; {" ".join(words)} }}'


def ask(proxy: Service, **options: Any) -> requests.Response:
    return requests.get(proxy.url + "/x", timeout=10, **options)


def code_of(answer: requests.Response) -> tuple[int, str, str]:
    return answer.status_code, answer.json()["error"]["code"], answer.headers["Proxy-Status"]


REFUSED = (502, "bad_certificate", "weaprous; error=tls_certificate_error")


def test_an_upstream_that_proves_its_name_is_spoken_to_over_tls(
    start_proxy: StartProxy, start_tls: StartTls, ca: LocalCa, upstream: Upstream
) -> None:
    proxy = start_proxy(conf(start_tls(ca.issue("localhost")), f"proxy_ssl_trusted_certificate {ca.file};"))
    for _ in range(3):
        assert ask(proxy).json()["served_by"] == "inside"
    big = b"x" * 3_000_000
    answer = requests.post(proxy.url + "/big", data=big, timeout=30)
    assert len(answer.json()["body"]) == len(big)
    assert upstream.connections == 1, "the connection is kept"


def test_a_name_that_is_not_the_upstream_s_is_refused_and_told(
    start_proxy: StartProxy, start_tls: StartTls, ca: LocalCa, upstream: Upstream
) -> None:
    address = start_tls(ca.issue("other.example"))
    proxy = start_proxy(conf(address, f"proxy_ssl_trusted_certificate {ca.file};"))
    assert code_of(ask(proxy)) == REFUSED
    assert code_of(requests.post(proxy.url + "/x", data=b"x", timeout=10)) == REFUSED
    wait_until(lambda: "Hostname mismatch" in proxy.output, why="the reason in the log")
    assert not upstream.requests
    [failures] = [pool["upstreams"][0]["failed_attempts"] for pool in status_of(proxy)["pools"]]
    assert failures["bad_certificate"] >= 2


def status_of(proxy: Service) -> Any:
    return requests.get(proxy.url + "/_proxy/status", timeout=10).json()


def test_without_a_word_the_system_s_cas_count(start_proxy: StartProxy, start_tls: StartTls, ca: LocalCa) -> None:
    address = start_tls(ca.issue("localhost"))
    assert code_of(ask(start_proxy(conf(address)))) == REFUSED
    believing = start_proxy(conf(address, "proxy_ssl_verify off;"))
    assert ask(believing).status_code == 200
    assert "whoever answers at these addresses is believed" in believing.output


def test_proxy_ssl_name_is_what_the_upstream_must_prove(
    start_proxy: StartProxy, start_tls: StartTls, ca: LocalCa
) -> None:
    address = start_tls(ca.issue("other.example"), host="127.0.0.1")
    trusted = f"proxy_ssl_trusted_certificate {ca.file};"
    assert ask(start_proxy(conf(address, trusted, "proxy_ssl_name Other.example;"))).status_code == 200
    assert code_of(ask(start_proxy(conf(address, trusted)))) == REFUSED
    by_address = start_tls(ca.issue("127.0.0.1"), host="127.0.0.1")
    assert ask(start_proxy(conf(by_address, trusted))).status_code == 200


def test_addresses_behind_a_name_must_prove_that_name(
    start_proxy: StartProxy, start_tls: StartTls, ca: LocalCa
) -> None:
    address = start_tls(ca.issue("localhost"))
    proxy = start_proxy(
        f"pool app {{ server {address} resolve; proxy_ssl_trusted_certificate {ca.file}; health_check http path=/up; }}"
        'host "*" { proxy_pass https://app; }'
    )
    assert ask(proxy).status_code == 200
    [pool] = status_of(proxy)["pools"]
    assert [each["state"] for each in pool["upstreams"]] == ["up"]


def test_a_health_check_speaks_tls_too(start_proxy: StartProxy, start_tls: StartTls, ca: LocalCa) -> None:
    good, bad = start_tls(ca.issue("localhost")), start_tls(ca.issue("other.example"))
    proxy = start_proxy(
        f"pool app {{ server {good}; server {bad}; proxy_ssl_trusted_certificate {ca.file};"
        " health_check http path=/up interval=100ms fall=1; }"
        'host "*" { proxy_pass https://app; }'
    )
    wait_until(lambda: [each["state"] for each in status_of(proxy)["pools"][0]["upstreams"]] == ["up", "down"])
    assert all(ask(proxy).status_code == 200 for _ in range(4))


def test_a_client_certificate_is_shown(start_proxy: StartProxy, start_tls: StartTls, ca: LocalCa) -> None:
    address = start_tls(ca.issue("localhost"), client_ca=ca.file)
    trusted = f"proxy_ssl_trusted_certificate {ca.file};"
    own = ca.issue("proxy.example", file="own.pem")
    assert ask(start_proxy(conf(address, trusted, f"proxy_ssl_certificate {own};"))).status_code == 200
    words = f"proxy_ssl_certificate {own.with_suffix('.crt')}; proxy_ssl_certificate_key {own.with_suffix('.key')};"
    assert ask(start_proxy(conf(address, trusted, words))).status_code == 200
    assert ask(start_proxy(conf(address, trusted))).status_code == 502


def test_an_upstream_in_the_clear_is_told_apart_from_one_with_a_wrong_certificate(
    start_proxy: StartProxy,
) -> None:
    def answer_in_the_clear() -> None:
        sock, _ = listener.accept()
        with sock:
            sock.recv(65536)
            sock.sendall(b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n")

    with socket.create_server(("127.0.0.1", 0)) as listener:
        threading.Thread(target=answer_in_the_clear, daemon=True).start()
        proxy = start_proxy(conf(f"127.0.0.1:{listener.getsockname()[1]}", "proxy_ssl_verify off;"))
        assert code_of(ask(proxy)) == (502, "tls_failed", "weaprous; error=tls_protocol_error")


def test_a_reload_has_the_cas_that_are_in_the_file_then(
    start_proxy: StartProxy, start_tls: StartTls, ca: LocalCa, tmp_path: Path
) -> None:
    other, trusted = LocalCa(tmp_path / "other"), tmp_path / "trusted.pem"
    trusted.write_bytes(ca.file.read_bytes())
    proxy = start_proxy(conf(start_tls(ca.issue("localhost")), "proxy_ssl_trusted_certificate trusted.pem;"))
    assert ask(proxy).status_code == 200
    trusted.write_bytes(other.file.read_bytes())
    assert ask(proxy).status_code == 200, "until then nothing is different"
    assert reload(proxy).json()["changes"]["pools"]["changed"] == {"*/": ["tls"]}
    assert code_of(ask(proxy)) == REFUSED, "the connection that was kept is not used any more"
    trusted.write_text("no certificate")
    refused = reload(proxy)
    assert refused.status_code == 422
    assert "got no PEM with CERTIFICATE" in refused.text
    trusted.write_bytes(ca.file.read_bytes())
    assert reload(proxy).status_code == 200
    assert ask(proxy).status_code == 200


def test_a_connection_in_use_during_a_reload_is_not_kept_for_others(
    start_proxy: StartProxy, start_tls: StartTls, ca: LocalCa, upstream: Upstream, tmp_path: Path
) -> None:
    other, trusted = LocalCa(tmp_path / "other"), tmp_path / "trusted.pem"
    trusted.write_bytes(ca.file.read_bytes())
    proxy = start_proxy(conf(start_tls(ca.issue("localhost")), "proxy_ssl_trusted_certificate trusted.pem;"))

    def reload_first(talk: Talk) -> None:
        trusted.write_bytes(other.file.read_bytes())
        assert reload(proxy).status_code == 200
        talk.reply(b"late")

    upstream.by_path["/slow"] = reload_first
    assert requests.get(proxy.url + "/slow", timeout=20).text == "late"
    assert code_of(ask(proxy)) == REFUSED


def test_a_redirect_of_the_upstream_leads_back_to_the_proxy(
    start_proxy: StartProxy, start_tls: StartTls, ca: LocalCa, upstream: Upstream
) -> None:
    address = start_tls(ca.issue("localhost"))
    proxy = start_proxy(conf(address, f"proxy_ssl_trusted_certificate {ca.file};"))
    upstream.by_path["/go"] = lambda talk: talk.reply(b"", "302 Found", f"Location: https://{address}/there")
    upstream.by_path["/plain"] = lambda talk: talk.reply(b"", "302 Found", f"Location: http://{address}/there")
    locations = [
        requests.get(proxy.url + path, timeout=10, allow_redirects=False).headers["Location"]
        for path in ("/go", "/plain")
    ]
    assert locations == ["/there", f"http://{address}/there"]


# --- the words -------------------------------------------------------------------------------------------------


def test_the_port_is_443_where_none_is_written() -> None:
    config = parse_config(
        'pool app { server a; server b:80; } host "*" { proxy_pass https://app; }\n'
        "host c { proxy_pass https://c.example; }"
    )
    assert [(server.host, server.port) for pool in config.pools for server in pool.servers] == [
        ("a", 443),
        ("b", 80),
        ("c.example", 443),
    ]
    assert all(pool.tls is not None for pool in config.pools)


MISTAKES = [
    (
        "host a { proxy_pass https://b:1; proxy_pass http://c:1; }",
        "1:45: all proxy_pass lines of a block must begin alike, with http:// or with https://",
    ),
    (
        "pool p { server s:1; } host a { proxy_pass http://p; }\nhost b { proxy_pass https://p; }",
        "2:21: got https:// for a pool that line 1 passes to by http://",
    ),
    (
        "host a { proxy_pass https://b:1; proxy_ssl_name b:1; }",
        '1:49: got "b:1", expected a name or an address without a port',
    ),
    (
        "host a { proxy_pass https://b:1; proxy_ssl_server_name off; }",
        '1:56: got "off", expected on: the name is always sent (SNI)',
    ),
    (
        "host a { proxy_pass https://b:1; proxy_ssl_certificate_key k; }",
        "1:34: a key without proxy_ssl_certificate",
    ),
]  # fmt: skip


@pytest.mark.parametrize(("text", "mistake"), MISTAKES)
def test_mistakes_have_their_place(text: str, mistake: str) -> None:
    with pytest.raises(ConfigError) as caught:
        parse_config(text, "f")
    assert caught.value.lines() == [f"f:{mistake}"]


def test_a_file_that_can_t_be_used_is_a_mistake(tmp_path: Path) -> None:
    path = tmp_path / "proxy.conf"
    path.write_text("host a {\n proxy_pass https://b:1;\n proxy_ssl_trusted_certificate none.pem; }")
    with pytest.raises(ConfigError, match=r"proxy\.conf:3:2: .*none\.pem: can't be read: No such file"):
        load_config(path)


@pytest.mark.parametrize(
    "text",
    [
        "host a { proxy_pass http://b:1; proxy_ssl_verify off; }",
        "pool p { server b:1; proxy_ssl_verify off; } host a { proxy_pass http://p; }",
    ],
)
def test_words_without_effect_are_warned_of(text: str) -> None:
    [warning] = parse_config(text).warnings
    assert warning.message == "proxy_ssl_verify means nothing without https:// in proxy_pass"


def test_the_same_files_are_the_same_value_and_other_contents_are_not(ca: LocalCa, tmp_path: Path) -> None:
    words = TlsWords(ca_file="ca.pem")
    (tmp_path / "ca.pem").write_bytes(ca.file.read_bytes())
    before = load_upstream_tls(words, tmp_path)
    assert load_upstream_tls(words, tmp_path) == before
    (tmp_path / "ca.pem").write_bytes(LocalCa(tmp_path / "other").file.read_bytes())
    assert load_upstream_tls(words, tmp_path) != before
    with pytest.raises(CertificateError):
        load_upstream_tls(TlsWords(certificate="ca.pem"), tmp_path)
