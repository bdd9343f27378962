"""`make certs`: certificates for this machine, which the proxy and its clients can use."""

import shutil
import ssl
import stat
import subprocess
from pathlib import Path

import pytest

from shared.httpcore.net.tls import CertificateFiles, make_client_context, make_server_context
from shared.httpcore.x509 import parse_dns_names
from tests.processes import ROOT

pytestmark = pytest.mark.skipif(shutil.which("openssl") is None, reason="no command openssl")


def make_certs(var: Path, *assignments: str) -> None:
    command = ["make", "-f", "certs.mk", "certs", f"VAR={var}", *assignments]
    subprocess.run(command, cwd=ROOT, check=True, capture_output=True)


def test_make_certs_makes_a_ca_once_and_a_certificate_each_time(tmp_path: Path) -> None:
    make_certs(tmp_path)
    folder = tmp_path / "certs"
    ca, first = (folder / "ca.pem").read_text(), (folder / "server.pem").read_text()
    make_certs(tmp_path, "CERT_NAMES=localhost *.chat.lan")
    assert (folder / "ca.pem").read_text() == ca
    second = (folder / "server.pem").read_text()
    assert second != first
    der = ssl.PEM_cert_to_DER_cert(second[: second.index(ssl.PEM_FOOTER) + len(ssl.PEM_FOOTER)])
    assert parse_dns_names(der) == ("localhost", "*.chat.lan")
    make_server_context([CertificateFiles(folder / "server.pem", folder / "server.pem")])
    make_client_context(folder / "ca.pem")
    verified = ["openssl", "verify", "-CAfile", str(folder / "ca.pem"), str(folder / "server.pem")]
    assert subprocess.run(verified, capture_output=True).returncode == 0


def test_make_certs_lets_nobody_else_read_the_keys(tmp_path: Path) -> None:
    make_certs(tmp_path)
    for path in (tmp_path / "certs").iterdir():
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert {path.name for path in (tmp_path / "certs").iterdir()} <= {"ca.key", "ca.pem", "ca.srl", "server.pem"}
