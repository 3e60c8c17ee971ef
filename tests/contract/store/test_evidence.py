"""What every store promises of evidence: a record's revision is recorded once, and its holder is due at once."""

from __future__ import annotations

from dataclasses import replace

import pytest

from healthcode.errors import InvalidInputError, NotFoundError, Reason
from healthcode.policy.levels.evidence import EvidenceKind, EvidenceState, Finding
from healthcode.wire.claims import Level
from province_node.store.people_records import AddResult, NewEvidence, ReceivedBetween, SourceState, Withdrawn
from tests.contract.store.people import LAB, add, apply, basis, evidence, levelled, read, record, withdrawn
from tests.contract.store.stores import HOLDER, NOW, request

OTHER = b"o" * 32
FULL = evidence(
    "stay",
    kind=EvidenceKind.AREA_STAY,
    finding=None,
    method=None,
    area="010203",
    stay_from=NOW - 7200,
    stay_to=NOW - 3600,
    until=NOW + 86_400,
    instrument="文号 1",
    port_of_entry="浦东",
    laboratory="一号",
    product="v",
    dose=2,
    reason="A7",
)


def test_an_item_comes_back_as_it_was(store):
    """All its fields, whatever kind it is; `known_at` is when it was recorded."""
    add(store, evidence(), FULL)
    assert sorted(read(store).evidence, key=lambda item: item.kind) == [
        FULL,
        evidence(),
    ]


def test_the_same_revision_is_recorded_once(store):
    """With the same content it is a duplicate, with other content a conflict; neither changes anything."""
    assert add(store, evidence()) == [AddResult.ADDED]
    before = read(store)
    assert add(store, evidence(), now=NOW + 9) == [AddResult.DUPLICATE]
    assert add(store, evidence(finding=Finding.POSITIVE)) == [AddResult.CONFLICT]
    assert add(store, evidence(), document=OTHER) == [AddResult.CONFLICT]
    assert add(store, evidence()._replace(state=EvidenceState.WITHDRAWN)) == [AddResult.CONFLICT]
    assert read(store) == before


def test_items_of_one_call_have_their_own_results(store):
    """A conflict in the middle leaves the others."""
    items = [evidence("a"), evidence("a", finding=Finding.POSITIVE), evidence("b"), evidence("b")]
    assert add(store, *items) == [
        AddResult.ADDED,
        AddResult.CONFLICT,
        AddResult.ADDED,
        AddResult.DUPLICATE,
    ]
    assert {item.record for item in read(store).evidence} == {record("a"), record("b")}


def test_an_unregistered_source_has_no_evidence(store):
    """It is refused by name, and nothing is recorded."""
    with pytest.raises(NotFoundError) as caught:
        store.evidence.add_evidence([NewEvidence(HOLDER, evidence(source="nobody"))], NOW)
    assert caught.value.reason is Reason.SOURCE_UNKNOWN
    assert store.evidence.count_evidence() == 0


def test_evidence_makes_its_holder_due_until_a_level_is_applied(store):
    """The oldest mark comes first, and a second item moves none."""
    add(store, evidence("a"), now=NOW)
    add(store, evidence("b"), document=OTHER, now=NOW + 1)
    add(store, evidence("c"), now=NOW + 2)
    assert [state.holder for state in store.levels.read_due(9)] == [HOLDER, OTHER]
    assert [state.holder for state in store.levels.read_due(1)] == [HOLDER]
    assert store.levels.waiting()[:2] == (2, NOW)
    update = levelled(store, read(store), Level.YELLOW)
    store.levels.apply_levels([update], NOW)
    assert [state.holder for state in store.levels.read_due(9)] == [OTHER]


def test_evidence_that_comes_during_a_derivation_is_not_lost(store):
    """The update that was made without it is not applied, and the mark stays."""
    add(store, evidence("a"))
    update = levelled(store, read(store), Level.YELLOW)
    add(store, evidence("b"))
    assert store.levels.apply_levels([update], NOW).done == [False]
    assert store.levels.read_due(9)[0].is_due
    assert read(store).sequence == 0


