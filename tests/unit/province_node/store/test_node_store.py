"""What the store keeps, and what it refuses to forget."""

from __future__ import annotations

import threading

import pytest

from healthcode.errors import InvalidInputError, PreconditionError, Reason
from healthcode.revocation.index import ISSUABLE, SERIES_LIMIT
from healthcode.wire.claims import Level, Presentation
from province_node.people.level import LevelReason, LevelStatement
from province_node.store.node_store import NodeStore
from province_node.store.records import (
    CodeRecord,
    HolderTag,
    IssueEntry,
    Publication,
    Request,
    Revocation,
    RevocationReason,
)

NOW = 20_000 * 86_400
DAY = 20_000
HOLDER = b"h" * 32


@pytest.fixture
def store(tmp_path):
    made = NodeStore(tmp_path / "node.db")
    yield made
    made.close()


def entry(
    index: int, statement: LevelStatement | None = None, holder: bytes = HOLDER, day: int = DAY
) -> IssueEntry:
    code = CodeRecord(day, index, holder, b"k" * 8, Presentation.LIVE, NOW, NOW + 600)
    return IssueEntry(code, statement or LevelStatement(Level.GREEN), "R1", HolderTag(b"s" * 8, b"tt"), DAY)


def request(name: str = "r", digest: bytes = b"d") -> Request:
    return Request("caller", name, digest, NOW + 86_400)


def revoke(store: NodeStore, *indices: int, name: str = "v", day: int = DAY) -> bytes:
    return store.record_revocations(
        [Revocation(day, index) for index in indices],
        RevocationReason.FRAUD,
        request(name),
        lambda newly, already: f"{newly} {already}".encode(),
        NOW,
    )


