"""`python -m bench [--quick] [SCENARIO …]`: runs the scenarios, all by default, and prints a table for each."""

import argparse
import importlib
import platform
import shutil
import subprocess
import sys
import time
from importlib.metadata import PackageNotFoundError, version

from bench.candidates import find_program
from bench.pace import FULL, QUICK

SCENARIOS = ("small_get", "idle_connections", "files", "websockets", "workers", "proxy")
PROGRAMS = {"nginx": "-v", "haproxy": "-v", "wrk": "-v"}
PACKAGES = ("granian", "uvicorn", "uvloop", "httptools", "websockets")


def main() -> None:
    """Runs what the command line asks for."""
    parser = argparse.ArgumentParser(prog="python -m bench", description=__doc__)
    parser.add_argument("scenarios", nargs="*", metavar="SCENARIO", help=f"of {', '.join(SCENARIOS)}; default: all")
    parser.add_argument("--quick", action="store_true", help="seconds each, to see that all works; not for figures")
    chosen = parser.parse_args()
    names = chosen.scenarios or SCENARIOS
    if unknown := sorted(set(names) - set(SCENARIOS)):
        parser.error(f"got {', '.join(unknown)}, expected some of {', '.join(SCENARIOS)}")
    if missing := find_missing():
        sys.exit(f"bench: {missing}")
    print(describe_machine() + (" · QUICK: no figure of this run means anything" if chosen.quick else "") + "\n")
    failed = 0
    for name in names:
        try:
            print(importlib.import_module(f"bench.{name}").run(QUICK if chosen.quick else FULL), flush=True)
        except (RuntimeError, OSError) as error:
            failed = 1
            print(f"{name}: failed: {error}\n", flush=True)
    sys.exit(failed)


def find_missing() -> str:
    """What has to be installed first; "" when all is there."""
    programs = [name for name in PROGRAMS if shutil.which(find_program(name)) is None]
    packages = [name for name in PACKAGES if _version_of(name) is None]
    said = []
    if programs:
        said.append(f"{', '.join(programs)} missing: apt-get install {' '.join(programs)}")
    if packages:
        said.append(f"{', '.join(packages)} missing in {sys.executable}: `make bench` makes an environment with them")
    return "; ".join(said)


def describe_machine() -> str:
    """Date, versions and kernel, on two lines."""
    packages = [f"{name} {_version_of(name)}" for name in PACKAGES]
    programs = [f"{name} {_program_version(name)}" for name in PROGRAMS]
    now = time.strftime("%Y-%m-%d %H:%M", time.gmtime())
    system = f"{platform.system()} {platform.release()}, {platform.machine()}"
    return f"{now} UTC · Python {platform.python_version()} · {system}\n{', '.join([*programs, *packages])}"


def _version_of(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None


def _program_version(name: str) -> str:
    done = subprocess.run([find_program(name), PROGRAMS[name]], capture_output=True, text=True)
    words = (done.stdout + done.stderr).replace("/", " ").split()
    return next((word.rstrip(",") for word in words if any(c.isdigit() for c in word) and "." in word), "?")


if __name__ == "__main__":
    main()