def test_a_revision_about_another_document_takes_the_record_away(store):
    """A laboratory corrects a number: the former holder has nothing of it, and both are due."""
    add(store, evidence())
    apply(store, Level.YELLOW)
    add(store, evidence(revision=2), document=OTHER)
    assert {state.holder for state in store.levels.read_due(9)} == {HOLDER, OTHER}
    assert read(store).evidence == ()
    assert [item.revision for item in read(store, OTHER).evidence] == [2]


def test_a_correction_during_a_derivation_is_not_lost(store):
    """The former holder was due and was read: what was derived with the record is not applied, and the mark stays."""
    add(store, evidence())
    update = levelled(store, read(store), Level.YELLOW)
    add(store, evidence(revision=2), document=OTHER)
    assert store.levels.apply_levels([update], NOW).done == [False]
    apply(store, Level.YELLOW)
    update = levelled(store, read(store), Level.RED)
    add(store, evidence(revision=3), document=OTHER)
    assert store.levels.apply_levels([update], NOW).done == [False]
    assert HOLDER in {state.holder for state in store.levels.read_due(9)}


def test_a_held_revision_takes_nothing_away(store):
    """Only what counts moves a record to another holder."""
    add(store, evidence())
    add(store, evidence(revision=2, state=EvidenceState.HELD), document=OTHER)
    assert [item.revision for item in read(store).evidence] == [1]


def test_a_source_is_suspended_and_registered_anew(store):
    """Its state, key and kinds are those of the last call."""
    store.sources.add_source(LAB, NOW)
    store.sources.set_source_state(LAB.name, SourceState.SUSPENDED, NOW + 1)
    assert store.sources.find_source(LAB.name) == replace(LAB, state=SourceState.SUSPENDED, since=NOW + 1)
    changed = replace(LAB, kinds=frozenset(EvidenceKind), public_key="sha256:" + "b" * 64)
    store.sources.add_source(changed, NOW + 2)
    assert store.sources.sources() == [replace(changed, since=NOW + 2)]
    with pytest.raises(NotFoundError):
        store.sources.set_source_state("nobody", SourceState.SUSPENDED, NOW)


def test_records_are_withdrawn_once(store):
    """Each gets one withdrawn revision; a repeated request has the same counts, and an unknown record is counted."""
    add(store, evidence("a"), evidence("b"), withdrawn(evidence("b")))
    names = [record("a"), record("b"), record("never")]
    assert store.evidence.count_records(LAB.name, names) == Withdrawn(1, 1, 1)
    first = store.evidence.withdraw_records(LAB.name, names, request("w"), NOW)
    assert first == Withdrawn(1, 1, 1)
    again = store.evidence.withdraw_records(LAB.name, names, request("w"), NOW)
    assert again == replace(first, repeated=True) == store.evidence.find_withdrawn(request("w"), NOW)
    states = {(item.record, item.revision): item.state for item in read(store).evidence}
    assert states[record("a"), 2] is EvidenceState.WITHDRAWN
    assert (record("b"), 3) not in states
    with pytest.raises(InvalidInputError):
        store.evidence.withdraw_records(LAB.name, names, request("w", b"other"), NOW)


