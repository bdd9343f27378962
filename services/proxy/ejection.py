"""When an upstream is left out for what requests met there, and for how long. Pure, time as a parameter.

Counts what happened to one upstream. What follows for its state, and that it is never the last one, is
`upstreams`' to say.
"""

from services.proxy.config_values import EjectionConfig

_SLICES = 10  # a window is counted in as many parts, the oldest of which is forgotten whole


class Record:
    """What requests met at one upstream lately."""

    __slots__ = ("_at", "_errors", "_replies", "broken", "duration_s", "ejections", "last_ejected_at")

    def __init__(self) -> None:
        self.broken = 0  # attempts without a good reply, in a row
        self.ejections = 0  # since it was well for long
        self.last_ejected_at = 0.0
        self.duration_s = 0.0  # of the last ejection
        self.forget()

    def forget(self) -> None:
        """What came before says nothing about from now on; how often it was ejected stays."""
        self.broken = 0
        self._at = 0  # the slice of time that is counted now
        self._replies = [0] * _SLICES
        self._errors = [0] * _SLICES

    def note_reply(self, status: int, now: float, config: EjectionConfig) -> str | None:
        """A reply began. Says why the upstream is to be ejected, or None."""
        self.broken = 0
        if not config.errors_percent:
            return None
        self._advance(now, config.window_s)
        slot = self._at % _SLICES
        self._replies[slot] += 1
        if status < 500:
            return None
        self._errors[slot] += 1
        replies, errors = sum(self._replies), sum(self._errors)
        if replies < config.requests or errors * 100 < replies * config.errors_percent:
            return None
        return f"{errors} of {replies} replies had a status of 5xx"

    def _advance(self, now: float, window_s: float) -> None:
        at = int(now * _SLICES / window_s)
        for passed in range(max(self._at + 1, at - _SLICES + 1), at + 1):
            self._replies[passed % _SLICES] = self._errors[passed % _SLICES] = 0
        self._at = max(at, self._at)

    def note_broken(self, problem: str, fails: int) -> str | None:
        """An attempt got no whole reply. Says why the upstream is to be ejected, or None."""
        self.broken += 1
        if not fails or self.broken < fails:
            return None
        return f"{self.broken} requests in a row failed: {problem}" if self.broken > 1 else problem

    def eject(self, now: float, time_s: float, max_time_s: float) -> float:
        """It is ejected now; returns until when. Twice as long as the last time, unless that was long ago."""
        if self.ejections and now - (self.last_ejected_at + self.duration_s) > max_time_s:
            self.ejections = 0
        self.duration_s = min(time_s * 2.0 ** min(self.ejections, 30), max(time_s, max_time_s))
        self.ejections += 1
        self.last_ejected_at = now
        self.forget()
        return now + self.duration_s
