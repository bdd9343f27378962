"""TLS on the sockets that are there: contexts for both sides, and a socket whose verbs are those of a plain one.

`Transport`, `Output` and `Stream` know nothing of TLS: a `TlsSocket` raises BlockingIOError where OpenSSL wants to
wait, so the plain path costs nothing more. The server's side of a handshake is in `tls_server`.

Why buffers in memory and not `ssl.SSLSocket`: one system call carries several records, and ending one direction leaves
the other whole, where SSLSocket's unwrap reads, and loses, what is on its way. Nobody renegotiates, so reading never
waits for writability, nor writing for readability.
"""

import os
import re
import socket
import ssl
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from shared.httpcore.x509 import parse_dns_names, parse_not_after

if TYPE_CHECKING:
    from _typeshed import ReadableBuffer

MAX_RECORD_BYTES = 16 * 1024  # of plain text, RFC 8446 §5.1
RECV_BYTES = 64 * 1024  # more costs an mmap and a munmap for each call
SEND_BYTES = 4 * MAX_RECORD_BYTES  # encrypted at a time

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


# --- the socket --------------------------------------------------------------------------------------------------


class TlsSocket(socket.socket):
    """A non-blocking TLS connection, with the verbs and the errors of a plain socket, which it takes over.

    The client's side names the server, which must prove that name. After the `handshake`, what came with it may be
    unread (`has_unread`); later `recv` leaves nothing behind that the descriptor does not show.
    """

    __slots__ = (
        "_arrived",
        "_credit",
        "_engine",
        "_has_ended",
        "_is_server",
        "_is_shut",
        "_leaving",
        "_unsent",
    )

    def __init__(self, sock: socket.socket, context: ssl.SSLContext, server_name: str | None = None) -> None:
        self._is_server = server_name is None
        self._arrived = ssl.MemoryBIO()
        self._leaving = ssl.MemoryBIO()
        self._engine = context.wrap_bio(self._arrived, self._leaving, self._is_server, server_name)
        self._unsent = b""  # encrypted, not yet taken by the kernel
        self._credit = 0  # bytes of plain text that are told as sent when `_unsent` is
        self._has_ended = False  # the other side said close_notify
        self._is_shut = False  # this side did
        super().__init__(sock.family, sock.type, sock.proto, fileno=sock.detach())
        self.setblocking(False)

    def handshake(self) -> None:
        """TLS is agreed. SSLWantReadError or SSLWantWriteError: call again when that is possible; OSError."""
        while True:
            try:
                self._engine.do_handshake()
            except ssl.SSLWantReadError:
                self._flush_handshake()
                self._receive()
            except ssl.SSLError:
                self._flush_if_possible()  # the alert that says why
                raise
            else:
                self._flush_handshake()
                return

    def _flush_handshake(self) -> None:
        try:
            self._flush()
        except BlockingIOError:
            raise ssl.SSLWantWriteError("the socket takes no more") from None

    def _receive(self) -> None:
        try:
            data = super().recv(RECV_BYTES)
        except BlockingIOError:
            raise ssl.SSLWantReadError("nothing is there") from None
        if not data:
            raise ConnectionAbortedError("the other side ended the connection")
        self._arrived.write(data)

    @property
    def context(self) -> ssl.SSLContext:
        """By whose rules TLS was agreed."""
        return self._engine.context

    @property
    def has_unread(self) -> bool:
        """Whether something was received that `recv` has not returned, beside what the descriptor shows."""
        return self._arrived.pending > 0

    def recv(self, bufsize: int = RECV_BYTES, flags: int = 0) -> bytes:
        """All that has arrived, which may be some bytes more than asked for; b"" when the other side has ended."""
        data = self._decrypt()
        while not data and not self._has_ended:
            received = super().recv(RECV_BYTES)
            if not received:
                return self._end()
            self._arrived.write(received)
            data = self._decrypt()
        return data

    def _decrypt(self) -> bytes:
        parts = []
        try:
            while self._arrived.pending and not self._has_ended:
                parts.append(self._engine.read(MAX_RECORD_BYTES))
                self._has_ended = not parts[-1]
        except ssl.SSLWantReadError:
            pass  # a part of a record
        except ssl.SSLZeroReturnError:  # close_notify, after this side's own
            self._has_ended = True
        return parts[0] if len(parts) == 1 else b"".join(parts)

    def _end(self) -> bytes:
        """An end without close_notify. RFC 9112 §9.8: to a client its reply may be cut, to a server it is an end."""
        self._has_ended = True
        if not self._is_server:
            raise ConnectionAbortedError("the other side ended without close_notify")
        return b""

    def send(self, data: "ReadableBuffer", flags: int = 0) -> int:
        """How many bytes were taken. After BlockingIOError, or fewer than given, the next call begins with the rest."""
        view = memoryview(data)
        sent = 0
        try:
            if self._unsent:
                self._flush()
                sent, self._credit = self._credit, 0
            while sent < len(view):
                part = view[sent : sent + SEND_BYTES]
                self._encrypt(part)
                self._credit = len(part)
                self._flush()
                sent, self._credit = sent + self._credit, 0
        except BlockingIOError:
            if not sent:
                raise
        return sent

    def _encrypt(self, part: memoryview) -> None:
        while part:
            part = part[self._engine.write(part) :]  # a record each

    def _flush(self) -> None:
        """What was encrypted is with the kernel; BlockingIOError when not all of it."""
        if self._leaving.pending:
            self._unsent += self._leaving.read()
        while self._unsent:
            self._unsent = self._unsent[super().send(self._unsent) :]

    def _flush_if_possible(self) -> None:
        try:
            self._flush()
        except OSError:
            pass

    def shutdown(self, how: int) -> None:
        """The other side reads a clean end (close_notify) after what was sent; reading goes on."""
        self._say_goodbye()
        super().shutdown(how)

    def close(self) -> None:
        """Says close_notify, unless the socket is to be reset: then the other side must see that it was cut."""
        if self.fileno() >= 0 and not self._is_to_be_reset():
            self._say_goodbye()
        super().close()

    def _is_to_be_reset(self) -> bool:
        return self.getsockopt(socket.SOL_SOCKET, socket.SO_LINGER, 8)[:4] != b"\0\0\0\0"

    def _say_goodbye(self) -> None:
        if self._is_shut:
            return
        self._is_shut = True
        try:
            self._engine.unwrap()
        except (OSError, ValueError):
            pass  # written, and the other side's is not waited for; or TLS was never agreed, or is broken
        self._flush_if_possible()


def send_file_part(sock: socket.socket, fd: int, offset: int, length: int) -> int:
    """How many bytes of the file were taken, 0 for none left: by sendfile, or by reading what is to be encrypted."""
    if isinstance(sock, TlsSocket):
        return sock.send(os.pread(fd, min(length, SEND_BYTES), offset))
    return os.sendfile(sock.fileno(), fd, offset, length)