def test_what_was_received_in_a_window_is_withdrawn(store):
    """The first second counts, the end does not; another source, kind and time stay."""
    other = replace(LAB, name="lab-2", kinds=frozenset(EvidenceKind))
    store.sources.add_source(other, NOW)
    for second in range(4):
        add(store, evidence(f"t{second}"), now=NOW + second)
        add(store, evidence(f"t{second}", source="lab-2"), now=NOW + second)
    add(store, evidence("v", kind=EvidenceKind.VACCINATION, finding=None, method=None), now=NOW + 4)
    window = ReceivedBetween(NOW + 1, NOW + 3)
    assert store.evidence.count_received(LAB.name, window) == Withdrawn(2, 0)
    assert store.evidence.withdraw_received(LAB.name, window, request("w"), NOW + 9) == Withdrawn(2, 0)
    gone = {item.record for item in read(store).evidence if item.state is EvidenceState.WITHDRAWN}
    assert gone == {record("t1"), record("t2")}
    tests = ReceivedBetween(NOW, NOW + 99, EvidenceKind.TEST)
    assert store.evidence.count_received(LAB.name, tests) == Withdrawn(2, 2)


def test_a_large_window_goes_in_pieces(store):
    """More than one piece of records, each counted once, also when one record has two revisions in the window."""
    items = [evidence(str(n)) for n in range(1203)]
    add(store, *items[:700], *(item._replace(revision=2) for item in items[:10]))
    add(store, *items[700:], document=OTHER)
    window = ReceivedBetween(NOW, NOW + 1)
    assert store.evidence.withdraw_received(LAB.name, window, request("w"), NOW + 5).newly == 1203
    assert store.evidence.count_received(LAB.name, ReceivedBetween(NOW, NOW + 9)).newly == 0


def test_old_evidence_is_forgotten(store):
    """By kind, from the second on that it is kept for; what a level names, and what came late, stays."""
    day, kept = 86_400, {EvidenceKind.TEST: 30 * 86_400, EvidenceKind.VACCINATION: 60 * 86_400}
    vaccination = {"kind": EvidenceKind.VACCINATION, "finding": None, "method": None}
    add(store, *(evidence(f"t{n}", observed_at=NOW) for n in range(300)))
    add(store, evidence("edge", observed_at=NOW + 1), evidence("v", observed_at=NOW, **vaccination))
    add(store, evidence("stay", kind=EvidenceKind.AREA_STAY, finding=None, method=None, observed_at=NOW))
    named = levelled(store, read(store), Level.RED)
    named = replace(named, record=replace(named.record, source=LAB.name, record=record("t7")))
    assert store.levels.apply_levels([named], NOW).done == [True]
    add(store, evidence("late", observed_at=NOW), now=NOW + 31 * day)
    assert store.evidence.prune_evidence(NOW + 30 * day + 1, {}) == 0
    assert store.evidence.prune_evidence(NOW + 30 * day + 1, kept) == 299
    left = {record(name) for name in ("t7", "edge", "v", "stay", "late")}
    assert {item.record for item in read(store).evidence} == left
    assert store.evidence.prune_evidence(NOW + 99 * day, kept) == 3


def test_a_correction_is_not_forgotten_before_what_it_corrected(store):
    """A revision that moved the fact into the past, or withdrew it, never gives way to the one before it."""
    day, kept = 86_400, {EvidenceKind.TEST: 30 * 86_400}
    add(store, evidence(revision=2, observed_at=NOW - 29 * day, state=EvidenceState.WITHDRAWN))
    add(store, evidence(revision=1, observed_at=NOW + 20 * day), now=NOW + 20 * day)
    assert store.evidence.prune_evidence(NOW + 31 * day, kept) == 0
    assert [item.revision for item in read(store).evidence] == [2, 1]
    assert store.evidence.prune_evidence(NOW + 51 * day, kept) == 1
    assert store.evidence.prune_evidence(NOW + 51 * day, kept) == 1


def test_a_store_opened_anew_has_all(store, open_again):
    """Evidence, due marks, levels and sources, in a store opened beside one that is never closed."""
    add(store, evidence())
    apply(store, Level.RED, next_change=NOW + 9)
    add(store, evidence("b"))
    again = open_again()
    assert read(again) == read(store)
    assert again.levels.waiting() == (1, NOW, NOW + 9)
    assert again.sources.sources() == store.sources.sources()
    assert basis(again) == basis(store)
