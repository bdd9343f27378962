"""`python -m services.peer`: flags, then `app` until a signal; exit status 0, or 2 for what can't start."""

import os
import sys
from collections.abc import Mapping, Sequence
from functools import partial

from services.peer.settings import Settings, check_settings
from shared.runtime.settings import exit_on_settings_error

PROG = "python -m services.peer"
DESCRIPTION = "One chat peer: an HTTP API for browsers and scripts, TCP links to other peers, messages in SQLite."


def main(argv: Sequence[str], environ: Mapping[str, str]) -> int:
    """The exit status of the peer."""
    if any(word.partition("=")[0] == "--workers" for word in argv):
        print(f"{PROG}: error: --workers: a peer is one process, its messages have one writer", file=sys.stderr)
        return 2
    settings = exit_on_settings_error(Settings, argv, environ, PROG, DESCRIPTION, check_settings)
    from services.peer.app import build  # --help and mistakes need none of it
    from shared.runtime.service_process import run_service

    return run_service("peer", settings, partial(build, settings), ip=settings.server_ip, port=settings.api_port)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:], os.environ))
