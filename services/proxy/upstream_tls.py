"""How TLS is spoken to the upstreams of a pool: the `proxy_ssl_…` words, and the context that they make.

Reads certificates once, when the configuration is read, so that a file that can't be used is a mistake with its place,
and a reload has what is in the files then. The handshake is `dialing`'s.
"""

import hashlib
import ssl
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from shared.httpcore.net.tls import CertificateError, CertificateFiles, make_client_context


@dataclass(frozen=True, slots=True)
class UpstreamTls:
    """TLS with one pool's upstreams. `name` is what each must prove; "": what its line calls it.

    `files` are digests of the files that were read: other contents are another value.
    """

    context: ssl.SSLContext = field(compare=False, repr=False)
    is_verified: bool = True
    name: str = ""
    files: tuple[tuple[str, bytes], ...] = ()


@dataclass(frozen=True, slots=True)
class TlsWords:
    """What the `proxy_ssl_…` words of one block say; "" where there is none. Paths as they are written."""

    is_verified: bool = True
    ca_file: str = ""
    name: str = ""
    certificate: str = ""
    key: str = ""
    sends_name: bool = True  # always


def load_upstream_tls(words: TlsWords, folder: Path) -> UpstreamTls:
    """Certificates and CAs are read, relative paths from `folder`. CertificateError."""
    ca_file = folder / words.ca_file if words.ca_file else None
    own = None
    if words.certificate:
        own = CertificateFiles(folder / words.certificate, folder / (words.key or words.certificate))
    context = make_client_context(ca_file, is_verified=words.is_verified, certificate=own)
    names = {"ca": words.ca_file, "certificate": words.certificate, "key": words.key}
    return UpstreamTls(context, words.is_verified, words.name, _digests(names, folder))


def _digests(names: Mapping[str, str], folder: Path) -> tuple[tuple[str, bytes], ...]:
    try:
        return tuple(
            (name, hashlib.sha256((folder / path).read_bytes()).digest()) for name, path in names.items() if path
        )
    except OSError as error:
        raise CertificateError(f"can't be read: {error.strerror}") from None
