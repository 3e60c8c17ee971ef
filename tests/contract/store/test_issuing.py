"""What every store promises of issuing: an item is all or nothing, and an id gives the same item answers."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from threading import Barrier

import pytest

from healthcode.errors import InvalidInputError, PreconditionError, Reason
from healthcode.revocation.index import ISSUABLE, SERIES_LIMIT, SERIES_SIZE
from healthcode.wire.claims import Level
from province_node.store.records import (
    HolderTag,
    IssuedUnder,
    NotRecorded,
    RefusalFacts,
    RevocationReason,
    StatedLevel,
)
from tests.contract.store.stores import (
    DAY,
    GREEN,
    HOLDER,
    KID,
    NOW,
    RED,
    TAG,
    facts,
    issue,
    new_code,
    request,
    revoke,
)

OTHER = b"o" * 32


def test_blocks_never_overlap_across_threads_stores_and_restarts(open_again):
    """However many threads and processes take blocks, and whoever dies, no counter is given twice."""
    taken: list[tuple[int, int]] = []
    for _ in range(3):
        first, second = open_again(), open_again()

        def take(which: int, pair=(first, second)) -> None:
            for _ in range(5):
                block = pair[which].issuing.reserve_block(DAY, 100)
                taken.append((block.first, block.end))

        with ThreadPoolExecutor(3) as pool:
            list(pool.map(take, (0, 0, 1)))
        first.close()
    counters = [counter for first, end in taken for counter in range(first, end)]
    assert len(counters) == len(set(counters)) == 3 * 3 * 5 * 100


def test_days_have_counters_of_their_own(store):
    """Each day of expiry begins at its own first counter."""
    assert store.issuing.reserve_block(DAY, 10).first == store.issuing.reserve_block(DAY + 1, 10).first == 0


def test_a_full_series_opens_the_next_and_the_last_one_ends_it(store):
    """A block is cut at a series' end; after the last series there is INDEX_EXHAUSTED."""
    block = store.issuing.reserve_block(DAY, ISSUABLE + 5)
    assert (block.series, block.end) == (0, ISSUABLE)
    for series in range(1, SERIES_LIMIT):
        assert store.issuing.reserve_block(DAY, ISSUABLE).series == series
    with pytest.raises(PreconditionError) as refused:
        store.issuing.reserve_block(DAY, 1)
    assert refused.value.reason is Reason.INDEX_EXHAUSTED


def test_a_request_keeps_the_facts_of_each_item(store):
    """What makes the answer again is there, by position: the code's facts, or why it was refused."""
    sequence = store.issuing.record_level({0: StatedLevel(HOLDER, GREEN, "R1")}, request(), NOW)[0]
    codes = {0: new_code(1, sequence), 2: new_code(3, sequence, holder=HOLDER)}
    outcome = store.issuing.record_issue(codes, {1: Reason.NOT_COVERED}, request(), NOW)
    assert (outcome.earlier, outcome.not_recorded) == ({}, {})
    found = store.issuing.find_issue(request(), NOW)
    assert found == {0: facts(1), 1: RefusalFacts(Reason.NOT_COVERED), 2: facts(3)}


def test_an_item_that_is_recorded_stays_as_it_is(store):
    """The first facts of a position win, and nothing of the later ones is kept."""
    issue(store, 1)
    codes = {0: new_code(2), 1: new_code(3)}
    outcome = store.issuing.record_issue(codes, {}, request(), NOW)
    assert outcome.earlier == {0: facts(1)}
    assert store.answering.code_state(DAY, 2) is None
    assert store.answering.code_state(DAY, 3) is not None


def test_a_batch_that_was_cut_in_the_middle_is_finished(store, open_again):
    """A slice that was recorded before the cut keeps its facts; the same id adds the rest, each with its own time."""
    issue(store, 1, 2)
    again = open_again()
    rest = {2: new_code(5), 3: new_code(6)}
    later = {
        position: replace(code, facts=replace(code.facts, issued_at=NOW + 5))
        for position, code in rest.items()
    }
    assert again.issuing.record_issue(later, {4: Reason.INVALID_REQUEST}, request(), NOW + 5).earlier == {}
    found = again.issuing.find_issue(request(), NOW + 6)
    assert [found[position].index for position in range(4)] == [1, 2, 5, 6]
    assert [found[position].issued_at - NOW for position in range(4)] == [0, 0, 5, 5]
    assert found[4] == RefusalFacts(Reason.INVALID_REQUEST)
    assert again.issuing.find_issue(request(), NOW + 6) == store.issuing.find_issue(request(), NOW + 6)


