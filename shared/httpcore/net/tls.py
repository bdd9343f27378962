"""TLS as both sides agree on it: contexts, certificates from files, and what went wrong in OpenSSL's words.

The socket that speaks it is in `tls_socket`, the server's side of a handshake in `tls_server`.
"""

import re
import ssl
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from shared.httpcore.x509 import parse_dns_names, parse_not_after

# Mozilla's "intermediate" profile, without its DHE suites. TLS 1.3 has suites of its own, all of them good.
CIPHERS = (
    "ECDHE-ECDSA-AES128-GCM-SHA256:ECDHE-RSA-AES128-GCM-SHA256:ECDHE-ECDSA-AES256-GCM-SHA384:"
    "ECDHE-RSA-AES256-GCM-SHA384:ECDHE-ECDSA-CHACHA20-POLY1305:ECDHE-RSA-CHACHA20-POLY1305"
)
GROUPS = "X25519:P-256:P-384"
ALPN = ["http/1.1"]

_CERTIFICATE = re.compile(f"{ssl.PEM_HEADER}.*?{ssl.PEM_FOOTER}", re.DOTALL)

T = TypeVar("T")
SniCallback = Callable[[ssl.SSLObject, str, ssl.SSLContext], int | None]


class CertificateError(Exception):
    """A certificate, key or CA file can't be used; the message names the file and says why, in one line."""


@dataclass(frozen=True, slots=True)
class CertificateFiles:
    """Where one certificate is: PEM, the server's own first, then those between it and the CA; and its key."""

    chain: Path
    key: Path  # may be the same file


# --- contexts ----------------------------------------------------------------------------------------------------


def make_server_context(certificates: Sequence[CertificateFiles]) -> ssl.SSLContext:
    """What accepts connections with these certificates, at least one; CertificateError.

    The client's SNI chooses among them: the exact name, else the wildcard, else the first certificate. Sessions are
    resumed by tickets, whose key lives as long as the context.
    """
    contexts = [_load_certificate(files) for files in certificates]
    by_name: dict[str, ssl.SSLContext] = {}
    for files, context in zip(certificates, contexts, strict=True):
        for name in _names_of(files.chain):
            by_name.setdefault(name, context)
    if len(contexts) > 1:
        contexts[0].sni_callback = _choose_by_name(by_name)
    return contexts[0]


def make_client_context(
    ca_file: Path | None = None, *, is_verified: bool = True, certificate: CertificateFiles | None = None
) -> ssl.SSLContext:
    """What connects to servers, which must prove their name: to a CA of the file, None means to one of the system's.

    Not `is_verified`: whoever answers is believed. `certificate` is this side's own. CertificateError.
    """
    context = ssl.create_default_context()
    if ca_file is not None:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        _read_pem(ca_file, "CERTIFICATE")
        _load(ca_file, lambda: context.load_verify_locations(ca_file))
    if not is_verified:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    if certificate is not None:
        _load_own(context, certificate)
    _prepare(context)
    return context


def _load_certificate(files: CertificateFiles) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    _prepare(context)
    context.options &= ~ssl.OP_CIPHER_SERVER_PREFERENCE  # each client knows best which is fast on its machine
    context.set_ciphers(CIPHERS)
    _limit_groups(context)
    _load_own(context, files)
    return context


def _load_own(context: ssl.SSLContext, files: CertificateFiles) -> None:
    _read_pem(files.chain, "CERTIFICATE")
    key = _read_pem(files.key, "PRIVATE KEY")
    if "ENCRYPTED" in key:
        raise CertificateError(f"{files.key}: the key is encrypted; nobody is there to type its password")
    _load(files.chain, lambda: context.load_cert_chain(files.chain, files.key, password=""), files.key)


def _prepare(context: ssl.SSLContext) -> None:
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.options |= ssl.OP_NO_RENEGOTIATION | ssl.OP_NO_COMPRESSION
    context.set_alpn_protocols(ALPN)


def _limit_groups(context: ssl.SSLContext) -> None:
    """The profile's groups. Deliberate: before Python 3.15 only one can be named, and P-256 is what all have.

    It costs a client that guesses X25519 a round trip, at full handshakes under TLS 1.3.
    """
    if hasattr(context, "set_groups"):
        context.set_groups(GROUPS)
    else:
        context.set_ecdh_curve("prime256v1")


def _read_pem(path: Path, kind: str) -> str:
    try:
        text = path.read_text(encoding="ascii", errors="replace")
    except OSError as error:
        raise CertificateError(f"{path}: can't be read: {error.strerror}") from None
    if f"{kind}-----" not in text:
        raise CertificateError(f"{path}: got no PEM with {kind}, expected -----BEGIN {kind}-----")
    return text


def _load(path: Path, load: Callable[[], None], key: Path | None = None) -> None:
    try:
        load()
    except ssl.SSLError as error:
        if error.reason == "KEY_VALUES_MISMATCH":
            raise CertificateError(f"{path}: the key in {key} is not this certificate's") from None
        raise CertificateError(f"{path}: OpenSSL can't use it: {explain(error)}") from None
    except OSError as error:
        raise CertificateError(f"{path}: can't be read: {error.strerror}") from None


def _names_of(path: Path) -> tuple[str, ...]:
    """The DNS names of the first certificate in the file."""
    return _parse_certificates(path, parse_dns_names)[0]


def read_expiry(path: Path) -> int:
    """When the first of the certificates in a PEM file ends, Unix time; CertificateError."""
    return min(_parse_certificates(path, parse_not_after))


def _parse_certificates(path: Path, parse: Callable[[bytes], T]) -> list[T]:
    """What `parse` finds in each certificate of the file, one at least."""
    blocks = _CERTIFICATE.findall(_read_pem(path, "CERTIFICATE"))
    try:
        return [parse(ssl.PEM_cert_to_DER_cert(block)) for block in blocks] or [parse(b"")]
    except ValueError as error:
        raise CertificateError(f"{path}: the certificate can't be read: {error}") from None


def _choose_by_name(by_name: dict[str, ssl.SSLContext]) -> SniCallback:
    """RFC 6066 §3 and RFC 6125 §6.4.3: a wildcard stands for the one label on the left."""

    def choose(tls: ssl.SSLObject, name: str | None, _: ssl.SSLContext) -> None:
        host = (name or "").lower()
        context = by_name.get(host) or by_name.get(f"*.{host.partition('.')[2]}")
        if context is not None:
            tls.context = context

    return choose


def explain(error: Exception) -> str:
    """The reason in OpenSSL's words, without its numbers and places."""
    if isinstance(error, ssl.SSLCertVerificationError):
        return f"certificate verify failed: {error.verify_message}"
    if isinstance(error, ssl.SSLEOFError):
        return "the other side ended the connection"
    if isinstance(error, ssl.SSLError) and error.reason:
        return error.reason.lower().replace("_", " ")
    return getattr(error, "strerror", None) or str(error)
