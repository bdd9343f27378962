"""The proxy's HTTPS port: off until there is a certificate; SIGHUP reads the certificates again.

Owns what the flags say about TLS. What TLS is, is `shared.httpcore.net.tls`.
"""

import asyncio
import logging
import os
import ssl

from services.proxy.settings import Settings
from shared.httpcore.message import Request, Response
from shared.httpcore.net.tls import CertificateError, CertificateFiles, make_server_context
from shared.httpcore.net.tls_server import TlsServer
from shared.httpcore.routing import AfterHook, Router
from shared.runtime.certificate_watch import CertificateWatch
from shared.runtime.errors import StartupError
from shared.runtime.lifecycle import Lifecycle
from shared.runtime.listening import listen_or_explain, show_address

_log = logging.getLogger("weaprous.proxy")


class TlsPort:
    """Serves the proxy's router over TLS, if the settings name a certificate."""

    def __init__(self, settings: Settings, lifecycle: Lifecycle) -> None:
        self._settings = settings
        self._lifecycle = lifecycle
        self._server: TlsServer | None = None
        self._watch: CertificateWatch | None = None

    def start(self, router: Router) -> None:
        """Connections are accepted from now on. StartupError for a certificate or a port that can't be used."""
        settings = self._settings
        if not settings.tls_certificate:
            return
        try:
            context = _load_context(settings)
            watch = CertificateWatch(self._lifecycle.metrics, settings.tls_certificate)
        except CertificateError as error:
            raise StartupError(f"--tls-certificate: {error}") from None
        listener = listen_or_explain(settings.server_ip, settings.tls_port)
        if settings.hsts:
            router.after(_hsts_hook(int(settings.hsts)))
        lifecycle = self._lifecycle
        server = TlsServer(router, context, lifecycle.limits, lifecycle.on_response, lifecycle.on_slow_handler)
        failures = lifecycle.metrics.counter(
            "weaprous_proxy_tls_handshake_failures_total", "TLS handshakes that failed."
        ).labels()

        def refresh_failures() -> None:
            failures.value = server.failed_handshake_count

        lifecycle.metrics.before_render(refresh_failures)
        lifecycle.add_server(server)
        server.start([listener])
        self._server, self._watch = server, watch
        lifecycle.start_task(watch.run(), "watch the certificates")
        _log.info("listening for HTTPS", extra={"address": show_address(listener), "pid": os.getpid()})

    async def reload(self) -> str | None:
        """New connections get the certificates that are in the files now; ones that can't be used change nothing, and
        what is wrong with them is returned.
        """
        if self._server is None or self._watch is None:
            return None
        try:
            self._server.context = await asyncio.to_thread(_load_context, self._settings)
            self._watch.read_again()
        except CertificateError as error:
            _log.error("the certificates stay as they were: %s", error)
            return str(error)
        _log.info("certificates read again", extra={"files": len(self._settings.tls_certificate)})
        return None


def _load_context(settings: Settings) -> ssl.SSLContext:
    keys = settings.tls_key or settings.tls_certificate
    pairs = zip(settings.tls_certificate, keys, strict=True)
    return make_server_context([CertificateFiles(chain, key) for chain, key in pairs])


def _hsts_hook(max_age_s: int) -> AfterHook:
    value = f"max-age={max_age_s}"

    def add_hsts(request: Request, response: Response) -> None:
        """RFC 6797 §7.2: over TLS only. Where an upstream says it too, the proxy's word counts."""
        if request.scheme == "https":
            response.set_header("Strict-Transport-Security", value)

    return add_hsts
