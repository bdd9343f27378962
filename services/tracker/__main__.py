"""`python -m services.tracker`: flags, then `app` until a signal; exit status 0, or 2 for what can't start."""

import os
import sys
from collections.abc import Mapping, Sequence
from functools import partial

from services.tracker.app import build
from services.tracker.settings import Settings
from shared.runtime.service_process import run_service
from shared.runtime.settings import exit_on_settings_error

PROG = "python -m services.tracker"
DESCRIPTION = "The tracker: which peers there are, where, and for how long. One process with one table in memory."


def main(argv: Sequence[str], environ: Mapping[str, str]) -> int:
    """The exit status of the tracker."""
    if any(word.partition("=")[0] == "--workers" for word in argv):
        print(f"{PROG}: error: --workers: the tracker is one process, its table lives in memory", file=sys.stderr)
        return 2
    settings = exit_on_settings_error(Settings, argv, environ, PROG, DESCRIPTION)
    return run_service("tracker", settings, partial(build, settings), ip=settings.server_ip, port=settings.server_port)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:], os.environ))
