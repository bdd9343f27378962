"""`python -m services.proxy`: flags, then `app` until a signal; exit status 0, or 2 for what can't start.

With `--test-config FILE` the file is checked and nothing is started.
"""

import os
import sys
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path

from services.proxy.app import build
from services.proxy.config_file import ConfigError, load_config
from services.proxy.config_findings import told
from services.proxy.config_names import warn_of_names
from services.proxy.settings import Settings, find_conflicts
from shared.runtime.service_process import run_service
from shared.runtime.settings import exit_on_settings_error

PROG = "python -m services.proxy"
DESCRIPTION = "The reverse proxy: routes by Host and path, balances load, finds replicas by itself."


def main(argv: Sequence[str], environ: Mapping[str, str]) -> int:
    """The exit status of the proxy."""
    settings = exit_on_settings_error(Settings, argv, environ, PROG, DESCRIPTION, check=find_conflicts)
    if settings.test_config is not None:
        return test_config(settings.test_config)
    build_proxy = partial(build, settings)
    return run_service(
        "proxy", settings, build_proxy, ip=settings.server_ip, port=settings.server_port, own_health=False
    )


def test_config(path: Path) -> int:
    """Prints every mistake in the file, or that there is none, and what is odd; the exit status, 2 or 0."""
    try:
        config = load_config(path)
    except ConfigError as error:
        print("\n".join(error.lines()))
        return 2
    for line in told(str(path), (), [*config.warnings, *warn_of_names(config.names)]):
        print(line)
    print(f"{path}: ok")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:], os.environ))
