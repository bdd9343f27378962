"""What the whole stack costs when nobody uses it: `python -m bench.memory [--settle-s 20] [--measure-s 10]`.

Starts `python -m services` on ports of its own with a folder of its own, waits, and reads from /proc the proportional
set size (PSS: pages that several processes share are counted once) and the CPU time of each process. Linux only.
"""

import argparse
import os
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
READY = b"WeApRous is running"
_TICKS_PER_S = os.sysconf("SC_CLK_TCK") if hasattr(os, "sysconf") else 100


@dataclass(frozen=True, slots=True)
class ProcessCost:
    """One process: its PSS in KiB, and the CPU time it has used in seconds."""

    pid: int
    command: str
    pss_kib: int
    cpu_s: float


def find_family(pid: int) -> list[int]:
    """The process and all its descendants."""
    family = [pid]
    for parent in family:
        for task in Path(f"/proc/{parent}/task").iterdir():
            family += [int(word) for word in (task / "children").read_text().split()]
    return family


def measure(pid: int) -> ProcessCost:
    """What the process costs now."""
    rollup = Path(f"/proc/{pid}/smaps_rollup").read_text()
    pss_kib = next(int(line.split()[1]) for line in rollup.splitlines() if line.startswith("Pss:"))
    after_name = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    words = Path(f"/proc/{pid}/cmdline").read_bytes().decode("utf-8", "replace").split("\x00")
    cpu_s = (int(after_name[11]) + int(after_name[12])) / _TICKS_PER_S
    return ProcessCost(pid, " ".join(words[1:5]).strip(), pss_kib, cpu_s)


def report(pid: int, measure_s: float) -> None:
    """Prints a line a process and the sums, CPU time over `measure_s` seconds."""
    before = {cost.pid: cost.cpu_s for cost in map(measure, find_family(pid))}
    time.sleep(measure_s)
    costs = [measure(each) for each in find_family(pid)]
    print(f"{'PSS MiB':>8} {'CPU ms/s':>9}  process")
    for cost in costs:
        used_ms = (cost.cpu_s - before.get(cost.pid, 0.0)) * 1000 / measure_s
        print(f"{cost.pss_kib / 1024:8.1f} {used_ms:9.2f}  {cost.command}")
    total_mib = sum(cost.pss_kib for cost in costs) / 1024
    total_ms = sum(cost.cpu_s - before.get(cost.pid, 0.0) for cost in costs) * 1000 / measure_s
    print(f"{total_mib:8.1f} {total_ms:9.2f}  all of {len(costs)} processes, Python {sys.version.split()[0]}")


def wait_until_ready(process: "subprocess.Popen[bytes]", output: Path) -> None:
    """Returns when the stack has greeted; ends this program when it can't start."""
    while READY not in output.read_bytes():
        if process.poll() is not None:
            sys.exit(f"the stack ended with {process.returncode}:\n{output.read_text()}")
        time.sleep(0.1)


def main() -> None:
    """Start, measure, print, end."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--backends", type=int, default=3)
    parser.add_argument("--peers", type=int, default=3)
    parser.add_argument("--port-offset", type=int, default=25_000)
    parser.add_argument("--settle-s", type=float, default=10.0)
    parser.add_argument("--measure-s", type=float, default=20.0)
    chosen = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        output = Path(folder) / "output"
        stack = f"--backends {chosen.backends} --peers {chosen.peers} --port-offset {chosen.port_offset}"
        command = [sys.executable, "-m", "services", *stack.split(), "--var-dir", f"{folder}/var"]
        with output.open("wb") as out:
            process = subprocess.Popen(command, cwd=ROOT, stdout=out, stderr=out)
        try:
            wait_until_ready(process, output)
            time.sleep(chosen.settle_s)
            report(process.pid, chosen.measure_s)
        finally:
            process.terminate()
            process.wait()


if __name__ == "__main__":
    main()
