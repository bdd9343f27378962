"""Whether the names of a configuration can be looked up, for `--test-config`. Asks the resolver.

A name that can't be found is a warning: it may be there when the proxy runs, or where it runs.
"""

import threading
import time
from collections.abc import Iterable

from services.proxy.config_syntax import Mistake, Position
from services.proxy.discovery import Lookup, look_up

LOOKUP_TIMEOUT_S = 3.0


def warn_of_names(
    names: Iterable[tuple[str, Position]], lookup: Lookup = look_up, timeout_s: float = LOOKUP_TIMEOUT_S
) -> list[Mistake]:
    """A warning at the first place of each name that can't be looked up. Takes `timeout_s` at most, for all."""
    places: dict[str, Position] = {}
    for name, position in names:
        places.setdefault(name, position)
    problems: dict[str, str | None] = {}

    def ask(name: str) -> None:
        try:
            lookup(name)
            problems[name] = None
        except (OSError, UnicodeError) as error:
            problems[name] = getattr(error, "strerror", None) or str(error)

    threads = [threading.Thread(target=ask, args=(name,), daemon=True) for name in places]
    deadline = time.monotonic() + timeout_s
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(max(0.0, deadline - time.monotonic()))
    warnings = []
    for name, position in places.items():
        problem = problems.get(name, f"no answer within {timeout_s:g} s")
        if problem is not None:
            warnings.append(Mistake(position, f'the name "{name}" can\'t be looked up here: {problem}'))
    return warnings
