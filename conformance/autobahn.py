"""`python -m conformance.autobahn`: the Autobahn testsuite against both ends of our WebSocket.

Its fuzzing client plays every case against `echo_server`, its fuzzing server against `echo_client`; both at the same
time. What it says of each case goes to the folder of `--out` as HTML and JSON, a summary to the terminal. The exit
status is 0 when every case passed, 1 when one did not, 2 when the testsuite can't be run. All 517 cases take an hour.
"""

import argparse
import contextlib
import json
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from conformance import servers
from conformance.echo_client import AGENT
from conformance.python27 import SetupError, ensure_environment

ALL_CASES = 517
# What the testsuite says of a case and means it well. NON-STRICT: legal, but another way is better; INFORMATIONAL:
# there is no right and wrong. UNIMPLEMENTED is none of them: every extension it tests is implemented here.
PASSED, TOLERATED = "OK", ("NON-STRICT", "INFORMATIONAL")


@dataclass(frozen=True, slots=True)
class Verdict:
    """What the testsuite says of one case: how it went, and how the connection ended."""

    case: str
    behavior: str
    close_behavior: str

    @property
    def outcome(self) -> str:
        """The worse of the two, as the testsuite names it."""
        for said in (self.behavior, self.close_behavior):
            if said not in (PASSED, *TOLERATED):
                return said
        return self.behavior

    @property
    def has_passed(self) -> bool:
        """Whether nothing was wrong."""
        return self.outcome in (PASSED, *TOLERATED)


def parse_index(text: str) -> list[Verdict]:
    """The verdicts of a report's index.json, in the order of the cases. ValueError for anything else."""
    agents = json.loads(text)
    if list(agents) != [AGENT]:
        raise ValueError(f"got a report on {list(agents)}, expected {AGENT}")
    verdicts = [Verdict(case, said["behavior"], said["behaviorClose"]) for case, said in agents[AGENT].items()]
    return sorted(verdicts, key=lambda verdict: [int(number) for number in verdict.case.split(".")])


def summarize(end: str, verdicts: Sequence[Verdict]) -> str:
    """A line of counts, and below it the cases that are not simply OK."""
    by_outcome: dict[str, list[str]] = {}
    for verdict in verdicts:
        by_outcome.setdefault(verdict.outcome, []).append(verdict.case)
    failed = sum(not verdict.has_passed for verdict in verdicts)
    tolerated = "".join(f"{len(by_outcome.get(outcome, ()))} {outcome.lower()}, " for outcome in TOLERATED)
    lines = [f"{end}: {len(verdicts)} cases: {len(by_outcome.pop(PASSED, ()))} passed, {tolerated}{failed} failed"]
    lines += [f"  {outcome}: {' '.join(cases)}" for outcome, cases in sorted(by_outcome.items())]
    return "\n".join(lines)


def play_server(wstest: Path, cases: list[str], out: Path) -> list[Verdict]:
    """Every case against our server."""
    port = servers.free_port()
    command = [sys.executable, "-m", "conformance.echo_server", "--port", str(port)]
    spec = {"outdir": str(out), "servers": [{"agent": AGENT, "url": f"ws://127.0.0.1:{port}"}]}
    with servers.running(command, lambda: servers.accepts(port)):
        _run([str(wstest), "-m", "fuzzingclient", "-s", str(_write_spec(out, spec, cases))], out)
    return parse_index((out / "index.json").read_text("utf-8"))


def play_client(wstest: Path, cases: list[str], out: Path) -> list[Verdict]:
    """Every case against our client."""
    port = servers.free_port()
    spec = _write_spec(out, {"outdir": str(out), "url": f"ws://127.0.0.1:{port}"}, cases)
    with servers.running(
        [str(wstest), "-m", "fuzzingserver", "-s", str(spec), "--webport", "0"], lambda: servers.accepts(port)
    ):
        _run([sys.executable, "-m", "conformance.echo_client", "--url", f"ws://127.0.0.1:{port}"], out)
    return parse_index((out / "index.json").read_text("utf-8"))


def _write_spec(out: Path, spec: Mapping[str, object], cases: list[str]) -> Path:
    out.mkdir(parents=True, exist_ok=True)
    for old in out.glob("*.json"):
        old.unlink()
    path = out.with_suffix(".spec.json")
    path.write_text(json.dumps({**spec, "cases": cases, "exclude-cases": [], "exclude-agent-cases": {}}), "utf-8")
    return path


def _run(command: list[str], out: Path) -> None:
    """Runs it to its end, its output in a file beside the reports; RuntimeError when it fails."""
    log = out.with_suffix(".log")
    with log.open("wb") as output, _process(command, output.fileno()) as process:
        if process.wait() != 0:
            raise RuntimeError(f"{' '.join(command)} failed, see {log}")


@contextlib.contextmanager
def _process(command: list[str], output: int) -> Iterator["subprocess.Popen[bytes]"]:
    process = subprocess.Popen(  # noqa: S603
        command, cwd=servers.ROOT, stdin=subprocess.DEVNULL, stdout=output, stderr=output
    )
    try:
        yield process
    finally:
        process.terminate()
        process.wait()


ENDS = {"server": play_server, "client": play_client}


def main() -> int:
    """Runs what the command line asks for."""
    parser = argparse.ArgumentParser(prog="python -m conformance.autobahn", description=__doc__)
    parser.add_argument("ends", nargs="*", metavar="END", help="`server` or `client` (default: both)")
    parser.add_argument("--cases", default="*", help="which, as 1.*,5.3,12.* (default: all)")
    parser.add_argument("--out", type=Path, default=servers.ROOT / "var/autobahn", help="folder of the reports")
    arguments = parser.parse_args()
    ends = arguments.ends or list(ENDS)
    if unknown := sorted(set(ends) - set(ENDS)):
        parser.error(f"got {', '.join(unknown)}, expected {' or '.join(ENDS)}")
    try:
        wstest = ensure_environment()
    except SetupError as error:
        print(f"conformance: {error}", file=sys.stderr)
        return 2
    cases = arguments.cases.split(",")
    print(f"running; the reports will be {arguments.out.resolve()}/…/index.html", flush=True)
    with ThreadPoolExecutor(len(ends)) as pool:
        running = {end: pool.submit(ENDS[end], wstest, cases, arguments.out.resolve() / end) for end in ends}
    results = {end: verdicts.result() for end, verdicts in running.items()}
    for end, verdicts in results.items():
        print(summarize(end, verdicts))
    is_whole = cases != ["*"] or all(len(verdicts) == ALL_CASES for verdicts in results.values())
    return 0 if is_whole and all(verdict.has_passed for verdicts in results.values() for verdict in verdicts) else 1


if __name__ == "__main__":
    sys.exit(main())
