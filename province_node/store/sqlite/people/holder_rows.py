"""Reads all that a derivation needs of a holder, inside one transaction of SQLite."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from healthcode.policy.levels.evidence import Evidence
from healthcode.storage.sqlite import Row, Session
from healthcode.wire.claims import LEVEL_BY_NUMBER, Level
from province_node.store.people_records import CurrentLevel, HolderState, LevelRecord
from province_node.store.sqlite.people.evidence_rows import COLUMNS, evidence_of, state_of
from province_node.store.sqlite.statements import number

__all__ = ["LEVEL_COLUMNS", "is_unchanged", "level_record", "read_holder", "read_unknown"]

LEVEL_COLUMNS = (
    "sequence, level, stated_at, reason, rule, legal_instrument, until, policy_version, source, record, starts,"
    " stated_by"
)
_EACH = ", ".join(f"each.{name.strip()}" for name in COLUMNS.split(","))
_COUNTS = frozenset({"ACTIVE", "WITHDRAWN"})

_NEWEST = "coalesce((SELECT id FROM evidence WHERE document = own.id ORDER BY id DESC LIMIT 1), 0)"
_IS_DUE = "EXISTS (SELECT 1 FROM to_derive WHERE document = own.id)"
_NOW = "now.sequence, now.level, now.rule, now.until, now.basis, now.next_change"
_LAST = ", ".join(f"last.{name.strip()}" for name in LEVEL_COLUMNS.split(","))
# one statement: a re-derivation reads millions of holders
_HEAD = (
    f"SELECT own.pseudonym, own.is_shared, {_NEWEST}, {_IS_DUE},"
    " EXISTS (SELECT 1 FROM document WHERE holder = own.id),"
    f" moved_holder.sequence, {_NOW}, {_LAST}"
    " FROM document AS own LEFT JOIN current_level AS now ON now.holder = own.id"
    " LEFT JOIN moved_holder ON moved_holder.holder = own.id"
    " LEFT JOIN level AS last ON last.holder = own.pseudonym"
    " AND last.sequence = (SELECT max(sequence) FROM level WHERE holder = own.pseudonym) WHERE own.id = ?"
)
_OTHERS = (
    f"SELECT own.id, own.is_shared, {_NEWEST}, {_IS_DUE} FROM document AS own"
    " WHERE own.holder = ? ORDER BY own.id"
)


@dataclass(frozen=True, slots=True)
class _Head:
    """What is known of a holder without its evidence."""

    pseudonym: bytes
    current: CurrentLevel | None
    last: LevelRecord | None
    sequence: int
    is_moved: bool
    is_due: bool
    is_shared: bool
    documents: tuple[tuple[int, int], ...]


def read_holder(
    db: Session, holder: int, names: Mapping[int, str], *, with_evidence: bool = True
) -> HolderState:
    """The holder whose first document this is; `names` are of the sources."""
    head = _read_head(db, holder, names)
    return HolderState(
        holder=head.pseudonym,
        evidence=_evidence(db, head, names) if with_evidence else (),
        current=head.current,
        last=head.last,
        sequence=head.sequence,
        is_due=head.is_due,
        is_moved=head.is_moved,
        documents=head.documents,
    )


def read_unknown(db: Session, pseudonym: bytes, names: Mapping[int, str]) -> HolderState:
    """A holder about whom there was never any evidence; a back end may have stated levels."""
    last = _last_level(db, pseudonym, names)
    return HolderState(
        holder=pseudonym,
        evidence=(),
        current=None,
        last=last,
        sequence=0 if last is None else last.sequence,
        is_due=False,
        is_moved=False,
        documents=(),
    )


def is_unchanged(db: Session, seen: HolderState) -> bool:
    """Whether a holder has the same evidence, documents and level as when it was read."""
    if not seen.documents:
        is_unknown = db.one("SELECT 1 FROM document WHERE pseudonym = ?", (seen.holder,)) is None
        newest = number(db, "SELECT coalesce(max(sequence), 0) FROM level WHERE holder = ?", seen.holder)
        return is_unknown and newest == seen.sequence
    head = _read_head(db, seen.documents[0][0], {})
    return (head.documents, head.current, head.sequence, head.is_moved) == (
        seen.documents,
        seen.current,
        seen.sequence,
        seen.is_moved,
    )


def _read_head(db: Session, holder: int, names: Mapping[int, str]) -> _Head:
    row = db.one(_HEAD, (holder,))
    assert row is not None, "a document is never deleted"  # noqa: S101  an invariant
    pseudonym, is_shared, newest, is_due, has_others, moved = row[:6]
    current, last = row[6:12], row[12:]
    documents = ((holder, newest),)
    if has_others:
        others = db.all(_OTHERS, (holder,))
        documents += tuple((each[0], each[2]) for each in others)
        is_shared = is_shared or any(each[1] for each in others)
        is_due = is_due or any(each[3] for each in others)
    return _Head(
        pseudonym=bytes(pseudonym),
        current=None if current[0] is None else _current(current),
        last=None if last[0] is None else level_record(last, names),
        sequence=max(last[0] or 0, moved or 0),
        is_moved=moved is not None,
        is_due=bool(is_due),
        is_shared=bool(is_shared),
        documents=documents,
    )


def _last_level(db: Session, pseudonym: bytes, names: Mapping[int, str]) -> LevelRecord | None:
    row = db.one(
        f"SELECT {LEVEL_COLUMNS} FROM level WHERE holder = ? ORDER BY sequence DESC LIMIT 1", (pseudonym,)
    )
    return None if row is None else level_record(row, names)


def level_record(row: Sequence[Any], names: Mapping[int, str]) -> LevelRecord:
    """The record in the values of `LEVEL_COLUMNS`; a source that is not among `names` is left out."""
    return LevelRecord(
        sequence=row[0],
        level=Level(row[1]),
        stated_at=row[2],
        reason=row[3],
        rule=row[4],
        legal_instrument=row[5],
        until=row[6],
        policy_version=row[7],
        source=names.get(row[8], ""),
        record="" if row[9] is None else row[9].hex(),
        starts=row[10],
        stated_by=row[11],
    )


def _current(values: Sequence[Any]) -> CurrentLevel:
    sequence, level, rule, until, basis, next_change = values
    return CurrentLevel(sequence, LEVEL_BY_NUMBER[level], rule, until, basis, next_change)


def _evidence(db: Session, head: _Head, names: Mapping[int, str]) -> tuple[Evidence, ...]:
    """Every revision of the records that are about this holder now."""
    own = [document for document, newest in head.documents if newest]
    if head.is_shared:
        return _shared_evidence(db, own, names)
    rows = (db.all(f"SELECT {COLUMNS} FROM evidence WHERE document = ?", (each,)) for each in own)
    return tuple(evidence_of(row, names) for found in rows for row in found)


def _shared_evidence(db: Session, own: Sequence[int], names: Mapping[int, str]) -> tuple[Evidence, ...]:
    """The same where a revision corrected the document: what counts now may be about another holder."""
    rows: dict[int, Row] = {}
    for document in own:
        found = db.all(
            f"SELECT {_EACH}, each.id FROM evidence AS own JOIN evidence AS each"
            " ON each.source = own.source AND each.record = own.record WHERE own.document = ?",
            (document,),
        )
        rows |= {row[14]: row for row in found}
    owner: dict[tuple[int, bytes], tuple[int, int]] = {}
    for row in rows.values():
        if state_of(row) in _COUNTS:
            record = (row[0], row[1])
            owner[record] = max(owner.get(record, (0, 0)), (row[2], row[3]))
    return tuple(
        evidence_of(row, names)
        for row in rows.values()
        if row[3] in own and owner.get((row[0], row[1]), (0, row[3]))[1] in own
    )
