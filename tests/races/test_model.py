"""The checker itself: each rule finds the fault that it is there for, and is silent where the order of things is in doubt."""

import pytest

from tests.races import model as rules
from tests.races.model import Family, Model, Outcome, Violation


@pytest.fixture
def clock(monkeypatch):
    class Clock:
        now = 1000.0

    monkeypatch.setattr(rules.time, "monotonic", lambda: Clock.now)
    return Clock


@pytest.fixture
def model(clock):
    return Model([Family(b"p", 2, 4, window=10), Family(b"t", 1, 2, tagged=True), Family(b"v", 1, 2, monotonic=False, versioned=True)])


@pytest.fixture
def key(model):
    return model.keys[0]


def changed(model, key, outcome, commit=True):
    if commit:
        model.commit(key)
    change = model.begin_change([key], "change")
    model.end_change(change, outcome)


def token(model, key, number, seconds=5):
    return model.saw_token(model.begin_read(key), number, seconds)


def fails(rule):
    return pytest.raises(Violation, match=f"^rule {rule}")


# --- rules 1 to 3: what is read ---


@pytest.mark.parametrize("outcome", [Outcome.INSTALLED, Outcome.REMOVED])
def test_an_old_version_after_the_end_of_an_invalidation_is_a_fault(model, key, outcome):
    changed(model, key, outcome)
    with fails("1 or 2"):
        model.saw_value(model.begin_read(key), key.record(1))


def test_an_old_version_is_no_fault_while_the_invalidation_runs_or_if_it_was_asked_for_before_its_end(model, key):
    model.commit(key)
    change = model.begin_change([key], "DEL")
    read = model.begin_read(key)
    model.saw_value(read, key.record(1))
    late = model.begin_read(key)
    model.end_change(change, Outcome.REMOVED)
    model.saw_value(late, key.record(1))


def test_an_old_version_is_a_fault_even_if_marked_stale_after_a_hard_invalidation(model, key):
    changed(model, key, Outcome.REMOVED)
    with fails("1 or 2"):
        model.saw_value(model.begin_read(key), key.record(1), stale=True)


def test_what_was_committed_and_not_invalidated_may_be_missed(model, key):
    model.commit(key)
    model.saw_value(model.begin_read(key), key.record(1))
    changed(model, key, Outcome.NOTHING)
    changed(model, key, Outcome.WRITTEN)
    model.saw_value(model.begin_read(key), key.record(1))


def test_an_invalidation_puts_in_force_what_was_committed_when_it_began(model, key):
    change = model.begin_change([key], "DEL")
    model.commit(key)
    model.end_change(change, Outcome.REMOVED)
    model.saw_value(model.begin_read(key), key.record(1))


def test_a_softened_version_must_be_marked(model, key):
    changed(model, key, Outcome.SOFTENED)
    model.saw_value(model.begin_read(key), key.record(1), stale=True)
    with fails("1"):
        model.saw_value(model.begin_read(key), key.record(1))


def test_a_softened_version_is_a_fault_after_its_window_counted_from_the_first_that_softened_it(model, key, clock):
    changed(model, key, Outcome.SOFTENED)
    clock.now += 8
    changed(model, key, Outcome.SOFTENED)
    clock.now += 2.9  # the window of 10 s, and what the server's clock may be late
    early = model.begin_read(key)
    clock.now += 0.2
    model.saw_value(early, key.record(1), stale=True)
    model.saw_value(model.begin_read(key), key.record(2), stale=True)
    with fails("1"):
        model.saw_value(model.begin_read(key), key.record(1), stale=True)


def test_versions_do_not_go_back_for_who_asks_after_one_was_seen(model, key):
    model.commit(key)
    before = model.begin_read(key)
    model.saw_value(model.begin_read(key), key.record(2))
    model.saw_value(before, key.record(1))
    with fails("1 or 2"):
        model.saw_value(model.begin_read(key), key.record(1))


def test_versions_may_go_back_where_writers_take_no_turns(model):
    key = model.families[2].keys[0]
    model.commit(key)
    model.saw_value(model.begin_read(key), key.record(2))
    model.saw_value(model.begin_read(key), key.record(1))


