"""Forgets evidence that no derivation looks at, in short transactions; what a level row names stays with that row."""

from __future__ import annotations

import time
from collections.abc import Mapping

from healthcode.policy.levels.evidence import EvidenceKind
from healthcode.storage.sqlite import Database
from province_node.store.sqlite.people.evidence_rows import KIND_NUMBERS

__all__ = ["prune_evidence"]

_ROWS = 250  # of one transaction
_PAUSE_SECONDS = 0.005
_NAMED = (
    "EXISTS (SELECT 1 FROM document AS own LEFT JOIN document AS first ON first.id = own.holder JOIN level"
    " ON level.holder IN (own.pseudonym, first.pseudonym) AND level.source = evidence.source"
    " AND level.record = evidence.record WHERE own.id = evidence.document)"
)
# the correction stays as long as what it corrected, which would else count again
_CORRECTS = (
    "EXISTS (SELECT 1 FROM evidence AS lower WHERE lower.source = evidence.source"
    " AND lower.record = evidence.record AND lower.revision < evidence.revision)"
)


def prune_evidence(database: Database, now: int, kept_seconds: Mapping[EvidenceKind, int]) -> int:
    """Deletes the items of these kinds that were so longer ago than they are kept; how many."""
    if not kept_seconds:
        return 0
    limits = {KIND_NUMBERS[kind]: now - seconds for kind, seconds in kept_seconds.items()}
    # items are numbered in the order of receipt: behind the first one that came later there is none to delete
    latest = max(limits.values())
    deleted = behind = 0
    while True:
        with database.read() as db:
            rows = db.all(
                f"SELECT id, kind, observed_at, {_NAMED} OR {_CORRECTS} FROM evidence WHERE id > ? AND known_at < ?"
                " ORDER BY id LIMIT ?",
                (behind, latest, _ROWS),
            )
        old = [(row[0],) for row in rows if row[2] < limits.get(row[1], 0) and not row[3]]
        if old:
            with database.transaction() as db:
                deleted += db.execute_many("DELETE FROM evidence WHERE id = ?", old)
            time.sleep(_PAUSE_SECONDS)
        if len(rows) < _ROWS:
            return deleted
        behind = rows[-1][0]
