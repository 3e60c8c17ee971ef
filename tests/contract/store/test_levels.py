"""What every store promises of derived levels: the row, the current level and the revocations come together."""

from __future__ import annotations

from dataclasses import replace

import pytest

from healthcode.errors import PreconditionError
from healthcode.wire.claims import Level
from province_node.store.people_records import CurrentLevel, LevelBasis, LevelUpdate
from tests.contract.store.people import add, apply, basis, evidence, levelled, read
from tests.contract.store.stores import DAY, GREEN, HOLDER, NOW, RED, issue, new_code, request

OTHER, THIRD = b"o" * 32, b"t" * 32


def test_a_change_revokes_the_codes_that_are_out(store):
    """Those of all documents of the holder, and of nobody else."""
    store.documents.merge_documents(HOLDER, OTHER, NOW)
    for name, holder, index in (("a", HOLDER, 1), ("b", OTHER, 2), ("c", THIRD, 3)):
        issue(store, index, name=name, holder=holder)
    update = levelled(store, read(store, OTHER), Level.RED)
    assert store.levels.apply_levels([update], NOW).revoked == 2
    assert store.publishing.revoked_indices(DAY, 99) == [1, 2]


def test_an_update_without_a_row_keeps_the_sequence(store):
    """The same level for longer: nothing is revoked, and the next change is another."""
    add(store, evidence())
    apply(store, Level.YELLOW, next_change=NOW + 5)
    issue(store, 1, name="x", holder=OTHER)
    seen = read(store)
    later = replace(seen.current, next_change=NOW + 50)
    assert store.levels.apply_levels([LevelUpdate(seen, later)], NOW).revoked == 0
    assert read(store).current == later
    assert read(store).sequence == 1


def test_a_holder_without_a_ground_needs_no_row(store):
    """The due mark ends, and nothing else is kept."""
    add(store, evidence())
    assert store.levels.apply_levels([LevelUpdate(read(store), None)], NOW).done == [True]
    state = read(store)
    assert (state.current, state.sequence, state.is_due) == (None, 0, False)


def test_only_one_of_two_derivations_is_applied(store):
    """Both saw the same holder: the second one is told to look again."""
    add(store, evidence())
    updates = [levelled(store, read(store), level) for level in (Level.RED, Level.YELLOW)]
    assert store.levels.apply_levels(updates, NOW).done == [True, False]
    assert read(store).last.level is Level.RED


def test_a_holder_who_is_not_known_gets_a_level(store):
    """At 00 a stated level may change without any evidence."""
    issue(store, 1, statement=GREEN)
    seen = read(store)
    assert (seen.documents, seen.sequence, seen.last.stated_by) == ((), 1, "caller")
    update = levelled(store, seen, Level.PENDING)
    assert store.levels.apply_levels([update, update], NOW).done == [True, False]
    assert read(store).sequence == 2


def test_lapses_come_in_their_order(store):
    """Up to the second that is asked for, and none twice once it is applied."""
    for number, holder in enumerate((HOLDER, OTHER, THIRD)):
        add(store, evidence(str(number)), document=holder)
        apply(store, Level.YELLOW, holder, next_change=NOW + 10 - number)
    assert [state.holder for state in store.levels.read_lapsed(NOW + 9, 9)] == [THIRD, OTHER]
    assert [state.holder for state in store.levels.read_lapsed(NOW + 99, 1)] == [THIRD]
    assert store.levels.read_lapsed(NOW + 7, 9) == []
    apply(store, Level.GREEN, THIRD)
    assert [state.holder for state in store.levels.read_lapsed(NOW + 99, 9)] == [OTHER, HOLDER]


def test_who_is_outdated_comes_in_slices(store):
    """With a level those who have it; without, all who were not derived by the basis, and each once."""
    holders = [bytes([number]) * 32 for number in range(1, 8)]
    for number, holder in enumerate(holders):
        add(store, evidence(str(number)), document=holder)
    for holder in holders[:3]:
        apply(store, Level.RED, holder)
    new = basis(store, "new")
    red, behind = store.levels.read_outdated(new, Level.RED, 0, 2)
    more, end = store.levels.read_outdated(new, Level.RED, behind, 2)
    assert [state.holder for state in (*red, *more)] == holders[:3]
    assert end is None
    seen = red[0]
    done = CurrentLevel(1, Level.RED, "L-A7-1", None, new, None)
    store.levels.apply_levels([LevelUpdate(seen, done)], NOW)
    found, after = [], 0
    while after is not None:
        states, after = store.levels.read_outdated(new, None, after, 3)
        found += [state.holder for state in states]
    assert found == holders[1:]


def test_a_basis_has_one_number(store, open_again):
    """Whoever asks; finishing one ends that another was finished."""
    first, second = LevelBasis("f1", "27.1", 5), LevelBasis("f2", "27.2", 5)
    numbers = [store.levels.find_basis(each).number for each in (first, second, first)]
    assert numbers[0] == numbers[2] != numbers[1]
    store.levels.finish_basis(numbers[0])
    again = open_again()
    assert again.levels.find_basis(first).is_finished
    again.levels.finish_basis(numbers[1])
    assert not store.levels.find_basis(first).is_finished