def test_blocks_never_overlap_across_threads_and_restarts(tmp_path):
    """However many threads and processes take blocks, and whoever dies, no counter is given twice."""
    taken: list[tuple[int, int]] = []
    for _ in range(3):
        store = NodeStore(tmp_path / "node.db")
        other = NodeStore(tmp_path / "node.db")

        def take(from_store: NodeStore = store) -> None:
            for _ in range(5):
                block = from_store.reserve_block(DAY, 100)
                taken.append((block.first, block.end))

        threads = [threading.Thread(target=take, args=(each,)) for each in (store, store, other)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        store.close()
        other.close()
    counters = [counter for first, end in taken for counter in range(first, end)]
    assert len(counters) == len(set(counters)) == 3 * 3 * 5 * 100


def test_days_have_counters_of_their_own(store):
    """Each day of expiry begins at its own first counter."""
    assert store.reserve_block(DAY, 10).first == store.reserve_block(DAY + 1, 10).first == 0


def test_a_full_series_opens_the_next_and_the_last_one_ends_it(store):
    """A block is cut at a series' end; after the last series there is INDEX_EXHAUSTED."""
    block = store.reserve_block(DAY, ISSUABLE + 5)
    assert (block.series, block.end) == (0, ISSUABLE)
    for series in range(1, SERIES_LIMIT):
        assert store.reserve_block(DAY, ISSUABLE).series == series
    with pytest.raises(PreconditionError) as refused:
        store.reserve_block(DAY, 1)
    assert refused.value.reason is Reason.INDEX_EXHAUSTED


def test_the_same_request_gets_the_same_answer(store):
    """A request id gives the answer of its first time, and nothing is recorded again."""
    assert store.record_issue([entry(1)], request(), b"first", NOW) == b"first"
    assert store.find_response(request(), NOW) == b"first"
    assert store.record_issue([entry(2)], request(), b"second", NOW) == b"first"
    assert store.code_state(DAY, 2) is None


def test_a_request_id_with_another_content_is_refused(store):
    """The same id for another content is REQUEST_ID_REUSED."""
    store.record_issue([entry(1)], request(), b"first", NOW)
    with pytest.raises(InvalidInputError) as refused:
        store.find_response(request(digest=b"other"), NOW)
    assert refused.value.reason is Reason.REQUEST_ID_REUSED


def test_request_ids_are_each_callers_own_and_last_a_day(store):
    """Another caller's id is another id, and after 24 hours an id is free."""
    store.record_issue([entry(1)], request(), b"first", NOW)
    assert store.find_response(Request("another", "r", b"x", NOW + 1), NOW) is None
    assert store.find_response(request(digest=b"other"), NOW + 86_400) is None


def test_a_changed_level_grows_the_sequence_and_revokes_what_is_out(store):
    """A holder who turns RED keeps a history, and the GREEN code that is out is revoked in the same step."""
    store.record_issue([entry(1)], request("1"), b"", NOW)
    store.record_issue([entry(2)], request("2"), b"", NOW)
    green = store.code_state(DAY, 1)
    assert green is not None
    assert (green.sequence, green.revoked, green.level) == (1, False, Level.GREEN)
    store.record_issue([entry(3, LevelStatement(Level.RED, LevelReason.A4))], request("3"), b"", NOW)
    for index, revoked in ((1, True), (2, True), (3, False)):
        state = store.code_state(DAY, index)
        assert state is not None
        assert (state.sequence, state.revoked, state.level) == (2, revoked, Level.RED)
    assert store.changed_days(0) == {DAY}


def test_another_holder_keeps_its_codes(store):
    """One holder's change touches nobody else."""
    store.record_issue([entry(1), entry(2, holder=b"o" * 32)], request("1"), b"", NOW)
    store.record_issue([entry(3, LevelStatement(Level.RED, LevelReason.A4))], request("2"), b"", NOW)
    other = store.code_state(DAY, 2)
    assert other is not None
    assert not other.revoked


def test_revoking_counts_each_code_once(store):
    """Newly and already revoked are told apart; a repeated request repeats its answer."""
    assert revoke(store, 1, 2, name="a") == b"2 0"
    assert revoke(store, 2, 3, name="b") == b"1 1"
    assert revoke(store, 2, 3, name="b") == b"1 1"
    assert store.revoked_indices(DAY, store.last_revocation()) == [1, 2, 3]


def test_a_head_holds_what_was_revoked_when_it_was_begun(store):
    """Indices are read up to a sequence, so that a head and its `through` say the same."""
    revoke(store, 5, name="a")
    through = store.last_revocation()
    revoke(store, 4, name="b", day=DAY + 1)
    revoke(store, 6, name="c")
    assert store.revoked_indices(DAY, through) == [5]
    assert store.changed_days(through) == {DAY, DAY + 1}


def test_what_was_acknowledged_is_there_after_the_file_is_opened_again(tmp_path):
    """Codes, revocations, tags, answers and the publication survive without a goodbye."""
    store = NodeStore(tmp_path / "node.db")
    store.record_issue([entry(1)], request(), b"answer", NOW)
    revoke(store, 1)
    publication = Publication(7, NOW, DAY, DAY + 9, 1, b"head")
    store.record_publication(publication)
    again = NodeStore(tmp_path / "node.db")  # the first is never closed, as after a kill
    assert again.publication() == publication
    assert again.holder_tags([HOLDER, b"unknown"], DAY) == {HOLDER: HolderTag(b"s" * 8, b"tt")}
    assert again.find_response(request(), NOW) == b"answer"
    state = again.code_state(DAY, 1)
    assert state is not None
    assert state.revoked
    again.close()
    store.close()


def test_pruning_forgets_past_days_and_nothing_else(store):
    """Expired days and old requests go; today's codes, levels and the sequence stay."""
    store.record_issue([entry(1, day=DAY - 5), entry(2)], request(), b"", NOW)
    revoke(store, 1, day=DAY - 5)
    last = store.last_revocation()
    store.prune(NOW + 86_400)
    assert store.code_state(DAY - 5, 1) is None
    kept = store.code_state(DAY, 2)
    assert kept is not None
    assert kept.sequence == 1
    assert store.find_response(request(), NOW) is None
    revoke(store, 2, name="new")
    assert store.last_revocation() > last
