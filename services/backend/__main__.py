"""`python -m services.backend`: flags, then `app` until a signal; exit status 0, or 2 for what can't start."""

import os
import sys
from collections.abc import Mapping, Sequence
from functools import partial

from services.backend.app import build, load_session_secret
from services.backend.settings import Settings, find_conflicts
from shared.runtime.errors import StartupError
from shared.runtime.service_process import run_service
from shared.runtime.settings import exit_on_settings_error

PROG = "python -m services.backend"
DESCRIPTION = "The web application: login, session, REST, and the files of the page."


def main(argv: Sequence[str], environ: Mapping[str, str]) -> int:
    """The exit status of the backend."""
    settings = exit_on_settings_error(Settings, argv, environ, PROG, DESCRIPTION, find_conflicts)
    try:
        secret = load_session_secret(settings)  # before the fork: every worker has the same one
    except StartupError as error:
        print(f"{PROG}: error: {error}", file=sys.stderr)
        return 2
    return run_service(
        "backend",
        settings,
        partial(build, settings, secret),
        ip=settings.server_ip,
        port=settings.server_port,
        workers=settings.workers,
    )


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:], os.environ))
