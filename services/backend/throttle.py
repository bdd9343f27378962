"""How often someone may try to log in: failures counted by who and from where. Pure: `now_s` is a parameter.

Each attempt is counted when it begins, so that many at the same time gain nothing, and forgiven when it succeeds.
A state per process: with three replicas a guesser gets three times as many attempts, which changes nothing.
"""

from collections import OrderedDict
from dataclasses import dataclass
from typing import NamedTuple

FORGET_AFTER_S = 900.0
MAX_ENTRIES = 10_000


@dataclass(frozen=True, slots=True)
class Allowance:
    """Failures that cost nothing; then the wait is two seconds, and doubles with each."""

    free_failures: int
    longest_wait_s: float

    def wait_after(self, failures: int) -> float:
        """Seconds to wait after that many failures."""
        over = failures - self.free_failures
        return 0.0 if over < 0 else min(2.0 ** min(over + 1, 30), self.longest_wait_s)


# A name alone may never be locked for long: anyone could lock the administrator out.
BY_PAIR = Allowance(free_failures=5, longest_wait_s=60.0)
BY_ADDRESS = Allowance(free_failures=30, longest_wait_s=60.0)
BY_NAME = Allowance(free_failures=50, longest_wait_s=5.0)


class Subject(NamedTuple):
    """Whose failures are counted: an address, a name, or both together."""

    address: str | None
    name: str | None


@dataclass(slots=True)
class _Record:
    failures: int = 0
    last_s: float = 0.0


class LoginThrottle:
    """`admit` before each attempt; `forgive` after one that succeeded."""

    def __init__(self) -> None:
        self._records: OrderedDict[Subject, _Record] = OrderedDict()  # oldest failure first

    def admit(self, address: str, name: str, now_s: float) -> float:
        """0.0 when the attempt may be made, which is then counted; else the seconds until one may be."""
        waits = (self._wait(subject, allowance, now_s) for subject, allowance in _subjects(address, name))
        wait_s = max(waits)
        if wait_s <= 0.0:
            for subject, _ in _subjects(address, name):
                self._count(subject, now_s)
        return wait_s

    def forgive(self, address: str, name: str) -> None:
        """The attempt succeeded: the pair starts afresh, address and name have one failure less."""
        self._records.pop(Subject(address, name), None)
        for subject in (Subject(address, None), Subject(None, name)):
            record = self._records.get(subject)
            if record is not None:
                record.failures -= 1

    def _wait(self, subject: Subject, allowance: Allowance, now_s: float) -> float:
        record = self._records.get(subject)
        if record is None or now_s - record.last_s > FORGET_AFTER_S:
            return 0.0
        return record.last_s + allowance.wait_after(record.failures) - now_s

    def _count(self, subject: Subject, now_s: float) -> None:
        record = self._records.pop(subject, None)
        if record is None or now_s - record.last_s > FORGET_AFTER_S:
            record = _Record()
        record.failures += 1
        record.last_s = now_s
        self._records[subject] = record
        while len(self._records) > MAX_ENTRIES:
            self._records.popitem(last=False)


def _subjects(address: str, name: str) -> tuple[tuple[Subject, Allowance], ...]:
    return (
        (Subject(address, name), BY_PAIR),
        (Subject(address, None), BY_ADDRESS),
        (Subject(None, name), BY_NAME),
    )
