"""Withdrawing evidence on SQLite: each record gets a withdrawn revision. Many go in pieces with pauses."""

from __future__ import annotations

import time
from collections.abc import Iterable, Sequence
from dataclasses import replace

from healthcode.audit.events import AuditEvent
from healthcode.policy.levels.evidence import EvidenceState
from healthcode.storage.sqlite import Database, Row, Session
from province_node.store.facts import (
    pack_withdraw_progress,
    pack_withdrawn,
    unpack_withdraw_progress,
    unpack_withdrawn,
)
from province_node.store.people_records import ReceivedBetween, Withdrawn, WithdrawProgress
from province_node.store.records import Request
from province_node.store.sqlite.audit.audit_rows import record_entries, request_entry
from province_node.store.sqlite.people.evidence_rows import (
    COLUMNS,
    KIND_NUMBERS,
    insert_evidence,
    mark_due,
    source_number,
    state_of,
)
from province_node.store.sqlite.people.level_time import raise_now
from province_node.store.sqlite.request_facts import (
    Part,
    claim_request,
    find_parts,
    find_unfinished,
    finish_request,
    keep_unfinished,
)
from province_node.store.sqlite.statements import number

__all__ = ["SqliteWithdrawing"]

_ROWS = 500  # of one transaction
_PAUSE_SECONDS = 0.005


