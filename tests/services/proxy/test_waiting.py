"""Who waits for a place, in which order, and for how long."""

from services.proxy.config_values import QueueConfig
from services.proxy.waiting import Ticket, WaitingQueue


class Waiter:
    """Joins a queue and writes down what it is told."""

    def __init__(self, queue: WaitingQueue, name: str, told: list[str], now: float = 0.0) -> None:
        ticket = queue.join(now)
        assert ticket is not None
        self.ticket: Ticket = ticket
        ticket.on_place = lambda: told.append(f"{name} place")
        ticket.on_timeout = lambda: told.append(f"{name} timeout")


def places(count: int):
    left = [True] * count
    return lambda: bool(left) and left.pop()


def test_first_come_first_served_as_long_as_there_is_room() -> None:
    told: list[str] = []
    queue = WaitingQueue(QueueConfig(5))
    for name in "abc":
        Waiter(queue, name, told)
    queue.admit(places(2))
    assert (told, len(queue)) == (["a place", "b place"], 1)
    queue.admit(places(0))
    queue.admit(places(5))
    assert (told, len(queue)) == (["a place", "b place", "c place"], 0)


def test_no_more_may_wait_than_there_is_room_for_and_nobody_without_a_queue() -> None:
    queue = WaitingQueue(QueueConfig(1))
    first = queue.join(0.0)
    assert first is not None
    assert queue.join(0.0) is None
    first.leave()
    assert queue.join(0.0) is not None
    assert WaitingQueue().join(0.0) is None


def test_time_is_over_for_each_by_itself_and_whoever_left_hears_nothing() -> None:
    told: list[str] = []
    queue = WaitingQueue(QueueConfig(5, timeout_s=2.0))
    a, b, c = (Waiter(queue, name, told, now) for name, now in (("a", 0.0), ("b", 1.0), ("c", 1.0)))
    queue.expire(1.9)
    assert told == []
    b.ticket.leave()
    queue.expire(2.0)
    assert told == ["a timeout"]
    queue.admit(places(1))
    queue.expire(99.0)
    assert told == ["a timeout", "c place"]
    a.ticket.leave()
    c.ticket.leave()
    assert len(queue) == 0


def test_one_that_leaves_while_another_is_told_is_not_told() -> None:
    told: list[str] = []
    queue = WaitingQueue(QueueConfig(5, timeout_s=1.0))
    a, b = Waiter(queue, "a", told), Waiter(queue, "b", told)
    a.ticket.on_timeout = b.ticket.leave
    queue.expire(5.0)
    assert told == []
