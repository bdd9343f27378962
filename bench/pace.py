"""How long and how much a run measures, and how rounds become figures: `FULL` for figures, `QUICK` for a smoke run."""

from collections.abc import Callable, Hashable, Mapping
from dataclasses import dataclass
from statistics import median
from typing import Generic, TypeVar

Key = TypeVar("Key", bound=Hashable)


@dataclass(frozen=True, slots=True)
class Pace:
    """Sizes of one run. Every figure is the median of `rounds`."""

    rounds: int = 5
    duration_s: int = 1  # of load, for one figure of one round; wrk knows whole seconds only
    downloads: int = 10  # of 100 MiB, likewise
    idle_connections: int = 9_000
    idle_websockets: int = 5_000
    receivers: int = 1_000  # of each broadcast
    broadcasts: int = 20  # for one figure of one round


FULL = Pace()
QUICK = Pace(1, 1, 1, 500, 300, 100, 5)


@dataclass(frozen=True, slots=True)
class Figures(Generic[Key]):
    """What the rounds gave, in their order."""

    rounds: Mapping[Key, list[float]]

    def __getitem__(self, key: Key) -> float:
        """The median of the rounds."""
        return median(self.rounds[key])

    def ratio(self, key: Key, base: Key) -> float:
        """The median of the rounds' own ratios: what was measured side by side is compared."""
        return median(figure / other for figure, other in zip(self.rounds[key], self.rounds[base]))


def measure_in_rounds(measures: Mapping[Key, Callable[[], float]], rounds: int) -> Figures[Key]:
    """A round visits all of them in turn, so that a busy neighbour troubles all alike."""
    figures: dict[Key, list[float]] = {key: [] for key in measures}
    for _ in range(rounds):
        for key, measure in measures.items():
            figures[key].append(measure())
    return Figures(figures)
