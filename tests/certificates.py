"""A CA and certificates for tests, made with openssl when they are asked for."""

import subprocess
from pathlib import Path


def openssl(*arguments: object) -> None:
    subprocess.run(["openssl", *map(str, arguments)], check=True, capture_output=True)


class LocalCa:
    """A CA of its own in `folder`; `.file` is what clients trust."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        folder.mkdir(parents=True, exist_ok=True)
        self.file = folder / "ca.pem"
        self._key = folder / "ca.key"
        key = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-keyout", self._key)
        usage = ("-addext", "keyUsage=critical,keyCertSign,cRLSign")
        openssl("req", "-x509", *key, *usage, "-days", 2, "-subj", "/CN=tests", "-out", self.file)

    def issue(self, *names: str, file: str = "", days: int = 2) -> Path:
        """One PEM file with key and certificate for these names and addresses; negative `days`: it has ended."""
        path = self.folder / (file or f"{names[0].replace('*', 'any')}.pem")
        key, request, chain = (path.with_suffix(suffix) for suffix in (".key", ".csr", ".crt"))
        alternatives = ",".join(f"{'IP' if name[0].isdigit() else 'DNS'}:{name}" for name in names)
        extensions = path.with_suffix(".cnf")
        extensions.write_text(f"authorityKeyIdentifier = keyid\nsubjectAltName = {alternatives}\n")
        new_key = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-keyout", key)
        openssl("req", *new_key, "-subj", "/CN=test", "-out", request)
        issuer = ("-CA", self.file, "-CAkey", self._key, "-CAcreateserial")
        openssl("x509", "-req", "-in", request, *issuer, "-days", days, "-extfile", extensions, "-out", chain)
        path.write_text(chain.read_text() + key.read_text())
        return path