class SqliteWithdrawing:
    """The withdrawing part of an `EvidenceStore`."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def find(self, request: Request, now: int) -> Withdrawn | None:
        with self._database.read() as db:
            return _find(db, request, now)

    def records(self, source: str, records: Sequence[str], request: Request, now: int) -> Withdrawn:
        with self._database.transaction() as db:
            earlier = _find(db, request, now)
            if earlier is not None:
                return earlier
            which = source_number(db, source)
            known_at = raise_now(db, now)
            withdrawn = _withdraw(db, which, map(bytes.fromhex, records), known_at)
            finish_request(db, claim_request(db, request, now), Part(now, pack_withdrawn(withdrawn)))
            _record(db, source, withdrawn, request, now)
            return withdrawn

    def received(self, source: str, selection: ReceivedBetween, request: Request, now: int) -> Withdrawn:
        progress = self._begin(selection, request, now)
        while not isinstance(progress, Withdrawn):
            progress = self._piece(source, selection, progress, request, now)
            if not isinstance(progress, Withdrawn):
                time.sleep(_PAUSE_SECONDS)
        return progress

    def count_records(self, source: str, records: Sequence[str]) -> Withdrawn:
        with self._database.scan() as db:
            return _count(db, source_number(db, source), map(bytes.fromhex, records))

    def count_received(self, source: str, selection: ReceivedBetween) -> Withdrawn:
        with self._database.scan() as db:
            which = source_number(db, source)
            first, last = _window(db, selection)
            counted, behind = Withdrawn(0, 0), first - 1
            while True:
                rows = _select(db, which, selection, behind, last)
                found = _count(db, which, dict.fromkeys(bytes(row[1]) for row in rows))
                counted = Withdrawn(counted.newly + found.newly, counted.already + found.already)
                if len(rows) < _ROWS:
                    return counted
                behind = rows[-1][0]

    def _begin(self, selection: ReceivedBetween, request: Request, now: int) -> WithdrawProgress | Withdrawn:
        """Claims the request, or finds how far it had come when it was cut."""
        with self._database.transaction() as db:
            earlier = _find(db, request, now)
            if earlier is not None:
                return earlier
            row = claim_request(db, request, now)
            progress = _find_progress(db, row)
            if progress is None:
                first, last = _window(db, selection)
                progress = WithdrawProgress(began=now, behind=first - 1, through=last)
                keep_unfinished(db, row, Part(now, pack_withdraw_progress(progress)))
            return progress

    def _piece(
        self, source: str, selection: ReceivedBetween, seen: WithdrawProgress, request: Request, now: int
    ) -> WithdrawProgress | Withdrawn:
        """Withdraws the records behind `seen`, and records how far it came: this write makes both durable."""
        with self._database.transaction() as db:
            earlier = _find(db, request, now)
            if earlier is not None:
                return earlier
            row = claim_request(db, request, now)
            progress = _find_progress(db, row)
            if progress is not None and progress != seen:
                return progress  # another call with this id has taken the piece
            which = source_number(db, source)
            rows = _select(db, which, selection, seen.behind, seen.through)
            records = dict.fromkeys(bytes(each[1]) for each in rows)
            found = _withdraw(db, which, records, raise_now(db, now))
            withdrawn = Withdrawn(seen.newly + found.newly, seen.already + found.already)
            _record(db, source, found, request, now)
            if len(rows) < _ROWS:
                finish_request(db, row, Part(now, pack_withdrawn(withdrawn)))
                return withdrawn
            progress = replace(seen, behind=rows[-1][0], newly=withdrawn.newly, already=withdrawn.already)
            keep_unfinished(db, row, Part(seen.began, pack_withdraw_progress(progress)))
            return progress


def _record(db: Session, source: str, found: Withdrawn, request: Request, now: int) -> None:
    counts = {"newly": found.newly, "already": found.already, "unknown": found.unknown}
    record_entries(db, now, [request_entry(AuditEvent.EVIDENCE_WITHDRAWN, request, counts, source)])


def _window(db: Session, selection: ReceivedBetween) -> tuple[int, int]:
    """The first and last item that was received in a window. Items are numbered in the order of receipt."""
    return _first(db, selection.received_from), _first(db, selection.received_until) - 1


def _first(db: Session, at: int) -> int:
    """The number of the first item that was received at `at` or later, by bisection."""
    low, high = 1, number(db, "SELECT seq FROM sqlite_sequence WHERE name = 'evidence'") + 1
    while low < high:
        middle = (low + high) // 2
        row = db.one("SELECT id, known_at FROM evidence WHERE id >= ? ORDER BY id LIMIT 1", (middle,))
        if row is None or row[1] >= at:
            high = middle
        else:
            low = row[0] + 1
    return low


def _select(db: Session, source: int, selection: ReceivedBetween, behind: int, through: int) -> Sequence[Row]:
    kind = None if selection.kind is None else KIND_NUMBERS[selection.kind]
    return db.all(
        "SELECT id, record FROM evidence WHERE id > ? AND id <= ? AND source = ? AND (?4 IS NULL OR kind = ?4)"
        " ORDER BY id LIMIT ?",
        (behind, through, source, kind, _ROWS),
    )


def _newest(db: Session, source: int, record: bytes) -> Row | None:
    return db.one(
        f"SELECT {COLUMNS} FROM evidence WHERE source = ? AND record = ? ORDER BY revision DESC LIMIT 1",
        (source, record),
    )


def _withdraw(db: Session, source: int, records: Iterable[bytes], now: int) -> Withdrawn:
    newly = already = unknown = 0
    for record in records:
        row = _newest(db, source, record)
        if row is None:
            unknown += 1
        elif state_of(row) is EvidenceState.WITHDRAWN:
            already += 1
        else:
            newly += 1
            columns = [*row[:2], row[2] + 1, *row[3:12]]
            insert_evidence(db, [(columns, EvidenceState.WITHDRAWN)], now)
            mark_due(db, [row[3]], now)
    return Withdrawn(newly, already, unknown)


def _count(db: Session, source: int, records: Iterable[bytes]) -> Withdrawn:
    newly = already = unknown = 0
    for record in records:
        row = _newest(db, source, record)
        unknown += row is None
        already += row is not None and state_of(row) is EvidenceState.WITHDRAWN
        newly += row is not None and state_of(row) is not EvidenceState.WITHDRAWN
    return Withdrawn(newly, already, unknown)


def _find(db: Session, request: Request, now: int) -> Withdrawn | None:
    parts = find_parts(db, request, now)
    return unpack_withdrawn(parts[0].facts) if parts else None


def _find_progress(db: Session, request_row: int) -> WithdrawProgress | None:
    kept = find_unfinished(db, request_row)
    return None if kept is None else unpack_withdraw_progress(kept.facts, kept.signed_at)
