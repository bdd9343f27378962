"""Deadlines against the naive model: a dictionary that is searched."""

from hypothesis import given
from hypothesis import strategies as st

from services.tracker.expiry import Deadlines

KEYS = st.sampled_from("abcdef")
STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("set"), KEYS, st.integers(0, 50)),
        st.tuples(st.just("discard"), KEYS, st.just(0)),
        st.tuples(st.just("pop"), st.just(""), st.integers(0, 50)),
    )
)


@given(STEPS)
def test_it_answers_as_a_searched_dictionary_would(steps):
    deadlines, model = Deadlines(), {}
    for verb, key, time in steps:
        if verb == "set":
            deadlines.set(key, time)
            model[key] = time
        elif verb == "discard":
            deadlines.discard(key)
            model.pop(key, None)
        else:
            due = deadlines.pop_due(time)
            assert [model[key] for key in due] == sorted(model[key] for key in due)
            assert set(due) == {key for key, deadline in model.items() if deadline <= time}
            model = {key: deadline for key, deadline in model.items() if deadline > time}
        assert len(deadlines) == len(model)
        assert deadlines.next_due() == min(model.values(), default=None)


def test_a_key_is_due_at_its_deadline_not_before():
    deadlines = Deadlines()
    deadlines.set("a", 10.0)
    assert deadlines.pop_due(9.999) == []
    assert deadlines.pop_due(10.0) == ["a"]
    assert deadlines.next_due() is None


def test_renewals_leave_no_entries_behind():
    deadlines = Deadlines()
    for time in range(10_000):
        deadlines.set("a", time)
    assert len(deadlines._heap) == 1


def test_ever_shorter_leases_leave_few_entries_behind():
    deadlines = Deadlines()
    for time in range(10_000, 0, -1):
        deadlines.set("a", time)
    assert len(deadlines._heap) < 100
    assert deadlines.pop_due(1) == ["a"]
