"""How long to wait before a process that died is started again. Pure: times are parameters."""

from dataclasses import dataclass

FIRST_DELAY_S = 0.2
LONGEST_DELAY_S = 10.0
STEADY_AFTER_S = 30.0  # who ran this long starts afresh


@dataclass(slots=True)
class BackOff:
    """Delays that double with each death, and begin anew after a life of `STEADY_AFTER_S`."""

    next_delay_s: float = FIRST_DELAY_S

    def delay_after(self, life_s: float) -> float:
        """Seconds to wait after a life of that length."""
        if life_s >= STEADY_AFTER_S:
            self.next_delay_s = FIRST_DELAY_S
        delay_s = self.next_delay_s
        self.next_delay_s = min(delay_s * 2, LONGEST_DELAY_S)
        return delay_s


def describe_end(status: int) -> str:
    """How a process ended, in words: `returncode` of subprocess, negative for a signal."""
    return f"ended with status {status}" if status >= 0 else f"was killed by signal {-status}"
