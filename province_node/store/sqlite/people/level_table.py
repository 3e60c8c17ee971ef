"""Derived levels on SQLite: whom to derive, and the change of a level with all that follows from it."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace

from healthcode.audit.entry import AuditEntry, person_subject
from healthcode.audit.events import AuditEvent
from healthcode.storage.sqlite import Database, Session
from healthcode.wire.claims import NUMBER_BY_LEVEL, Level
from province_node.store.people_records import (
    Applied,
    CurrentLevel,
    HolderState,
    LevelBasis,
    LevelRecord,
    LevelUpdate,
)
from province_node.store.records import Revocation, RevocationReason
from province_node.store.sqlite.audit.audit_rows import record_entries
from province_node.store.sqlite.people.document_rows import document_number
from province_node.store.sqlite.people.evidence_rows import source_names, source_number
from province_node.store.sqlite.people.holder_rows import (
    LEVEL_COLUMNS,
    are_unchanged,
    level_record,
    read_holders,
    read_unknown,
)
from province_node.store.sqlite.people.level_time import (
    begin_basis,
    begin_upgrade,
    find_basis,
    is_any_finished,
    latest_now,
    raise_now,
    set_back_now,
)
from province_node.store.sqlite.statements import find_among, number, revoke_all

__all__ = ["SqliteLevels"]

_BY_RULES = "rules"
"""Who revoked a code whose holder's level changed by derivation."""


