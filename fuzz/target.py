"""What every target is made of, and the ways to cut an input up."""

import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Target:
    """`check` returns for every input, whatever it holds; an exception that gets out of it is a find.

    `modules` are those whose branches guide the search. `words` go into libFuzzer's dictionary.
    """

    name: str
    check: Callable[[bytes], None]
    modules: tuple[str, ...]
    seeds: Sequence[bytes]
    words: Sequence[bytes] = ()
    max_bytes: int = 4096


def take_choices(data: bytes) -> tuple[random.Random, bytes]:
    """The first two bytes choose whatever is not in the input itself (where to cut, which side of the protocol)."""
    return random.Random(data[:2]), data[2:]


def random_parts(data: bytes, choices: random.Random) -> list[bytes]:
    """The data cut at up to eight places, or into single bytes."""
    if choices.random() < 0.2:
        return [data[at : at + 1] for at in range(len(data))]
    cuts = sorted(choices.randrange(len(data) + 1) for _ in range(choices.randrange(9)))
    return [data[start:end] for start, end in zip([0, *cuts], [*cuts, len(data)])]


def expect_equal(whole: object, split: object, what: str) -> None:
    """AssertionError that shows both when they differ."""
    if whole != split:
        raise AssertionError(f"{what} differ:\n  {whole!r}\n  {split!r}")
