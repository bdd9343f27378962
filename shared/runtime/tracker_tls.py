"""TLS towards the tracker (`--tracker https://…`): whom its certificate must come from, and how flags say so."""

import ssl
from collections.abc import Iterator
from pathlib import Path

from shared.httpcore.net.tls import CertificateError, make_client_context
from shared.runtime.errors import StartupError

TRACKER_CA_HELP = "CA that the certificate of an https:// tracker must come from, PEM; without it those of the system"


def load_tracker_tls(ca_file: Path | None) -> ssl.SSLContext | None:
    """What a `ConnectionPool` takes as `tls`; None for the system's CAs. StartupError for a file that is no CA's."""
    if ca_file is None:
        return None
    try:
        return make_client_context(ca_file)
    except CertificateError as error:
        raise StartupError(f"--tracker-ca: {error}") from None


def find_tracker_mistakes(tracker: str | None, ca_file: Path | None) -> Iterator[str]:
    """What is wrong between `--tracker` and `--tracker-ca`."""
    if ca_file is not None and not (tracker or "").startswith("https:"):
        got = "no --tracker" if tracker is None else f"--tracker {tracker}"
        yield f"--tracker-ca: got {got}, expected the tracker's address to begin with https://"