def test_a_request_id_with_another_content_is_refused_and_changes_nothing(store):
    """REQUEST_ID_REUSED at every door, and no level is stated, no code recorded, nothing revoked."""
    issue(store, 1)
    other = request(digest=b"other")
    doors = [
        lambda: store.issuing.find_issue(other, NOW),
        lambda: store.issuing.record_level({0: StatedLevel(HOLDER, RED, "R1")}, other, NOW),
        lambda: store.issuing.record_issue({0: new_code(2)}, {}, other, NOW),
        lambda: store.revoking.find_revoked(other, NOW),
        lambda: store.revoking.record_revocations([], RevocationReason.FRAUD, other, NOW),
        lambda: store.revoking.revoke_issued_under(
            IssuedUnder(NOW, NOW + 1, rule="R1"), RevocationReason.FRAUD, other, NOW
        ),
        lambda: store.killing.kill_key(KID, RevocationReason.FRAUD, other, None, NOW),
    ]
    for door in doors:
        with pytest.raises(InvalidInputError) as refused:
            door()
        assert refused.value.reason is Reason.REQUEST_ID_REUSED
    state = store.answering.code_state(DAY, 1)
    assert (state.level, state.sequence, state.revoked) == (Level.GREEN, 1, False)
    assert store.killing.killed_kids() == frozenset()


def test_stating_a_level_claims_the_request_id(store):
    """A kill between the two steps leaves no id whose first content could be exchanged."""
    store.issuing.record_level({0: StatedLevel(HOLDER, GREEN, "R1")}, request(), NOW)
    with pytest.raises(InvalidInputError):
        store.issuing.find_issue(request(digest=b"other"), NOW)
    assert store.issuing.find_issue(request(), NOW) == {}


def test_request_ids_are_each_callers_own_and_last_a_day(store):
    """Another caller's id is another id, and after 24 hours an id is free."""
    issue(store, 1)
    assert store.issuing.find_issue(request(digest=b"x", caller="another"), NOW) == {}
    tomorrow = NOW + 86_400
    again = replace(request(digest=b"other"), expires_at=tomorrow + 86_400)
    assert store.issuing.find_issue(again, tomorrow) == {}
    store.issuing.record_issue({}, {0: Reason.NOT_COVERED}, again, tomorrow)
    assert store.issuing.find_issue(again, tomorrow) == {0: RefusalFacts(Reason.NOT_COVERED)}


def test_a_changed_level_grows_the_sequence_and_revokes_in_the_same_step(store):
    """A holder who turns RED keeps a history; the GREEN codes that are out are revoked before any RED code exists."""
    issue(store, 1, name="1")
    issue(store, 2, name="2")
    assert store.issuing.record_level({0: StatedLevel(HOLDER, RED, "R1")}, request("3"), NOW) == {0: 2}
    for index in (1, 2):
        state = store.answering.code_state(DAY, index)
        assert (state.sequence, state.revoked, state.level) == (2, True, Level.RED)
    assert store.publishing.changed_days(0) == {DAY}
    # as after a kill between the steps: the same statement changes nothing more, and the item is finished
    issue(store, 3, name="3", statement=RED)
    state = store.answering.code_state(DAY, 3)
    assert (state.sequence, state.revoked, state.level) == (2, False, Level.RED)


def test_a_slow_call_does_not_bring_back_a_level(store):
    """A second call of a request whose item is recorded states nothing, whatever was changed since."""
    issue(store, 1, name="green")
    issue(store, 2, name="red", statement=RED)
    assert store.issuing.record_level({0: StatedLevel(HOLDER, GREEN, "R1")}, request("green"), NOW) == {}
    assert store.issuing.record_issue({0: new_code(3, 0)}, {}, request("green"), NOW).earlier == {0: facts(1)}
    state = store.answering.code_state(DAY, 2)
    assert (state.level, state.sequence, state.revoked) == (Level.RED, 2, False)


def test_another_holder_keeps_its_codes(store):
    """One holder's change touches nobody else."""
    issue(store, 1, name="1")
    issue(store, 2, name="2", holder=OTHER)
    issue(store, 3, name="3", statement=RED)
    assert not store.answering.code_state(DAY, 2).revoked


def test_no_code_is_recorded_without_its_own_level(store):
    """When the level moved between the two steps, the code is not recorded; other holders' codes are."""
    asked = request("slow")
    sequences = store.issuing.record_level(
        {0: StatedLevel(HOLDER, GREEN, "R1"), 1: StatedLevel(OTHER, GREEN, "R1")}, asked, NOW
    )
    issue(store, 7, name="quick", statement=RED)
    codes = {0: new_code(1, sequences[0]), 1: new_code(2, sequences[1], holder=OTHER)}
    outcome = store.issuing.record_issue(codes, {}, asked, NOW)
    assert outcome.not_recorded == {0: NotRecorded.LEVEL_MOVED}
    assert store.answering.code_state(DAY, 1) is None
    assert store.issuing.find_issue(asked, NOW) == {1: facts(2)}
    assert store.answering.code_state(DAY, 7).level is Level.RED
    never_stated = {0: new_code(9, 1, holder=b"n" * 32)}
    outcome = store.issuing.record_issue(never_stated, {}, request("n"), NOW)
    assert outcome.not_recorded == {0: NotRecorded.LEVEL_MOVED}


