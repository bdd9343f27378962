"""A plain text table, for people and for pasting into docs."""

from collections.abc import Sequence


def render(title: str, columns: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """The table under its title, columns as wide as their widest cell, numbers to the right."""
    widths = [max(len(row[i]) for row in [columns, *rows]) for i in range(len(columns))]
    lines = [title, ""]
    for row in [columns, ["-" * width for width in widths], *rows]:
        cells = [cell.ljust(widths[0]) if i == 0 else cell.rjust(widths[i]) for i, cell in enumerate(row)]
        lines.append("  " + "  ".join(cells))
    return "\n".join(lines) + "\n"
