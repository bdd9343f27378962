"""How often a password may be guessed."""

from services.backend.throttle import BY_ADDRESS, BY_NAME, BY_PAIR, FORGET_AFTER_S, MAX_ENTRIES, LoginThrottle

HOME = "192.0.2.1"


def fail(throttle: LoginThrottle, times: int, *, address: str = HOME, name: str = "admin", now_s: float = 0.0) -> None:
    for _ in range(times):
        assert throttle.admit(address, name, now_s) == 0.0


def test_five_failures_are_free_and_the_sixth_attempt_has_to_wait() -> None:
    throttle = LoginThrottle()
    fail(throttle, 5)
    assert throttle.admit(HOME, "admin", 0.5) == 1.5
    assert throttle.admit(HOME, "admin", 2.0) == 0.0


def test_the_wait_doubles_up_to_a_minute() -> None:
    throttle = LoginThrottle()
    fail(throttle, 5)
    now_s, waits = 0.0, []
    for _ in range(7):
        waits.append(throttle.admit(HOME, "admin", now_s))
        now_s += waits[-1]
        fail(throttle, 1, now_s=now_s)
    assert waits == [2.0, 4.0, 8.0, 16.0, 32.0, 60.0, 60.0]


def test_an_attempt_that_is_refused_is_not_counted() -> None:
    throttle = LoginThrottle()
    fail(throttle, 5)
    assert [throttle.admit(HOME, "admin", 1.0) for _ in range(100)] == [1.0] * 100


def test_another_name_or_another_address_is_not_held_up() -> None:
    throttle = LoginThrottle()
    fail(throttle, 5)
    assert throttle.admit(HOME, "linh", 0.0) == 0.0
    assert throttle.admit("192.0.2.2", "admin", 0.0) == 0.0


def test_one_address_with_many_names_is_held_up_in_the_end() -> None:
    throttle = LoginThrottle()
    for number in range(BY_ADDRESS.free_failures):
        fail(throttle, 1, name=f"user{number}")
    assert throttle.admit(HOME, "somebody", 0.0) == 2.0


def test_one_name_from_many_addresses_is_slowed_but_never_locked() -> None:
    throttle = LoginThrottle()
    now_s = 0.0
    for number in range(BY_NAME.free_failures * 3):
        now_s += throttle.admit(f"192.0.2.{number}", "admin", now_s)
        throttle.admit(f"192.0.2.{number}", "admin", now_s)
    assert 0.0 < throttle.admit("198.51.100.1", "admin", now_s) <= BY_NAME.longest_wait_s


def test_success_gives_the_pair_a_fresh_start() -> None:
    throttle = LoginThrottle()
    for _ in range(20):
        fail(throttle, 1)
        throttle.forgive(HOME, "admin")
    fail(throttle, BY_PAIR.free_failures)


def test_failures_are_forgotten_after_a_while() -> None:
    throttle = LoginThrottle()
    fail(throttle, 5)
    fail(throttle, 5, now_s=FORGET_AFTER_S + 1.0)


def test_memory_is_bounded() -> None:
    throttle = LoginThrottle()
    for number in range(MAX_ENTRIES):
        throttle.admit(f"address{number}", f"name{number}", 0.0)
    assert len(throttle._records) == MAX_ENTRIES
