"""Something in front of a plain service that ends TLS, as a gateway would: bytes both ways, nothing else."""

import contextlib
import selectors
import socket
import ssl
import threading
from pathlib import Path


class TlsTerminator:
    """Listens on `url` with the certificate, and carries each connection to the port on this machine."""

    def __init__(
        self,
        certificate: Path,
        port: int,
        version: ssl.TLSVersion = ssl.TLSVersion.TLSv1_3,
        client_ca: Path | None = None,
    ) -> None:
        """With `client_ca` clients must prove themselves to that CA."""
        self._context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self._context.minimum_version = self._context.maximum_version = version
        self._context.load_cert_chain(certificate)
        if client_ca is not None:
            self._context.verify_mode = ssl.CERT_REQUIRED
            self._context.load_verify_locations(client_ca)
        self._to_port = port
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.url = f"https://localhost:{self._listener.getsockname()[1]}"
        self.connection_count = 0
        threading.Thread(target=self._accept, daemon=True).start()

    def __enter__(self) -> "TlsTerminator":
        return self

    def __exit__(self, *_: object) -> None:
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                client, _ = self._listener.accept()
                threading.Thread(target=self._carry, args=(client,), daemon=True).start()

    def _carry(self, client: socket.socket) -> None:
        with contextlib.suppress(OSError), client, socket.create_connection(("127.0.0.1", self._to_port)) as inner:
            outer = self._context.wrap_socket(client, server_side=True)
            self.connection_count += 1
            with outer, selectors.DefaultSelector() as selector:
                selector.register(outer, selectors.EVENT_READ, (outer, inner))
                selector.register(inner, selectors.EVENT_READ, (inner, outer))
                while True:
                    for key, _ in selector.select():
                        source, sink = key.data
                        data = source.recv(65536)
                        while source is outer and outer.pending():
                            data += outer.recv(65536)
                        if not data:
                            return
                        sink.sendall(data)
