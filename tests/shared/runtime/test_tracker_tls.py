"""`--tracker https://…`: a backend, a peer and the proxy with a tracker behind something that ends TLS."""

import ssl
import subprocess
import sys

import pytest
import requests
from websockets.sync.client import connect

from shared.runtime.errors import StartupError
from shared.runtime.tracker_tls import find_tracker_mistakes, load_tracker_tls
from tests.certificates import LocalCa
from tests.processes import ROOT, wait_until
from tests.tls_terminator import TlsTerminator

ADMIN = {"username": "admin", "password": "password"}


@pytest.fixture(scope="module")
def ca(tmp_path_factory):
    return LocalCa(tmp_path_factory.mktemp("ca"))


@pytest.fixture
def keys(tmp_path):
    """Flags of a keyed service, and where its users are."""
    folder, users = tmp_path / "keys", tmp_path / "users.json"
    for command in (["keys", "--keys-dir", folder], ["users_file", "--users-file", users, "init"]):
        module, *flags = map(str, command)
        subprocess.run(
            [sys.executable, "-m", f"shared.runtime.{module}", *flags], cwd=ROOT, check=True, capture_output=True
        )
    return ("--keys-dir", str(folder)), ("--users-file", str(users))


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3], ids=lambda each: each.name)
def test_every_service_reaches_its_tracker_over_tls(start_service, tmp_path, ca, keys, version):
    keyed, users = keys
    tracker = start_service("services.tracker", *keyed)
    with TlsTerminator(ca.issue("localhost"), tracker.port, version) as terminator:
        to_tracker = ("--tracker", terminator.url, "--tracker-ca", str(ca.file))
        backend = start_service("services.backend", "--advertise", "127.0.0.1", *keyed, *users, *to_tracker)
        peer = start_service("services.peer", "--register", "--data-dir", str(tmp_path), *keyed, *to_tracker)
        config = tmp_path / "proxy.conf"
        config.write_text(f'host "*" {{ proxy_pass {backend.url}; }}')
        proxy = start_service("services.proxy", "--config", str(config), *keyed, *users, *to_tracker)
        with requests.Session() as browser:
            assert browser.post(proxy.url + "/login", json=ADMIN, timeout=10).status_code == 200

            def known():
                answer = browser.get(proxy.url + "/tracker/peers", timeout=10)
                return {entry["peer_id"]: entry["ip"] for entry in answer.json()["peers"]} if answer.ok else {}

            wait_until(lambda: len(known()) == 2, why="backend and peer to be registered")
            assert set(known().values()) == {"127.0.0.1"}

            def asks_peer():
                return browser.get(proxy.url + "/peers/p1/p2p/whoami", timeout=10).status_code == 200

            wait_until(asks_peer, why="the proxy to know the peer by the watch")
            cookie = "; ".join(f"{each.name}={each.value}" for each in browser.cookies)
            watch = proxy.url.replace("http:", "ws:") + "/tracker/watch"
            with connect(watch, additional_headers={"Cookie": cookie}) as websocket:
                assert '"p1"' in websocket.recv(timeout=10)
            for service in (peer, backend):
                assert service.stop() == 0
            wait_until(lambda: known() == {}, why="both to be gone")
        assert terminator.connection_count >= 3


def test_a_tracker_of_a_strange_ca_is_not_believed(start_service, tmp_path, ca):
    tracker = start_service("services.tracker")
    strange = LocalCa(tmp_path / "strange")
    with TlsTerminator(strange.issue("localhost"), tracker.port) as terminator:
        flags = ("--tracker", terminator.url, "--tracker-ca", str(ca.file))
        backend = start_service("services.backend", *flags)
        wait_until(lambda: "the tracker is lost" in backend.output, why="the warning")
        assert "certificate verify failed" in backend.output
        assert requests.get(tracker.url + "/tracker/peers", timeout=5).json()["count"] == 0


def test_a_ca_that_is_none_is_one_line_and_status_2(start_service, tmp_path):
    for module in ("services.backend", "services.peer", "services.proxy"):
        flags = ["--tracker", "https://localhost:1", "--tracker-ca", str(tmp_path / "none.pem")]
        flags += ["--data-dir", str(tmp_path)] if module == "services.peer" else []
        service = start_service(module, *flags, wait=False)
        assert service.wait() == 2
        assert f"--tracker-ca: {tmp_path}/none.pem: can't be read: No such file or directory" in service.output
        assert "Traceback" not in service.output


def test_without_a_ca_those_of_the_system_count(tmp_path, ca):
    assert load_tracker_tls(None) is None
    context = load_tracker_tls(ca.file)
    assert context is not None
    assert context.verify_mode is ssl.CERT_REQUIRED
    assert context.check_hostname
    (tmp_path / "empty.pem").write_text("nothing")
    with pytest.raises(StartupError, match=r"^--tracker-ca: .*empty\.pem: got no PEM with CERTIFICATE"):
        load_tracker_tls(tmp_path / "empty.pem")


def test_a_ca_is_for_https_only(ca):
    assert not list(find_tracker_mistakes("https://a:1", ca.file))
    assert not list(find_tracker_mistakes("http://a:1", None))
    assert list(find_tracker_mistakes(None, ca.file)) == [
        "--tracker-ca: got no --tracker, expected the tracker's address to begin with https://"
    ]
    assert list(find_tracker_mistakes("http://a:1", ca.file)) == [
        "--tracker-ca: got --tracker http://a:1, expected the tracker's address to begin with https://"
    ]
