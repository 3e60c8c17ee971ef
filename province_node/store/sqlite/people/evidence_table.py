"""Adding evidence on SQLite: the item and its due mark in one transaction."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence

from healthcode.policy.levels.evidence import EvidenceKind, EvidenceState
from healthcode.storage.sqlite import Database, Session
from province_node.store.people_records import (
    MAX_ITEMS,
    MAX_REVISIONS,
    Added,
    AddResult,
    NewEvidence,
    ReceivedBetween,
    Withdrawn,
)
from province_node.store.records import Request
from province_node.store.sqlite.people.document_rows import document_number, document_numbers
from province_node.store.sqlite.people.evidence_rows import (
    COLUMNS,
    insert_evidence,
    mark_due,
    row_of,
    source_number,
    state_of,
)
from province_node.store.sqlite.people.level_time import raise_now
from province_node.store.sqlite.people.old_evidence import prune_evidence
from province_node.store.sqlite.people.withdrawing import SqliteWithdrawing
from province_node.store.sqlite.statements import find_among, number

__all__ = ["SqliteEvidence"]

_FEW_ITEMS = 50


class SqliteEvidence:
    """An `EvidenceStore`."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._withdrawing = SqliteWithdrawing(database)

    def add_evidence(self, items: Sequence[NewEvidence], now: int) -> Sequence[Added]:
        with self._database.transaction() as db:
            known_at = raise_now(db, now)
            sources = {
                name: source_number(db, name)
                for name in dict.fromkeys(item.evidence.source for item in items)
            }
            known = _known_records(db, items, sources) | _crowded_records(db, items)
            _add_new(db, [item for item in items if _record(item) not in known], sources, known_at)
            return [
                _add(db, item, sources, known_at)
                if _record(item) in known
                else Added(AddResult.ADDED, item.evidence.state, item.evidence.revision)
                for item in items
            ]

    def find_withdrawn(self, request: Request, now: int) -> Withdrawn | None:
        return self._withdrawing.find(request, now)

    def withdraw_records(self, source: str, records: Sequence[str], request: Request, now: int) -> Withdrawn:
        return self._withdrawing.records(source, records, request, now)

    def withdraw_received(
        self, source: str, selection: ReceivedBetween, request: Request, now: int
    ) -> Withdrawn:
        return self._withdrawing.received(source, selection, request, now)

    def count_records(self, source: str, records: Sequence[str]) -> Withdrawn:
        return self._withdrawing.count_records(source, records)

    def count_received(self, source: str, selection: ReceivedBetween) -> Withdrawn:
        return self._withdrawing.count_received(source, selection)

    def prune_evidence(self, now: int, kept_seconds: Mapping[EvidenceKind, int]) -> int:
        return prune_evidence(self._database, now, kept_seconds)

    def count_evidence(self) -> int:
        with self._database.scan() as db:
            return number(db, "SELECT count(*) FROM evidence")


def _record(item: NewEvidence) -> tuple[str, str]:
    return item.evidence.source, item.evidence.record


def _known_records(
    db: Session, items: Sequence[NewEvidence], sources: Mapping[str, int]
) -> set[tuple[str, str]]:
    """The records of which there is a revision, or of which several items are: these are added one by one."""
    counts = Counter(map(_record, items))
    known = {record for record, count in counts.items() if count > 1}
    for source, row in sources.items():
        references = [bytes.fromhex(record) for name, record in counts if name == source]
        found = find_among(db, "SELECT record FROM evidence WHERE source = ? AND record IN", references, row)
        known |= {(source, each[0].hex()) for each in found}
    return known


def _crowded_records(db: Session, items: Sequence[NewEvidence]) -> set[tuple[str, str]]:
    """The records about documents that may be near their limit: these too are added one by one."""
    counts = Counter(item.document for item in items)
    crowded = {document for document, count in counts.items() if count > _FEW_ITEMS}
    near = (
        "SELECT pseudonym FROM document"
        " WHERE (SELECT count(*) FROM evidence WHERE evidence.document = document.id) >= ? AND pseudonym IN"
    )
    crowded |= {bytes(row[0]) for row in find_among(db, near, list(counts), MAX_ITEMS - _FEW_ITEMS)}
    return {_record(item) for item in items if item.document in crowded}


def _add_new(db: Session, items: Sequence[NewEvidence], sources: Mapping[str, int], now: int) -> None:
    """Adds the first items of their records: few statements for all, since most items are such."""
    documents = document_numbers(db, [item.document for item in items])
    rows = [
        (row_of(item.evidence, sources[item.evidence.source], documents[item.document]), item.evidence.state)
        for item in items
    ]
    insert_evidence(db, rows, now)
    mark_due(db, documents.values(), now)


def _add(db: Session, item: NewEvidence, sources: Mapping[str, int], now: int) -> Added:
    evidence = item.evidence
    source = sources[evidence.source]
    document = document_number(db, item.document)
    columns = row_of(evidence, source, document)
    revisions = db.all(f"SELECT {COLUMNS} FROM evidence WHERE source = ? AND record = ?", columns[:2])
    highest = max((row[2] for row in revisions), default=evidence.revision)
    for row in revisions:
        if row[2] == evidence.revision:
            state = state_of(row)
            withdraws = evidence.state is EvidenceState.WITHDRAWN
            same = tuple(row)[:12] == columns and (state is EvidenceState.WITHDRAWN) == withdraws
            return Added(AddResult.DUPLICATE if same else AddResult.CONFLICT, state, highest)
    newest = max(revisions, key=lambda row: int(row[2]), default=None)
    takes_back = (
        evidence.state is EvidenceState.WITHDRAWN
        and newest is not None
        and evidence.revision > newest[2]
        and state_of(newest) is not EvidenceState.WITHDRAWN
    )
    if not takes_back and (limit := _limit(db, source, document, len(revisions))) is not None:
        return Added(limit, evidence.state, highest)
    insert_evidence(db, [(columns, evidence.state)], now)
    documents = {document, *(row[3] for row in revisions)}
    mark_due(db, documents, now)
    for each in documents:
        if len(documents) > 1:
            # a holder that loses a record has changed, as one that gets a new one has
            db.execute("UPDATE document SET is_shared = (SELECT max(id) FROM evidence) WHERE id = ?", (each,))
    return Added(AddResult.ADDED, evidence.state, max(highest, evidence.revision))


def _limit(db: Session, source: int, document: int, revisions: int) -> AddResult | None:
    """The limit that one more item would pass, if it takes nothing back."""
    if revisions >= MAX_REVISIONS:
        return AddResult.TOO_MANY_REVISIONS
    # the index alone tells of almost everybody that there are few, from all sources together
    about = "SELECT 1 FROM evidence WHERE document = ?"
    if number(db, f"SELECT count(*) FROM ({about} LIMIT {MAX_ITEMS})", document) < MAX_ITEMS:
        return None
    own = number(db, f"SELECT count(*) FROM ({about} AND source = ? LIMIT {MAX_ITEMS})", document, source)
    return AddResult.TOO_MANY_ITEMS if own >= MAX_ITEMS else None