class SqliteLevels:
    """A `LevelStore`."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def read_holders(
        self, documents: Sequence[bytes], *, with_evidence: bool = True
    ) -> Sequence[HolderState]:
        with self._database.read() as db:
            names = source_names(db)
            rows = find_among(
                db,
                "SELECT pseudonym, coalesce(holder, id) FROM document WHERE pseudonym IN",
                list(set(documents)),
            )
            holder_of = {bytes(row[0]): int(row[1]) for row in rows}
            holders = list(set(holder_of.values()))
            known = read_holders(db, holders, names, with_evidence=with_evidence)
            states = dict(zip(holders, known, strict=True))
            return [
                states[holder_of[pseudonym]] if pseudonym in holder_of else read_unknown(db, pseudonym, names)
                for pseudonym in documents
            ]

    def read_due(self, limit: int, skip: int = 0) -> Sequence[HolderState]:
        with self._database.read() as db:
            rows = db.all(
                "SELECT DISTINCT coalesce(document.holder, document.id) FROM to_derive"
                " JOIN document ON document.id = to_derive.document ORDER BY to_derive.since LIMIT ? OFFSET ?",
                (limit, skip),
            )
            return _read_all(db, (row[0] for row in rows))

    def read_lapsed(self, now: int, limit: int, skip: int = 0) -> Sequence[HolderState]:
        with self._database.read() as db:
            rows = db.all(
                "SELECT holder FROM current_level WHERE next_change <= ? ORDER BY next_change LIMIT ? OFFSET ?",
                (now, limit, skip),
            )
            return _read_all(db, (row[0] for row in rows))

    def read_outdated(
        self, basis: int, level: Level | None, after: int, limit: int
    ) -> tuple[Sequence[HolderState], int | None]:
        with self._database.read() as db:
            if level is not None:
                found = [
                    row[0]
                    for row in db.all(
                        "SELECT holder FROM current_level WHERE holder > ? AND level = ? AND basis <> ?"
                        " ORDER BY holder LIMIT ?",
                        (after, NUMBER_BY_LEVEL[level], basis, limit),
                    )
                ]
                return _read_all(db, found), found[-1] if len(found) == limit else None
            rows = db.all(
                "SELECT document.id, current_level.basis FROM document"
                " LEFT JOIN current_level ON current_level.holder = document.id"
                " WHERE document.id > ? AND document.holder IS NULL ORDER BY document.id LIMIT ?",
                (after, limit),
            )
            outdated = (row[0] for row in rows if row[1] != basis)
            return _read_all(db, outdated), rows[-1][0] if len(rows) == limit else None

    def apply_levels(self, updates: Sequence[LevelUpdate], now: int) -> Applied:
        revoked = 0
        with self._database.transaction() as db:
            raise_now(db, now)
            # of two updates of one holder the first one counts
            firsts = {update.seen.holder: place for place, update in reversed(list(enumerate(updates)))}
            unchanged = are_unchanged(db, [update.seen for update in updates])
            done = [
                is_same and firsts[update.seen.holder] == place
                for place, (update, is_same) in enumerate(zip(updates, unchanged, strict=True))
            ]
            same = [update for update, is_same in zip(updates, done, strict=True) if is_same]
            for update in same:
                revoked += _apply(db, update, now)
            _confirm(db, [update for update in same if _is_confirmed(update)])
            changes = map(_change, same)
            record_entries(db, now, [change for change in changes if change is not None])
        return Applied(done, revoked)

    def waiting(self) -> tuple[int, int | None, int | None]:
        with self._database.read() as db:
            due = db.one("SELECT count(*), min(since) FROM to_derive")
            lapse = db.one("SELECT min(next_change) FROM current_level WHERE next_change IS NOT NULL")
        assert due is not None and lapse is not None  # noqa: S101, PT018  aggregates have one row
        return due[0], due[1], lapse[0]

    def latest_now(self) -> int:
        with self._database.read() as db:
            return latest_now(db)

    def keep_now(self, now: int) -> None:
        with self._database.transaction() as db:
            raise_now(db, now)

    def set_back_now(self, now: int) -> None:
        with self._database.transaction() as db:
            set_back_now(db, now)

    def find_basis(self, basis: LevelBasis) -> LevelBasis:
        with self._database.read() as db:
            found = find_basis(db, basis)
            if found is not None and (found.is_finished or not is_any_finished(db)):
                return found
        with self._database.transaction() as db:
            return begin_basis(db, basis)

    def finish_basis(self, number: int) -> None:
        with self._database.transaction() as db:
            db.execute("UPDATE level_basis SET is_finished = (id = ?)", (number,))

    def level_at(self, document: bytes, at: int) -> LevelRecord | None:
        with self._database.read() as db:
            row = db.one(
                f"SELECT {LEVEL_COLUMNS} FROM level WHERE holder = coalesce("
                " (SELECT first.pseudonym FROM document JOIN document AS first"
                "  ON first.id = coalesce(document.holder, document.id) WHERE document.pseudonym = ?), ?)"
                " AND stated_at <= ? ORDER BY sequence DESC LIMIT 1",
                (document, document, at),
            )
            return None if row is None else level_record(row, source_names(db))

    def stated_levels(self, after: bytes, limit: int) -> Sequence[tuple[bytes, LevelRecord]]:
        with self._database.scan() as db:
            rows = db.all(
                f"SELECT {LEVEL_COLUMNS}, holder FROM level WHERE holder > ? AND policy_version = ''"
                " AND level IN ('RED', 'YELLOW')"
                " AND sequence = (SELECT max(sequence) FROM level AS newer WHERE newer.holder = level.holder)"
                " ORDER BY holder LIMIT ?",
                (after, limit),
            )
            return [(bytes(row[12]), level_record(row, {})) for row in rows]

    def count_stated(self) -> tuple[int, int]:
        with self._database.scan() as db:
            newest = "sequence = (SELECT max(sequence) FROM level AS newer WHERE newer.holder = level.holder)"
            stated = number(
                db,
                "SELECT count(*) FROM level WHERE policy_version = '' AND level IN ('RED', 'YELLOW')"
                f" AND {newest}",
            )
            without = number(
                db,
                f"SELECT count(*) FROM level WHERE {newest} AND NOT EXISTS (SELECT 1 FROM document JOIN evidence"
                " ON evidence.document = document.id WHERE document.pseudonym = level.holder)",
            )
            return stated, without

    def begin_upgrade(self, now: int) -> int:
        with self._database.transaction() as db:
            return begin_upgrade(db, now)

    def is_upgraded(self) -> bool:
        with self._database.read() as db:
            return number(db, "SELECT upgraded_at IS NOT NULL FROM level_time") == 1

    def finish_upgrade(self, now: int) -> None:
        with self._database.transaction() as db:
            raise_now(db, now)
            db.execute("UPDATE level_time SET upgraded_at = ?", (now,))


def _read_all(db: Session, holders: Iterable[int]) -> list[HolderState]:
    return read_holders(db, list(holders), source_names(db))


def _apply(db: Session, update: LevelUpdate, now: int) -> int:
    """How many codes it revoked."""
    seen = update.seen
    holder = seen.documents[0][0] if seen.documents else document_number(db, seen.holder)
    if update.record is not None:
        _append(db, seen.holder, update.record)
    if update.current is not None and not _is_confirmed(update):
        _set_current(db, holder, update.current)
    # a mark that came since is of newer evidence, which `is_unchanged` would have seen
    for document, _ in seen.documents if seen.is_due else ():
        db.execute("DELETE FROM to_derive WHERE document = ?", (document,))
    if seen.is_moved:
        db.execute("DELETE FROM moved_holder WHERE holder = ?", (holder,))
    return _revoke_codes(db, holder, now) if update.revokes else 0


def _is_confirmed(update: LevelUpdate) -> bool:
    """Whether other rules came to the same level, as they mostly do."""
    current, before = update.current, update.seen.current
    return current is not None and before is not None and replace(before, basis=current.basis) == current


def _confirm(db: Session, updates: Sequence[LevelUpdate]) -> None:
    db.execute_many(
        "UPDATE current_level SET basis = ? WHERE holder = ?",
        [(update.current.basis, update.seen.documents[0][0]) for update in updates if update.current],
    )


def _change(update: LevelUpdate) -> AuditEntry | None:
    """What the log says of a new row of the history; None if the holder was and is GREEN."""
    last, record = update.seen.last, update.record
    before = Level.GREEN if last is None else last.level
    if record is None or before is record.level is Level.GREEN:
        return None
    ground = {
        "reason": record.reason,
        "rule": record.rule,
        "source": record.source,
        "evidence": record.record,
    }
    content: dict[str, object] = {"from": before.value, "to": record.level.value, "sequence": record.sequence}
    content |= {name: value for name, value in ground.items() if value}
    return AuditEntry(AuditEvent.LEVEL_CHANGED, _BY_RULES, "", person_subject(update.seen.holder), content)


def _append(db: Session, holder: bytes, record: LevelRecord) -> None:
    db.execute(
        f"INSERT INTO level (holder, {LEVEL_COLUMNS}) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
        (
            holder,
            record.sequence,
            record.level.value,
            record.stated_at,
            record.reason,
            record.rule,
            record.legal_instrument,
            record.until,
            record.policy_version,
            source_number(db, record.source) if record.source else None,
            bytes.fromhex(record.record) if record.record else None,
            record.starts,
            record.stated_by,
        ),
    )


def _set_current(db: Session, holder: int, current: CurrentLevel) -> None:
    # in place: a re-derivation mostly changes the basis alone, and no index
    db.execute(
        "INSERT INTO current_level VALUES (?, ?, ?, ?, ?, ?, ?) ON CONFLICT (holder) DO UPDATE SET"
        " sequence = excluded.sequence, level = excluded.level, rule = excluded.rule, until = excluded.until,"
        " basis = excluded.basis, next_change = excluded.next_change",
        (
            holder,
            current.sequence,
            NUMBER_BY_LEVEL[current.level],
            current.rule,
            current.until,
            current.basis,
            current.next_change,
        ),
    )


def _revoke_codes(db: Session, holder: int, now: int) -> int:
    """Revokes the codes that are out of all documents of a holder."""
    out = db.all(
        "SELECT code.day, code.idx FROM document JOIN code ON code.holder = document.pseudonym"
        " WHERE (document.id = ?1 OR document.holder = ?1) AND code.expires_at > ?2",
        (holder, now),
    )
    codes = [Revocation(day=day, index=index) for day, index in out]
    return revoke_all(db, codes, RevocationReason.LEVEL_CHANGED, _BY_RULES, now) if codes else 0
