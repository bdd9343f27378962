"""`python -m bench [SCENARIO …]`: runs the scenarios, all by default, and prints a table for each."""

import argparse
import importlib
import platform

SCENARIOS = ("small_get",)


def main() -> None:
    """Runs what the command line asks for."""
    parser = argparse.ArgumentParser(prog="python -m bench", description=__doc__)
    parser.add_argument("scenarios", nargs="*", metavar="SCENARIO", help=f"of {', '.join(SCENARIOS)}; default: all")
    chosen = parser.parse_args().scenarios or SCENARIOS
    if unknown := sorted(set(chosen) - set(SCENARIOS)):
        parser.error(f"got {', '.join(unknown)}, expected some of {', '.join(SCENARIOS)}")
    print(f"Python {platform.python_version()}, {platform.machine()}\n")
    for name in chosen:
        print(importlib.import_module(f"bench.{name}").run(), flush=True)


if __name__ == "__main__":
    main()