def test_versions_do_not_go_back_behind_an_accepted_fill(model, key):
    lease = token(model, key, 7)
    model.commit(key)
    model.end_use(model.begin_use(lease, "fill", 2), True)
    with fails("1 or 2"):
        model.saw_value(model.begin_read(key), key.record(1))


def test_a_value_of_another_key_a_torn_one_and_one_of_the_future_are_faults(model, key):
    for value in (model.keys[1].record(1), key.record(1)[:-1], b"", key.record(1) + model.keys[1].record(1), key.record(2)):
        with fails("3"):
            model.saw_value(model.begin_read(key), value)


def test_appended_and_overwritten_values_have_the_newest_of_their_versions(model, key):
    model.commit(key)
    read = model.begin_read(key)
    for value in (key.record(1) + key.record(2), key.record(2) + key.record(1), key.record(2) * 5):
        assert model.version_of(read, value) == 2


def test_garbage_may_be_seen_by_requests_begun_before_it_was_cleared(model, key):
    model.begin_garbling(key)
    during = model.begin_read(key)
    model.saw_value(during, b"1")
    model.end_garbling(key)
    model.saw_value(during, b"1")
    with fails("3"):
        model.saw_value(model.begin_read(key), b"1")


def test_absent_is_a_fault_unless_the_row_was_deleted_at_some_time_since_the_floor(model, key):
    with fails("3"):
        model.saw_absent(model.begin_read(key))
    model.commit(key, deleted=True)
    model.saw_absent(model.begin_read(key))
    before = model.begin_read(key)
    changed(model, key, Outcome.INSTALLED)
    model.saw_absent(before)
    with fails("3"):
        model.saw_absent(model.begin_read(key))


# --- rules 4 and 5: tokens ---


def test_a_token_not_greater_than_one_seen_before_it_was_asked_for_is_a_fault(model, key):
    other = model.keys[1]
    early = model.begin_read(other)
    token(model, key, 9)
    model.saw_token(early, 8, 5)
    with fails("4"):
        token(model, other, 9)


def test_the_same_token_twice_is_a_fault_even_at_the_same_time(model, key):
    early = model.begin_read(model.keys[1])
    token(model, key, 9)
    with fails("4"):
        model.saw_token(early, 9, 5)


def test_two_tokens_of_a_key_with_nothing_in_between_are_a_fault(model, key):
    token(model, key, 1)
    with fails("5"):
        token(model, key, 2)


def test_two_tokens_asked_for_at_the_same_time_are_a_fault_too(model, key):
    one, two = model.begin_read(key), model.begin_read(key)
    model.saw_token(two, 2, 5)
    with fails("5"):
        model.saw_token(one, 1, 5)


@pytest.mark.parametrize("outcome", list(Outcome))
def test_two_tokens_are_no_fault_if_a_change_ran_that_may_have_voided_the_first(model, key, outcome):
    token(model, key, 1)
    changed(model, key, outcome)
    token(model, key, 2)


def test_two_tokens_are_no_fault_if_a_change_was_running_before_the_first_was_asked_for(model, key):
    change = model.begin_change([key], "DEL")
    token(model, key, 1)
    model.end_change(change, Outcome.NOTHING)
    token(model, key, 2)


def test_two_tokens_are_no_fault_once_the_first_may_have_expired(model, key, clock):
    token(model, key, 1, seconds=5)
    clock.now += 4.5
    token(model, key, 2)


def test_tokens_of_different_keys_have_nothing_to_do_with_each_other(model, key):
    token(model, key, 1)
    token(model, model.keys[1], 2)


def test_a_fill_is_a_fault_when_a_newer_token_had_been_seen(model, key):
    first = token(model, key, 1)
    changed(model, key, Outcome.NOTHING)
    running = model.begin_use(first, "fill", 1)
    token(model, key, 2)
    model.end_use(running, True)  # it may have come first
    with fails("5"):
        model.end_use(model.begin_use(first, "fill", 1), True)


# --- rules 6 and 7: which fills are accepted ---


@pytest.mark.parametrize("outcome", [Outcome.INSTALLED, Outcome.REMOVED, Outcome.SOFTENED, Outcome.WRITTEN])
def test_a_fill_after_a_change_that_voids_is_a_fault(model, key, outcome):
    lease = token(model, key, 1)
    changed(model, key, outcome, commit=False)
    with fails("6"):
        model.end_use(model.begin_use(lease, "fill", 1), True)


