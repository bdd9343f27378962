"""When a process that died is started again."""

from services.stack.restarts import LONGEST_DELAY_S, STEADY_AFTER_S, BackOff, describe_end


def test_the_first_restart_comes_soon_and_each_further_one_later() -> None:
    back_off = BackOff()
    assert [back_off.delay_after(1.0) for _ in range(8)] == [0.2, 0.4, 0.8, 1.6, 3.2, 6.4, 10.0, 10.0]


def test_who_ran_long_enough_starts_afresh() -> None:
    back_off = BackOff(next_delay_s=LONGEST_DELAY_S)
    assert back_off.delay_after(STEADY_AFTER_S) == 0.2


def test_an_end_is_told_in_words() -> None:
    assert describe_end(1) == "ended with status 1"
    assert describe_end(-9) == "was killed by signal 9"
