"""Adding evidence on SQLite: the item and its due mark in one transaction."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from healthcode.policy.levels.evidence import EvidenceKind, EvidenceState
from healthcode.storage.sqlite import Database, Session
from province_node.store.people_records import (
    Added,
    AddResult,
    NewEvidence,
    ReceivedBetween,
    Withdrawn,
)
from province_node.store.records import Request
from province_node.store.sqlite.people.document_rows import document_number
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
from province_node.store.sqlite.statements import number

__all__ = ["SqliteEvidence"]


class SqliteEvidence:
    """An `EvidenceStore`."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._withdrawing = SqliteWithdrawing(database)

    def add_evidence(self, items: Sequence[NewEvidence], now: int) -> Sequence[Added]:
        with self._database.transaction() as db:
            known_at = raise_now(db, now)
            sources: dict[str, int] = {}
            return [_add(db, item, sources, known_at) for item in items]

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


def _add(db: Session, item: NewEvidence, sources: dict[str, int], now: int) -> Added:
    evidence = item.evidence
    source = sources.get(evidence.source)
    if source is None:
        source = sources[evidence.source] = source_number(db, evidence.source)
    document = document_number(db, item.document)
    columns = row_of(evidence, source, document)
    # mostly there is none: one look-up in the index
    revisions = db.all(f"SELECT {COLUMNS} FROM evidence WHERE source = ? AND record = ?", columns[:2])
    highest = max((row[2] for row in revisions), default=evidence.revision)
    for row in revisions:
        if row[2] == evidence.revision:
            state = state_of(row)
            withdraws = evidence.state is EvidenceState.WITHDRAWN
            same = tuple(row)[:12] == columns and (state is EvidenceState.WITHDRAWN) == withdraws
            return Added(AddResult.DUPLICATE if same else AddResult.CONFLICT, state, highest)
    insert_evidence(db, columns, now, evidence.state)
    documents = {document, *(row[3] for row in revisions)}
    for each in documents:
        mark_due(db, each, now)
        if len(documents) > 1:
            # a holder that loses a record has changed, as one that gets a new one has
            db.execute("UPDATE document SET is_shared = (SELECT max(id) FROM evidence) WHERE id = ?", (each,))
    return Added(AddResult.ADDED, evidence.state, max(highest, evidence.revision))
