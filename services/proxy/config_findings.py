"""What a reading of a `proxy.conf` has found wrong or odd so far, and how it is told.

Everyone who reads a part of the file notes here and goes on, so that one reading finds all there is.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from services.proxy.config_arguments import ArgumentError
from services.proxy.config_directives import Context
from services.proxy.config_scope import Scope, read_scope
from services.proxy.config_syntax import Directive, Mistake, Position


class ConfigError(Exception):
    """A file that can't be used. `mistakes` are in the file's order; `lines()` is what a person is shown."""

    def __init__(self, file_name: str, mistakes: Iterable[Mistake], warnings: Iterable[Mistake] = ()) -> None:
        self.file_name = file_name
        self.mistakes = sorted(set(mistakes))
        self.warnings = sorted(set(warnings))
        super().__init__("; ".join(self.lines()))

    def lines(self) -> list[str]:
        """`FILE:LINE:COL: message`, one for each mistake and, marked as such, for each warning."""
        return told(self.file_name, self.mistakes, self.warnings)


def told(file_name: str, mistakes: Iterable[Mistake], warnings: Iterable[Mistake]) -> list[str]:
    """`FILE:LINE:COL: message` and `FILE:LINE:COL: warning: message`, in the order of the file."""
    found = [(mistake.position, mistake.message) for mistake in mistakes]
    found += [(warning.position, f"warning: {warning.message}") for warning in warnings]
    return [f"{file_name}:{position.line}:{position.column}: {message}" for position, message in sorted(found)]


@dataclass(slots=True)
class Findings:
    """The mistakes and warnings of one reading."""

    mistakes: list[Mistake] = field(default_factory=list)
    warnings: list[Mistake] = field(default_factory=list)

    def note(self, position: Position, message: str) -> None:
        """A mistake: the file can't be used."""
        self.mistakes.append(Mistake(position, message))

    def note_error(self, error: ArgumentError) -> None:
        """A mistake in one argument."""
        self.note(error.position, error.message)

    def warn(self, position: Position, message: str) -> None:
        """Something that can be used but can't be meant."""
        self.warnings.append(Mistake(position, message))

    def read_scope(self, directives: Sequence[Directive], context: Context) -> Scope:
        """The directives of one block by name."""
        return read_scope(directives, context, self.mistakes)

    def has_mistake_inside(self, directive: Directive) -> bool:
        """Whether something in the block was refused: what is missing may be what was refused."""
        inside = {word.position for child in directive.block or () for word in (child.name, *child.arguments)}
        return any(mistake.position in inside for mistake in self.mistakes)