def test_a_fill_may_be_accepted_if_the_change_began_before_its_token_was_seen_or_ended_after_it_began(model, key):
    change = model.begin_change([key], "DEL")
    lease = token(model, key, 1)
    model.end_change(change, Outcome.REMOVED)
    change = model.begin_change([key], "DEL")
    use = model.begin_use(lease, "fill", 1)
    model.end_change(change, Outcome.REMOVED)
    model.end_use(use, True)


def test_a_second_fill_with_one_token_is_a_fault(model, key):
    lease = token(model, key, 1)
    model.end_use(model.begin_use(lease, "fill", 1), True)
    with fails("6"):
        model.end_use(model.begin_use(lease, "fill", 1), True)


def test_a_fill_long_after_its_deadline_is_a_fault(model, key, clock):
    lease = token(model, key, 1, seconds=5)
    clock.now += 5.9
    model.end_use(model.begin_use(lease, "fill", 1), True)
    lease = token(model, model.keys[1], 2, seconds=5)
    clock.now += 6.1
    with fails("6"):
        model.end_use(model.begin_use(lease, "fill", 1), True)


def test_a_refused_fill_is_a_fault_if_nothing_can_have_voided_it(model, key):
    lease = token(model, key, 1)
    with fails("7"):
        model.end_use(model.begin_use(lease, "fill", 1), False)


def test_a_refused_fill_is_no_fault_after_a_change_or_near_the_deadline_or_for_its_version(model, key, clock):
    lease = token(model, key, 1)
    changed(model, key, Outcome.NOTHING)
    model.end_use(model.begin_use(lease, "fill", 1), False)
    lease = token(model, model.keys[1], 2)
    clock.now += 4.5
    model.end_use(model.begin_use(lease, "fill", 1), False)
    lease = token(model, model.keys[2], 3)
    model.end_use(model.begin_use(lease, "fill", 1), False, may_refuse=True)


def test_a_fill_that_was_lost_leaves_the_next_one_in_doubt(model, key):
    lease = token(model, key, 1)
    model.give_up(model.begin_use(lease, "fill", 1))
    model.end_use(model.begin_use(lease, "fill", 1), False)
    lease = token(model, key, 2)
    model.give_up(model.begin_use(lease, "fill", 1))
    model.end_use(model.begin_use(lease, "fill", 1), True)


def test_a_purge_refuses_the_fill_of_a_tagged_key_and_need_not_void_its_lease(model):
    key = model.families[1].keys[0]
    lease = token(model, key, 1)
    changed(model, key, Outcome.REMOVED)
    model.end_use(model.begin_use(lease, "release"), True)
    lease = token(model, key, 2)
    changed(model, key, Outcome.REMOVED)
    with fails("6"):
        model.end_use(model.begin_use(lease, "fill", 1), True)


def test_a_renewal_moves_the_deadline_and_voids_nothing(model, key, clock):
    lease = token(model, key, 1, seconds=5)
    model.end_renewal(model.begin_renewal(lease, 100), True, 100)
    clock.now += 50
    with fails("5"):
        token(model, key, 2)
    with fails("7"):
        model.end_use(model.begin_use(lease, "fill", 1), False)


def test_a_refused_renewal_is_a_fault_if_nothing_can_have_voided_it(model, key):
    lease = token(model, key, 1)
    use = model.begin_renewal(lease, 100)
    with fails("7"):
        model.end_renewal(use, False, 100)


def test_a_renewal_after_a_change_that_voids_is_a_fault(model, key):
    lease = token(model, key, 1)
    changed(model, key, Outcome.REMOVED)
    use = model.begin_renewal(lease, 100)
    with fails("6"):
        model.end_renewal(use, True, 100)


def test_a_failure_tells_what_happened_to_the_key(model, key):
    changed(model, key, Outcome.REMOVED)
    with pytest.raises(Violation) as failure:
        model.saw_value(model.begin_read(key), key.record(1))
    assert "commit 2" in str(failure.value) and "removed" in str(failure.value)
