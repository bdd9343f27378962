"""A plain text table with what it is held against, for people and for pasting into docs."""

from collections.abc import Sequence


def render(title: str, columns: Sequence[str], rows: Sequence[Sequence[str]], notes: Sequence[str] = ()) -> str:
    """The table under its title, columns as wide as their widest cell, numbers to the right; then the notes."""
    widths = [max(len(row[i]) for row in [columns, *rows]) for i in range(len(columns))]
    lines = [title, ""]
    for row in [columns, ["-" * width for width in widths], *rows]:
        cells = [cell.ljust(widths[0]) if i == 0 else cell.rjust(widths[i]) for i, cell in enumerate(row)]
        lines.append("  " + "  ".join(cells))
    if notes:
        lines += ["", *(f"  {note}" for note in notes)]
    return "\n".join(lines) + "\n"


def judge(what: str, figure: float, bound: float, unit: str = "×") -> str:
    """A line that says whether a target is met: the figure is at most the bound."""
    verdict = "met:    " if figure <= bound else "NOT MET:"
    return f"{verdict} {what}: {figure:.2f} {unit}, wanted at most {bound:g} {unit}"
