"""Names that can't be looked up are a warning."""

import threading

from services.proxy.config_names import warn_of_names
from services.proxy.config_syntax import Position
from services.proxy.discovery import Addresses

HERE, THERE = Position(1, 2), Position(3, 4)


def look_up(name: str) -> Addresses:
    if name == "unknown":
        raise OSError(-2, "Name or service not known")
    return ("10.0.0.1",)


def test_only_those_nobody_knows_are_warned_of_each_at_its_first_place() -> None:
    [warning] = warn_of_names([("known", HERE), ("unknown", THERE), ("unknown", HERE)], look_up)
    assert warning.position == THERE
    assert warning.message == 'the name "unknown" can\'t be looked up here: Name or service not known'


def test_a_resolver_that_never_answers_holds_nobody_up() -> None:
    never = threading.Event()

    def wait(_: str) -> Addresses:
        never.wait(30)
        return ()

    [warning] = warn_of_names([("slow", HERE)], wait, timeout_s=0.01)
    assert warning.message == 'the name "slow" can\'t be looked up here: no answer within 0.01 s'
    never.set()


def test_without_names_nothing_is_asked() -> None:
    assert warn_of_names([], look_up) == []