def test_a_killed_key_never_signs_a_recorded_code(store, open_again):
    """A key that another process killed is refused in the step that records."""
    sequence = store.issuing.record_level({0: StatedLevel(HOLDER, GREEN, "R1")}, request(), NOW)[0]
    open_again().killing.kill_key(KID, RevocationReason.KEY_COMPROMISED, request("kill"), None, NOW)
    codes = {0: new_code(1, sequence), 1: new_code(2, sequence, kid=b"other---")}
    outcome = store.issuing.record_issue(codes, {}, request(), NOW)
    assert outcome.not_recorded == {0: NotRecorded.KEY_KILLED}
    assert store.answering.code_state(DAY, 1) is None
    assert store.issuing.killed_kids() == {KID}


def test_a_stop_of_issuing_holds_for_every_process(store, open_again):
    """No block is given and no code recorded while issuing is stopped; a refusal is."""
    issue(store, 1)
    other = open_again()
    other.publishing.stop_issuing("another node publishes", NOW)
    other.publishing.stop_issuing("once more", NOW)
    with pytest.raises(PreconditionError, match="another node publishes") as refused:
        store.issuing.reserve_block(DAY, 1)
    assert refused.value.reason is Reason.NOT_COVERED
    outcome = store.issuing.record_issue({0: new_code(2)}, {1: Reason.NOT_COVERED}, request("2"), NOW)
    assert outcome.not_recorded == {0: NotRecorded.STOPPED}
    assert store.issuing.find_issue(request("2"), NOW) == {1: RefusalFacts(Reason.NOT_COVERED)}
    other.publishing.resume_issuing()
    store.issuing.reserve_block(DAY, 1)
    assert store.issuing.record_issue({0: new_code(2)}, {}, request("2"), NOW).not_recorded == {}


def test_no_code_of_a_closed_series_is_recorded(store, open_again):
    """After another process caught up, an index of a series below the lowest is refused, another day's is not."""
    issue(store, 1)
    open_again().publishing.take_over({}, (), 2, DAY, NOW, seen_version=1)
    codes = {
        0: new_code(SERIES_SIZE + 5),
        1: new_code(2 * SERIES_SIZE + 5),
        2: new_code(6, day=DAY + 1),
    }
    outcome = store.issuing.record_issue(codes, {}, request("2"), NOW)
    assert outcome.not_recorded == {0: NotRecorded.SERIES_CLOSED}
    assert set(store.issuing.find_issue(request("2"), NOW)) == {1, 2}


def test_the_tag_that_was_drawn_first_stays(store):
    """A holder has one tag a day in the store, whoever draws another one meanwhile."""
    issue(store, 1)
    other = new_code(2)
    other = replace(other, facts=replace(other.facts, tag=HolderTag(b"x" * 8, b"yy")))
    store.issuing.record_issue({0: other}, {}, request("2"), NOW)
    assert store.issuing.holder_tags([HOLDER, OTHER], DAY) == {HOLDER: TAG}
    assert store.issuing.holder_tags([HOLDER], DAY + 1) == {}


@pytest.mark.parametrize("same_store", [True, False])
def test_of_two_calls_with_one_id_exactly_one_wins_an_item(store, open_again, same_store):
    """Two writers with one request id at once: each item has one set of facts, and both hear the same."""
    stores = (store, store if same_store else open_again())
    issue(store, 999_999, name="level")
    for round_ in range(5):
        barrier = Barrier(2)

        def write(who: int, round_=round_, barrier=barrier):
            codes = {position: new_code(1000 * round_ + 100 * who + position) for position in range(10)}
            barrier.wait()
            outcome = stores[who].issuing.record_issue(codes, {}, request(f"race {round_}"), NOW)
            return {position: outcome.earlier.get(position, code.facts) for position, code in codes.items()}

        with ThreadPoolExecutor(2) as pool:
            heard = list(pool.map(write, (0, 1)))
        assert heard[0] == heard[1] == store.issuing.find_issue(request(f"race {round_}"), NOW)
        winner = {position: each.index for position, each in heard[0].items()}
        for who in (0, 1):
            for position in range(10):
                index = 1000 * round_ + 100 * who + position
                assert (store.answering.code_state(DAY, index) is not None) == (winner[position] == index)


def test_reissuing_asks_who_has_a_code_of_a_key(store):
    """A code of the key that has not expired counts, whichever presentation it has."""
    issue(store, 1)
    assert store.issuing.has_code_under(KID, HOLDER, NOW)
    assert not store.issuing.has_code_under(KID, HOLDER, NOW + 600)
    assert not store.issuing.has_code_under(KID, OTHER, NOW)
    assert not store.issuing.has_code_under(b"other---", HOLDER, NOW)


def test_pruning_forgets_past_days_and_nothing_else(store):
    """Expired days and old requests go; today's codes, levels and the revocation sequence stay."""
    issue(store, 1, name="past", day=DAY - 5)
    issue(store, 2, name="today")
    revoke(store, 1, day=DAY - 5)
    last = store.publishing.last_revocation()
    store.prune(NOW + 86_400)
    assert store.answering.code_state(DAY - 5, 1) is None
    assert store.answering.code_state(DAY, 2).sequence == 1
    assert store.counts(NOW) == {"codes_out": 1, "revocations": 0, "requests": 0}
    assert store.issuing.find_issue(request("today"), NOW) == {}
    revoke(store, 2, name="new")
    assert store.publishing.last_revocation() > last