def test_now_never_goes_back(store, open_again):
    """Whatever writes: the latest time is kept."""
    store.levels.keep_now(NOW + 100)
    add(store, evidence(), now=NOW)
    store.levels.keep_now(NOW)
    assert open_again().levels.latest_now() == NOW + 100
    assert read(store).evidence[0].known_at == NOW + 100


def test_the_history_answers_for_a_past_time(store):
    """The row that was the newest then, by any document of the holder."""
    store.documents.merge_documents(HOLDER, OTHER, NOW)
    for at, level in ((NOW, Level.YELLOW), (NOW + 10, Level.RED)):
        update = levelled(store, read(store), level)
        update = replace(update, record=replace(update.record, stated_at=at))
        store.levels.apply_levels([update], at)
    at = {when: store.levels.level_at(OTHER, when) for when in (NOW - 1, NOW, NOW + 9, NOW + 10)}
    assert [None if row is None else row.level for row in at.values()] == [None, "YELLOW", "YELLOW", "RED"]


def test_stated_levels_that_restrict_are_found(store):
    """The newest row of a holder, if a back end stated it and it is RED or YELLOW."""
    issue(store, 1, name="1", holder=HOLDER, statement=RED)
    issue(store, 2, name="2", holder=OTHER, statement=RED)
    issue(store, 3, name="3", holder=OTHER, statement=GREEN)
    issue(store, 4, name="4", holder=THIRD, statement=RED)
    found = store.levels.stated_levels(b"", 1) + store.levels.stated_levels(HOLDER, 9)
    assert [(holder, row.level, row.reason) for holder, row in found] == [
        (HOLDER, Level.RED, "A4"),
        (THIRD, Level.RED, "A4"),
    ]
    apply(store, Level.GREEN, THIRD)
    assert [holder for holder, _ in store.levels.stated_levels(b"", 9)] == [HOLDER]


def test_an_upgrade_begins_once_and_ends(store, open_again):
    """It began when it was begun first; after its end it is over."""
    assert store.levels.begin_upgrade(NOW) == NOW
    assert open_again().levels.begin_upgrade(NOW + 5) == NOW
    assert not store.levels.is_upgraded()
    store.levels.finish_upgrade(NOW + 6)
    assert open_again().levels.is_upgraded()


def test_merged_documents_are_one_holder(store):
    """The first one's: evidence of both, a sequence above both, and both are due."""
    add(store, evidence("a"))
    add(store, evidence("b"), document=OTHER)
    apply(store, Level.GREEN)
    for _ in range(3):
        apply(store, Level.RED, OTHER)
    store.documents.merge_documents(HOLDER, OTHER, NOW)
    state = read(store, OTHER)
    assert (state.holder, len(state.evidence), state.sequence, state.is_moved) == (HOLDER, 2, 3, True)
    assert store.levels.read_due(9) == [state]
    apply(store, Level.RED, OTHER)
    assert (read(store).sequence, read(store).is_moved) == (4, False)
    assert list(store.documents.documents_of(OTHER)) == [HOLDER, OTHER]
    store.documents.merge_documents(OTHER, HOLDER, NOW)
    assert not read(store).is_moved


def test_a_split_document_is_a_holder_of_its_own(store):
    """With its own evidence, and sequences above what was given out for the common holder."""
    store.documents.merge_documents(HOLDER, OTHER, NOW)
    add(store, evidence("a"))
    add(store, evidence("b"), document=OTHER)
    apply(store, Level.RED)
    apply(store, Level.GREEN)
    store.documents.split_document(OTHER, NOW)
    one, two = read(store), read(store, OTHER)
    assert (one.holder, two.holder) == (HOLDER, OTHER)
    assert (len(one.evidence), len(two.evidence)) == (1, 1)
    assert one.sequence == two.sequence == 2
    assert {state.holder for state in store.levels.read_due(9)} == {HOLDER, OTHER}
    with pytest.raises(PreconditionError):
        store.documents.split_document(HOLDER, NOW)


def test_a_merge_during_a_derivation_is_seen(store):
    """The update that was made for one of the two holders is not applied."""
    add(store, evidence())
    update = levelled(store, read(store), Level.RED)
    store.documents.merge_documents(HOLDER, OTHER, NOW)
    assert store.levels.apply_levels([update], NOW).done == [False]


def test_a_code_under_an_earlier_level_is_not_recorded(store):
    """Also when the code is of another document of the holder whose level moved."""
    store.documents.merge_documents(HOLDER, OTHER, NOW)
    apply(store, Level.RED)
    outcome = store.issuing.record_issue(
        {0: new_code(1, 0, OTHER), 1: new_code(2, 1, OTHER)}, {}, request(), NOW
    )
    assert list(outcome.not_recorded) == [0]


def test_a_basis_that_is_used_ends_that_another_is_finished(store, open_again):
    """A policy that comes back is derived anew: what came meanwhile was derived by the other one."""
    first, second = LevelBasis("f1", "27.1", 5), LevelBasis("f2", "27.2", 5)
    store.levels.finish_basis(store.levels.find_basis(first).number)
    assert not store.levels.find_basis(second).is_finished
    assert not open_again().levels.find_basis(first).is_finished
    store.levels.finish_basis(store.levels.find_basis(second).number)
    store.levels.find_basis(first)
    assert not store.levels.find_basis(second).is_finished
