"""Who fetches, who waits, and what they are told."""

from services.proxy.collapsing import MAX_UNSTORABLE, UNSTORABLE_S, Fetches


class Waiting:
    """One request that waits; what it was told."""

    def __init__(self) -> None:
        self.told: list[bool] = []

    def __call__(self, is_stored: bool) -> None:
        self.told.append(is_stored)


def test_the_first_fetches_and_the_others_are_told_when_it_is_there() -> None:
    fetches, others = Fetches(), [Waiting(), Waiting()]
    assert fetches.join("k", Waiting(), 0.0)
    assert [fetches.join("k", each, 0.0) for each in others] == [False, False]
    assert fetches.join("other", Waiting(), 0.0)
    fetches.settle("k", 1.0, is_stored=True)
    assert [each.told for each in others] == [[True], [True]]
    assert fetches.join("k", Waiting(), 1.0)


def test_after_a_fetch_that_failed_one_takes_over_and_the_rest_waits_on() -> None:
    fetches, second, third = Fetches(), Waiting(), Waiting()
    fetches.join("k", Waiting(), 0.0)
    fetches.join("k", second, 0.0)
    fetches.join("k", third, 0.0)
    fetches.settle("k", 1.0, is_stored=False)
    assert (second.told, third.told) == ([False], [])
    fetches.settle("k", 2.0, is_stored=True)
    assert (second.told, third.told) == ([False], [True])
    assert len(fetches) == 0


def test_after_the_last_has_failed_nobody_leads() -> None:
    fetches = Fetches()
    fetches.join("k", Waiting(), 0.0)
    fetches.settle("k", 1.0, is_stored=False)
    assert len(fetches) == 0


def test_what_can_t_be_stored_is_waited_for_by_nobody_for_a_while() -> None:
    fetches, others = Fetches(), [Waiting(), Waiting()]
    fetches.join("k", Waiting(), 0.0)
    for each in others:
        fetches.join("k", each, 0.0)
    fetches.settle("k", 1.0, is_stored=False, may_be_stored=False)
    assert [each.told for each in others] == [[False], [False]]
    assert all(fetches.join("k", Waiting(), 1.0) for _ in range(3))
    fetches.settle("k", 2.0, is_stored=False, may_be_stored=False)
    after = 2.0 + UNSTORABLE_S
    assert fetches.join("k", Waiting(), after)
    assert not fetches.join("k", Waiting(), after)


def test_one_that_leaves_is_not_told() -> None:
    fetches, gone, left = Fetches(), Waiting(), Waiting()
    fetches.join("k", Waiting(), 0.0)
    fetches.join("k", gone, 0.0)
    fetches.join("k", left, 0.0)
    fetches.leave("k", gone)
    fetches.leave("k", gone)
    fetches.leave("unknown", gone)
    fetches.settle("k", 1.0, is_stored=True)
    assert (gone.told, left.told) == ([], [True])


def test_a_waiter_may_ask_again_while_it_is_told() -> None:
    fetches, seen = Fetches(), []

    def ask_again(is_stored: bool) -> None:
        seen.append((is_stored, fetches.join("k", Waiting(), 1.0)))

    fetches.join("k", Waiting(), 0.0)
    fetches.join("k", ask_again, 0.0)
    fetches.settle("k", 1.0, is_stored=True)
    assert seen == [(True, True)]


def test_what_is_remembered_is_bounded() -> None:
    fetches = Fetches()
    for number in range(MAX_UNSTORABLE + 10):
        fetches.settle(str(number), 0.0, is_stored=False, may_be_stored=False)
    assert len(fetches._unstorable) == MAX_UNSTORABLE


def test_one_who_need_not_wait_leads_only_where_nobody_does() -> None:
    fetches, other = Fetches(), Waiting()
    assert not fetches.is_under_way("k")
    assert fetches.lead("k", 0.0)
    assert fetches.is_under_way("k")
    assert not fetches.lead("k", 0.0)
    assert not fetches.join("k", other, 0.0)
    fetches.settle("k", 1.0, is_stored=True)
    assert (other.told, fetches.is_under_way("k")) == ([True], False)
    assert fetches.lead("k", 1.0)


def test_what_can_t_be_stored_is_led_by_nobody_for_a_while() -> None:
    fetches = Fetches()
    assert fetches.lead("k", 0.0)
    fetches.settle("k", 0.0, is_stored=False, may_be_stored=False)
    assert not fetches.lead("k", UNSTORABLE_S / 2)
    assert not fetches.is_under_way("k")
    assert fetches.lead("k", UNSTORABLE_S)
