"""docs/http-conformance.md as a value: from outcomes to text, and back for the servers that are not at hand."""

import re
import textwrap
from collections.abc import Mapping
from dataclasses import dataclass, field

from conformance.case import BEHIND, Case
from conformance.cases import SUBJECTS
from conformance.reading import PREFACE, true_sentences

SERVERS = ("WeApRous", "nginx", "HAProxy")
OURS = SERVERS[0]

EITHER = " or "  # between outcomes of which now this, now that was seen

# A case's place in the document: subject and name. Names repeat between subjects.
Place = tuple[str, str]

_LEGEND = """\
A cell has the statuses in the order of the replies, `×` when the connection is closed afterwards (else a further
request on it is answered), `—` when there is no reply, `…` when neither reply nor end came. `20·200` is twenty
times 200; `or` stands between outcomes of which now this, now that was seen. In brackets: the field that belongs to
the outcome (Allow, Content-Range, Content-Length). **Bold** is against a MUST or a SHOULD of the RFCs; where that is
WeApRous, it is on purpose, and the code says why. HAProxy stands before nginx, and ¹ marks a refusal that came from
there. A request hidden in a body asks for `/smuggled`, which nobody has: `200 404` means that what followed the
body's end was taken for a request, which is right only where the body did end there.
"""


@dataclass(slots=True)
class Results:
    """What a document says: the version of each server, and each server's outcomes by place."""

    versions: dict[str, str] = field(default_factory=dict)
    outcomes: dict[str, dict[Place, str]] = field(default_factory=dict)


def render(results: Results) -> str:
    """The whole document. KeyError when an outcome of a case is missing."""
    parts = [PREFACE, _render_reading(results), "## How to read the tables\n\n" + _LEGEND, _render_counts(results)]
    parts += [_render_subject(subject, cases, results) for subject, cases in SUBJECTS.items()]
    return "\n".join(parts)


def _render_reading(results: Results) -> str:
    sentences = true_sentences(results.outcomes)
    wrapped = [
        textwrap.fill(f"- {sentence}", 116, subsequent_indent="  ", break_on_hyphens=False) for sentence in sentences
    ]
    return "## What differs\n\n" + "\n".join(wrapped) + "\n"


def _render_counts(results: Results) -> str:
    """How many cells are bold, and how many inputs are answered that another server refuses."""
    total = sum(len(cases) for cases in SUBJECTS.values())
    lines = [_row(["", *(f"{name} {results.versions[name]}" for name in SERVERS)]), _row(["---"] * 4)]
    against = [str(sum(not allowed for allowed in _verdicts(results.outcomes[name]))) for name in SERVERS]
    lines.append(_row([f"of {total} cases, against a MUST or SHOULD", *against]))
    strict = [place for place, outcome in results.outcomes[OURS].items() if _is_refusal(outcome)]
    refused = [str(sum(_is_refusal(results.outcomes[name][place]) for place in strict)) for name in SERVERS]
    lines.append(_row([f"of {len(strict)} that WeApRous refuses, refused", *refused]))
    return "\n".join(lines) + "\n"


def _verdicts(outcomes: Mapping[Place, str]) -> list[bool]:
    return [_is_allowed(case, outcomes[subject, case.name]) for subject, cases in SUBJECTS.items() for case in cases]


def _is_allowed(case: Case, cell: str) -> bool:
    return all(case.allows(outcome) for outcome in cell.split(EITHER))


def _is_refusal(outcome: str) -> bool:
    """Whether an error is among the replies, or there is none. 404 only says that the hidden request was seen."""
    words = outcome.replace(BEHIND, "").split(" (")[0].split()
    return any(word[0] in "45—" and word != "404" for word in words)


def _render_subject(subject: str, cases: tuple[Case, ...], results: Results) -> str:
    lines = [f"## {subject}\n", _row(["what is sent", "RFC", "what is right", *SERVERS]), _row(["---"] * 6)]
    for case in cases:
        cells = [results.outcomes[name][subject, case.name] for name in SERVERS]
        marked = [cell if _is_allowed(case, cell) else f"**{cell}**" for cell in cells]
        lines.append(_row([case.name, case.section, case.rule, *marked]))
    return "\n".join(lines) + "\n"


def _row(cells: list[str]) -> str:
    return "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |"


def parse(text: str) -> Results:
    """What a rendered document says. Outcomes of cases that it does not have are missing in the result."""
    results = Results(outcomes={name: {} for name in SERVERS})
    subject = ""
    for line in text.splitlines():
        if line.startswith("## "):
            subject = line[3:]
        cells = [cell.strip().replace("\\|", "|") for cell in re.split(r"(?<!\\)\|", line)[1:-1]]
        if len(cells) == 4 and cells[0] == "" and not results.versions:
            results.versions = {name: cell.removeprefix(f"{name} ") for name, cell in zip(SERVERS, cells[1:])}
        if len(cells) == 6 and cells[0] not in ("what is sent", "---"):
            for name, cell in zip(SERVERS, cells[3:]):
                results.outcomes[name][subject, cells[0]] = cell.removeprefix("**").removesuffix("**")
    return results
