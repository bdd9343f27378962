"""`python -m fuzz [TARGET …]`: each target under atheris for its share of `--seconds`; finds are shown as bytes.

The exit status is 1 when something was found, else 0. Corpora grow in the folder of `--out` from run to run.
"""

import argparse
import os
import re
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
TARGETS = (
    "http_request",
    "http_reply",
    "field_values",
    "websocket_frames",
    "proxy_conf",
    "proxy_protocol",
    "peer_wire",
)
FINDS = ("crash-*", "timeout-*", "oom-*", "leak-*")
NOISE = ("#", "INFO", "stat::", "WARNING: Failed to find function", "MS: ", "0x", "\\", "Base64")
MAX_SHOWN = 500  # characters of a line of the output
START_S = 60  # how much longer than its share a target may take, to start and to stop


@dataclass(frozen=True, slots=True)
class Run:
    """How a target fared."""

    name: str
    executions: int
    finds: tuple[Path, ...]
    output: str
    exit_status: int

    @property
    def has_failed(self) -> bool:
        """Whether it found something, or did not run as it should."""
        return bool(self.finds) or self.exit_status != 0


def fuzz(name: str, out: Path, seconds: int) -> Run:
    """One target for so long."""
    folder = out / name
    before = set(_finds(folder))
    command = [sys.executable, "-m", "fuzz.drive", name, str(folder), str(seconds)]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    done = subprocess.run(  # noqa: S603
        command, cwd=ROOT, capture_output=True, timeout=seconds + START_S, env=environment, check=False
    )
    output = (done.stdout + done.stderr).decode(errors="replace")
    executed = re.search(r"stat::number_of_executed_units: (\d+)", output)
    finds = tuple(sorted(set(_finds(folder)) - before))
    return Run(name, int(executed[1]) if executed else 0, finds, output, done.returncode)


def _finds(folder: Path) -> list[Path]:
    return [path for pattern in FINDS for path in folder.glob(pattern)]


def report(run: Run) -> str:
    """A line, and what was found."""
    lines = [f"{run.name:18} {run.executions:>9,} inputs, {len(run.finds)} finds"]
    for find in run.finds:
        lines += [f"  {find}:", f"  {find.read_bytes()!r}"]
    if run.has_failed:
        lines += [f"  | {line}" for line in run.output.splitlines() if not line.startswith(("#", "INFO", "stat::"))][
            -40:
        ]
    return "\n".join(lines)


def main() -> int:
    """Runs what the command line asks for."""
    parser = argparse.ArgumentParser(prog="python -m fuzz", description=__doc__)
    parser.add_argument("targets", nargs="*", metavar="TARGET", help=f"of {', '.join(TARGETS)} (default: all)")
    parser.add_argument("--seconds", type=int, default=60, help="for all targets together (default: 60)")
    parser.add_argument("--out", type=Path, default=ROOT / "var/fuzz", help="folder of the corpora and of the finds")
    arguments = parser.parse_args()
    targets = arguments.targets or list(TARGETS)
    if unknown := sorted(set(targets) - set(TARGETS)):
        parser.error(f"got {', '.join(unknown)}, expected some of {', '.join(TARGETS)}")
    share_s = max(1, arguments.seconds // len(targets))
    has_failed = False
    for name in targets:
        run = fuzz(name, arguments.out.resolve(), share_s)
        print(report(run), flush=True)
        has_failed |= run.has_failed
    return 1 if has_failed else 0


if __name__ == "__main__":
    sys.exit(main())
