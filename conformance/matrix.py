"""`python -m conformance.matrix`: writes docs/http-conformance.md, from the same bytes sent to three servers.

Needs nginx and HAProxy; `--ours` runs the cases against this server only and keeps the other columns of the document.
"""

import argparse
import sys
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Protocol

from conformance import document, reading, servers, wire
from conformance.cases import SUBJECTS
from shared.runtime.version import VERSION

DOCUMENT = servers.ROOT / "docs/http-conformance.md"
CONNECTIONS_AT_ONCE = 8  # most of the time is spent on cases that wait for a time-out

RUNS = 6  # some outcomes depend on what arrives first


class Starter(Protocol):
    """A server of `conformance.servers`."""

    def __call__(self, root: Path) -> AbstractContextManager[int]:
        """Runs it on a port of its own, with the files of `root`."""


STARTERS: dict[str, Starter] = {
    "WeApRous": servers.weaprous,
    "nginx": servers.nginx,
    "HAProxy": servers.haproxy,
}


def run_cases(server: str, patience_s: float, piece_bytes: int = 0) -> dict[document.Place, str]:
    """The outcome of every case on the server, started for it. The requests leave in pieces, or 0: whole."""
    with servers.site() as root, STARTERS[server](root) as port, ThreadPoolExecutor(CONNECTIONS_AT_ONCE) as pool:
        validators = wire.read_validators(port)
        target = wire.Target(port, validators, patience_s, server == "HAProxy", piece_bytes)
        running = {
            (subject, case.name): pool.submit(wire.run_case, target, case)
            for subject, cases in SUBJECTS.items()
            for case in cases
        }
        return {place: outcome.result() for place, outcome in running.items()}


def run_often(server: str) -> dict[document.Place, str]:
    """The outcome of every case, or the outcomes, where a restart of the server or the moment makes a difference."""
    runs = [run_cases(server, patience_s=5.0) for _ in range(RUNS)]
    return {place: document.EITHER.join(sorted({run[place] for run in runs})) for place in runs[0]}


def measure(names: tuple[str, ...], known: document.Results) -> document.Results:
    """`known` with the columns of these servers taken anew."""
    for name in names:
        known.versions[name] = VERSION if name == document.OURS else servers.program_version(name.lower())
        known.outcomes[name] = run_often(name)
    return known


def wrong_outcomes(results: document.Results) -> list[str]:
    """Our outcomes that are not what the tables of cases ask for."""
    ours = results.outcomes[document.OURS]
    return [
        f"{subject}: {case.name}: got {ours[subject, case.name]!r}, expected {case.right!r}"
        for subject, cases in SUBJECTS.items()
        for case in cases
        if ours[subject, case.name] != case.right
    ]


def main() -> int:
    """Runs what the command line asks for; 1 when our own outcomes are not right, 2 when a server is missing."""
    parser = argparse.ArgumentParser(prog="python -m conformance.matrix", description=__doc__)
    parser.add_argument("--ours", action="store_true", help="run against this server only, keep the other columns")
    only_ours = parser.parse_args().ours
    known = document.parse(DOCUMENT.read_text("utf-8")) if only_ours else document.Results()
    try:
        results = measure((document.OURS,) if only_ours else document.SERVERS, known)
        text = document.render(results)
    except servers.MissingProgram as missing:
        print(f"conformance: {missing}; `--ours` needs neither nginx nor HAProxy", file=sys.stderr)
        return 2
    except KeyError as unknown:
        print(f"conformance: the document has no outcome for {unknown}; run it without --ours", file=sys.stderr)
        return 2
    DOCUMENT.write_text(text, "utf-8")
    for dropped in reading.dropped_sentences(results.outcomes):
        print(f"conformance: no longer true, left out: {dropped}", file=sys.stderr)
    wrong = wrong_outcomes(results)
    print("\n".join(wrong), end="\n" if wrong else "")
    print(f"{DOCUMENT.relative_to(servers.ROOT)}: {len(results.outcomes[document.OURS])} cases, {len(wrong)} not right")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
